//! The quicker form of a program, as text.

mod common;

use ckaprune::program::{Emitter, Network, Operand, Program, Span, print_statements};
use ckaprune::run::inference::{Kernels, Layer, WEIGHTS, lower};
use common::{Written, class, dedented, network, program};
use insta::assert_snapshot;

/// The whole program in its inference form, and the layers that have to be made for it.
fn lowered(network: &Network, program: &Program, kernels: Kernels) -> (String, Vec<Layer>) {
    let Operand::Value(output) = program.output.operand else {
        panic!("a network with one output")
    };
    let span = Span {
        input: program.input,
        output,
        statements: 0..program.statements.len(),
        without: Vec::new(),
    };
    let emitter = Emitter::new(network, program);
    let mut code = emitter.code(&span);
    let layers = lower(network, program, &mut code, kernels);
    let method = emitter.method("fast", &code, Some(WEIGHTS));
    (print_statements(&method.body, 0), layers)
}

fn fixture(name: &str) -> String {
    let network = network(name);
    let program = program(&network, &common::FIXTURE_INPUT);
    lowered(&network, &program, Kernels::Libtorch).0
}

#[test]
fn normalisation_is_folded_and_memory_used_again() {
    assert_snapshot!(fixture("basic_scripted.pt"));
}

#[test]
fn normalisation_in_front_of_a_convolution_stays() {
    assert_snapshot!(fixture("preact_traced.pt"));
}

#[test]
fn additions_write_over_what_the_last_convolution_gave() {
    assert_snapshot!(fixture("inplace_scripted.pt"));
}

/// A convolution of 4 channels, a normalisation, and this body.
fn body(body: &str) -> String {
    let head = "
        y = torch.conv2d(x, self.weight, None, [1, 1], [1, 1], [1, 1])
        w = self.weight
    ";
    let body = format!("{}{}", dedented(head), dedented(body));
    let network = Written::new(&class("Net", &body))
        .tensor("weight", &[4, 4, 3, 3])
        .tensor("scale", &[4])
        .network();
    let program = program(&network, &[4, 8, 8]);
    lowered(&network, &program, Kernels::Libtorch).0
}

const NORM: &str =
    "torch.batch_norm(y, self.scale, None, self.scale, self.scale, False, 0.1, 0.001, True)";

#[test]
fn a_convolution_that_something_else_reads_is_not_folded() {
    let text = body(&format!(
        "
        z = {NORM}
        return torch.mul(z, y)
        "
    ));
    assert!(text.contains("batch_norm"), "{text}");
}

#[test]
fn normalisation_by_the_batch_itself_is_not_folded() {
    let text = body(&format!("return {}", NORM.replace("False", "True")));
    assert!(text.contains("batch_norm"), "{text}");
}

#[test]
fn what_is_read_later_is_not_overwritten() {
    let text = body(
        "
        z = torch.relu(y)
        return torch.mul(z, y)
        ",
    );
    assert!(text.contains("torch.relu("), "{text}");
}

#[test]
fn what_a_view_still_shows_is_not_overwritten() {
    let text = body(
        "
        flat = torch.flatten(y, 1)
        z = torch.relu(y)
        return torch.add(torch.flatten(z, 1), flat)
        ",
    );
    assert!(text.contains("torch.relu("), "{text}");
}

#[test]
fn the_input_is_not_overwritten() {
    let text = body(
        "
        z = torch.relu(x)
        return torch.add(x, y)
        ",
    );
    assert!(!text.contains("add_(v0"), "{text}");
    assert!(!text.contains("relu_"), "{text}");
}

#[test]
fn an_addition_writes_over_the_argument_that_is_free_and_large_enough() {
    let text = body("return torch.add(x, y)");
    assert!(text.contains("torch.add_("), "{text}");
    let text = body("return torch.add(torch.mean(y, [2, 3], True), x)");
    assert!(!text.contains("torch.add_("), "{text}");
}

#[test]
fn every_layer_names_tensors_that_the_archive_has() {
    let network = network("basic_scripted.pt");
    let program = program(&network, &common::FIXTURE_INPUT);
    let (text, layers) = lowered(&network, &program, Kernels::Libtorch);
    assert!(layers.iter().all(|l| l.norm.is_some()));
    assert!(
        layers
            .iter()
            .flat_map(Layer::sources)
            .all(|o| network.tensor(o).is_some())
    );
    let tensors: usize = layers.iter().map(|l| 1 + usize::from(l.has_bias())).sum();
    assert!(text.contains(&format!("{WEIGHTS}[{}]", tensors - 1)));
    assert!(!text.contains(&format!("{WEIGHTS}[{tensors}]")));
}

/// Two convolutions of 16 channels, and this body.
fn wide(body: &str) -> String {
    let head = "
        w = self.weight
        y = torch.conv2d(x, w, None, [1, 1], [1, 1], [1, 1])
        z = torch.conv2d(x, w, None, [1, 1], [1, 1], [1, 1])
    ";
    let body = format!("{}{}", dedented(head), dedented(body));
    let network = Written::new(&class("Net", &body))
        .tensor("weight", &[16, 16, 3, 3])
        .tensor("narrow", &[4, 16, 3, 3])
        .tensor("single", &[16, 1, 3, 3])
        .tensor("point", &[24, 16, 1, 1])
        .network();
    let program = program(&network, &[16, 8, 8]);
    lowered(&network, &program, Kernels::Ours).0
}

#[test]
fn the_operator_takes_in_an_addition_and_an_activation() {
    assert_snapshot!(wide("return torch.relu(torch.add(y, torch.relu_(z)))"), @"
    v3 = ops.ckaprune.winograd(v0, weights[2], weights[3], v0, False, 1, 1, 1, 1, 1, 1)
    v5 = ops.ckaprune.winograd(v0, weights[0], weights[1], v3, True, 1, 1, 1, 1, 1, 1)
    return v5
    ");
}

#[test]
fn what_somebody_else_reads_as_well_is_not_taken_in() {
    assert_snapshot!(wide("return torch.add(torch.relu(y), y)"), @"
    v1 = ops.ckaprune.winograd(v0, weights[0], weights[1], v0, False, 0, 1, 1, 1, 1, 1)
    v3 = torch.relu(v1)
    v4 = torch.add_(v3, v1)
    return v4
    ");
}

#[test]
fn a_sum_written_over_another_tensor_is_not_taken_in() {
    let text = wide(
        "
        view = torch.flatten(x, 1)
        sum = torch.add_(x, y)
        return torch.mul(sum, torch.mean(view))
        ",
    );
    assert!(text.contains("torch.add_("), "{text}");
}

#[test]
fn an_operator_does_not_move_behind_what_writes_memory() {
    let text = wide(
        "
        a = torch.sigmoid(x)
        view = torch.flatten(x, 1)
        doubled = torch.mul_(view, 2)
        return torch.mul(torch.add(y, a), torch.mean(x))
        ",
    );
    assert!(text.contains("torch.mul_("), "{text}");
    assert!(!text.contains("True, 0"), "{text}");
}

#[test]
fn sums_of_other_shapes_and_scales_are_not_taken_in() {
    let text = wide("return torch.add(y, torch.mean(x, [2, 3], True))");
    assert!(!text.contains("True, 0"), "{text}");
    let text = wide("return torch.add(y, x, alpha=2)");
    assert!(!text.contains("True, 0"), "{text}");
}

#[test]
fn convolutions_that_the_operator_does_not_know_stay() {
    for convolution in [
        "torch.conv2d(x, w, None, [2, 2], [1, 1], [1, 1])",
        "torch.conv2d(x, w, None, [1, 2], [1, 1], [1, 1])",
        "torch.conv2d(x, w, None, [1, 1], [3, 3], [1, 1])",
        "torch.conv2d(x, w, None, [1, 1], [2, 2], [2, 2])",
        "torch.conv2d(x, self.narrow, None, [1, 1], [1, 1], [1, 1])",
        "torch.conv2d(x, self.single, None, [3, 3], [1, 1], [1, 1], 16)",
        "torch.conv2d(x, self.point, None, [1, 1], [1, 1], [1, 1])",
    ] {
        let text = wide(&format!("return {convolution}"));
        assert!(!text.contains("ckaprune"), "{text}");
    }
}

#[test]
fn padding_and_activations_around_single_channels_and_pixels_are_taken_in() {
    assert_snapshot!(wide("
        padded = torch.pad(x, [0, 1, 0, 1], \"constant\", 0.)
        each = torch.conv2d(padded, self.single, None, [2, 2], [0, 0], [1, 1], 16)
        bounded = torch.hardtanh_(each, 0., 6.)
        mixed = torch.conv2d(bounded, self.point, None, [1, 1], [0, 0], [1, 1])
        return torch.silu(mixed)
    "), @"
    v5 = ops.ckaprune.depthwise(v0, weights[0], weights[1], v0, False, 2, 2, 0, 0, 1, 1)
    v7 = ops.ckaprune.dense(v5, weights[2], weights[3], v5, False, 4, 1, 0, 0, 0, 0)
    return v7
    ");
}

#[test]
fn padding_that_is_no_zeros_or_that_somebody_else_reads_stays() {
    let convolution = "torch.conv2d(padded, self.single, None, [1, 1], [0, 0], [1, 1], 16)";
    for padding in [
        "torch.pad(x, [1, 1, 1, 1], \"constant\", 1.)",
        "torch.pad(x, [1, 1, 1, 1], \"reflect\")",
        "torch.pad(x, [3, 1, 1, 1])",
        "torch.pad(x, [-1, 1, 1, 1])",
    ] {
        let text = wide(&format!(
            "
            padded = {padding}
            return {convolution}
            "
        ));
        assert!(text.contains("torch.pad("), "{text}");
    }
    let text = wide(&format!(
        "
        padded = torch.pad(x, [1, 1, 1, 1])
        return torch.add(torch.mean({convolution}), padded)
        "
    ));
    assert!(text.contains("torch.pad("), "{text}");
}

#[test]
fn bounds_other_than_0_and_6_are_not_taken_in() {
    for bounds in ["", ", -1., 1.", ", 0., 5."] {
        let text = wide(&format!("return torch.hardtanh(y{bounds})"));
        assert!(text.contains("torch.hardtanh"), "{text}");
    }
}
