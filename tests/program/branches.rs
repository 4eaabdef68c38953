//! Branches that only data decide: what is known of their results and of what they cost all the same.

use ckaprune::program::cost::{Macs, macs};
use ckaprune::program::{Attribute, Known, ModuleTree, Program};

use crate::common::{Written, class, dedented, flat, program};
use crate::{assert_ends_soon, forward};

/// One product of the input with an 8×8 weight, in every row of its 4×8.
const PRODUCT: i64 = 4 * 8 * 8 * 8;

/// A network with this body and an 8×8 weight, followed for inputs of 4×8×8.
fn follow(body: &str) -> (Program, Macs, String) {
    follow_written(forward(&format!("w = self.weight\n{}", dedented(body))))
}

fn follow_written(net: Written) -> (Program, Macs, String) {
    let net = net.tensor("weight", &[8, 8]).network();
    let program = program(&net, &[4, 8, 8]);
    let cost = macs(&net, &program, 0..program.statements.len());
    let text = flat(&net, &program);
    (program, cost, text)
}

fn shape(program: &Program) -> Option<Vec<i64>> {
    let [output] = program.output.operand.values()[..] else {
        return None;
    };
    program.sample_shape(output)
}

#[track_caller]
fn assert_exact(cost: Macs, count: i64) {
    assert_eq!(cost, Macs { count, exact: true });
}

#[test]
fn what_both_sides_agree_on_is_known() {
    let (program, cost, _) = follow(
        "
        if bool(torch.sum(x)):
          y = torch.linear(torch.neg(x), w)
          n = 4
        else:
          y = torch.linear(x, w)
          n = 4
        if torch.eq(n, 4):
          z = torch.linear(y, w)
        else:
          z = torch.sum(y)
        return z
        ",
    );
    assert_eq!(shape(&program), Some(vec![4, 8, 8]));
    assert_exact(cost, 2 * PRODUCT);
}

#[test]
fn what_they_differ_in_is_not() {
    let (program, cost, _) = follow(
        "
        if bool(torch.sum(x)):
          y = torch.linear(x, w)
        else:
          y = torch.slice(x, 1, 0, 2)
        return y
        ",
    );
    assert_eq!(shape(&program), None);
    assert!(!cost.exact);
}

#[test]
fn a_side_that_raises_says_nothing_of_the_result() {
    let (program, cost, _) = follow(
        "
        if bool(torch.sum(x)):
          ops.prim.RaiseException(\"no\")
          y = uninitialized(Tensor)
        else:
          y = torch.linear(x, w)
        return y
        ",
    );
    assert_eq!(shape(&program), Some(vec![4, 8, 8]));
    assert_exact(cost, PRODUCT);
}

#[test]
fn branches_inside_branches_agree_as_well() {
    let (program, cost, _) = follow(
        "
        if bool(torch.sum(x)):
          if bool(torch.max(x)):
            y = torch.neg(x)
          else:
            y = torch.exp(x)
          z = torch.linear(y, w)
        else:
          z = torch.linear(x, w)
        return z
        ",
    );
    assert_eq!(shape(&program), Some(vec![4, 8, 8]));
    assert_exact(cost, PRODUCT);
}

#[test]
fn the_items_of_a_tuple_are_known_one_by_one() {
    let (program, _, text) = follow(
        "
        if bool(torch.sum(x)):
          pair = (torch.neg(x), 1)
        else:
          pair = (torch.exp(x), 2)
        y, n, = pair
        return torch.relu(y)
        ",
    );
    assert_eq!(shape(&program), Some(vec![4, 8, 8]));
    assert!(text.contains("v2 = (v1)[0]"), "{text}");
}

#[test]
fn a_branch_that_writes_into_what_it_reads_changes_no_known_number() {
    let (program, ..) = follow(
        "
        h = ops.prim.NumToTensor(torch.size(x, 2))
        if bool(torch.sum(x)):
          _0 = torch.add_(h, 1)
        else:
          pass
        return torch.new_zeros(x, [int(h)])
        ",
    );
    let Known::Tensor { shape, .. } = &program.output.known else {
        panic!("{:?}", program.output);
    };
    assert_eq!(*shape, None);
}

/// `Net` returns `relu(child(x))`; the child's `forward(self, x)` has this body.
fn with_child(body: &str) -> Written {
    let root = class(
        "Net",
        "child = self.child\nreturn torch.relu((child).forward(x, ))",
    );
    let body = format!("w = self.weight\n{}", dedented(body));
    Written::new(&(root + &class("Child", &body)))
        .module("child", "Child")
        .tensor("child.weight", &[8, 8])
}

#[test]
fn a_call_that_leaves_early_has_a_cost_if_all_its_ways_cost_the_same() {
    let (program, cost, text) = follow_written(with_child(
        "
        if bool(torch.sum(x)):
          return torch.linear(x, w)
        return torch.linear(torch.neg(x), w)
        ",
    ));
    assert_eq!(shape(&program), Some(vec![4, 8, 8]));
    assert_exact(cost, PRODUCT);
    assert_eq!(
        text,
        "v0 = (self.child).forward(v1)\nv2 = torch.relu(v0)\nreturn v2\n"
    );
    let (program, cost, _) = follow_written(with_child(
        "
        if bool(torch.sum(x)):
          return torch.linear(x, w)
        return torch.neg(x)
        ",
    ));
    assert_eq!(shape(&program), None);
    assert!(!cost.exact);
}

/// Each branch alone costs something on one side only; together they cost one product.
#[test]
fn branches_that_hang_together_are_followed_together() {
    let body = "
        if bool(torch.sum(x)):
          fast, y = True, torch.linear(x, w)
        else:
          fast, y = False, uninitialized(Tensor)
        if fast:
          z = y
        else:
          z = torch.linear(torch.neg(x), w)
        return z
        ";
    let (program, cost, text) = follow_written(with_child(body));
    assert_eq!(shape(&program), Some(vec![4, 8, 8]));
    assert_exact(cost, PRODUCT);
    assert!(
        text.starts_with("v0 = (self.child).forward(v1)\n"),
        "{text}"
    );
    // The whole network cannot stay a call: its shapes are known, its cost is not.
    let (program, cost, _) = follow(body);
    assert_eq!(shape(&program), Some(vec![4, 8, 8]));
    assert!(!cost.exact);
}

#[test]
fn a_way_that_sets_an_attribute_is_not_tried() {
    let (program, cost, text) = follow_written(with_child(
        "
        if bool(torch.sum(x)):
          self.seen = x
          y = torch.neg(x)
        else:
          y = torch.exp(x)
        return y
        ",
    ));
    assert_eq!(shape(&program), None);
    assert!(!cost.exact);
    assert!(text.contains("self.child.seen = "), "{text}");
}

#[test]
fn one_tensor_is_itself_and_two_may_be_one() {
    let body = |condition: &str| {
        format!("if {condition}:\n  y = torch.neg(x)\nelse:\n  y = torch.sum(x)\nreturn y\n")
    };
    assert_eq!(
        shape(&follow(&body("torch.__is__(x, x)")).0),
        Some(vec![4, 8, 8])
    );
    let view = body("torch.__is__(x, torch.contiguous(x))");
    assert_eq!(shape(&follow(&view).0), None);
}

#[test]
fn ways_beyond_counting_end() {
    let branch = |level: usize| {
        format!("if bool(torch.sum(x)):\n  a{level} = {level}\nelse:\n  a{level} = \"\"\n")
    };
    let row: String = (0..200).map(branch).collect();
    let row = format!("{row}return x\n");
    let _ = assert_ends_soon(forward(&row));
    let _ = assert_ends_soon(with_child(&row));
    // Every level calls the next one on both sides.
    let level = |n: usize| {
        let next = n + 1;
        format!(
            "  def f{n}(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    if bool(torch.sum(x)):\n      y = (self).f{next}(x, )\n      a = 1\n    else:\n      y = (self).f{next}(torch.neg(x), )\n      a = \"\"\n    return y\n"
        )
    };
    let levels: String = (0..40).map(level).collect();
    let source = format!(
        "class Net(Module):\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    return (self).f0(x, )\n{levels}  def f40(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    return torch.neg(x)\n"
    );
    let _ = assert_ends_soon(Written::new(&source));
}

/// `self.format` is a member of an enumeration, which the archive holds by its value.
#[test]
fn members_of_an_enumeration_decide() {
    let source = "
        class Format(Enum):
          NCHW = \"NCHW\"
          NHWC = \"NHWC\"
        class Net(Module):
          def forward(self: __torch__.Net,
            x: Tensor) -> Tensor:
            format = self.format
            if torch.ne(format, __torch__.Format.NCHW):
              y = torch.permute(x, [0, 3, 1, 2])
            else:
              y = torch.relu(x)
            return y
        ";
    let net = Written::new(source).set("format", Attribute::Enum("__torch__.Format.NCHW".into()));
    let flat = net.follow(&[4, 8, 8]).unwrap();
    assert_eq!(flat, "v0 = torch.relu(v1)\nreturn v0\n");
}

#[test]
fn the_kind_of_a_known_value_decides() {
    let net = forward(
        "
        if isinstance(x, list):
          y = torch.neg(x)
        else:
          y = torch.relu(x)
        return y
        ",
    );
    let flat = net.follow(&[4, 8, 8]).unwrap();
    assert_eq!(flat, "v0 = torch.relu(v1)\nreturn v0\n");
}

/// The network with a cache for each device, as the archive holds it.
fn with_cache(cache: Vec<(Attribute, Attribute)>, filled_with: &str) -> Option<Vec<i64>> {
    let source = format!(
        "
        class Net(Module):
          def forward(self: __torch__.Net,
            x: Tensor) -> Tensor:
            bias = (self).biases(ops.prim.device(x), )
            return torch.mul(bias, x)
          def biases(self: __torch__.Net,
            device: Device) -> Tensor:
            key = str(device)
            cache = self.cache
            if torch.__not__(torch.__contains__(cache, key)):
              weight = self.weight
              cache0 = self.cache
              torch._set_item(cache0, key, {filled_with})
            else:
              pass
            cache1 = self.cache
            return cache1[key]
        "
    );
    let net = Written::new(&source)
        .tensor("weight", &[8, 8])
        .set("cache", Attribute::Dict(cache))
        .network();
    shape(&program(&net, &[4, 8, 8]))
}

fn cached(sizes: &[i64]) -> Vec<(Attribute, Attribute)> {
    let net = Written::new("").tensor("bias", sizes).network();
    let bias = net.modules.attribute(ModuleTree::ROOT, "bias").unwrap();
    vec![(Attribute::Str("cpu".into()), bias.clone())]
}

#[test]
fn a_cache_gives_what_was_put_there() {
    let [empty, filled] = [vec![], cached(&[8, 8])];
    for cache in [empty, filled] {
        assert_eq!(with_cache(cache, "torch.neg(weight)"), Some(vec![4, 8, 8]));
    }
}

#[test]
fn a_cache_of_values_of_other_shapes_says_nothing() {
    assert_eq!(with_cache(cached(&[1, 8]), "torch.neg(weight)"), None);
    let unknown = "torch.mul(weight, torch.load(\"w\"))";
    assert_eq!(with_cache(vec![], unknown), None);
}
