//! Source text: libtorch's own comes out of the printer as it went in, broken text is refused with its place,
//! and no text makes the parser fall over.

mod common;

use std::fs;
use std::sync::LazyLock;

use ckaprune::program::{ParseError, parse, print};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{RngSeed, TestCaseError};

use common::{archives, files, open, tests};

fn assert_unchanged(text: &str, place: &str) {
    let file = parse(text).unwrap_or_else(|e| panic!("{place}: {e}"));
    assert_eq!(print(&file), text, "{place}");
}

#[test]
fn every_source_in_an_archive_prints_as_it_was() {
    for path in archives() {
        let archive = open(&path);
        assert!(archive.sources().count() > 0, "{}", path.display());
        for (file, text) in archive.sources() {
            assert_unchanged(text, &format!("{}: {file}", path.display()));
        }
    }
}

#[test]
fn every_theme_of_the_grammar_prints_as_it_was() {
    for path in files(&tests().join("sources/valid"), "py") {
        assert_unchanged(
            &fs::read_to_string(&path).unwrap(),
            &path.display().to_string(),
        );
    }
}

/// libtorch refuses each of these texts, so each needs an answer that says where and why.
#[test]
fn broken_sources_are_refused_at_their_place() {
    let mut answers = String::new();
    for path in files(&tests().join("sources/invalid"), "py") {
        let name = path.file_stem().unwrap().to_string_lossy();
        let answer = match parse(&fs::read_to_string(&path).unwrap()) {
            Ok(_) => panic!("{name} is accepted"),
            Err(error) => error.to_string(),
        };
        answers += &format!("{name}: {answer}\n");
    }
    insta::assert_snapshot!(answers);
}

/// Parses on a stack as small as those of threads, and drops the tree there too.
fn parse_on_a_small_stack(text: String) -> Result<(), ParseError> {
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    thread
        .spawn(move || parse(&text).map(|file| drop(print(&file))))
        .unwrap()
        .join()
        .unwrap()
}

fn assert_too_deep(text: String) {
    let beginning: String = text.chars().take(60).collect();
    match parse_on_a_small_stack(text) {
        Ok(()) => panic!("accepted: {beginning}"),
        Err(error) => assert!(
            error.message.contains("levels deep"),
            "{beginning}: {error}"
        ),
    }
}

#[test]
fn hostile_nesting_is_an_error_and_no_stack_overflow() {
    const MANY: usize = 100_000;
    for opening in [
        "(",
        "[",
        "{",
        "{1: ",
        "f(",
        "f(a=",
        "x[",
        "x[::",
        "-",
        "~",
        "not ",
        "1 + (",
        "a if b else ",
        "2 ** ",
    ] {
        assert_too_deep(format!("x = {}", opening.repeat(MANY)));
    }
    for link in [".a", "(x)", "[0]", " + a", " and a", " is not a"] {
        assert_too_deep(format!("x = a{}", link.repeat(MANY)));
    }
}

#[test]
fn deep_blocks_are_an_error_and_no_stack_overflow() {
    // Each level is a blank further in, so the text grows with the square.
    for head in ["if a:", "while a:", "for a in b:", "with a:", "def f():"] {
        let body: String = (1..2_000)
            .map(|level| format!("{:level$}{head}\n", ""))
            .collect();
        assert_too_deep(format!("def f():\n{body}"));
    }
}

/// Chains within brackets within chains: each is short enough, all of them together are not.
#[test]
fn a_high_tree_of_short_chains_is_an_error() {
    let chain = ".a".repeat(100);
    let nested = (0..50).fold("x".to_owned(), |inner, _| format!("f({inner}){chain}"));
    assert_too_deep(format!("x = {nested}"));
}

#[test]
fn the_deepest_nesting_allowed_fits_a_small_stack() {
    for (open, close) in [
        ("(", ")"),
        ("f(", ")"),
        ("x[", "]"),
        ("{1: ", "}"),
        ("-", ""),
        ("f(a=b + [", "])"),
    ] {
        let deepest = (1..=128)
            .rev()
            .find(|n| parse(&format!("x = {}y{}\n", open.repeat(*n), close.repeat(*n))).is_ok())
            .unwrap();
        assert!(deepest >= 32, "{open}: only {deepest} levels");
        parse_on_a_small_stack(format!(
            "x = {}y{}\n",
            open.repeat(deepest),
            close.repeat(deepest)
        ))
        .unwrap();
    }
}

/// The same cases in every run.
fn fixed(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

static VALID_SOURCES: LazyLock<Vec<String>> = LazyLock::new(|| {
    files(&tests().join("sources/valid"), "py")
        .iter()
        .map(|p| fs::read_to_string(p).unwrap())
        .collect()
});

/// Cuts `length` characters out of a text and puts `insert` there.
fn mutated(text: &str, at: Index, length: usize, insert: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = at.index(characters.len());
    let end = (at + length).min(characters.len());
    characters[..at]
        .iter()
        .copied()
        .chain(insert.chars())
        .chain(characters[end..].iter().copied())
        .collect()
}

proptest! {
    #![proptest_config(fixed(4_000))]

    /// Whatever a damaged text is read as, printing it and reading it again changes nothing more.
    #[test]
    fn damaged_sources_are_refused_or_stay_what_they_are_read_as(
        source in any::<Index>(),
        at in any::<Index>(),
        length in 0_usize..12,
        insert in prop_oneof![
            prop::sample::select(vec!["(", ")", "[", "]", "{", ":", ",", "=", ".", "-", "not ", " if ", "\n", "  ", "\"", "1e", "\\", "#", "\t", "\r"])
                .prop_map(str::to_owned),
            any::<String>(),
        ],
    ) {
        let source: &String = source.get(&VALID_SOURCES);
        let text = mutated(source, at, length, &insert);
        match parse(&text) {
            Err(error) => prop_assert!(error.line >= 1 && error.line <= text.split('\n').count() && error.column >= 1),
            Ok(file) => {
                let printed = print(&file);
                let again = parse(&printed).map_err(|e| TestCaseError::fail(format!("{e} in what was printed: {printed}")))?;
                prop_assert_eq!(print(&again), printed);
            }
        }
    }
}
