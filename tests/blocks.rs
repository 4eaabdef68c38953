//! Blocks: which regions of a network are residual blocks, what stands in the way of removing one, where the cuts
//! lie.

mod common;

use std::fmt::Write;

use ckaprune::blocks::{self, Block, Granularity, Reason, Search, cuts, show_shape};
use ckaprune::program::interface::guess_input_shape;
use ckaprune::program::{Network, Program};

use common::{FIXTURE_INPUT, Written, class, demo, flat, network, open, program};

fn blocks_of(network: &Network, shape: &[i64]) -> Vec<Block> {
    blocks::find(network, &program(network, shape), Search::default())
}

/// Path of each residual sum `x + f(x)`, and what stands in the way.
fn halves_of(network: &Network, shape: &[i64]) -> Vec<(String, Option<Reason>)> {
    let search = Search {
        granularity: Granularity::Fine,
        ..Search::default()
    };
    blocks::find(network, &program(network, shape), search)
        .into_iter()
        .map(|b| (b.path, b.obstacle))
        .collect()
}

/// One line a block.
fn table(network: &Network, shape: &[i64]) -> String {
    let mut text = String::new();
    let size = |shape: &Option<Vec<i64>>| shape.as_deref().map_or("?".into(), show_shape);
    for block in blocks_of(network, shape) {
        let sign = if block.macs.exact { "" } else { "≥" };
        let verdict = block
            .obstacle
            .as_ref()
            .map_or("removable".into(), Reason::to_string);
        writeln!(
            text,
            "{} | stage {} | {} → {} | {} params | {sign}{} MACs | {verdict}",
            block.path,
            block.stage,
            size(&block.input_shape),
            size(&block.output_shape),
            block.params,
            block.macs.count,
        )
        .unwrap();
    }
    text
}

// Real archives.

#[test]
fn the_blocks_of_the_fixtures() {
    for name in [
        "basic_scripted",
        "inplace_scripted",
        "preact_scripted",
        "constant_scripted",
        "dropout_traced",
    ] {
        insta::assert_snapshot!(name, table(&network(&format!("{name}.pt")), &FIXTURE_INPUT));
    }
}

#[test]
fn a_traced_network_has_the_blocks_of_the_scripted_one() {
    for family in ["basic", "inplace", "preact"] {
        let [scripted, traced] = ["scripted", "traced"]
            .map(|form| table(&network(&format!("{family}_{form}.pt")), &FIXTURE_INPUT));
        assert!(!scripted.is_empty(), "{family}");
        assert_eq!(scripted, traced, "{family}");
    }
}

#[test]
fn halves_are_named_by_their_heaviest_module() {
    for name in [
        "halves_scripted",
        "halves_traced",
        "postnorm_scripted",
        "postnorm_traced",
    ] {
        let halves = [
            "blocks.0.attention",
            "blocks.0.mlp",
            "blocks.1.attention",
            "blocks.1.mlp",
        ];
        assert_eq!(
            halves_of(&network(&format!("{name}.pt")), &FIXTURE_INPUT),
            halves.map(|path| (path.to_owned(), None)),
            "{name}"
        );
    }
}

#[test]
fn plain_networks_have_no_blocks() {
    for name in ["plain_scripted.pt", "plain_traced.pt"] {
        assert_eq!(table(&network(name), &FIXTURE_INPUT), "", "{name}");
    }
}

#[test]
fn a_frozen_network_has_the_blocks_of_the_scripted_one_named_by_place() {
    let verdicts = |name: &str| -> Vec<_> {
        let blocks = blocks_of(&network(name), &FIXTURE_INPUT).into_iter();
        blocks
            .map(|b| {
                (
                    b.path,
                    b.stage,
                    b.input_shape,
                    b.output_shape,
                    b.obstacle,
                    b.macs,
                )
            })
            .collect()
    };
    let (scripted, frozen) = (verdicts("basic_scripted.pt"), verdicts("basic_frozen.pt"));
    assert_eq!(scripted.len(), frozen.len());
    for (i, (a, b)) in scripted.iter().zip(&frozen).enumerate() {
        assert_eq!(
            (&a.1, &a.2, &a.3, &a.4, &a.5),
            (&b.1, &b.2, &b.3, &b.4, &b.5)
        );
        let before = frozen[..i].iter().filter(|other| other.1 == b.1).count();
        assert_eq!(b.0, format!("stage{}.block{}", b.1 + 1, before + 1));
    }
}

#[test]
fn the_input_shape_is_guessed_from_channels_and_stride() {
    let guess = |network: &Network| guess_input_shape(network).unwrap();
    assert_eq!(guess(&network("basic_scripted.pt")), [3, 32, 32]);
    assert_eq!(guess(&network("basic_traced.pt")), [3, 32, 32]);
    assert_eq!(guess(&network("basic_frozen.pt")), [3, 32, 32]);
    let demo = open(&demo()).network().unwrap();
    assert_eq!(guess(&demo)[0], 1);
    assert!(Program::new(&demo, &guess(&demo)).is_ok());
}

// Networks written by hand: the root calls `self.block`, whose class is `Block`.

const ROOT: &str = "\
class Net(Module):
  def forward(self: __torch__.Net,
    x: Tensor) -> Tensor:
    block = self.block
    return torch.tanh((block).forward(x, ))
class Weighted(Module):
  def forward(self: __torch__.Weighted,
    x: Tensor) -> Tensor:
    weight = self.weight
    return torch.conv2d(x, weight, None, [1, 1], [1, 1])
class Norm(Module):
  def forward(self: __torch__.Norm,
    x: Tensor) -> Tensor:
    weight = self.weight
    return torch.batch_norm(x, weight, weight, weight, weight, False, 0.1, 1.0000000000000001e-05, True)
";

fn with_block(body: &str) -> Written {
    Written::new(&format!("{ROOT}{}", class("Block", body))).module("block", "Block")
}

const PLAIN_BLOCK: &str = "return torch.add(x, torch.neg(x))";

/// The blocks of a network on inputs of 4×8×8: path, and what stands in the way.
fn verdicts(net: Written) -> Vec<(String, Option<Reason>)> {
    blocks_of(&net.network(), &[4, 8, 8])
        .into_iter()
        .map(|b| (b.path, b.obstacle))
        .collect()
}

#[track_caller]
fn assert_verdicts(net: Written, expected: &[(&str, Option<Reason>)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(path, reason)| ((*path).to_owned(), reason.clone()))
        .collect();
    assert_eq!(verdicts(net), expected);
}

#[test]
fn an_identity_skip_makes_a_removable_block() {
    for body in [
        PLAIN_BLOCK,
        "return torch.add(torch.neg(x), x)",
        "return torch.relu(torch.add(torch.neg(x), x))",
        "return torch.add(x, torch.neg(x), alpha=1)",
        "y = torch.neg(x)\ny0 = torch.add_(y, x)\nreturn torch.relu_(y0)",
        "return torch.add(torch.add(x, torch.neg(x)), torch.exp(x))",
    ] {
        assert_verdicts(with_block(body), &[("block", None)]);
    }
}

#[test]
fn what_is_no_residual_block_is_not_listed() {
    for body in [
        // No addition, or none that joins two ways of the input.
        "return torch.relu(torch.neg(x))",
        "return torch.add(torch.neg(x), 1)",
        "return torch.cat([x, torch.neg(x)], 1)",
        "return torch.mul(x, torch.sigmoid(x))",
    ] {
        assert_verdicts(with_block(body), &[]);
    }
}

/// However the branch is scaled or the sum is spelled: the input stays as it is.
#[test]
fn every_spelling_of_an_identity_and_something_added_is_removable() {
    for body in [
        "return torch.add(x, torch.neg(x), alpha=0.2)",
        "return torch.sub(x, torch.neg(x))",
        "return torch.sub(x, torch.neg(x), alpha=2)",
        "return torch.rsub(torch.neg(x), x)",
        // Python's `sum` begins with nothing.
        "return torch.add(torch.add(x, 0), torch.neg(x))",
        "return torch.add(torch.mul(x, 1.), torch.neg(x))",
        "return torch.add(torch.neg(x), torch.contiguous(torch.clone(torch.div(x, 1))))",
        "return torch.add(torch.neg(x), torch.view(x, torch.size(x)))",
        "y = torch.neg(x)\ny0 = torch.add_(y, torch.mul(x, 1))\nreturn y0",
    ] {
        assert_eq!(
            verdicts(with_block(body)),
            [("block".to_owned(), None)],
            "{body}"
        );
    }
}

#[test]
fn an_addition_that_is_no_identity_is_never_removable() {
    for body in [
        // Twice the input.
        "return torch.add(x, x)",
        "y = torch.add(x, torch.neg(x))\nreturn torch.add(y, x)",
        // A scaled skip or branch.
        "return torch.add(torch.neg(x), x, alpha=2)",
        "return torch.add(torch.mul(x, 2), torch.neg(x))",
        // Something behind the addition that is no activation.
        "return torch.neg(torch.add(x, torch.exp(x)))",
        "return torch.mul(torch.add(x, torch.exp(x)), 2)",
        // The skip is what is subtracted, or what is scaled.
        "return torch.sub(torch.neg(x), x)",
        "return torch.rsub(x, torch.neg(x))",
        "return torch.add(torch.neg(x), torch.mul(x, 0.5))",
        "return torch.add(torch.add(x, 1), torch.neg(x))",
    ] {
        let found = verdicts(with_block(body));
        let whole = found
            .iter()
            .filter(|(path, _)| path == "block" || path == "block.block2");
        assert!(
            whole.clone().all(|(_, obstacle)| obstacle.is_some()),
            "{body}: {found:?}"
        );
    }
}

#[test]
fn an_addition_that_broadcasts_is_no_identity() {
    let body = "
        narrow = torch.slice(x, 1, 0, 1)
        return torch.add(narrow, torch.neg(x))
        ";
    let found = verdicts(with_block(body));
    assert!(
        found.iter().all(|(_, obstacle)| obstacle.is_some()),
        "{found:?}"
    );
}

/// The layer in front changes the shape and stays; the sum behind it can go.
#[test]
fn a_sum_behind_a_layer_that_changes_the_shape_is_a_block() {
    let net = with_block(
        "
        pool = torch.avg_pool2d(x, [2, 2], [2, 2])
        return torch.add(pool, torch.neg(pool))
        ",
    );
    assert_verdicts(net, &[("block.block1", None)]);
    let net = with_block("return torch.tanh(torch.exp(torch.add(x, torch.neg(x))))");
    assert_verdicts(net, &[("block.block1", None)]);
}

/// Transformers on images: flattened to tokens for one sum, folded back behind it.
#[test]
fn a_skip_that_is_rearranged_and_comes_back_is_the_identity() {
    let tokens = |back: &str| {
        with_block(&format!(
            "
            y = torch.transpose(torch.flatten(x, 2), 1, 2)
            y0 = torch.add(y, torch.neg(y))
            y1 = {back}
            return torch.add(y1, torch.exp(y1))
            "
        ))
    };
    assert_verdicts(
        tokens("torch.reshape(torch.permute(y0, [0, 2, 1]), [-1, 4, 8, 8])"),
        &[("block", None)],
    );
    let found = verdicts(tokens("torch.reshape(y0, [-1, 4, 8, 8])"));
    assert!(found.iter().all(|(path, _)| path != "block"), "{found:?}");
}

/// Traced code computes windows and padding from sizes, as tensors that hold a number.
#[test]
fn sizes_computed_as_tensors_are_no_second_input() {
    let net = with_block(
        "
        h = ops.prim.NumToTensor(torch.size(x, 2))
        _0 = int(h)
        w = ops.prim.NumToTensor(torch.size(x, 3))
        y = torch.neg(x)
        n = torch.mul(h, w)
        z = torch.reshape(torch.reshape(y, [-1, 4, int(n)]), [-1, 4, _0, int(w)])
        y0 = torch.add(x, z)
        return torch.add(torch.exp(y0), torch.neg(y0))
        ",
    );
    let found = verdicts(net);
    assert!(
        found.contains(&("block.block1".to_owned(), None)),
        "{found:?}"
    );
}

// Halves of a block.

#[track_caller]
fn assert_halves(net: Written, paths: &[&str]) {
    let expected: Vec<_> = paths.iter().map(|p| ((*p).to_owned(), None)).collect();
    assert_eq!(halves_of(&net.network(), &[4, 8, 8]), expected);
}

#[test]
fn a_half_begins_where_it_prepares_what_it_reads_of_weights_alone() {
    let block = class(
        "Block",
        "
        attn = self.attn
        mlp = self.mlp
        y = torch.add(x, torch.exp((attn).forward(x, )))
        return torch.add(y, (mlp).forward(y, ))
        ",
    );
    let attn = class(
        "Attn",
        "
        scale = torch.neg(torch.sigmoid(self.weight))
        return torch.mul(x, scale)
        ",
    );
    let net = Written::new(&format!("{ROOT}{block}{attn}"))
        .module("block", "Block")
        .module("block.attn", "Attn")
        .tensor("block.attn.weight", &[4, 1, 1])
        .module("block.mlp", "Weighted")
        .tensor("block.mlp.weight", &[4, 4, 3, 3]);
    assert_halves(net, &["block.attn", "block.mlp"]);
}

#[test]
fn a_preparation_that_both_halves_read_belongs_to_neither() {
    let body = "
        scale = torch.sigmoid(self.weight)
        y = torch.add(x, torch.mul(x, scale))
        return torch.add(y, torch.mul(y, scale))
        ";
    let net = with_block(body).tensor("block.weight", &[4, 1, 1]);
    assert_halves(net, &["block.block1", "block.block2"]);
}

/// An encoding of positions that is computed of weights and sizes alone and handed to every block.
#[test]
fn what_weights_alone_decide_may_enter_a_block_from_outside() {
    let net = |scale: &str| {
        let root = class(
            "Net",
            &format!(
                "
                block = self.block
                scale = {scale}
                y = torch.exp(x)
                return torch.neg((block).forward(y, scale, ))
                "
            ),
        );
        let block = "
            class Block(Module):
              def forward(self: __torch__.Block,
                x: Tensor,
                scale: Tensor) -> Tensor:
                return torch.add(x, torch.mul(x, scale))
            ";
        Written::new(&format!("{root}{}", common::dedented(block)))
            .module("block", "Block")
            .tensor("weight", &[4, 1, 1])
    };
    assert_verdicts(net("torch.sigmoid(self.weight)"), &[("block", None)]);
    let found = verdicts(net("torch.mean(x, [2, 3], True)"));
    assert!(
        found.iter().all(|(_, obstacle)| obstacle.is_some()),
        "{found:?}"
    );
}

// Every obstacle.

#[test]
fn a_block_that_changes_the_shape_stays() {
    let net = with_block(
        "
        pool = torch.avg_pool2d(x, [2, 2], [2, 2])
        return torch.add(pool, torch.max_pool2d(torch.neg(x), [2, 2], [2, 2]))
        ",
    );
    let reason = Reason::ChangesShape {
        from: vec![4, 8, 8],
        to: vec![4, 4, 4],
    };
    assert_verdicts(net, &[("block", Some(reason))]);
}

#[test]
fn a_shortcut_that_computes_stays() {
    let body = |class: &str| {
        let net = with_block(
            "shortcut = self.shortcut\nreturn torch.add((shortcut).forward(x, ), torch.neg(x))",
        );
        net.module("block.shortcut", class)
    };
    let projection = body("Weighted").tensor("block.shortcut.weight", &[4, 4, 3, 3]);
    assert_verdicts(projection, &[("block", Some(Reason::ShortcutComputes))]);
    let norm = body("Norm").tensor("block.shortcut.weight", &[4]);
    assert_verdicts(norm, &[("block", Some(Reason::ShortcutComputes))]);
}

fn with_root(forward: &str, rest: &str) -> Written {
    Written::new(&format!(
        "{}{rest}{}",
        class("Net", forward),
        class("Block", PLAIN_BLOCK)
    ))
}

#[test]
fn a_module_that_runs_twice_stays() {
    let net = with_root(
        "block = self.block\ny = (block).forward(x, )\nreturn torch.tanh((block).forward(y, ))",
        "",
    );
    let twice = Some(Reason::RunsTwice);
    assert_verdicts(
        net.module("block", "Block"),
        &[("block", twice.clone()), ("block", twice)],
    );
}

#[test]
fn a_module_in_two_places_stays() {
    let net = with_root(
        "block = self.block\nreturn torch.tanh((block).forward(x, ))",
        "",
    );
    let net = net.module("block", "Block").again("spare", "block");
    assert_verdicts(net, &[("block", Some(Reason::SharedModule))]);
}

#[test]
fn a_call_in_a_free_function_stays() {
    let function = "def run(block: __torch__.Block,\n    x: Tensor) -> Tensor:\n  return (block).forward(x, )\n";
    let net = with_root(
        "block = self.block\nreturn torch.tanh(__torch__.run(block, x, ))",
        function,
    );
    assert_verdicts(
        net.module("block", "Block"),
        &[("block", Some(Reason::CallNotPlain))],
    );
}

#[test]
fn a_block_that_takes_its_input_in_a_list_can_go() {
    let block = "class Block(Module):\n  def forward(self: __torch__.Block,\n    xs: List[Tensor]) -> Tensor:\n    x = xs[0]\n    return torch.add(x, torch.neg(x))\n";
    let root = class(
        "Net",
        "block = self.block\nreturn torch.tanh((block).forward([x], ))",
    );
    let net = Written::new(&(root + block)).module("block", "Block");
    assert_verdicts(net, &[("block", None)]);
}

// Blocks in other structures.

#[test]
fn a_block_inside_a_branch_is_removable() {
    let net = with_root(
        "
        a = torch.slice(x, 1, 0, 2)
        b = torch.slice(x, 1, 2, 4)
        block = self.block
        return torch.tanh(torch.cat([a, (block).forward(b, )], 1))
        ",
        "",
    );
    assert_verdicts(net.module("block", "Block"), &[("block", None)]);
}

#[test]
fn a_block_inside_a_removable_block_is_listed_once() {
    let outer = class(
        "Outer",
        "block = self.block\nreturn torch.add(x, torch.neg((block).forward(x, )))",
    );
    let net = with_root(
        "outer = self.outer\nreturn torch.tanh((outer).forward(x, ))",
        &outer,
    );
    let net = net.module("outer", "Outer").module("outer.block", "Block");
    assert_verdicts(net, &[("outer", None)]);
}

#[test]
fn blocks_inside_one_that_stays_are_listed() {
    let outer = class(
        "Outer",
        "block = self.block\nreturn torch.add(torch.exp(x), torch.neg((block).forward(x, )))",
    );
    let net = with_root(
        "outer = self.outer\nreturn torch.tanh((outer).forward(x, ))",
        &outer,
    );
    let net = net.module("outer", "Outer").module("outer.block", "Block");
    assert_verdicts(net, &[("outer.block", None)]);
}

/// Nobody knows the shape of what comes out of such code, so nobody knows whether the skip is an identity.
#[test]
fn a_block_around_code_that_is_not_followed_is_not_offered() {
    let child = class(
        "Child",
        "if bool(torch.sum(x)):\n  return x\nreturn torch.sum(x, [1], True)",
    );
    let block = class(
        "Block",
        "child = self.child\nreturn torch.add(x, (child).forward(x, ))",
    );
    let net = Written::new(&format!("{ROOT}{block}{child}")).module("block", "Block");
    let behind = "code that is not followed in block (__torch__.py:20)".to_owned();
    let unknown = Some(Reason::UnknownShape {
        behind: Some(behind),
    });
    assert_verdicts(net.module("block.child", "Child"), &[("block", unknown)]);
}

#[test]
fn stages_begin_where_the_shape_changes() {
    let net = network("basic_scripted.pt");
    let stages: Vec<usize> = blocks_of(&net, &FIXTURE_INPUT)
        .iter()
        .map(|b| b.stage)
        .collect();
    assert_eq!(stages, [0, 0, 0, 0, 1, 1, 1, 2, 2]);
}

// Cuts.

/// The program with a line at every cut.
fn cut_program(net: Written) -> String {
    let network = net.network();
    let program = program(&network, &[4, 8, 8]);
    let text = flat(&network, &program);
    let places: Vec<usize> = cuts(&program).iter().map(|cut| cut.position).collect();
    let mut marked = String::new();
    for (i, line) in text.lines().enumerate() {
        if places.contains(&i) {
            marked += "----\n";
        }
        marked += &format!("{line}\n");
    }
    marked
}

fn forward(body: &str) -> Written {
    Written::new(&class("Net", body))
}

#[track_caller]
fn assert_cuts(net: Written, expected: &str) {
    assert_eq!(cut_program(net), common::dedented(expected));
}

#[test]
fn no_cut_lies_between_two_live_values() {
    let net = forward("y = torch.relu(x)\nz = torch.neg(y)\nreturn torch.tanh(torch.add(y, z))");
    assert_cuts(
        net,
        "
        ----
        v0 = torch.relu(v1)
        ----
        v2 = torch.neg(v0)
        v3 = torch.add(v0, v2)
        ----
        v4 = torch.tanh(v3)
        ----
        return v4
        ",
    );
}

/// `zero_` writes into `y`, of which `view` is a part: a cut before it would hand on a copy of `view` alone.
#[test]
fn no_cut_lies_before_a_pending_write_into_a_view() {
    let net = forward(
        "
        y = torch.neg(x)
        view = torch.select(y, 1, 0)
        a = torch.relu(view)
        _0 = torch.zero_(view)
        return torch.add(y, torch.sum(a))
        ",
    );
    let marked = cut_program(net);
    let (before, after) = marked.split_once("zero_").unwrap();
    let pending = before.split_once("select").unwrap().1;
    assert!(!pending.contains("----"), "{marked}");
    assert!(after.contains("----"), "{marked}");
}

#[test]
fn a_size_that_the_tensor_tells_by_itself_is_in_the_way_of_no_cut() {
    let net = forward(
        "
        n = torch.size(x, 0)
        y = torch.relu(x)
        z = torch.neg(y)
        return torch.reshape(z, [n, -1])
        ",
    );
    assert_cuts(
        net,
        "
        ----
        v0 = torch.size(v1, 0)
        ----
        v2 = torch.relu(v1)
        ----
        v3 = torch.neg(v2)
        ----
        v4 = torch.reshape(v3, [v0, -1])
        ----
        return v4
        ",
    );
}

/// The first dimension of what is given on is no longer the batch there.
#[test]
fn a_size_that_the_tensor_does_not_tell_is_in_the_way() {
    let net = forward(
        "
        n = torch.size(x, 0)
        y = torch.permute(x, [1, 0, 2, 3])
        return torch.add(y, n)
        ",
    );
    let marked = cut_program(net);
    let (before, _) = marked.split_once("torch.add").unwrap();
    assert!(
        !before.split_once("permute").unwrap().1.contains("----"),
        "{marked}"
    );
}

#[test]
fn no_cut_lies_where_only_a_number_is_live() {
    let net = forward("n = torch.size(x, 0)\nreturn torch.zeros([n, 4])");
    let marked = cut_program(net);
    assert!(
        marked.starts_with("----\nv0 = torch.size(v1, 0)\nv2 = torch.zeros"),
        "{marked}"
    );
}
