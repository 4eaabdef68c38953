//! README and chapters: what they tell people to type is understood, and what they point at is there.

use std::fs;
use std::path::{Path, PathBuf};

use ckaprune::cli::Cli;
use ckaprune::cli::help::TOPICS;

use crate::place::Place;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// README, the chapters, and what those who change the program read.
fn texts() -> Vec<(PathBuf, String)> {
    let chapters = TOPICS.map(|topic| match topic.name {
        "recipes" => "configs/README.md".to_owned(),
        name => format!("src/cli/help/{name}.md"),
    });
    let others = ["README.md", "src/README.md"].map(str::to_owned);
    let paths = chapters
        .into_iter()
        .chain(others)
        .map(|name| Path::new(ROOT).join(name));
    paths
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// The command lines of `ckaprune` in the blocks of code, those over several lines as one.
fn commands(markdown: &str) -> Vec<String> {
    let blocks = markdown.split("```").skip(1).step_by(2);
    let shells = blocks.filter_map(|block| {
        block
            .strip_prefix("sh\n")
            .or_else(|| block.strip_prefix("text\n"))
    });
    let joined = shells
        .map(|block| block.replace("\\\n", " "))
        .collect::<Vec<_>>()
        .join("\n");
    let lines = joined
        .lines()
        .map(|line| line.trim().trim_start_matches("$ "));
    // Behind a command stands what it does, as a comment or far to the right.
    let cut = |line: &'_ str| {
        [" #", "        "]
            .iter()
            .fold(line.to_owned(), |line, mark| {
                line.split(mark).next().unwrap_or_default().to_owned()
            })
    };
    let without_comments = lines.map(cut);
    let ours = without_comments.filter(|line| line.starts_with("ckaprune "));
    ours.collect()
}

#[test]
fn every_command_line_is_understood() {
    let mut count = 0;
    for (path, text) in texts() {
        for line in commands(&text) {
            let words = shlex::split(&line).unwrap();
            let read = Cli::known().try_get_matches_from(words);
            // Help is an error to clap, but none that goes to stderr.
            let wrong = read.err().filter(clap::Error::use_stderr);
            assert!(wrong.is_none(), "{}: {line}: {wrong:?}", path.display());
            count += 1;
        }
    }
    assert!(count >= 12, "{count} command lines");
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    let mut count = 0;
    for (path, text) in texts() {
        for link in text.split("](").skip(1) {
            let address = link.split(')').next().unwrap();
            let file = address.split('#').next().unwrap();
            if address.starts_with("http") || file.is_empty() {
                continue;
            }
            let named = path.parent().unwrap().join(file);
            assert!(named.exists(), "{}: {address}", path.display());
            count += 1;
        }
    }
    assert!(count >= 15, "{count} links");
}

#[test]
fn the_readme_stays_short_and_lists_every_chapter() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let lines = readme.lines().count();
    assert!(lines < 200, "{lines} lines");
    for topic in TOPICS {
        assert!(
            readme.contains(&format!("| [`{}`](", topic.name)),
            "{}",
            topic.name
        );
    }
}

#[test]
fn every_chapter_is_printed_without_marks_for_terminals_where_there_is_none() {
    let place = Place::with(&[]);
    let listed = place.done("help").stdout;
    for topic in TOPICS {
        let said = place.done(&format!("help {}", topic.name)).stdout;
        let title = topic
            .markdown
            .lines()
            .next()
            .unwrap()
            .trim_start_matches("# ");
        assert!(said.starts_with(&format!("{title}\n===")), "{said}");
        assert!(!said.contains(['\u{1b}', '\u{fffd}']), "{}", topic.name);
        assert!(!said.contains("]("), "{}: a link is left", topic.name);
        assert!(listed.contains(&format!("  {} ", topic.name)), "{listed}");
    }
}

#[test]
fn a_chapter_and_its_page_have_the_same_words() {
    let place = Place::with(&[]);
    place.done("man --output pages");
    for topic in TOPICS {
        let page =
            String::from_utf8(place.read(&format!("pages/{}", topic.manual_name()))).unwrap();
        assert!(
            page.contains(".TH ckaprune") && page.contains("SEE ALSO"),
            "{page}"
        );
        let told = place.done(&format!("help {}", topic.name)).stdout;
        let words = |text: &str| text.matches("ckaprune").count();
        // The page names the program in its head and foot as well.
        assert!(words(&page) >= words(&told), "{}", topic.name);
    }
}

#[test]
fn help_is_given_for_commands_as_by_their_own_option() {
    let place = Place::with(&[]);
    assert_eq!(
        place.done("help inspect").stdout,
        place.done("inspect --help").stdout
    );
    assert_eq!(
        place.done("help gates").stdout,
        place.done("help measuring").stdout
    );
    let said = place.run("help dat");
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("data"), "{said:#?}");
}

#[test]
fn short_help_fits_a_screen_and_says_where_the_rest_is() {
    let place = Place::with(&[]);
    for command in [
        "inspect", "remove", "score", "prune", "finetune", "eval", "compare",
    ] {
        let short = place.done(&format!("{command} -h")).stdout;
        let lines = short.lines().count();
        assert!(lines <= 45, "{command}: {lines} lines");
    }
    let short = place.done("prune -h").stdout;
    assert!(short.contains("--help explains all"), "{short}");
    assert!(
        short.contains("--iterations") && !short.contains("--label-smoothing"),
        "{short}"
    );
}
