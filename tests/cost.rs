//! Costs against numbers worked out by hand: multiply-accumulates for one sample, and parameters.

mod common;

use ckaprune::program::cost::{Macs, macs};
use ckaprune::program::{ModuleTree, Network};

use common::{FIXTURE_INPUT, Written, network, program};

fn macs_of(network: &Network, shape: &[i64]) -> Macs {
    let program = program(network, shape);
    macs(network, &program, 0..program.statements.len())
}

/// A network that is this one expression over `x`, `self.weight` and `self.bias`.
fn expression(expression: &str, weight: &[i64]) -> Network {
    let source = format!(
        "class Net(Module):\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    w = self.weight\n    return {expression}\n"
    );
    Written::new(&source).tensor("weight", weight).network()
}

#[track_caller]
fn assert_macs(text: &str, input: &[i64], weight: &[i64], expected: i64) {
    let found = macs_of(&expression(text, weight), input);
    assert_eq!(
        found,
        Macs {
            count: expected,
            exact: true
        },
        "{text}"
    );
}

#[test]
fn a_convolution_costs_its_window_for_every_output() {
    // 6 channels of 8×8, each the sum over 4 channels of 3×3.
    let whole = 6 * 8 * 8 * 4 * 3 * 3;
    assert_macs(
        "torch.conv2d(x, w, None, [1, 1], [1, 1])",
        &[4, 8, 8],
        &[6, 4, 3, 3],
        whole,
    );
    // A stride of 2 leaves 4×4 places, no padding 6×6.
    assert_macs(
        "torch.conv2d(x, w, None, [2, 2], [1, 1])",
        &[4, 8, 8],
        &[6, 4, 3, 3],
        6 * 4 * 4 * 4 * 9,
    );
    assert_macs(
        "torch.conv2d(x, w)",
        &[4, 8, 8],
        &[6, 4, 3, 3],
        6 * 6 * 6 * 4 * 9,
    );
    // Dilation 2 makes the window 5 wide with as many weights: 4×4 places.
    assert_macs(
        "torch.conv2d(x, w, None, [1, 1], [0, 0], [2, 2])",
        &[4, 8, 8],
        &[6, 4, 3, 3],
        6 * 4 * 4 * 4 * 9,
    );
    assert_macs(
        "torch.conv2d(x, w, None, [1, 1], \"same\")",
        &[4, 8, 8],
        &[6, 4, 3, 3],
        whole,
    );
}

#[test]
fn groups_divide_the_cost() {
    // In two groups each output channel sees 2 of 4 channels; depthwise sees one.
    let grouped = "torch.conv2d(x, w, None, [1, 1], [1, 1], [1, 1], 2)";
    assert_macs(grouped, &[4, 8, 8], &[6, 2, 3, 3], 6 * 8 * 8 * 2 * 9);
    let depthwise = "torch.conv2d(x, w, None, [1, 1], [1, 1], [1, 1], 4)";
    assert_macs(depthwise, &[4, 8, 8], &[4, 1, 3, 3], 4 * 8 * 8 * 9);
}

#[test]
fn convolutions_of_other_ranks_count_alike() {
    assert_macs(
        "torch.conv1d(x, w, None, [1], [1])",
        &[4, 8],
        &[6, 4, 3],
        6 * 8 * 4 * 3,
    );
    let volume = "torch.conv3d(x, w, None, [1, 1, 1], [1, 1, 1])";
    assert_macs(volume, &[2, 4, 4, 4], &[3, 2, 3, 3, 3], 3 * 64 * 2 * 27);
}

#[test]
fn a_traced_convolution_costs_what_a_scripted_one_does() {
    let traced = "torch._convolution(x, w, None, [2, 2], [1, 1], [1, 1], False, [0, 0], 2, False, False, True, True)";
    assert_macs(traced, &[4, 8, 8], &[6, 2, 3, 3], 6 * 4 * 4 * 2 * 9);
}

#[test]
fn a_transposed_convolution_costs_its_window_for_every_input() {
    // Each of 4×8×8 inputs meets 6 channels of 3×3, whatever the stride; in two groups 3 channels.
    let scripted = "torch.conv_transpose2d(x, w, None, [2, 2], [1, 1])";
    assert_macs(scripted, &[4, 8, 8], &[4, 6, 3, 3], 4 * 8 * 8 * 6 * 9);
    let grouped = "torch.conv_transpose2d(x, w, None, [2, 2], [1, 1], [0, 0], 2)";
    assert_macs(grouped, &[4, 8, 8], &[4, 3, 3, 3], 4 * 8 * 8 * 3 * 9);
    let traced = "torch._convolution(x, w, None, [2, 2], [1, 1], [1, 1], True, [0, 0], 1, False, False, True, True)";
    assert_macs(traced, &[4, 8, 8], &[4, 6, 3, 3], 4 * 8 * 8 * 6 * 9);
}

#[test]
fn linear_layers_and_matrix_products() {
    assert_macs("torch.linear(x, w)", &[12], &[5, 12], 12 * 5);
    // On a sequence of 7 the same layer runs 7 times.
    assert_macs("torch.linear(x, w)", &[7, 12], &[5, 12], 7 * 12 * 5);
    assert_macs("torch.matmul(x, w)", &[12], &[12, 5], 12 * 5);
    assert_macs("torch.matmul(x, torch.t(w))", &[12], &[5, 12], 12 * 5);
    assert_macs("torch.addmm(w, x, torch.t(w))", &[12], &[5, 12], 12 * 5);
    // 7×12 by 12×7 for every sample.
    assert_macs(
        "torch.bmm(x, torch.transpose(x, 1, 2))",
        &[7, 12],
        &[1],
        7 * 12 * 7,
    );
    assert_macs(
        "torch.matmul(x, torch.transpose(x, 2, 3))",
        &[3, 7, 12],
        &[1],
        3 * 7 * 12 * 7,
    );
}

#[test]
fn a_matrix_on_a_vector_costs_its_elements() {
    assert_macs("torch.mv(x, w)", &[12], &[12], 12);
    assert_macs("torch.vdot(w, w)", &[1], &[12], 12);
}

#[test]
fn a_convolution_padded_by_a_word_costs_what_any_other_does() {
    let text = "torch._convolution_mode(x, w, None, [1, 1], \"same\", [2, 2], 1)";
    assert_macs(text, &[4, 8, 8], &[6, 4, 3, 3], 6 * 64 * 4 * 9);
}

#[test]
fn attention_is_its_two_products() {
    // Scores 7×12×7 and weighted values 7×7×12, in 2 heads.
    let text = "torch.scaled_dot_product_attention(x, x, x)";
    assert_macs(text, &[2, 7, 12], &[1], 2 * (7 * 12 * 7 + 7 * 7 * 12));
    // 5 queries that all samples share meet each sample's keys.
    let shared = "torch.scaled_dot_product_attention(w, x, x)";
    assert_macs(shared, &[2, 7, 12], &[1, 2, 5, 12], 2 * 5 * 7 * (12 + 12));
}

#[test]
fn native_attention_costs_its_four_projections_and_two_products() {
    // 7 tokens of width 12; the heads share the width, so their number does not matter.
    let text = "(torch._native_multi_head_attention(x, x, x, 12, 3, w, w, w, w))[0]";
    assert_macs(text, &[7, 12], &[36, 12], 4 * 7 * 12 * 12 + 2 * 7 * 7 * 12);
}

#[test]
fn an_einsum_costs_one_for_each_combination_of_its_letters() {
    let product = "torch.einsum(\"b h i d, b h j d -> b h i j\", [x, x])";
    assert_macs(product, &[2, 7, 12], &[1], 2 * 7 * 7 * 12);
    // A letter that one operand alone has is summed before the product.
    let lone = expression("torch.einsum(\"bhid,bhjk->bhij\", [x, x])", &[1]);
    assert!(!macs_of(&lone, &[2, 7, 12]).exact);
}

#[test]
fn operators_that_hide_products_make_the_count_a_lower_bound() {
    for text in [
        "ops.torchvision.deform_conv2d(x, w)",
        "torch.kron(x, w)",
        "torch.linalg_vecdot(x, w)",
    ] {
        let found = macs_of(&expression(text, &[12]), &[12]);
        assert_eq!(
            found,
            Macs {
                count: 0,
                exact: false
            },
            "{text}"
        );
    }
}

#[test]
fn what_is_neither_convolution_nor_product_costs_nothing() {
    let text = "torch.relu(torch.add(torch.batch_norm(x, w, w, w, w, False, 0.1, 0.001, True), x))";
    assert_macs(text, &[4, 8, 8], &[4], 0);
}

#[test]
fn what_cannot_be_followed_makes_the_count_a_lower_bound() {
    let source = "
        class Net(Module):
          def forward(self: __torch__.Net,
            x: Tensor) -> Tensor:
            w = self.weight
            y = torch.conv2d(x, w)
            if bool(torch.sum(y)):
              z = torch.conv2d(y, w)
            else:
              z = y
            return z
        ";
    let net = Written::new(source)
        .tensor("weight", &[4, 4, 3, 3])
        .network();
    assert_eq!(
        macs_of(&net, &[4, 8, 8]),
        Macs {
            count: 4 * 6 * 6 * 4 * 9,
            exact: false
        }
    );
}

#[test]
fn a_whole_fixture_costs_the_sum_of_its_layers() {
    // inplace: the stem, bottlenecks at 8×8 (the first with a projection), then at 4×4, the classifier.
    let stem = 64 * 3 * 4 * 9;
    let first = 64 * (4 * 2 + 2 * 2 * 9 + 2 * 6 + 4 * 6);
    let second = 64 * (6 * 2 + 2 * 2 * 9 + 2 * 6);
    let down = 64 * 6 * 3 + 16 * (3 * 3 * 9 + 3 * 8 + 6 * 8);
    let last = 16 * (8 * 3 + 3 * 3 * 9 + 3 * 8);
    let expected = stem + first + 2 * second + down + last + 8 * 5;
    for name in ["inplace_scripted.pt", "inplace_traced.pt"] {
        assert_eq!(
            macs_of(&network(name), &FIXTURE_INPUT),
            Macs {
                count: expected,
                exact: true
            },
            "{name}"
        );
    }
}

#[test]
fn a_parameter_in_two_places_counts_once() {
    let source = "
        class Net(Module):
          def forward(self: __torch__.Net,
            x: Tensor) -> Tensor:
            return x
        ";
    let net = Written::new(source)
        .module("a", "Leaf")
        .module("b", "Leaf")
        .again("c", "b")
        .tensor("a.weight", &[4, 3])
        .shared_tensor("a.tied", &[4, 3], "a.weight")
        .shared_tensor("b.tied", &[4, 3], "a.weight")
        .tensor("b.bias", &[5])
        .network();
    let count = |path: &str| net.modules.parameter_count(net.modules.find(path).unwrap());
    assert_eq!(net.modules.parameter_count(ModuleTree::ROOT), 12 + 5);
    assert_eq!((count("a"), count("b"), count("c")), (12, 12 + 5, 12 + 5));
}

#[test]
fn buffers_are_no_parameters() {
    // Bottleneck layer1.1: three convolutions and the affine parts of three normalisations.
    let net = network("inplace_scripted.pt");
    let block = net.modules.find("layer1.1").unwrap();
    let expected = (6 * 2 + 2 * 2 * 9 + 2 * 6) + 2 * (2 + 2 + 6);
    assert_eq!(net.modules.parameter_count(block), expected);
}
