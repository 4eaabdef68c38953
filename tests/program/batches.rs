//! Networks that take batches of one size alone, told from all others.

use std::path::Path;

use ckaprune::blocks::analysis::{Analysis, Request};

use crate::common::{FIXTURE_INPUT, archives, files, fixture, open};

fn analysis(file: &Path) -> Option<Analysis> {
    Analysis::of(&open(file), &Request::shape(&FIXTURE_INPUT)).ok()
}

/// `None`: it takes batches of any size.
fn only_size(analysis: &Analysis) -> Option<i64> {
    let interface = analysis.interface.as_ref().ok()?;
    interface.batch.as_ref().map(|batch| batch.images)
}

#[test]
fn of_all_archives_only_those_with_a_size_in_their_code_have_one() {
    let mut fixed = 0;
    let field = files(&fixture("field"), "pt");
    for file in archives().into_iter().chain(field) {
        let Some(analysis) = analysis(&file) else {
            continue;
        };
        let name = file.file_stem().unwrap().to_str().unwrap();
        let written = match name.strip_prefix("batch_") {
            Some(rest) => rest.split('_').nth(1).map(|size| size.parse().unwrap()),
            None => (name == "one_traced").then_some(1),
        };
        assert_eq!(only_size(&analysis), written, "{name}");
        fixed += usize::from(written.is_some());
    }
    assert_eq!(fixed, 14);
}

#[test]
fn the_program_of_one_size_says_what_an_image_costs() {
    let any = analysis(&fixture("field/batch_any.pt")).unwrap();
    for name in ["gated_3", "viewed_4", "joined_1", "expanded_2"] {
        let of_one_size = analysis(&fixture(&format!("field/batch_{name}.pt"))).unwrap();
        assert_eq!(of_one_size.macs(), any.macs(), "{name}");
        assert_eq!(of_one_size.classes(), any.classes(), "{name}");
        let shapes = |analysis: &Analysis| -> Vec<_> {
            let blocks = analysis.blocks.iter();
            blocks.map(|b| (b.path.clone(), b.is_removable())).collect()
        };
        assert_eq!(shapes(&of_one_size), shapes(&any), "{name}");
    }
}
