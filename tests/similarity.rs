//! The map of all blocks against outputs taken one by one and compared by the definition.

#![cfg(feature = "torch")]

mod common;

use std::num::NonZeroUsize;
use std::path::Path;

use ckaprune::archive::Archive;
use ckaprune::archive::network::source_file;
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::data::{Batch, Images, Loader, Part, Transform, synthetic};
use ckaprune::program::ast::{Item, Member};
use ckaprune::program::{Emitter, ModuleTree, Span, Statement, ValueId, print};
use ckaprune::report::progress::Progress;
use ckaprune::run::torch::Model;
use ckaprune::run::torch::Module;
use ckaprune::run::torch::state_dict::StateDict;
use ckaprune::score::cka::debiased_cka;
use ckaprune::score::representation;
use ckaprune::score::similarity::{Job, LayerKind, Map, Mapping, Skipped, Subject};
use common::{FIXTURE_INPUT, archives, fixture, open};
use ndarray::{Array2, ArrayD};
use tch::{Device, Kind, Tensor};

const QUIET: Progress = Progress { quiet: true };

const MAPPING: Mapping = Mapping {
    memory: 1 << 30,
    progress: QUIET,
};

/// Single precision takes so much from a similarity.
const TOLERANCE: f64 = 1e-6;

fn images(count: usize) -> Part {
    let shape = FIXTURE_INPUT.map(|n| n as usize);
    synthetic(shape, NonZeroUsize::new(count).unwrap(), 3).unwrap()
}

fn loader(batch: usize) -> Loader {
    Loader::new(NonZeroUsize::new(batch).unwrap(), Transform::default())
}

/// A network, analysed.
struct Case {
    name: String,
    model: Model,
}

impl Case {
    fn of(name: &str, archive: Archive) -> Self {
        let request = Request::shape(&FIXTURE_INPUT);
        let mut analysis = Analysis::of(&archive, &request).unwrap();
        let interface = analysis.interface.as_ref().unwrap();
        if interface.answer.outlets.len() > 1 {
            // Of the fixtures with several matrices the second holds the scores.
            let output = Some("1".parse().unwrap());
            analysis = Analysis::of(&archive, &Request { output, ..request }).unwrap();
        }
        Case {
            name: name.into(),
            model: Model::new(archive, analysis, Device::Cpu),
        }
    }

    fn fixture(name: &str) -> Self {
        Case::of(name, open(&fixture(name)))
    }

    /// A fixture with another text in one of its source files.
    fn edited(name: &str, file: &str, from: &str, to: &str) -> Self {
        let mut archive = open(&fixture(name));
        let text = archive.source(file).unwrap();
        assert!(text.contains(from), "{text}");
        let text = text.replace(from, to);
        archive.set_source(file, text);
        Case::of(name, archive)
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            path: Path::new(&self.name),
            model: &self.model,
        }
    }

    fn compare(
        &self,
        other: Option<&Case>,
        images: usize,
        batch: usize,
        mapping: Mapping,
    ) -> anyhow::Result<Map> {
        let images = Images::new(self::images(images), loader(batch));
        let job = Job {
            rows: self.subject(),
            columns: other.map(Case::subject),
            images: &images,
        };
        match mapping.run(&job, &|| false)? {
            Some(map) => Ok(map),
            None => panic!("nobody stopped it"),
        }
    }

    fn map(&self, images: usize, batch: usize) -> Map {
        self.compare(None, images, batch, MAPPING).unwrap()
    }

    fn refused(&self, images: usize, batch: usize, mapping: Mapping) -> String {
        let error = self.compare(None, images, batch, mapping).unwrap_err();
        format!("{error:#}")
    }

    /// What the first statements of the network make of a batch, run as a method of their own.
    fn output(&self, value: ValueId, statements: usize, batch: &Batch) -> Array2<f64> {
        let Analysis {
            network, program, ..
        } = self.model.analysis();
        let emitter = Emitter::new(network, program);
        let code = emitter.code(&Span {
            input: program.input,
            output: value,
            statements: 0..statements,
            without: Vec::new(),
        });
        let (module, class) = network.modules.root().class.rsplit_once('.').unwrap();
        let mut file = network.sources.file(module).unwrap().clone();
        for item in &mut file.items {
            if let Item::Class(root) = item
                && root.name == class
            {
                let method = emitter.method("first_part", &code, None);
                root.members.push(Member::Method(method));
            }
        }
        let mut archive = self.model.archive().clone();
        archive.set_source(&source_file(module), print(&file));
        let interface = self.model.analysis().interface.as_ref().unwrap();
        let module = Module::load(&archive, Device::Cpu, interface).unwrap();
        let images = module.images(&batch.images).unwrap();
        let output = tch::no_grad(|| module.method("first_part", &images, Vec::new())).unwrap();
        rows(&output)
    }

    /// Path and output of every block, then the representation.
    fn outputs(&self, part: &Part) -> Vec<(String, Array2<f64>)> {
        let all = loader(part.len());
        let batch = all.batches(part, 0).unwrap().next().unwrap().unwrap();
        let blocks = self.model.analysis().blocks.iter().map(|block| {
            let rows = self.output(block.output, block.statements.end, &batch);
            (block.path.clone(), rows)
        });
        let mut outputs: Vec<_> = blocks.collect();
        let images = Images::new(part.clone(), all);
        let last = representation(&self.model, &images, QUIET);
        outputs.push(("representation".into(), last.unwrap().mapv(f64::from)));
        outputs
    }
}

fn rows(tensor: &Tensor) -> Array2<f64> {
    let wide = tensor.to_kind(Kind::Double).flatten(1, -1);
    let array: ArrayD<f64> = (&wide).try_into().unwrap();
    array.into_dimensionality().unwrap()
}

fn paths(map: &Map) -> Vec<&str> {
    map.rows.iter().map(|layer| layer.path.as_str()).collect()
}

fn assert_close(found: &Array2<f64>, expected: &Array2<f64>, tolerance: f64, what: &str) {
    assert_eq!(found.dim(), expected.dim(), "{what}");
    for ((place, found), expected) in found.indexed_iter().zip(expected) {
        let difference = (found - expected).abs();
        assert!(
            difference < tolerance,
            "{what} at {place:?}: {found} is not {expected}"
        );
    }
}

/// In one minibatch the estimator is debiased CKA.
fn assert_is_debiased_cka_of_the_outputs(case: &Case) {
    let images = images(24);
    let outputs = case.outputs(&images);
    let map = case.map(24, 24);
    let expected_paths: Vec<&str> = outputs.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths(&map), expected_paths, "{}", case.name);
    assert_eq!((map.samples, map.batch_size), (24, 24));
    let expected = Array2::from_shape_fn(map.cka.dim(), |(i, j)| {
        debiased_cka(outputs[i].1.view(), outputs[j].1.view()).unwrap()
    });
    assert_close(&map.cka, &expected, TOLERANCE, &case.name);
}

#[test]
fn similarities_are_those_of_outputs_taken_one_by_one() {
    let mut compared = 0;
    for path in archives() {
        let name = path.file_name().unwrap().to_str().unwrap();
        // Networks that have no similarity, take other images, or are compared by places when they are scored.
        let others = [
            "constant",
            "plain",
            "quantised",
            "model",
            "skippable",
            "maps",
            "restored",
        ];
        if others.iter().any(|odd| name.contains(odd)) {
            continue;
        }
        assert_is_debiased_cka_of_the_outputs(&Case::fixture(name));
        compared += 1;
    }
    assert!(compared >= 15, "{compared}");
}

/// A block that writes over a part of what the block before it gave: through a view, so that the write stays one.
#[test]
fn an_output_is_compared_as_it_was_before_others_wrote_over_it() {
    let class = "code/__torch__/___torch_mangle_6.py";
    let (from, to) = (
        "    bn1 = self.bn1\n",
        "    _9 = torch.relu_(torch.slice(x, 1, 0, 3, 1))\n    bn1 = self.bn1\n",
    );
    let case = Case::edited("preact_scripted.pt", class, from, to);
    let stays = |s: &Statement| s.operator() == Some("relu_");
    assert!(case.model.analysis().program.statements.iter().any(stays));
    assert_is_debiased_cka_of_the_outputs(&case);
    // It does matter when one looks.
    let whole = Case::fixture("preact_scripted.pt").map(24, 24);
    let edited = case.map(24, 24);
    assert_eq!(paths(&whole)[..5], paths(&edited)[..5]);
    assert!((whole.cka[[0, 3]] - edited.cka[[0, 3]]).abs() < 1e-12);
    assert!((whole.cka[[0, 4]] - edited.cka[[0, 4]]).abs() > 1e-3);
}

#[test]
fn the_map_of_one_network_is_symmetric_and_one_on_its_diagonal() {
    let map = Case::fixture("basic_scripted.pt").map(40, 16);
    assert_close(&map.cka, &map.cka.t().to_owned(), 1e-12, "transposed");
    for similarity in map.cka.diag() {
        assert!((similarity - 1.).abs() < 1e-12, "{similarity}");
    }
    let kinds = map.rows.iter().map(|layer| layer.kind);
    let representations = kinds.filter(|kind| *kind == LayerKind::Representation);
    assert_eq!((map.rows.len(), representations.count()), (10, 1));
    assert_eq!(map.rows, map.columns);
}

#[test]
fn two_networks_swapped_give_the_map_transposed() {
    let (a, b) = (
        Case::fixture("basic_scripted.pt"),
        Case::fixture("preact_traced.pt"),
    );
    let there = a.compare(Some(&b), 40, 16, MAPPING).unwrap();
    let back = b.compare(Some(&a), 40, 16, MAPPING).unwrap();
    assert_eq!(there.cka.dim(), (10, 7));
    assert_close(&there.cka, &back.cka.t().to_owned(), 1e-12, "swapped");
    assert_eq!((&there.rows, &there.columns), (&back.columns, &back.rows));
    let itself = a.compare(Some(&a), 40, 16, MAPPING).unwrap();
    assert_close(&itself.cka, &a.map(40, 16).cka, 1e-12, "against itself");
}

/// A network in single precision beside one in double.
#[test]
fn networks_of_two_element_types_see_the_same_images() {
    let (single, double) = (
        Case::fixture("dropout_traced.pt"),
        Case::fixture("double_scripted.pt"),
    );
    let map = single.compare(Some(&double), 24, 24, MAPPING).unwrap();
    let (rows, columns) = (single.outputs(&images(24)), double.outputs(&images(24)));
    let expected = Array2::from_shape_fn(map.cka.dim(), |(i, j)| {
        debiased_cka(rows[i].1.view(), columns[j].1.view()).unwrap()
    });
    assert_close(&map.cka, &expected, TOLERANCE, "single and double");
}

#[test]
fn a_last_minibatch_that_is_too_short_is_left_out() {
    let case = Case::fixture("basic_scripted.pt");
    let (cut, whole) = (case.map(35, 16), case.map(32, 16));
    assert_eq!((cut.samples, cut.batch_size), (32, 16));
    assert_eq!(cut.cka, whole.cka);
    assert_eq!(case.map(36, 16).samples, 36);
    // Fewer images than a minibatch may have are one minibatch.
    assert_eq!(case.map(8, 256).batch_size, 8);
}

#[test]
fn a_block_of_unknown_shape_is_left_out_with_the_reason() {
    let class = "code/__torch__/___torch_mangle_6.py";
    let (from, to) = (
        "    return torch.add(x, _1)",
        "    if bool(torch.gt(torch.sum(x), 0)):\n      y = torch.add(x, _1)\n    else:\n      y = torch.sum(torch.add(x, _1), [1], True)\n    return torch.add(x, y)",
    );
    let case = Case::edited("preact_scripted.pt", class, from, to);
    let map = case.map(24, 24);
    let reason = "the shape of its output could not be told";
    let skipped = |path: &str| Skipped {
        path: path.into(),
        reason: reason.into(),
    };
    assert_eq!(map.skipped_rows, map.skipped_columns);
    assert!(
        map.skipped_rows.contains(&skipped("blocks.4")),
        "{:?} {:?}",
        map.skipped_rows,
        paths(&map)
    );
    assert!(!paths(&map).contains(&"blocks.4"));
}

/// A network whose parameters below a module are all zero.
fn zeroed(name: &str, below: &str) -> Case {
    let mut archive = open(&fixture(name));
    let network = archive.network().unwrap();
    let (places, tensors): (Vec<_>, Vec<_>) = network
        .modules
        .tensors(ModuleTree::ROOT)
        .filter(|(id, _, info)| info.parameter && network.modules.get(*id).path.starts_with(below))
        .map(|(id, name, info)| {
            let zeros = Tensor::zeros(&info.shape[..], (Kind::Float, Device::Cpu));
            ((id, name.to_owned()), zeros)
        })
        .unzip();
    assert!(!places.is_empty());
    let state = StateDict::of_tensors(places);
    state.write_back(&network, &tensors, &mut archive).unwrap();
    Case::of(name, archive)
}

#[test]
fn outputs_without_similarity_are_errors_that_name_the_block() {
    let constant = Case::fixture("constant_scripted.pt");
    let said = constant.refused(24, 24, MAPPING);
    assert_eq!(
        said,
        "constant_scripted.pt: the network's representation is the same for every image, so nothing can be compared with \
         it; are the calibration images, --mean and --std right?"
    );
    let said = zeroed("basic_scripted.pt", "bn").refused(24, 8, MAPPING);
    let expected = "basic_scripted.pt: the output of block stage1.0 is the same for every image";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn too_few_images_and_too_little_memory_are_told_with_what_to_do() {
    let case = Case::fixture("basic_scripted.pt");
    let few = case.refused(3, 16, MAPPING);
    assert!(few.contains("3 images are too few"), "{few}");
    let small = case.refused(16, 3, MAPPING);
    assert!(small.starts_with("--batch-size 3: "), "{small}");
    let memory = |bytes| Mapping {
        memory: bytes,
        ..MAPPING
    };
    let scarce = case.refused(256, 256, memory(200_000));
    let (_, rest) = scarce.split_once("--batch-size ").expect(&scarce);
    let fitting: usize = rest.split_once(',').unwrap().0.parse().unwrap();
    // What it says fits does, and one image more does not.
    let batch = |batch| case.compare(None, 256, batch, memory(200_000));
    assert!(batch(fitting).is_ok(), "{scarce}");
    assert!(batch(fitting + 1).is_err(), "{scarce}");
    let none = case.refused(256, 256, memory(1));
    assert!(
        none.ends_with("and 1 may be taken; raise --memory"),
        "{none}"
    );
}

#[test]
fn it_stops_between_two_minibatches() {
    let case = Case::fixture("basic_scripted.pt");
    let images = Images::new(images(32), loader(8));
    let job = Job {
        rows: case.subject(),
        columns: None,
        images: &images,
    };
    let asked = std::cell::Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() == 3
    };
    let ended = MAPPING.run(&job, &stop).unwrap();
    assert!(ended.is_none(), "{ended:?}");
    assert_eq!(asked.get(), 3);
}
