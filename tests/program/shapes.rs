//! Shapes of operators' results, for inputs of `n × 4 × 8 × 8` unless a test says otherwise.

use ckaprune::program::dtype::Dtype;
use ckaprune::program::{Attribute, Dim, Item, Known, TensorInfo};

use crate::common::{Written, class, program};

fn shown(known: &Known) -> String {
    let Known::Tensor {
        shape: Some(shape), ..
    } = known
    else {
        return "?".into();
    };
    let dims: Vec<String> = shape
        .iter()
        .map(|d| match (d.n, d.batch) {
            (n, 0) => n.to_string(),
            (1, 1) => "n".into(),
            (n, power) => format!("{n}n^{power}"),
        })
        .collect();
    dims.join(" ")
}

/// The shape of what this body of `forward(self, x)` returns.
fn shape_for(body: &str, input: &[i64]) -> String {
    let index = |dtype| {
        Attribute::Tensor(TensorInfo {
            shape: vec![5],
            dtype,
            parameter: false,
            requires_grad: false,
            storage: format!("{dtype:?}"),
        })
    };
    let net = Written::new(&class("Net", body))
        .tensor("weight", &[6, 7])
        .set("places", index(Dtype::Int64))
        .set("mask", index(Dtype::Bool))
        .set(
            "sizes",
            Attribute::List(vec![Attribute::Int(3), Attribute::Int(5)]),
        )
        .network();
    shown(&program(&net, input).output.known)
}

#[track_caller]
fn assert_shape(body: &str, expected: &str) {
    assert_eq!(shape_for(body, &[4, 8, 8]), expected, "{body}");
}

#[track_caller]
fn assert_expression(expression: &str, expected: &str) {
    assert_shape(&format!("w = self.weight\nreturn {expression}\n"), expected);
}

#[test]
fn sizes_traced_as_tensors_are_followed_through_their_arithmetic() {
    let net = |expression: &str| {
        format!(
            "
            b = ops.prim.NumToTensor(torch.size(x, 0))
            h = ops.prim.NumToTensor(torch.size(x, 2))
            return torch.new_zeros(x, [int({expression})])
            "
        )
    };
    assert_shape(&net("torch.floor_divide(h, 3)"), "2");
    assert_shape(&net("torch.rsub(torch.remainder(h, 5), 5)"), "2");
    assert_shape(&net("torch.mul(torch.add(h, 1), b)"), "9n^1");
    assert_shape(&net("torch.sub(h, 1, alpha=1)"), "7");
    assert_shape(&net("torch.div(h, 3, rounding_mode=\"floor\")"), "2");
    // Sums that scale the second number, and remainders of the batch size, are beyond the rules.
    assert_shape(&net("torch.sub(h, 1, alpha=2)"), "?");
    assert_shape(&net("torch.remainder(b, 7)"), "?");
    assert_shape(&net("torch.add(b, 1)"), "?");
}

#[test]
fn a_number_in_a_tensor_that_was_written_is_not_known_any_more() {
    let written = |write: &str| {
        format!(
            "
            h = ops.prim.NumToTensor(torch.size(x, 2))
            {write}
            return torch.new_zeros(x, [int(h)])
            "
        )
    };
    assert_shape(&written("pass"), "8");
    assert_shape(&written("_0 = torch.add_(h, 1)"), "?");
    assert_shape(&written("_0 = torch.zero_(torch.view(h, [1]))"), "?");
}

#[test]
fn the_numbers_in_constants_are_read_where_the_archive_has_them() {
    let body = "
        h = ops.prim.NumToTensor(torch.size(x, 2))
        return torch.new_zeros(x, [int(torch.floor_divide(h, CONSTANTS.c0))])
        ";
    let mut net = Written::new(&class("Net", body)).network();
    net.constants.push(TensorInfo {
        shape: vec![],
        dtype: Dtype::Int64,
        parameter: false,
        requires_grad: false,
        storage: "c0".into(),
    });
    assert_eq!(shown(&program(&net, &[4, 8, 8]).output.known), "?");
    net.constant_items.insert(0, Item::Int(Dim::fixed(2)));
    assert_eq!(shown(&program(&net, &[4, 8, 8]).output.known), "4");
}

#[test]
fn lists_of_sizes_unpack_compare_and_slice() {
    let unpack = "b, c, h, w, = torch.size(x)\nreturn torch.new_zeros(x, [w, c, b])\n";
    assert_shape(unpack, "8 4 n");
    let slice = "h, w, = torch.slice(torch.size(x), -2)\nreturn torch.new_zeros(x, [h])\n";
    assert_shape(slice, "8");
    let compare = |condition: &str| {
        format!(
            "
            if {condition}:
              y = torch.new_zeros(x, [1])
            else:
              y = torch.new_zeros(x, [2])
            return y
            "
        )
    };
    for (condition, expected) in [
        ("torch.eq(torch.size(x), torch.size(x))", "1"),
        ("torch.ne(torch.slice(torch.size(x), 1), [4, 8, 9])", "1"),
        ("torch.eq(torch.len(torch.size(x)), 4)", "1"),
        ("torch.__contains__([1, 8], torch.size(x, -1))", "1"),
        (
            "torch.gt(torch.sum(torch.slice(torch.size(x), 1)), 20)",
            "2",
        ),
        ("torch.gt(torch.len(torch.add(\"\", \"a\")), 0)", "1"),
        ("torch.all([True, False, torch.is_grad_enabled()])", "2"),
        ("torch.eq(torch.add([3], [5]), self.sizes)", "1"),
        ("torch.eq(torch.size(x, 0), torch.size(x, 0))", "1"),
    ] {
        assert_shape(&compare(condition), expected);
    }
}

#[test]
fn an_index_that_is_made_of_integers_counts_what_it_picks() {
    let picked = |made: &str| {
        format!("i = {made}\nreturn torch.index(x, annotate(List[Optional[Tensor]], [None, i]))\n")
    };
    assert_shape(&picked("torch.tensor(self.sizes, dtype=4)"), "n 2 8 8");
    assert_shape(&picked("torch.tensor(self.sizes)"), "n 2 8 8");
    assert_shape(&picked("torch.tensor([3, 1, 0])"), "n 3 8 8");
    assert_shape(&picked("torch.zeros([3], dtype=4)"), "n 3 8 8");
    assert_shape(&picked("torch.arange(3)"), "n 3 8 8");
    // Of these, only what is true picks.
    assert_shape(&picked("torch.tensor(self.sizes, dtype=11)"), "?");
    assert_shape(&picked("torch.ones([4], dtype=11)"), "?");
    assert_shape(&picked("torch.tensor([True, False, True, True])"), "?");
}

#[test]
fn an_index_of_integers_picks_rows_and_one_of_truth_values_stays_unknown() {
    let index = |name: &str| {
        format!(
            "i = self.{name}\nreturn torch.index(x, annotate(List[Optional[Tensor]], [None, None, i]))\n"
        )
    };
    assert_shape(&index("places"), "n 4 5 8");
    assert_shape(&index("mask"), "?");
    let viewed = "
        i = torch.view(self.places, [5, 1])
        return torch.index(x, annotate(List[Optional[Tensor]], [None, i, self.places]))
        ";
    assert_shape(viewed, "n 5 5 8");
    assert_shape(
        "return torch.index(x, annotate(List[Optional[Tensor]], [torch.gt(x, 0)]))\n",
        "?",
    );
}

#[test]
fn tensors_made_of_sizes_have_them() {
    assert_expression("torch.zeros([2, torch.size(x, 0)])", "2 n");
    assert_expression("torch.arange(7)", "7");
    assert_expression("torch.arange(1, 8, 3)", "3");
    assert_expression("torch.arange(0.5, 4, dtype=6)", "4");
    assert_expression("torch.arange(5, 0, -2)", "3");
    assert_expression("torch.arange(torch.size(x, 0))", "n");
    let height = "annotate(number, torch.add(ops.prim.NumToTensor(torch.size(x, 2)), 1))";
    assert_shape(&format!("return torch.arange(1, {height})\n"), "8");
    let times = "torch.floor_divide(ops.prim.NumToTensor(torch.size(x, 2)), 2)";
    assert_shape(
        &format!("w = self.weight\nreturn torch.repeat_interleave(w, {times}, 0)\n"),
        "24 7",
    );
    assert_expression("torch.tensor(3, dtype=ops.prim.dtype(x))", "");
    assert_expression("torch.new_full(x, [3, 2], 1.0)", "3 2");
    assert_expression("torch.fill_(torch.zeros([2]), 1)", "2");
    let grid = |words: &str| {
        format!("a, b, = torch.meshgrid([torch.arange(2), torch.arange(3)]{words})\nreturn a\n")
    };
    assert_shape(&grid(""), "2 3");
    assert_shape(&grid(", indexing=\"xy\""), "3 2");
}

#[test]
fn rearranging_operators() {
    assert_expression("torch.stack([x, x], -1)", "n 4 8 8 2");
    assert_expression("torch.repeat(w, [2, 1, 3])", "2 6 21");
    assert_expression("torch.unflatten(x, 1, [2, -1])", "n 2 2 8 8");
    assert_expression("torch.narrow(x, 2, 1, 3)", "n 4 3 8");
    assert_expression("torch.expand_as(torch.sum(x, [1], True), x)", "n 4 8 8");
    assert_expression("torch.pixel_shuffle(x, 2)", "n 1 16 16");
    assert_expression(
        "torch.upsample_bilinear2d(x, [16, 9], False, None)",
        "n 4 16 9",
    );
    assert_expression("torch.slice(x, 1, 0, 4)", "n 4 8 8");
    assert_expression("torch.slice(x, 0, 0, torch.size(x, 0))", "n 4 8 8");
    assert_expression("torch.slice(x, 0, 0, 2)", "?");
    assert_expression("torch.slice(x, 2, 1, None, 2)", "n 4 4 8");
    assert_expression("torch.roll(x, [1, 1], [2, 3])", "n 4 8 8");
}

#[test]
fn sums_over_dimensions_read_their_own_arguments() {
    assert_expression("torch.norm(x, 2.0, [1], True)", "n 1 8 8");
    assert_expression("torch.var(x, [2, 3], False, True)", "n 4 1 1");
    assert_expression(
        "torch.var(x, [2, 3], correction=0, keepdim=True)",
        "n 4 1 1",
    );
    assert_expression("torch.mean(x, [1])", "n 8 8");
    assert_expression("torch.sum(x, annotate(List[int], []), True)", "1 1 1 1");
}

#[test]
fn tensors_of_two_shapes_stretch_to_fit() {
    assert_expression("torch.masked_fill(w, torch.zeros([2, 1, 7]), 0.5)", "2 6 7");
    assert_expression("torch.max(w, torch.zeros([6, 1]))", "6 7");
    assert_expression("torch.clamp(w, torch.zeros([2, 6, 7]))", "2 6 7");
    // A batch of two would fit.
    assert_expression("torch.add(x, torch.zeros([2, 4, 8, 8]))", "?");
}

#[test]
fn bounds_and_masks_stretch_what_they_are_laid_on() {
    let one = "torch.narrow(x, 1, 0, 1)";
    assert_expression(&format!("torch.clamp_max({one}, x)"), "n 4 8 8");
    assert_expression(&format!("torch.clamp_min({one}, x)"), "n 4 8 8");
    assert_expression("torch.clamp_max(w, torch.zeros([2, 1, 1]))", "2 6 7");
    let scattered = format!("torch.masked_scatter({one}, torch.gt(x, 0), x)");
    assert_expression(&scattered, "n 4 8 8");
    assert_expression("torch.polygamma(1, x)", "n 4 8 8");
}

#[test]
fn what_is_not_given_has_the_default_of_its_own_operator() {
    let most = |arguments: &str| format!("a, b = torch.mode(x{arguments})\nreturn b\n");
    assert_shape(&most(""), "n 4 8");
    assert_shape(&most(", 1, True"), "n 1 8 8");
    assert_expression("torch.diagonal(w)", "6");
    assert_expression("torch.diagonal(x, 0, 1, 2)", "n 8 4");
    assert_expression("torch.linalg_diagonal(x)", "n 4 8");
    assert_expression("torch.linalg_diagonal(x, dim1=1)", "n 8 4");
    assert_expression("torch.linalg_diagonal(x, offset=2)", "n 4 6");
}

#[test]
fn a_vector_without_elements_joins_anything() {
    let empty = "torch.zeros([0])";
    assert_expression(&format!("torch.cat([{empty}, x], 1)"), "n 4 8 8");
    assert_expression(&format!("torch.cat([x, {empty}, x], 1)"), "n 8 8 8");
    assert_expression(&format!("torch.cat([{empty}, {empty}])"), "0");
}

#[test]
fn elements_gathered_have_the_shape_of_their_places() {
    assert_expression("torch.gather(x, 1, torch.argmax(x, 1, True))", "n 1 8 8");
}

#[test]
fn attention_stretches_over_queries_that_all_samples_share() {
    let attention = |query: &str, more: &str| {
        format!("torch.scaled_dot_product_attention({query}, x, x{more})")
    };
    assert_expression(&attention("torch.zeros([1, 4, 3, 8])", ""), "n 4 3 8");
    assert_expression(&attention("torch.narrow(x, 1, 0, 1)", ""), "n 4 8 8");
    let grouped = attention("torch.cat([x, x], 1)", ", None, 0., False, enable_gqa=True");
    assert_expression(&grouped, "n 8 8 8");
    assert_expression(&attention("torch.zeros([2, 4, 3, 8])", ""), "?");
}

#[test]
fn a_last_pooling_window_may_be_larger_than_what_is_left() {
    let pooled = |call: &str| {
        let body = format!("return {call}\n");
        shape_for(&body, &[4, 2, 2])
    };
    let max = "torch.max_pool2d(x, [3, 3], [2, 2], [0, 0], [1, 1], True)";
    assert_eq!(pooled(max), "n 4 1 1");
    let mean = "torch.avg_pool2d(x, [3, 3], [2, 2], [0, 0], True)";
    assert_eq!(pooled(mean), "n 4 1 1");
    assert_expression(
        "torch.max_pool2d(x, [2, 2], [3, 3], [1, 1], [1, 1], True)",
        "n 4 3 3",
    );
}

#[test]
fn one_image_is_convolved_as_a_batch_of_them() {
    let convolved = "torch.conv2d(torch.select(x, 0, 0), torch.zeros([5, 4, 3, 3]))";
    assert_expression(convolved, "5 6 6");
    assert_expression("torch.conv2d(x, torch.zeros([5, 4, 3, 3]))", "n 5 6 6");
}

#[test]
fn what_solves_many_equations_has_the_batch_of_either_side() {
    let solve = "torch.linalg_solve(x, torch.zeros([1, 1, 8, 2]))";
    assert_expression(solve, "n 4 8 2");
    let ranks = "torch.linalg_matrix_rank(x, torch.zeros([3, 1, 1]))";
    assert_expression(ranks, "3 n 4");
    assert_expression("torch.cov(w)", "6 6");
    assert_expression("torch.cov(torch.narrow(w, 0, 0, 1))", "");
    let left_out = "a, b, c = torch.svd(self.weight, True, False)\nreturn c\n";
    assert_shape(left_out, "7 7");
}

#[test]
fn einsum_gives_the_letters_behind_the_arrow() {
    let einsum = |equation: &str| format!("torch.einsum(\"{equation}\", [x, x])");
    assert_expression(&einsum("b c i j, b c k j -> b c i k"), "n 4 8 8");
    assert_expression(&einsum("bcij,bckl->ikb"), "8 8 n");
    // Without an arrow: what is there once, in alphabetical order.
    assert_expression(&einsum("bcij,bckj"), "8 8");
    assert_expression(&einsum("...ij,...jk->...ik"), "?");
    assert_expression(&einsum("bcii,bcij->bcj"), "?");
}

#[test]
fn split_tensors_have_their_parts_sizes() {
    let part = |call: &str| format!("a, b, = {call}\nreturn b\n");
    assert_shape(&part("torch.chunk(x, 2, 1)"), "n 2 8 8");
    assert_shape(&part("torch.split(x, 5, -1)"), "n 4 8 3");
    assert_shape(&part("torch.split_with_sizes(x, [1, 3], 1)"), "n 3 8 8");
    // So many parts are not followed, rather than some of them.
    let many = "return torch.stack(torch.split(x, 1, 1))\n";
    assert_eq!(shape_for(many, &[2000, 1]), "?");
}

#[test]
fn native_attention_keeps_the_shape_of_its_query() {
    let call = "
        y, z = torch._native_multi_head_attention(x, x, x, 8, 2, self.weight, self.weight, self.weight, self.weight)
        return y
        ";
    assert_eq!(shape_for(call, &[5, 8]), "n 5 8");
}

#[test]
fn an_operator_that_changes_shapes_in_place_is_not_followed() {
    let net = |call: &str| {
        Written::new(&class(
            "Net",
            &format!("y = torch.exp(x)\n_0 = {call}\nreturn y\n"),
        ))
    };
    for call in [
        "torch.unsqueeze_(y, 0)",
        "torch.squeeze_(y, 1)",
        "torch.exp(x, out=y)",
    ] {
        assert!(net(call).follow(&[4, 8, 8]).is_err(), "{call}");
    }
}
