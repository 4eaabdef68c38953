//! The parts that scoring is made of, one by one: `cargo bench`. The whole job against PyTorch is `make bench`.

use std::hint::black_box;
use std::path::Path;

use ckaprune::archive::Archive;
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::run::inference::Kernels;
use ckaprune::run::segments::{Form, Pieces};
use ckaprune::score::cka::{Centred, CoMoments, Influence, Reference, Side};
use criterion::{Criterion, criterion_group, criterion_main};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The network of `make demo`.
fn demo() -> Archive {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/demo/model.pt");
    Archive::open(&path).expect("the demo network")
}

fn representation(samples: usize, features: usize, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((samples, features), || rng.random())
}

fn analysis(c: &mut Criterion) {
    let archive = demo();
    let request = Request::shape(&[1, 28, 28]);
    c.bench_function("archive to blocks", |b| {
        b.iter(|| Analysis::of(black_box(&archive), &request).expect("an analysis"));
    });
    let analysis = Analysis::of(&archive, &request).expect("an analysis");
    for form in [Form::AsWritten, Form::Inference(Kernels::Ours)] {
        let name = format!("blocks to pieces, {form:?}");
        c.bench_function(&name, |b| {
            b.iter(|| Pieces::of(black_box(&analysis), form).expect("pieces"));
        });
    }
}

/// One batch of one candidate, and what a comparison in a race looks at.
fn statistics(c: &mut Criterion) {
    for features in [64, 512, 2048] {
        let (x, y) = (
            representation(64, features, 1),
            representation(64, features, 2),
        );
        let centred = |m: &Array2<f32>, side| Centred::new(m.view(), side).expect("finite");
        let x = centred(&x, Side::Reference);
        let name = format!("a batch of 64 x {features} into moments");
        let mut kept = [CoMoments::default(), CoMoments::default()];
        c.bench_function(&name, |b| {
            b.iter(|| {
                let y = centred(black_box(&y), Side::Candidate);
                kept[0].merge(CoMoments::of(&x, &y));
                kept[1].merge(CoMoments::of(&y, &y));
            });
        });
    }
    let (x, y) = (representation(512, 64, 1), representation(512, 64, 2));
    let centred = |m: &Array2<f32>, side| Centred::new(m.view(), side).expect("finite");
    let (cx, cy) = (centred(&x, Side::Reference), centred(&y, Side::Candidate));
    let pairs = [(&cx, &cx), (&cx, &cy), (&cy, &cy)];
    let [reference, cross, own] = pairs.map(|(left, right)| CoMoments::of(left, right));
    c.bench_function("influence of 512 samples of 64 features", |b| {
        b.iter(|| {
            Influence::of([&reference, &cross, &own], black_box(x.view()), y.view())
                .expect("varies")
        });
    });
}

fn similarity(c: &mut Criterion) {
    for (samples, features) in [(1024, 64), (64, 2048)] {
        let (x, y) = (
            representation(samples, features, 1),
            representation(samples, features, 2),
        );
        let reference = Reference::new(x.view()).expect("varies");
        let name = format!("cka of {samples} x {features}");
        c.bench_function(&name, |b| {
            b.iter(|| reference.cka(black_box(y.view())).expect("varies"));
        });
    }
}

criterion_group!(benches, analysis, statistics, similarity);
criterion_main!(benches);
