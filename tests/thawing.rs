//! Frozen weights become parameters again, and nothing else about the network changes.

mod common;

#[allow(dead_code)]
#[path = "archive/build.rs"]
mod build;

use build::{Files, object, program as pickle, tensor, tuple};
use ckaprune::archive::{Archive, Section, TensorRef};
use ckaprune::blocks::patch::thaw;
use ckaprune::program::{ModuleTree, Network, Program};
use common::{FIXTURE_INPUT, dedented, fixture, flat, open};
use insta::assert_snapshot;

/// A constant of shape `shape`, and its elements.
struct Constant(Vec<i64>, Vec<f32>);

fn constant<const D: usize>(shape: [i64; D], elements: &[f32]) -> Constant {
    let count = shape.iter().product::<i64>() as usize;
    // Short lists are repeated.
    let elements = elements.iter().copied().cycle().take(count).collect();
    Constant(shape.to_vec(), elements)
}

/// Elements that are no two the same.
fn learned<const D: usize>(shape: [i64; D]) -> Constant {
    let elements: Vec<f32> = (1..100_u8).map(f32::from).collect();
    constant(shape, &elements)
}

fn strides(shape: &[i64]) -> Vec<i64> {
    (1..=shape.len())
        .map(|d| shape[d..].iter().product())
        .collect()
}

/// A network of one class `Net` whose `forward(self, x)` has this body; the root object has no attributes.
fn frozen(constants: &[Constant], body: &str) -> Archive {
    let body: String = dedented(body)
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect();
    let class = format!(
        "class Net(Module):\n  __parameters__ = []\n  __buffers__ = []\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n{body}"
    );
    archive(&object("__torch__", "Net", &[]), &class, constants)
}

fn archive(root: &[u8], source: &str, constants: &[Constant]) -> Archive {
    let mut files = Files(Vec::new());
    files.put("data.pkl", &pickle(root));
    files.deflate("code/__torch__.py", source.as_bytes());
    let mut tensors = Vec::new();
    for (key, Constant(shape, elements)) in constants.iter().enumerate() {
        let bytes: Vec<u8> = elements.iter().flat_map(|x| x.to_le_bytes()).collect();
        files.put(&format!("constants/{key}"), &bytes);
        let len = elements.len() as i64;
        let key = key.to_string();
        tensors.push(tensor("FloatStorage", &key, len, 0, shape, &strides(shape)));
    }
    files.put("constants.pkl", &pickle(&tuple(&tensors)));
    files.put("version", b"3\n");
    files.open().unwrap()
}

/// The thawed archive as it is read back, and how many parameters it has more.
fn thawed(archive: &Archive) -> (Archive, usize) {
    let mut thawed = archive.clone();
    let count = thaw(&mut thawed, &archive.network().unwrap()).unwrap();
    (build::open(thawed.to_bytes().unwrap()).unwrap(), count)
}

fn source(archive: &Archive) -> String {
    archive.sources().map(|(_, text)| text).collect()
}

fn thawed_source(constants: &[Constant], body: &str) -> String {
    source(&thawed(&frozen(constants, body)).0)
}

/// Names and descriptions of the root's tensors.
fn attributes(archive: &Archive) -> Vec<(String, TensorRef)> {
    let data = archive.data();
    data.attributes(data.root())
        .filter_map(|(name, node)| Some((name.to_owned(), data.tensor(node)?.unwrap())))
        .collect()
}

fn bytes(archive: &Archive, name: &str) -> Vec<u8> {
    let all = attributes(archive);
    let (_, tensor) = all.iter().find(|(n, _)| n == name).unwrap();
    archive.storage(Section::Data, &tensor.storage).unwrap()
}

fn basic() -> Archive {
    open(&fixture("basic_frozen.pt"))
}

fn program(network: &Network) -> String {
    let program = Program::new(network, &FIXTURE_INPUT).unwrap();
    flat(network, &program)
}

/// The program with a blank in place of each word that `is_weight` picks, and those words in order.
fn without_weights(program: &str, is_weight: fn(&str) -> bool) -> (String, Vec<String>) {
    let words = program.split_inclusive(|c: char| "(), \n[]".contains(c));
    let mut weights = Vec::new();
    let text = words
        .map(|word| {
            let name = word.trim_end_matches(|c: char| "(), \n[]".contains(c));
            if !is_weight(name) {
                return word.to_owned();
            }
            weights.push(name.rsplit_once('.').unwrap().1.to_owned());
            format!("_{}", &word[name.len()..])
        })
        .collect();
    (text, weights)
}

#[test]
fn the_parameters_are_those_of_the_folded_network() {
    let frozen = basic();
    let constants = frozen.network().unwrap().constants;
    let (thawed, count) = thawed(&frozen);
    let network = thawed.network().unwrap();
    assert_eq!(count, constants.len());
    assert_eq!(
        network.modules.parameter_count(ModuleTree::ROOT),
        constants.iter().map(|c| c.len()).sum::<i64>()
    );
    let described: Vec<String> = network
        .modules
        .tensors(ModuleTree::ROOT)
        .map(|(_, name, info)| format!("{name} {:?} {}", info.shape, info.parameter))
        .collect();
    assert_snapshot!([&described[..4], &described[38..]].concat().join("\n"), @r#"
    conv1_weight [4, 3, 3, 3] true
    conv1_bias [4] true
    conv2_weight [4, 4, 3, 3] true
    conv2_bias [4] true
    conv20_weight [8, 8, 3, 3] true
    conv20_bias [8] true
    linear1_weight [5, 8] true
    linear1_bias [5] true
    "#);
    assert!(attributes(&thawed).iter().all(|(_, t)| t.requires_grad));
}

#[test]
fn the_program_is_the_same_up_to_the_names_of_its_weights() {
    let frozen = basic();
    let (thawed, _) = thawed(&frozen);
    let before = program(&frozen.network().unwrap());
    let after = program(&thawed.network().unwrap());
    let (before, constants) = without_weights(&before, |w| w.starts_with("CONSTANTS."));
    let (after, names) = without_weights(&after, |w| w.starts_with("self."));
    assert_eq!(after, before);
    assert_eq!(constants.len(), names.len());
    for (constant, name) in constants.iter().zip(&names) {
        let constant = frozen.constant(constant[1..].parse().unwrap());
        let key = constant.unwrap().unwrap().storage;
        let expected = frozen.storage(Section::Constants, &key).unwrap();
        assert_eq!(bytes(&thawed, name), expected, "{name}");
    }
}

#[test]
fn thawing_twice_changes_nothing_more() {
    let (once, _) = thawed(&basic());
    let (twice, count) = thawed(&once);
    assert_eq!(count, 0);
    assert!(twice.to_bytes().unwrap() == once.to_bytes().unwrap());
}

#[test]
fn equal_archives_thaw_to_equal_bytes() {
    assert!(thawed(&basic()).0.to_bytes().unwrap() == thawed(&basic()).0.to_bytes().unwrap());
}

#[test]
fn weights_are_moved_and_not_copied() {
    let (thawed, _) = thawed(&basic());
    assert!(thawed.constants().storages().unwrap().is_empty());
    let data = thawed.data().storages().unwrap();
    let before = basic();
    let constants = before.constants().storages().unwrap();
    let sum = |storages: &[(&str, u64)]| storages.iter().map(|(_, bytes)| bytes).sum::<u64>();
    assert_eq!(sum(&data), sum(&constants));
    assert!(thawed.storage(Section::Constants, "0").is_err());
}

#[test]
fn what_is_no_weight_stays_a_constant_under_a_new_number() {
    let constants = [
        constant([3, 1, 1], &[0.4, 0.5, 0.6]), // the mean of the input
        learned([2, 3, 1, 1]),
        constant([4], &[0., -100.]), // a mask
        constant([4], &[1., 0.5, f32::NEG_INFINITY]),
        constant([], &[0.5]), // a number
        learned([2, 4]),      // the input of a layer
        learned([2, 4]),
        learned([2]), // a term
    ];
    let body = "
        x0 = torch.sub(x, CONSTANTS.c0)
        x1 = torch.conv2d(x0, CONSTANTS.c1)
        x2 = torch.add(torch.add(x1, CONSTANTS.c2), CONSTANTS.c3)
        x3 = torch.mul(x2, CONSTANTS.c4)
        t = torch.linear(CONSTANTS.c5, CONSTANTS.c6)
        return torch.add_(x3, CONSTANTS.c7)
    ";
    assert_snapshot!(thawed_source(&constants, body), @r#"
    class Net(Module):
      __parameters__ = ["conv1_weight", "linear1_weight", "offset1", ]
      __buffers__ = []
      conv1_weight : Tensor
      linear1_weight : Tensor
      offset1 : Tensor
      def forward(self: __torch__.Net,
        x: Tensor) -> Tensor:
        x0 = torch.sub(x, CONSTANTS.c0)
        x1 = torch.conv2d(x0, self.conv1_weight)
        x2 = torch.add(torch.add(x1, CONSTANTS.c1), CONSTANTS.c2)
        x3 = torch.mul(x2, CONSTANTS.c3)
        t = torch.linear(CONSTANTS.c4, self.linear1_weight)
        return torch.add_(x3, self.offset1)
    "#);
}

#[test]
fn an_index_table_stays_a_constant() {
    let source = "class Net(Module):\n  __parameters__ = []\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    x0 = torch.linear(x, CONSTANTS.c1)\n    return torch.add(x0, CONSTANTS.c0)\n";
    let root = object("__torch__", "Net", &[]);
    let mut files = Files(Vec::new());
    files.put("data.pkl", &pickle(&root));
    files.deflate("code/__torch__.py", source.as_bytes());
    files.put("constants/0", &[1; 16]);
    files.put("constants/1", &[2; 16]);
    let table = tensor("LongStorage", "0", 2, 0, &[2], &[1]);
    let weight = tensor("FloatStorage", "1", 4, 0, &[2, 2], &[2, 1]);
    files.put("constants.pkl", &pickle(&tuple(&[table, weight])));
    files.put("version", b"3\n");
    let (thawed, count) = thawed(&files.open().unwrap());
    assert_eq!(count, 1);
    assert!(source_line(&thawed, "torch.add").contains("CONSTANTS.c0"));
    assert_eq!(thawed.storage(Section::Constants, "0").unwrap(), [1; 16]);
}

fn source_line(archive: &Archive, of: &str) -> String {
    let source = source(archive);
    source.lines().find(|l| l.contains(of)).unwrap().to_owned()
}

#[test]
fn measured_statistics_become_buffers() {
    // Freezing made one constant of the weight and the variance.
    let constants = [
        constant([4], &[1.]),
        learned([4]),
        constant([4], &[0.1, 0.2]),
    ];
    let body = "
        return torch.batch_norm(x, CONSTANTS.c0, CONSTANTS.c1, CONSTANTS.c2, CONSTANTS.c0, False, 0.1, 1.0000000000000001e-05, True)
    ";
    let (thawed, count) = thawed(&frozen(&constants, body));
    assert_eq!(count, 2);
    assert_snapshot!(source(&thawed), @r#"
    class Net(Module):
      __parameters__ = ["norm1_weight", "norm1_bias", ]
      __buffers__ = ["norm1_running_mean", "norm1_running_var", ]
      norm1_weight : Tensor
      norm1_bias : Tensor
      norm1_running_mean : Tensor
      norm1_running_var : Tensor
      def forward(self: __torch__.Net,
        x: Tensor) -> Tensor:
        return torch.batch_norm(x, self.norm1_weight, self.norm1_bias, self.norm1_running_mean, self.norm1_running_var, False, 0.1, 1.0000000000000001e-05, True)
    "#);
    let grads: Vec<bool> = attributes(&thawed)
        .iter()
        .map(|(_, t)| t.requires_grad)
        .collect();
    assert_eq!(grads, [true, true, false, false]);
}

#[test]
fn biases_that_only_happened_to_be_equal_are_parted() {
    let constants = [
        learned([2, 3]),
        constant([2], &[0.]),
        constant([2, 2], &[3., 1., 2.]),
    ];
    let body = "
        x0 = torch.linear(torch.linear(x, CONSTANTS.c0, CONSTANTS.c1), CONSTANTS.c2, CONSTANTS.c1)
        return torch.linear(x0, CONSTANTS.c2, CONSTANTS.c1)
    ";
    let (thawed, count) = thawed(&frozen(&constants, body));
    assert_eq!(count, 5);
    assert_snapshot!(source(&thawed), @r#"
    class Net(Module):
      __parameters__ = ["linear1_weight", "linear1_bias", "linear2_weight", "linear2_bias", "linear3_bias", ]
      __buffers__ = []
      linear1_weight : Tensor
      linear1_bias : Tensor
      linear2_weight : Tensor
      linear2_bias : Tensor
      linear3_bias : Tensor
      def forward(self: __torch__.Net,
        x: Tensor) -> Tensor:
        x0 = torch.linear(torch.linear(x, self.linear1_weight, self.linear1_bias), self.linear2_weight, self.linear2_bias)
        return torch.linear(x0, self.linear2_weight, self.linear3_bias)
    "#);
    let mut storages: Vec<String> = attributes(&thawed)
        .into_iter()
        .map(|(_, t)| t.storage)
        .collect();
    storages.sort();
    storages.dedup();
    assert_eq!(storages.len(), 5);
}

#[test]
fn branches_read_the_same_parameter() {
    let constants = [learned([2, 2]), constant([2], &[0.])];
    let body = "
        if torch.gt(torch.size(x, 0), 1):
          x0 = torch.linear(x, CONSTANTS.c0, CONSTANTS.c1)
        else:
          x0 = torch.linear(x, CONSTANTS.c0, CONSTANTS.c1)
        w = CONSTANTS.c0
        return x0
    ";
    assert_snapshot!(thawed_source(&constants, body), @r#"
    class Net(Module):
      __parameters__ = ["linear1_weight", "linear1_bias", ]
      __buffers__ = []
      linear1_weight : Tensor
      linear1_bias : Tensor
      def forward(self: __torch__.Net,
        x: Tensor) -> Tensor:
        if torch.gt(torch.size(x, 0), 1):
          x0 = torch.linear(x, self.linear1_weight, self.linear1_bias)
        else:
          x0 = torch.linear(x, self.linear1_weight, self.linear1_bias)
        w = self.linear1_weight
        return x0
    "#);
}

#[test]
fn names_in_use_are_left_alone() {
    let source = "class Net(Module):\n  __parameters__ = [\"conv1_weight\", ]\n  __buffers__ = []\n  conv1_weight : Tensor\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    return torch.conv2d(x, CONSTANTS.c0)\n  def conv1_bias(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    return torch.add(x, self.conv1_weight)\n";
    let own = build::global("torch", "FloatStorage");
    let root = object("__torch__", "Net", &[("conv1_weight", own)]);
    let (thawed, count) = thawed(&archive(&root, source, &[learned([1, 1, 1, 1])]));
    assert_eq!(count, 1);
    assert!(source_line(&thawed, "torch.conv2d").contains("self.conv1_weight_2"));
}

#[test]
fn a_weight_that_several_classes_read_stays_a_constant() {
    let source = "class Net(Module):\n  head : __torch__.Head\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    x0 = torch.linear(x, CONSTANTS.c0, CONSTANTS.c1)\n    return (self.head).forward(x0, )\nclass Head(Module):\n  def forward(self: __torch__.Head,\n    x: Tensor) -> Tensor:\n    return torch.linear(x, CONSTANTS.c0, CONSTANTS.c2)\n";
    let root = object(
        "__torch__",
        "Net",
        &[("head", object("__torch__", "Head", &[]))],
    );
    let constants = [learned([2, 2]), learned([2]), constant([2], &[5., 7.])];
    let (thawed, count) = thawed(&archive(&root, source, &constants));
    assert_eq!(count, 2);
    assert_snapshot!(self::source(&thawed), @r#"
    class Net(Module):
      __parameters__ = ["linear1_bias", ]
      head : __torch__.Head
      linear1_bias : Tensor
      def forward(self: __torch__.Net,
        x: Tensor) -> Tensor:
        x0 = torch.linear(x, CONSTANTS.c0, self.linear1_bias)
        return (self.head).forward(x0, )
    class Head(Module):
      __parameters__ = ["linear1_bias", ]
      linear1_bias : Tensor
      def forward(self: __torch__.Head,
        x: Tensor) -> Tensor:
        return torch.linear(x, CONSTANTS.c0, self.linear1_bias)
    "#);
    let modules = thawed.network().unwrap().modules;
    let names: Vec<String> = modules
        .tensors(ModuleTree::ROOT)
        .map(|(id, name, _)| format!("{}.{name}", modules.get(id).path))
        .collect();
    assert_eq!(names, [".linear1_bias", "head.linear1_bias"]);
}

#[test]
fn modules_of_one_class_keep_their_constants() {
    let source = "class Net(Module):\n  a : __torch__.Head\n  b : __torch__.Head\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    return (self.b).forward((self.a).forward(x, ), )\nclass Head(Module):\n  def forward(self: __torch__.Head,\n    x: Tensor) -> Tensor:\n    return torch.linear(x, CONSTANTS.c0)\n";
    let head = || object("__torch__", "Head", &[]);
    let root = object("__torch__", "Net", &[("a", head()), ("b", head())]);
    let archive = archive(&root, source, &[learned([2, 2])]);
    let (thawed, count) = thawed(&archive);
    assert_eq!(count, 0);
    assert!(thawed.to_bytes().unwrap() == archive.to_bytes().unwrap());
}
