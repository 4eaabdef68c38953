//! What libtorch would refuse to load is found out without it.

use ckaprune::program::resolution::resolve;
use ckaprune::program::{Attribute, Network};

use crate::common::{Written, archives, class, dedented, open};

/// A network whose class `Net` has this body of `forward`; it has a module `block` of class `Block`, which has a parameter
/// `scale` and a method `twice`.
fn network(body: &str, further: &str) -> Network {
    let block = dedented(
        "
        class Block(Module):
          __parameters__ = [\"scale\", ]
          scale : Tensor
          stride : Final[int] = 2
          def twice(self: __torch__.Block,
            x: Tensor) -> Tensor:
            return torch.mul(x, 2)
        ",
    );
    let net = class("Net", body).replace("Module):\n", "Module):\n  block : __torch__.Block\n");
    Written::new(&format!("{net}{block}{}", dedented(further)))
        .module("block", "Block")
        .tensor("block.scale", &[4])
        .network()
}

#[track_caller]
fn missing(body: &str) -> String {
    missing_with(body, "")
}

#[track_caller]
fn missing_with(body: &str, further: &str) -> String {
    resolve(&network(body, further)).unwrap_err().to_string()
}

#[test]
fn every_fixture_has_all_that_it_names() {
    for path in archives() {
        let network = open(&path).network().unwrap();
        resolve(&network).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

#[test]
fn a_module_that_is_gone_is_missed_in_a_branch_that_never_runs() {
    let body = "
        if torch.__isnot__(None, None):
          blocks = self.blocks
          y = (getattr(blocks, \"2\")).forward(x, )
        else:
          y = x
        return y
    ";
    let error = missing(body);
    assert_eq!(
        error,
        "__torch__.Net.forward reads `blocks`, and __torch__.Net has no such attribute"
    );
    let error = missing("c1 = getattr(self.block, \"c1\")\nreturn (c1).forward(x, )");
    assert_eq!(
        error,
        "__torch__.Net.forward reads `c1`, and __torch__.Block has no such attribute"
    );
}

#[test]
fn a_method_that_is_gone_is_missed_behind_a_variable() {
    let error = missing("b = self.block\nc = b\nreturn (c).thrice(x, )");
    assert_eq!(
        error,
        "__torch__.Net.forward calls `thrice`, and __torch__.Block has no such method"
    );
}

#[test]
fn a_class_is_followed_through_functions_tuples_lists_and_casts() {
    let pair = "
        class Pair(NamedTuple):
          first : __torch__.Block
          second : Tensor
        def pair(b: __torch__.Block) -> Tuple[int, List[__torch__.Block]]:
          return (1, [b])
    ";
    for body in [
        "_0, bs, = __torch__.pair(self.block, )\nreturn (bs[0]).thrice(x, )",
        "f = __torch__.pair\np = f(self.block, )\nreturn ((p[1])[0]).thrice(x, )",
        "p = __torch__.Pair(self.block, x)\nreturn (p.first).thrice(x, )",
        "b = annotate(Optional[__torch__.Block], self.block)\nreturn (unchecked_unwrap_optional(b)).thrice(x, )",
        "b = unchecked_cast(__torch__.Block, x)\nreturn (b).thrice(x, )",
        "for b in [self.block]:\n  y = (b).thrice(x, )\nreturn x",
        "a, b = x, self.block\nreturn (b).thrice(a, )",
    ] {
        let error = missing_with(body, pair);
        assert!(error.contains("calls `thrice`"), "{body}: {error}");
    }
}

#[test]
fn a_variable_a_function_a_class_and_a_constant_have_to_be_there() {
    for (body, name) in [
        ("return torch.add(x, x4)", "x4"),
        ("return __torch__.gone(x, )", "__torch__.gone"),
        ("return __torch__.Net.gone.it(x, )", "__torch__.Net.gone.it"),
        (
            "y = annotate(List[__torch__.Gone], [])\nreturn x",
            "__torch__.Gone",
        ),
        (
            "y : Optional[__torch__.Gone] = None\nreturn x",
            "__torch__.Gone",
        ),
        ("return torch.add(x, CONSTANTS.c0)", "CONSTANTS.c0"),
    ] {
        let error = missing(body);
        assert!(error.contains(&format!("`{name}`")), "{body}: {error}");
    }
}

#[test]
fn what_classes_have_is_not_missed() {
    let further = "
        class Colour(Enum):
          RED = 1
        class Taker(ModuleInterface):
          def forward(self, x: Tensor) -> Tensor:
            pass
        class Pair(NamedTuple):
          first : Tensor
          second : Tensor
    ";
    let body = "
        block = self.block
        t : __torch__.Taker = (block)
        y = (t).forward(x, )
        c = __torch__.Colour.RED
        p = __torch__.Pair(x, y)
        s = block.stride
        w = block.scale
        n = (w).size()
        z = (block).twice(p.second, )
        return torch.mul(z, float(inf))
    ";
    resolve(&network(body, further)).unwrap();
}

#[test]
fn an_object_has_a_value_for_all_that_its_class_declares() {
    let source = "class Net(Module):\n  __annotations__[\"0\"] = __torch__.Net\n  scale : Tensor\n";
    let whole = Written::new(source)
        .module("0", "Net")
        .tensor("scale", &[4]);
    let error = resolve(&whole.network()).unwrap_err().to_string();
    assert_eq!(
        error,
        "the object 0 has no value for `0`, which its class __torch__.Net declares"
    );
}

#[test]
fn an_object_is_of_the_class_that_is_declared() {
    let source = "class Net(Module):\n  block : __torch__.A\nclass A(Module):\n  pass\nclass B(Module):\n  pass\n";
    let right = Written::new(source).module("block", "A").network();
    resolve(&right).unwrap();
    let wrong = Written::new(source).module("block", "B").network();
    assert_eq!(
        resolve(&wrong).unwrap_err().to_string(),
        "`block` of the object at the root should be of class __torch__.A, but is __torch__.B"
    );
    let none = Written::new(source).set("block", Attribute::None).network();
    assert!(resolve(&none).is_err());
}
