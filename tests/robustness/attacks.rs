use std::num::NonZeroU32;

use ckaprune::run::torch::{Module, numbers, to_array};
use ckaprune::train::robustness::attacks::{Pixels, Targets};
use ckaprune::train::robustness::{Attack, Protocol};
use ndarray::ArrayD;
use tch::{Device, Tensor};

use super::*;

const EPSILON: f64 = 8. / 255.;

fn pgd(epsilon: f64, steps: u32) -> Attack {
    let steps = NonZeroU32::new(steps).unwrap();
    Attack::Pgd {
        epsilon,
        steps,
        step_size: Attack::usual_step_size(epsilon, steps),
    }
}

/// All images as the network gets them, and their labels.
fn batch(module: &Module, part: &Part) -> (Tensor, Tensor, Vec<usize>) {
    let batch = loader(part.len()).batches(part, 0).unwrap().next();
    let batch = batch.unwrap().unwrap();
    let labels = numbers(batch.labels.as_deref().unwrap(), Device::Cpu).unwrap();
    let images = module.images(&batch.images).unwrap();
    (images, labels, batch.indices)
}

fn attacked(module: &Module, part: &Part, attack: Attack, seed: u64) -> anyhow::Result<Tensor> {
    let (images, labels, numbers) = batch(module, part);
    let targets = Targets {
        images: &images,
        labels: &labels,
        numbers: &numbers,
        seed,
    };
    let channels: Vec<_> = MEAN.into_iter().zip(STD).collect();
    let pixels = Pixels::new(&channels, Device::Cpu)?;
    Ok(attack.run(module, &targets, &pixels)?.images)
}

/// By how much each pixel moved, in units of pixels in 0..1, and where it is now.
fn moves(before: &Tensor, after: &Tensor) -> Vec<(f32, f32)> {
    let arrays: [ArrayD<f32>; 2] = [before, after].map(|t| to_array(t).unwrap());
    let pairs = arrays[0].indexed_iter().zip(&arrays[1]);
    pairs
        .map(|((at, before), after)| {
            let (mean, std) = (MEAN[at[1]], STD[at[1]]);
            ((after - before) * std, after * std + mean)
        })
        .collect()
}

#[test]
fn fgsm_moves_every_pixel_by_epsilon_and_stops_at_black_and_white() {
    let folder = tempfile::tempdir().unwrap();
    let part = images(folder.path());
    for name in ["basic_scripted.pt", "basic_traced.pt", "basic_frozen.pt"] {
        let module = module(name);
        let (before, ..) = batch(&module, &part);
        let attack = Attack::Fgsm { epsilon: EPSILON };
        let after = attacked(&module, &part, attack, 0).unwrap();
        let (mut up, mut down, mut stopped) = (0, 0, 0);
        for (change, pixel) in moves(&before, &after) {
            if (change.abs() - EPSILON as f32).abs() < 1e-6 {
                *(if change > 0. { &mut up } else { &mut down }) += 1;
            } else {
                let at_an_end = pixel.abs() < 1e-6 || (pixel - 1.).abs() < 1e-6;
                assert!(at_an_end, "{name}: moved by {change} to {pixel}");
                stopped += 1;
            }
            assert!((-1e-6..=1. + 1e-6).contains(&pixel), "{name}: {pixel}");
        }
        assert!(
            up > 100 && down > 100 && stopped > 0,
            "{name}: {up} {down} {stopped}"
        );
    }
}

#[test]
fn fgsm_goes_where_finite_differences_say_the_loss_rises() {
    let folder = tempfile::tempdir().unwrap();
    let part = images(folder.path()).subset(&[3]);
    // In double precision a difference over so little is the derivative.
    let module = module("double_scripted.pt");
    let (before, labels, _) = batch(&module, &part);
    let after = attacked(&module, &part, Attack::Fgsm { epsilon: 1e-3 }, 0).unwrap();
    let loss = |images: &Tensor| {
        let scores = tch::no_grad(|| module.forward(images)).unwrap();
        // tch's own cross-entropy computes in single precision.
        let all = scores.logsumexp([1], false)
            - scores.gather(1, &labels.unsqueeze(1), false).squeeze_dim(1);
        all.double_value(&[0])
    };
    let step = 1e-6;
    for at in (0..3 * 8 * 8).step_by(11) {
        let nudged = |by: f64| {
            let flat = before.copy().reshape([-1]);
            let _ = flat.get(at).g_add_scalar_(by);
            loss(&flat.reshape([1, 3, 8, 8]))
        };
        let slope = nudged(step) - nudged(-step);
        let moved = (&after - &before).reshape([-1]).double_value(&[at]);
        assert!(slope * moved > 0., "{at}: slope {slope}, moved by {moved}");
    }
}

#[test]
fn attacks_raise_the_loss_and_more_steps_raise_it_more() {
    let folder = tempfile::tempdir().unwrap();
    let part = images(folder.path());
    let protocol = Protocol {
        attacks: vec![Attack::Fgsm { epsilon: EPSILON }, pgd(EPSILON, 10)],
        ..Protocol::default()
    };
    for name in [
        "basic_scripted.pt",
        "preact_traced.pt",
        "inplace_scripted.pt",
    ] {
        let (result, _) = measured(&module(name), &part, 20, &protocol);
        let [fgsm, pgd] = [0, 1].map(|i| result.rows[i].hits);
        assert!(fgsm.loss > result.clean.loss, "{name}: {result:?}");
        assert!(pgd.loss >= fgsm.loss, "{name}: {result:?}");
        assert!(pgd.accuracy <= result.clean.accuracy, "{name}: {result:?}");
    }
}

#[test]
fn pgd_stays_in_the_ball_and_begins_anywhere_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let part = images(folder.path());
    let module = module("basic_scripted.pt");
    let (before, ..) = batch(&module, &part);
    let far = attacked(&module, &part, pgd(EPSILON, 7), 0).unwrap();
    for (change, pixel) in moves(&before, &far) {
        assert!(change.abs() < EPSILON as f32 + 1e-6, "moved by {change}");
        assert!((-1e-6..=1. + 1e-6).contains(&pixel), "{pixel}");
    }
    // Steps of next to nothing show where it began.
    let begun = |seed| {
        let attack = Attack::Pgd {
            epsilon: EPSILON,
            steps: NonZeroU32::MIN,
            step_size: 1e-9,
        };
        attacked(&module, &part, attack, seed).unwrap()
    };
    let begin = begun(0);
    let changes: Vec<f32> = moves(&before, &begin).iter().map(|(c, _)| *c).collect();
    let inner = changes.iter().filter(|c| c.abs() < 0.5 * EPSILON as f32);
    let share = inner.count() as f64 / changes.len() as f64;
    assert!((0.45..0.6).contains(&share), "{share} in the inner half");
    assert_eq!(begin, begun(0));
    assert_ne!(begin, begun(1));
}

#[test]
fn an_epsilon_of_0_changes_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let part = images(folder.path());
    for name in [
        "basic_scripted.pt",
        "double_scripted.pt",
        "bfloat16_scripted.pt",
    ] {
        let module = module(name);
        let (before, ..) = batch(&module, &part);
        for attack in [Attack::Fgsm { epsilon: 0. }, pgd(0., 3)] {
            let after = attacked(&module, &part, attack, 0).unwrap();
            assert_eq!(before, after, "{name}, {attack}");
        }
    }
}

#[test]
fn a_network_keeps_its_element_type_under_attack() {
    let folder = tempfile::tempdir().unwrap();
    let part = images(folder.path());
    for name in ["bfloat16_scripted.pt", "half_scripted.pt"] {
        let module = module(name);
        let (before, ..) = batch(&module, &part);
        let after = attacked(&module, &part, Attack::Fgsm { epsilon: EPSILON }, 0).unwrap();
        assert_eq!(before.kind(), after.kind());
        let moved = moves(&before, &after);
        let largest = moved.iter().map(|(c, _)| c.abs()).fold(0., f32::max);
        assert!(
            (0.9..1.1).contains(&(largest / EPSILON as f32)),
            "{name}: {largest}"
        );
    }
}

#[test]
fn a_quantised_network_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let part = images(folder.path());
    for name in ["quantised_scripted.pt", "quantised_head_scripted.pt"] {
        let error = attacked(&module(name), &part, Attack::Fgsm { epsilon: EPSILON }, 0);
        let message = error.unwrap_err().to_string();
        assert!(message.contains("before quantisation"), "{name}: {message}");
    }
}
