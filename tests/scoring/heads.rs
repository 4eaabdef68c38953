//! Networks whose scores come from several last layers, or from none.

use ckaprune::blocks::representation::Representation;
use ckaprune::run::segments::with_values;
use ckaprune::run::torch::{Module, to_array};

use super::*;

const SEVERAL: [&str; 6] = [
    "averaged_scripted",
    "averaged_traced",
    "concatenated_scripted",
    "gated_scripted",
    "towers_scripted",
    "deep_scripted",
];

fn heads(name: &str) -> Archive {
    open(&fixture(&format!("field/heads_{name}.pt")))
}

#[test]
fn scores_by_all_heads_equal_those_of_really_removing_each_block() {
    for name in SEVERAL.into_iter().chain(["bare_scripted"]) {
        let archive = heads(name);
        let scored = assert_scores_are_those_of_removal(name, &archive, FIXTURE_INPUT);
        assert_eq!(scored, removable(&analyse(&archive)).len(), "{name}");
    }
}

#[test]
fn a_block_of_one_head_is_seen_to_be_missing() {
    for name in SEVERAL.into_iter().chain(["bare_scripted"]) {
        for score in Case::of(&heads(name), 40).scores().unwrap() {
            assert!(score.number() < 0.9999, "{name}, {}", score.path);
        }
    }
}

#[test]
fn the_inputs_of_both_heads_stand_side_by_side() {
    for name in ["averaged_scripted", "averaged_traced"] {
        let archive = heads(name);
        let analysis = analyse(&archive);
        let end = |path: &str| analysis.block(path).unwrap().output;
        let lists = [("ends".to_owned(), vec![end("ba.1"), end("bb.1")])];
        let listed = with_values(&archive, &analysis, &lists, &[]);
        let module = Module::load(&listed, Device::Cpu, analysis.interface.as_ref().unwrap());
        let mut expected = Vec::new();
        for batch in images(FIXTURE_INPUT, 40).batches(0).unwrap() {
            let module = module.as_ref().unwrap();
            let ends = module.list("ends", &module.images(&batch.unwrap().images).unwrap());
            let rows = ends.unwrap().into_iter().map(|end| {
                let rows = to_array(&end.flatten(2, -1).mean_dim(2, false, tch::Kind::Float));
                rows.unwrap().into_dimensionality::<ndarray::Ix2>().unwrap()
            });
            let rows: Vec<Array2<f32>> = rows.collect();
            let rows: Vec<ArrayView2<f32>> = rows.iter().map(Array2::view).collect();
            expected.push(concatenate(Axis(1), &rows).unwrap());
        }
        let expected: Vec<ArrayView2<f32>> = expected.iter().map(Array2::view).collect();
        let expected = concatenate(Axis(0), &expected).unwrap();
        let found = represent(&archive, FIXTURE_INPUT);
        assert_eq!(found.dim(), expected.dim(), "{name}");
        let differences = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        assert!(differences.fold(0., f32::max) < 1e-5, "{name}");
    }
}

#[test]
fn a_block_that_the_scores_do_not_depend_on_is_not_shown() {
    let archive = heads("aside_scripted");
    let output = Some("0".parse().unwrap());
    let request = Request {
        output,
        ..Request::shape(&FIXTURE_INPUT)
    };
    let analysis = Analysis::of(&archive, &request).unwrap();
    let compared = Representation::of(&analysis).unwrap();
    let shown = analysis.blocks.iter().filter(|b| compared.shows(b));
    let shown: Vec<&str> = shown.map(|b| b.path.as_str()).collect();
    assert_eq!(shown, ["main.0", "main.1"]);
}
