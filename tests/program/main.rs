//! The flat program: what `forward` of a whole network comes down to for one input shape.

mod batches;
mod branches;
#[path = "../common/mod.rs"]
mod common;
mod contexts;
mod lists;
mod operators;
mod resolution;
mod shapes;

use std::time::{Duration, Instant};

use ckaprune::program::{Attribute, Known, Network, Op, Program, ProgramError};

use common::{FIXTURE_INPUT, Written, class, dedented, flat, network, program};

fn flat_fixture(name: &str) -> String {
    let network = network(name);
    flat(&network, &program(&network, &FIXTURE_INPUT))
}

/// A network whose class `Net` has nothing but this body of `forward(self, x)`.
fn forward(body: &str) -> Written {
    Written::new(&class("Net", body))
}

#[track_caller]
fn assert_flat(written: Written, expected: &str) {
    assert_eq!(written.follow(&[4, 8, 8]).unwrap(), dedented(expected));
}

fn follow(network: &Network) -> Program {
    program(network, &[4, 8, 8])
}

// Real archives.

#[test]
fn fixtures_come_down_to_these_programs() {
    for name in [
        "basic_scripted",
        "inplace_scripted",
        "preact_traced",
        "dropout_traced",
        "basic_frozen",
    ] {
        insta::assert_snapshot!(name, flat_fixture(&format!("{name}.pt")));
    }
}

/// Scripting and tracing spell some calls differently; apart from that the programs are one.
#[test]
fn a_traced_network_is_the_scripted_one() {
    let respelt = [
        ("_convolution", "conv2d"),
        (", False, [0, 0], 1, False, False, True, True)", ")"),
        (", 0, 0, 9223372036854775807)", ")"),
        (", 0, 9223372036854775807", ", None, None"),
        (", 1, None, None)", ", 1)"),
        (", \"constant\", None)", ")"),
        (
            "max_pool2d(v3, [3, 3], [1, 1], [1, 1], [1, 1], False)",
            "max_pool2d(v3, [3, 3], [1, 1], [1, 1], [1, 1])",
        ),
    ];
    for family in ["basic", "inplace", "preact"] {
        let [scripted, traced] = ["scripted", "traced"].map(|form| {
            let text = flat_fixture(&format!("{family}_{form}.pt"));
            respelt
                .iter()
                .fold(text, |text, (from, to)| text.replace(from, to))
        });
        assert_eq!(scripted, traced, "{family}");
    }
}

// In-place writes.

#[test]
fn a_write_in_place_becomes_a_new_value_for_all_who_read_later() {
    let net = forward(
        "
        y = torch.neg(x)
        z = torch.relu_(y)
        return torch.add(y, z)
        ",
    );
    assert_flat(
        net,
        "
        v0 = torch.neg(v1)
        v2 = torch.relu(v0)
        v3 = torch.add(v2, v2)
        return v3
        ",
    );
}

#[test]
fn a_write_stays_in_place_where_an_older_view_is_read_later() {
    let net = forward(
        "
        y = torch.neg(x)
        view = torch.select(y, 1, 0)
        _0 = torch.relu_(y)
        return view
        ",
    );
    assert_flat(
        net,
        "
        v0 = torch.neg(v1)
        v2 = torch.select(v0, 1, 0)
        v3 = torch.relu_(v0)
        return v2
        ",
    );
}

#[test]
fn a_write_into_a_view_stays_in_place_where_the_whole_is_read_later() {
    let net = forward(
        "
        y = torch.neg(x)
        _0 = torch.relu_(torch.select(y, 1, 0))
        return torch.exp(y)
        ",
    );
    assert_flat(
        net,
        "
        v0 = torch.neg(v1)
        v2 = torch.select(v0, 1, 0)
        v3 = torch.relu_(v2)
        v4 = torch.exp(v0)
        return v4
        ",
    );
}

#[test]
fn an_operator_without_a_functional_twin_stays_in_place() {
    let net = forward(
        "
        y = torch.neg(x)
        _0 = torch.zero_(y)
        return y
        ",
    );
    assert_flat(net, "v0 = torch.neg(v1)\nv2 = torch.zero_(v0)\nreturn v0\n");
}

// Control flow.

#[test]
fn what_attributes_and_shapes_decide_is_decided() {
    let net = forward(
        "
        if self.wide:
          y = torch.neg(x)
        else:
          y = torch.exp(x)
        if torch.eq(torch.size(x, 1), 4):
          z = torch.relu(y)
        else:
          z = torch.tanh(y)
        for i in range(2):
          z = torch.mul(z, i)
        return z
        ",
    );
    let net = net.set("wide", Attribute::Bool(false));
    assert_flat(
        net,
        "
        v0 = torch.exp(v1)
        v2 = torch.relu(v0)
        v3 = torch.mul(v2, 0)
        v4 = torch.mul(v3, 1)
        return v4
        ",
    );
}

#[test]
fn a_branch_on_data_becomes_one_statement_with_its_reads_and_writes() {
    let net = forward(
        "
        y = torch.neg(x)
        unused = torch.exp(x)
        if bool(torch.gt(torch.sum(x), 0)):
          a = torch.relu(y)
          z = torch.mul(a, 2)
        else:
          z = y
        return z
        ",
    )
    .network();
    let program = follow(&net);
    let opaque: Vec<_> = program
        .statements
        .iter()
        .filter(|s| matches!(s.op, Op::Opaque(_)))
        .collect();
    let [branch] = opaque.as_slice() else {
        panic!("{}", flat(&net, &program))
    };
    // x in the condition, y in both arms; a and z are assigned.
    let reads: Vec<_> = branch.reads().collect();
    assert!(
        reads.contains(&program.input) && reads.contains(&program.statements[0].outputs[0]),
        "{reads:?}"
    );
    assert_eq!((reads.len(), branch.outputs.len()), (2, 2));
    insta::assert_snapshot!(flat(&net, &program));
}

#[test]
fn a_variable_that_a_branch_overwrites_goes_in_and_comes_out() {
    let net = forward(
        "
        y = torch.neg(x)
        z = torch.exp(y)
        if bool(torch.gt(torch.sum(x), 0)):
          y = torch.relu(y)
        return torch.add(y, z)
        ",
    )
    .network();
    insta::assert_snapshot!(flat(&net, &follow(&net)));
}

/// `relu(self.child(x))`, where the child's `forward(self, x)` has this body.
fn with_child(body: &str) -> Written {
    let root = class(
        "Net",
        "child = self.child\nreturn torch.relu((child).forward(x, ))",
    );
    Written::new(&(root + &class("Child", body))).module("child", "Child")
}

/// What code that is not followed gives may share the memory of all it was given.
#[test]
fn a_write_behind_a_call_that_stays_reaches_the_calls_inputs() {
    let child = class(
        "Child",
        "
        if bool(torch.sum(x)):
          return x
        return torch.neg(x)
        ",
    );
    let net = |body: &str| Written::new(&(class("Net", body) + &child)).module("child", "Child");
    let writes_the_result = net("
        y = torch.exp(x)
        child = self.child
        z = (child).forward(y, )
        _0 = torch.relu_(z)
        return torch.neg(y)
        ");
    assert_flat(
        writes_the_result,
        "
        v0 = torch.exp(v1)
        v2 = (self.child).forward(v0)
        v3 = torch.relu_(v2)
        v4 = torch.neg(v0)
        return v4
        ",
    );
    let writes_the_input = net("
        y = torch.exp(x)
        child = self.child
        z = (child).forward(y, )
        _0 = torch.relu_(y)
        return torch.neg(z)
        ");
    assert_flat(
        writes_the_input,
        "
        v0 = torch.exp(v1)
        v2 = (self.child).forward(v0)
        v3 = torch.relu_(v0)
        v4 = torch.neg(v2)
        return v4
        ",
    );
}

#[test]
fn a_write_behind_a_branch_on_data_reaches_what_the_branch_read() {
    let net = forward(
        "
        y = torch.exp(x)
        if bool(torch.sum(x)):
          z = torch.neg(y)
        else:
          z = y
        _0 = torch.relu_(z)
        return torch.neg(y)
        ",
    );
    let text = net.follow(&[4, 8, 8]).unwrap();
    assert!(text.contains("torch.relu_("), "{text}");
}

#[test]
fn a_call_that_returns_from_the_middle_of_a_branch_on_data_stays_a_call() {
    let net = with_child(
        "
        if bool(torch.sum(x)):
          return x
        return torch.neg(x)
        ",
    );
    assert_flat(
        net,
        "v0 = (self.child).forward(v1)\nv2 = torch.relu(v0)\nreturn v2\n",
    );
}

#[test]
fn statements_nobody_needs_are_gone_and_writes_stay() {
    let net = forward(
        "
        y = torch.neg(x)
        unused = torch.exp(torch.tanh(x))
        shape = torch.size(x)
        self.calls = torch.sum(x)
        return y
        ",
    );
    assert_flat(
        net,
        "v0 = torch.neg(v1)\nv2 = torch.sum(v1)\nself.calls = v2\nreturn v0\n",
    );
}

#[test]
fn random_numbers_are_drawn_even_where_nobody_looks() {
    let net = forward("unused = torch.rand_like(x)\nreturn torch.neg(x)\n");
    assert_flat(
        net,
        "v0 = torch.rand_like(v1)\nv2 = torch.neg(v1)\nreturn v2\n",
    );
}

#[test]
fn the_batch_size_stays_open() {
    let net = forward("return torch.view(x, [torch.size(x, 0), -1])\n").network();
    let program = follow(&net);
    assert_eq!(
        flat(&net, &program),
        "v0 = torch.size(v1, 0)\nv2 = torch.view(v1, [v0, -1])\nreturn v2\n"
    );
    let Known::Tensor {
        shape: Some(shape), ..
    } = &program.output.known
    else {
        panic!("{:?}", program.output)
    };
    assert_eq!(
        shape.iter().map(|d| d.known()).collect::<Vec<_>>(),
        [None, Some(4 * 8 * 8)]
    );
}

// Refusals.

#[test]
fn a_network_that_raises_names_the_module_that_does() {
    let net = with_child(
        "
        if torch.ne(torch.size(x, 1), 3):
          ops.prim.RaiseException(\"three channels, please\")
        return x
        ",
    );
    let error = net.follow(&[4, 8, 8]).unwrap_err();
    assert_eq!(
        error,
        ProgramError::Refused {
            module: "child".into(),
            message: "three channels, please".into()
        }
    );
    assert_eq!(error.to_string(), "in child: three channels, please");
}

#[test]
fn wrong_input_shapes_are_refused_with_the_place_and_the_numbers() {
    let answer =
        |name: &str, shape: &[i64]| Program::new(&network(name), shape).unwrap_err().to_string();
    insta::assert_snapshot!(answer("basic_scripted.pt", &[4, 8, 8]), @"in conv: conv2d: 3 channels are expected, the input has 4");
    insta::assert_snapshot!(answer("basic_traced.pt", &[1, 8, 8]), @"in conv: _convolution: 3 channels are expected, the input has 1");
    insta::assert_snapshot!(answer("inplace_scripted.pt", &[3, 8]), @"in conv1: conv2d: an input of 3 dimensions for a weight of 4");
    insta::assert_snapshot!(answer("basic_frozen.pt", &[3, 0, 8]), @"conv2d: a window of 3 does not fit into 0 pixels");
}

/// Hostile code must neither take the analysis with it nor hold it up.
#[track_caller]
fn assert_ends_soon(net: Written) -> Result<String, ProgramError> {
    let start = Instant::now();
    let answer = net.follow(&[4, 8, 8]);
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "took {:?}",
        start.elapsed()
    );
    answer
}

#[test]
fn endless_recursion_is_an_error() {
    let error = assert_ends_soon(forward("return (self).forward(x, )\n")).unwrap_err();
    assert!(matches!(error, ProgramError::NotFollowed { .. }), "{error}");
}

#[test]
fn recursion_in_deep_expressions_is_no_stack_overflow() {
    for (open, close) in [
        ("torch.neg(", ")"),
        ("annotate(Tensor, ", ")"),
        ("torch.cat([", "], 0)"),
        ("(", ", x)[0]"),
        ("getattr(", ", \"a\")"),
        ("x if True else ", ""),
        ("x if False else ", ""),
    ] {
        for (levels, depth) in [(0, 40), (20, 40), (100, 0)] {
            let ifs: String = (0..levels)
                .map(|level| format!("{:level$}if True:\n", ""))
                .collect();
            let (open, close) = (open.repeat(depth), close.repeat(depth));
            let call = format!("{:levels$}return {open}(self).forward(x, ){close}\n", "");
            let _ = assert_ends_soon(forward(&(ifs + &call)));
        }
    }
}

#[test]
fn endless_loops_end() {
    for body in [
        "while True:\n  x = torch.neg(x)\nreturn x\n",
        "for i in range(1000000000000):\n  x = torch.neg(x)\nreturn x\n",
        "for i in range(100000):\n  for j in range(100000):\n    x = torch.neg(x)\nreturn x\n",
        "for i in range(100000):\n  for j in range(100000):\n    pass\nreturn x\n",
    ] {
        let _ = assert_ends_soon(forward(body));
    }
}

#[test]
fn lists_that_grow_end() {
    for body in [
        "a = annotate(List[Tensor], [])\nfor i in range(100000):\n  _0 = torch.append(a, x)\nreturn x\n",
        "a = [x]\nfor i in range(100000):\n  _0 = torch.extend(a, a)\nreturn x\n",
        "a = [x]\nfor i in range(100000):\n  _0 = torch._set_item(a, 0, x)\nreturn x\n",
        "a = [x]\nfor i in range(100):\n  a = [a, a]\nreturn x\n",
        "a = (x, x)\nfor i in range(100):\n  a = (a, a)\nreturn x\n",
        "a = [x]\nb = [a]\n_0 = torch.append(a, b)\n_1 = torch.append(b, a)\nreturn x\n",
    ] {
        let _ = assert_ends_soon(forward(body));
    }
}

/// Forty methods that call the next one twice: a trillion calls from forty lines.
#[test]
fn calls_that_double_at_every_level_end() {
    let level = |n: usize| {
        format!(
            "  def f{n}(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    y = (self).f{0}(x, )\n    return (self).f{0}(y, )\n",
            n + 1
        )
    };
    let levels: String = (0..40).map(level).collect();
    let source = format!(
        "class Net(Module):\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    return (self).f0(x, )\n{levels}  def f40(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    return torch.neg(x)\n"
    );
    assert!(assert_ends_soon(Written::new(&source)).is_err());
}
