//! What blocks see of the image, against fields worked out by hand.

mod common;

use std::collections::HashMap;

use ckaprune::program::receptive::{Field, View, views};
use common::{Written, class, network, program};

/// Field and stride at the end of `forward`, whose convolutions read `self.k1` (1 × 1), `self.k3`, `self.k5`.
fn at_the_end(shape: &[i64], body: &str) -> (Field, Option<[i64; 2]>) {
    let network = Written::new(&class("Net", body))
        .tensor("k1", &[4, 4, 1, 1])
        .tensor("k3", &[4, 4, 3, 3])
        .tensor("k5", &[4, 4, 5, 3])
        .tensor("square", &[4, 4])
        .tensor("positions", &[64, 64])
        .tensor("scale", &[4, 1, 1])
        .tensor("all", &[7, 256])
        .network();
    let program = program(&network, shape);
    let seen: HashMap<_, View> = views(&network, &program);
    let view = program.output.operand.values().first().map(|v| seen[v]);
    let view = view.unwrap();
    (view.field, view.stride)
}

fn of(body: &str) -> (Field, Option<[i64; 2]>) {
    at_the_end(&[4, 8, 8], body)
}

fn pixels(side: i64, stride: i64) -> (Field, Option<[i64; 2]>) {
    (Field::Pixels([side, side]), Some([stride, stride]))
}

const THREE: &str = "torch.conv2d(x, self.k3, None, [1, 1], [1, 1])";
const HALVED: &str = "torch.conv2d(x, self.k3, None, [2, 2], [1, 1])";

#[test]
fn kernels_strides_and_dilation_add_up() {
    assert_eq!(of("return x"), pixels(1, 1));
    assert_eq!(of(&format!("return {THREE}")), pixels(3, 1));
    // 3, then 2 more positions of 2 pixels.
    assert_eq!(of(&format!("x = {HALVED}\nreturn {THREE}")), pixels(7, 2));
    let dilated = "return torch.conv2d(x, self.k3, None, [1, 1], [2, 2], [2, 2])";
    assert_eq!(of(dilated), pixels(5, 1));
    assert_eq!(of("return torch.max_pool2d(x, [2, 2])"), pixels(2, 2));
    assert_eq!(
        of("return torch.avg_pool2d(x, [3, 3], [2, 2], [1, 1])"),
        pixels(3, 2)
    );
    assert_eq!(
        of("return torch.adaptive_avg_pool2d(x, [4, 4])"),
        pixels(2, 2)
    );
    let tall = of("return torch.conv2d(x, self.k5, None, [2, 1], [2, 1])");
    assert_eq!(tall, (Field::Pixels([5, 3]), Some([2, 1])));
}

#[test]
fn sums_and_concatenations_see_what_the_widest_branch_sees() {
    let wide = format!("y = {THREE}\nz = torch.conv2d(x, self.k1, None)\n");
    assert_eq!(of(&format!("{wide}return torch.add(y, z)")), pixels(3, 1));
    assert_eq!(
        of(&format!("{wide}return torch.cat([z, y], 1)")),
        pixels(3, 1)
    );
    assert_eq!(
        of(&format!("{wide}return torch.relu(torch.sub(z, x))")),
        pixels(1, 1)
    );
    assert_eq!(
        of(&format!("{wide}return torch.mul(self.scale, y)")),
        pixels(3, 1)
    );
}

#[test]
fn every_second_pixel_is_a_stride() {
    let sliced = "_0 = torch.slice(x, 2, 0, None, 2)\nreturn torch.slice(_0, 3, 0, None, 2)";
    assert_eq!(of(sliced), pixels(1, 2));
}

#[test]
fn what_joins_all_positions_sees_the_whole_image() {
    for body in [
        "return torch.mean(x, [2, 3])",
        "return torch.adaptive_avg_pool2d(x, [1, 1])",
        "return torch.linear(torch.flatten(x, 1), self.all, None)",
        "return torch.linear(torch.flatten(x, 2), self.positions, None)",
        "return torch.group_norm(x, 2)",
        "t = torch.transpose(torch.flatten(x, 2), 1, 2)\nreturn torch.scaled_dot_product_attention(t, t, t)",
        "t = torch.transpose(torch.flatten(x, 2), 1, 2)\na = torch.matmul(t, torch.transpose(t, 1, 2))\n\
         return torch.matmul(torch.softmax(a, -1), t)",
    ] {
        assert_eq!(of(body).0, Field::Whole, "{body}");
    }
}

#[test]
fn a_gate_from_all_positions_keeps_the_stride() {
    let gate = format!(
        "y = {HALVED}\ng = torch.sigmoid(torch.adaptive_avg_pool2d(y, [1, 1]))\nreturn torch.mul(y, g)"
    );
    assert_eq!(of(&gate), (Field::Whole, Some([2, 2])));
}

#[test]
fn layers_over_channels_see_no_more() {
    let tokens = "t = torch.transpose(torch.flatten(x, 2), 1, 2)\nreturn torch.linear(torch.layer_norm(t, [4]), self.square, None)";
    assert_eq!(of(tokens), pixels(1, 1));
    let last = "p = torch.permute(x, [0, 2, 3, 1])\np = torch.linear(torch.layer_norm(p, [4]), self.square, None)\n\
                x = torch.permute(p, [0, 3, 1, 2])\n";
    assert_eq!(of(&format!("{last}return {THREE}")), pixels(3, 1));
}

#[test]
fn what_no_rule_covers_stays_unknown() {
    for body in [
        "x = torch.upsample_nearest2d(x, [16, 16])\nreturn torch.relu(x)",
        "x = torch.roll(x, [1, 1], [2, 3])\nreturn torch.conv2d(x, self.k1, None)",
        // Attention of the windows of an image, each a sample of its own.
        "w = torch.view(x, [-1, 16, 4])\nreturn torch.scaled_dot_product_attention(w, w, w)",
        // Of a part of the image.
        "p = torch.slice(x, 2, 0, 4, 1)\nreturn torch.mean(p, [2, 3])",
        "y = torch.max_pool2d(x, [2, 2])\nreturn torch.some_operator(x, y)",
    ] {
        assert_eq!(of(body).0, Field::Unknown, "{body}");
    }
}

/// Fields and strides of all blocks of a network.
fn of_blocks(name: &str) -> Vec<(String, Field, Option<[i64; 2]>)> {
    let network = network(name);
    let program = program(&network, &common::FIXTURE_INPUT);
    let seen = views(&network, &program);
    let blocks = ckaprune::blocks::find(&network, &program, ckaprune::blocks::Search::default());
    let view = |b: &ckaprune::blocks::Block| {
        (
            b.path.clone(),
            seen[&b.output].field,
            seen[&b.output].stride,
        )
    };
    blocks.iter().map(view).collect()
}

#[test]
fn the_blocks_of_a_whole_network() {
    // The stem sees 3; a block adds two kernels of 3 at its stride: 4, 8 and 16 pixels. The first convolution of a
    // stage still runs at the stride before it.
    let by_hand = [
        ("stage1.0", 7, 1),
        ("stage1.1", 11, 1),
        ("stage1.2", 15, 1),
        ("stage1.3", 19, 1),
        ("stage2.0", 25, 2),
        ("stage2.1", 33, 2),
        ("stage2.2", 41, 2),
        ("stage3.0", 53, 4),
        ("stage3.1", 69, 4),
    ];
    for name in ["basic_scripted.pt", "basic_traced.pt"] {
        let expected = by_hand.map(|(path, side, stride)| {
            let (field, stride) = pixels(side, stride);
            (path.to_owned(), field, stride)
        });
        assert_eq!(of_blocks(name), expected, "{name}");
    }
}
