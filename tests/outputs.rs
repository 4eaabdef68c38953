//! Which outputs are a network's answer, and in which element type a network takes its input.

mod common;

use ckaprune::blocks::representation::representation;
use ckaprune::program::dtype::Dtype;
use ckaprune::program::interface::{Interface, InterfaceError};
use ckaprune::program::output::{OutputKeys, Step, choose};
use ckaprune::program::{Attribute, Network, Statement, TensorInfo, ValueId};
use common::{FIXTURE_INPUT, Written, class, network, program};

/// What of the output is chosen, as paths.
fn chosen(network: &Network, key: Option<&str>) -> Result<String, String> {
    let keys: Option<OutputKeys> = key.map(|k| k.parse().unwrap());
    let program = program(network, &FIXTURE_INPUT);
    let answer = choose(network, &program, keys.as_ref()).map_err(|e| e.to_string())?;
    let show = |step: &Step| match step {
        Step::Item(i) => format!("[{i}]"),
        Step::Key(key) => format!("[{key:?}]"),
    };
    let paths = answer
        .outlets
        .iter()
        .map(|outlet| outlet.path.iter().map(show).collect());
    let paths: Vec<String> = paths.collect();
    Ok(paths.join(" "))
}

fn giving(body: &str) -> Network {
    let linear = class("Linear", "return torch.linear(x, self.weight, None)");
    let body = format!(
        "a = self.a\n_0 = torch.mean(x, [2, 3])\n_1 = (a).forward(_0, )\n_2 = torch.neg(_1)\n{body}"
    );
    Written::new(&format!("{}{linear}", class("Net", &body)))
        .module("a", "Linear")
        .tensor("a.weight", &[5, 3])
        .network()
}

#[test]
fn the_only_matrix_among_the_outputs_is_the_scores() {
    assert_eq!(chosen(&giving("return _1"), None).unwrap(), "");
    assert_eq!(chosen(&giving("return (x, _1)"), None).unwrap(), "[1]");
    assert_eq!(chosen(&giving("return [_1, x]"), None).unwrap(), "[0]");
    assert_eq!(
        chosen(&giving("return (None, (x, _1))"), None).unwrap(),
        "[1][1]"
    );
    let dict = giving("return {\"out\": _1, \"features\": x}");
    assert_eq!(chosen(&dict, None).unwrap(), "[\"out\"]");
}

#[test]
fn of_several_matrices_all_count_unless_some_are_named() {
    let pair = giving("return (_1, _2)");
    assert_eq!(chosen(&pair, None).unwrap(), "[0] [1]");
    assert_eq!(chosen(&pair, Some("1,0")).unwrap(), "[1] [0]");
    assert_eq!(chosen(&pair, Some("0")).unwrap(), "[0]");
    assert_eq!(chosen(&pair, Some("-1")).unwrap(), "[1]");
    let nested = giving("return {\"main\": (_1, x), \"aux.loss\": _2}");
    assert_eq!(chosen(&nested, Some("main.0")).unwrap(), "[\"main\"][0]");
    assert_eq!(chosen(&nested, Some("aux.loss")).unwrap(), "[\"aux.loss\"]");
}

#[test]
fn a_tensor_of_unknown_shape_may_hold_the_scores_too() {
    let body = "_3 = torch.some_operator(x)\nreturn (_1, _3)";
    assert_eq!(chosen(&giving(body), None).unwrap(), "[0] [1]");
}

#[test]
fn maps_count_where_no_output_has_a_row_for_each_image() {
    let body = "_3 = torch.neg(x)\n_4 = torch.sum(x)\nreturn (x, [_3], _4)";
    assert_eq!(chosen(&giving(body), None).unwrap(), "[0] [1][0]");
}

#[test]
fn class_scores_are_one_row_for_each_image() {
    let gives_scores = |body: &str| {
        let network = giving(body);
        let program = program(&network, &FIXTURE_INPUT);
        choose(&network, &program, None).unwrap().scores().is_some()
    };
    assert!(gives_scores("return _1"));
    assert!(gives_scores("return (x, _1)"));
    assert!(gives_scores("return torch.mean(x, [2, 3], True)"));
    assert!(!gives_scores("return x"));
    assert!(!gives_scores("return (_1, _2)"));
}

#[test]
fn a_key_that_names_no_tensor_is_refused_with_those_there_are() {
    let pair = giving("return (_1, x)");
    for key in ["2", "-3", "out", "0.0"] {
        let error = chosen(&pair, Some(key)).unwrap_err();
        let expected = format!(
            "the network gives no tensor `{key}`; --output-key names one of 0 (n×5), 1 (n×3×8×8)"
        );
        assert_eq!(error, expected);
    }
    let error = chosen(&giving("return _1"), Some("0")).unwrap_err();
    assert!(error.contains("just one tensor"), "{error}");
}

#[test]
fn fields_of_a_named_tuple_name_its_items() {
    let source = "
        class Pair(NamedTuple):
          first : Tensor
          second : Tensor
        class Net(Module):
          def forward(self: __torch__.Net,
            x: Tensor) -> __torch__.Pair:
            _0 = torch.mean(x, [2, 3])
            return (_0, torch.neg(_0))
    ";
    let network = Written::new(source).network();
    assert_eq!(chosen(&network, Some("second")).unwrap(), "[1]");
    let error = chosen(&network, Some("third")).unwrap_err();
    assert!(error.contains("first (n×3), second (n×3)"), "{error}");
}

/// Convolutions in front of the representation: the stem has one, each block two.
fn convolutions_represented(name: &str, key: &str) -> usize {
    let network = network(name);
    let program = program(&network, &FIXTURE_INPUT);
    let keys: OutputKeys = key.parse().unwrap();
    let answer = choose(&network, &program, Some(&keys))
        .unwrap()
        .values()
        .unwrap();
    let represented = representation(&program.towards(answer[0]), &answer);
    let [represented] = represented[..] else {
        panic!("{represented:?}");
    };
    let before = program.towards(represented);
    let is_convolution = |name: Option<&str>| matches!(name, Some("conv2d" | "_convolution"));
    let operators = before.statements.iter().map(|s| s.operator());
    operators.filter(|name| is_convolution(*name)).count()
}

#[test]
fn the_representation_is_on_the_way_to_the_chosen_output() {
    for name in ["outputs_tuple_scripted.pt", "outputs_tuple_traced.pt"] {
        // The second classifier runs last, but looks at the stream half-way.
        assert_eq!(convolutions_represented(name, "0"), 5, "{name}");
        assert_eq!(convolutions_represented(name, "1"), 9, "{name}");
    }
}

fn interface(name: &str) -> Result<Interface, InterfaceError> {
    let network = network(name);
    Interface::of(&network, &program(&network, &FIXTURE_INPUT), None)
}

#[test]
fn the_input_has_the_type_of_the_weights() {
    for (name, element) in [
        ("half_scripted.pt", Dtype::Float16),
        ("bfloat16_scripted.pt", Dtype::BFloat16),
        ("double_scripted.pt", Dtype::Float64),
        ("basic_frozen.pt", Dtype::Float32),
        // Its numbers are tensors of double precision.
        ("outputs_dict_traced.pt", Dtype::Float32),
    ] {
        assert_eq!(interface(name).unwrap().element, element, "{name}");
    }
}

fn of_two_types(body: &str) -> Dtype {
    let weight = |dtype, storage: &str| {
        Attribute::Tensor(TensorInfo {
            shape: vec![3, 3],
            dtype,
            parameter: true,
            requires_grad: true,
            storage: storage.into(),
        })
    };
    let network = Written::new(&class("Net", body))
        .set("half", weight(Dtype::Float16, "a"))
        .set("single", weight(Dtype::Float32, "b"))
        .network();
    let program = program(&network, &[3]);
    Interface::of(&network, &program, None).unwrap().element
}

#[test]
fn of_two_types_the_first_layer_decides_unless_the_network_converts() {
    let layers = "x0 = torch.linear(x, self.half, None)\nx1 = torch.to(x0, 6)\nreturn torch.linear(x1, self.single, None)";
    assert_eq!(of_two_types(layers), Dtype::Float16);
    let converted = format!("x = torch.to(x, 5)\n{layers}");
    assert_eq!(of_two_types(&converted), Dtype::Float32);
}

#[test]
fn quantised_networks_are_known_by_weights_or_operators() {
    for name in [
        "quantised_scripted.pt",
        "quantised_traced.pt",
        "quantised_head_scripted.pt",
    ] {
        let interface = interface(name).unwrap();
        assert_eq!(
            interface.check_prunable(),
            Err(InterfaceError::Quantised),
            "{name}"
        );
    }
    assert_eq!(
        interface("basic_traced.pt").unwrap().check_prunable(),
        Ok(())
    );
}

#[test]
fn numbers_that_are_not_real_or_too_short_are_refused() {
    for dtype in [Dtype::ComplexFloat32, Dtype::Float8E4M3Fn] {
        let info = TensorInfo {
            shape: vec![3, 3],
            dtype,
            parameter: true,
            requires_grad: true,
            storage: "w".into(),
        };
        let network = Written::new(&class("Net", "return torch.linear(x, self.w, None)"))
            .set("w", Attribute::Tensor(info))
            .network();
        let refused = Interface::of(&network, &program(&network, &[3]), None);
        assert_eq!(refused, Err(InterfaceError::Element(dtype)));
    }
}

#[test]
fn half_precision_is_too_coarse_to_train() {
    assert_eq!(
        interface("half_scripted.pt").unwrap().check_trainable(),
        Err(InterfaceError::TooCoarse(Dtype::Float16))
    );
    assert_eq!(
        interface("double_scripted.pt").unwrap().check_trainable(),
        Ok(())
    );
}

/// What the representation of such a network is made by, part by part.
fn represented_by(body: &str) -> Vec<String> {
    let linear = class("Linear", "return torch.linear(x, self.weight, None)");
    let network = Written::new(&format!("{}{linear}", class("Net", body)))
        .module("a", "Linear")
        .tensor("a.weight", &[3, 3])
        .module("b", "Linear")
        .tensor("b.weight", &[3, 3])
        .tensor("t", &[1])
        .network();
    let program = program(&network, &FIXTURE_INPUT);
    let maker = |value: &ValueId| {
        let gives = |s: &&Statement| s.outputs.contains(value);
        let statement = program.statements.iter().find(gives).unwrap();
        statement.operator().unwrap().to_owned()
    };
    let answer = choose(&network, &program, None).unwrap().values().unwrap();
    representation(&program, &answer)
        .iter()
        .map(maker)
        .collect()
}

#[test]
fn one_head_is_represented_by_its_input_whatever_is_done_to_its_scores() {
    for last in [
        "return torch.softmax(y, 1)",
        "return torch.mul(y, self.t)",
        "return torch.type_as(y, x)",
        "return torch.view(y, [torch.size(x, 0), -1])",
        "return torch.add(y, torch.zeros_like(h))",
        "return torch.relu_(y)",
    ] {
        let body = format!("a = self.a\nh = torch.mean(x, [2, 3])\ny = (a).forward(h, )\n{last}");
        assert_eq!(represented_by(&body), ["mean"], "{last}");
    }
}

#[test]
fn all_last_layers_count_and_no_others() {
    let heads = "a = self.a\nb = self.b\nh = torch.mean(x, [2, 3])\ng = torch.amax(x, [2, 3])\n";
    for last in [
        "return torch.add((a).forward(h, ), (b).forward(g, ))",
        "return torch.cat([(a).forward(h, ), (b).forward(g, )], 1)",
        "return torch.mul((a).forward(h, ), torch.sigmoid((b).forward(g, )))",
        "y = (a).forward(h, )\nz = torch.add_(y, (b).forward(g, ))\nreturn y",
        "y, z, = [(a).forward(h, ), (b).forward(g, )]\nreturn torch.sub(y, z)",
    ] {
        assert_eq!(
            represented_by(&format!("{heads}{last}")),
            ["mean", "amax"],
            "{last}"
        );
    }
    let chain = format!("{heads}return (b).forward(torch.relu((a).forward(h, )), )");
    assert_eq!(represented_by(&chain), ["relu"]);
    let twice = format!("{heads}return torch.add((a).forward(h, ), (b).forward(h, ))");
    assert_eq!(represented_by(&twice), ["mean"]);
}

#[test]
fn where_the_stream_runs_past_the_last_layers_the_scores_are_compared() {
    let body = "a = self.a\nb = self.b\nh = torch.mean(x, [2, 3])\n";
    for last in [
        "y = torch.add(h, (a).forward(h, ))\nreturn torch.add(y, (b).forward(y, ))",
        "y = (a).forward(h, )\nreturn torch.add(y, (b).forward(torch.relu(y), ))",
    ] {
        assert_eq!(represented_by(&format!("{body}{last}")), ["add"], "{last}");
    }
    // Both inputs are looked at together, when one of them is no more what its layer has seen.
    let overwritten = "y = (a).forward(h, )\ng = torch.copy_(h, torch.neg(h))\nreturn torch.sub(y, (b).forward(g, ))";
    assert_eq!(represented_by(&format!("{body}{overwritten}")), ["sub"]);
}
