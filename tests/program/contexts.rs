//! `with` statements around code: followed where their class leaves the values alone.

use ckaprune::program::{Operand, ProgramError};

use crate::common::{Written, class, dedented, program};

/// Classes as libtorch exports them, and one of a user's own.
const CLASSES: &str = "
    class no_grad:
      prev : bool
      def __enter__(self: __torch__.no_grad) -> NoneType:
        self.prev = torch.is_grad_enabled()
        torch.set_grad_enabled(False)
        return None
      def __exit__(self: __torch__.no_grad,
        exc_type: Any,
        exc_value: Any,
        traceback: Any) -> NoneType:
        torch.set_grad_enabled(self.prev)
        return None
      def __init__(self: __torch__.no_grad) -> NoneType:
        self.prev = False
        return None
    class Marker:
      name : str
      def __enter__(self: __torch__.Marker) -> __torch__.Marker:
        return self
      def __exit__(self: __torch__.Marker,
        exc_type: Any,
        exc_value: Any,
        traceback: Any) -> NoneType:
        return None
      def __init__(self: __torch__.Marker,
        name: str) -> NoneType:
        self.name = name
        return None
    class Counter:
      count : Tensor
      def __enter__(self: __torch__.Counter) -> NoneType:
        _0 = torch.add_(self.count, 1)
        return None
      def __exit__(self: __torch__.Counter,
        exc_type: Any,
        exc_value: Any,
        traceback: Any) -> NoneType:
        return None
      def __init__(self: __torch__.Counter,
        count: Tensor) -> NoneType:
        self.count = count
        return None
    ";

fn net(body: &str) -> Written {
    Written::new(&format!("{}{}", dedented(CLASSES), class("Net", body)))
        .tensor("frozen", &[4, 4, 3, 3])
        .tensor("head", &[5, 4, 1, 1])
}

const CONVOLUTION: &str = "torch.conv2d({x}, self.{w}, None, [1, 1], [0, 0], [1, 1], 1)";

fn convolution(x: &str, weight: &str) -> String {
    CONVOLUTION.replace("{x}", x).replace("{w}", weight)
}

#[test]
fn code_under_no_grad_is_followed_and_its_weights_do_not_learn() {
    let net = net(&format!(
        "
        _0 = __torch__.no_grad.__new__(__torch__.no_grad)
        _1 = (_0).__init__()
        with _0:
          y = {}
        _2 = __torch__.Marker.__new__(__torch__.Marker)
        _3 = (_2).__init__(\"head\", )
        with _2:
          z = {}
        return z
        ",
        convolution("x", "frozen"),
        convolution("y", "head"),
    ))
    .network();
    let program = program(&net, &[4, 8, 8]);
    let under: Vec<bool> = program.statements.iter().map(|s| s.no_grad).collect();
    assert_eq!(under, [true, false]);
    let learned: Vec<&Operand> = program
        .learns(&program.output.operand)
        .filter_map(|s| s.arg(1, "weight"))
        .collect();
    let [Operand::Attribute { name, .. }] = learned.as_slice() else {
        panic!("{learned:?}");
    };
    assert_eq!(name, "head");
}

#[test]
fn gradients_are_back_on_behind_the_statement_even_where_it_returns() {
    let helper = "
        def helper(x: Tensor) -> Tensor:
          _0 = __torch__.no_grad.__new__(__torch__.no_grad)
          _1 = (_0).__init__()
          with _0:
            if torch.eq(torch.dim(x), 4):
              y = torch.mul(x, 2)
            else:
              y = x
          return y
        ";
    let body = class("Net", "return torch.add(__torch__.helper(x), 1)");
    let source = format!("{}{}{body}", dedented(CLASSES), dedented(helper));
    let net = Written::new(&source).network();
    let program = program(&net, &[4, 8, 8]);
    let under: Vec<bool> = program.statements.iter().map(|s| s.no_grad).collect();
    assert_eq!(under, [true, false]);
    assert!(program.not_followed.is_empty());
}

#[test]
fn a_context_that_touches_values_is_not_followed_and_named() {
    let refused = net("
        _0 = __torch__.Counter.__new__(__torch__.Counter)
        _1 = (_0).__init__(x, )
        with _0:
          y = torch.mul(x, 2)
        return y
        ")
    .follow(&[4, 8, 8])
    .unwrap_err();
    assert!(matches!(refused, ProgramError::NotFollowed { .. }));
    assert_eq!(
        refused.to_string(),
        "a `with` statement around an object of class `Counter`"
    );
}

#[test]
fn autocast_is_noted_unless_it_is_switched_off() {
    let autocast = "
        class autocast:
          _enabled : bool
          def __init__(self: __torch__.torch.amp.autocast_mode.autocast,
            device_type: str,
            dtype: Optional[int]=None,
            enabled: bool=True) -> NoneType:
            self._enabled = enabled
            return None
        ";
    let noted = |args: &str| {
        let name = "__torch__.torch.amp.autocast_mode.autocast";
        let body = format!(
            "
            _0 = {name}.__new__({name})
            _1 = (_0).__init__({args})
            with _0:
              y = torch.mul(x, 2)
            return y
            "
        );
        let mut net = Written::new(&class("Net", &body)).network();
        net.sources
            .add("__torch__.torch.amp.autocast_mode", &dedented(autocast))
            .unwrap();
        program(&net, &[4, 8, 8]).autocast
    };
    assert!(noted("\"cpu\", None, True, "));
    assert!(noted("\"cpu\", None, "));
    assert!(!noted("\"cpu\", None, False, "));
    assert!(!noted("\"cpu\", enabled=False, "));
}
