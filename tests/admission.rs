//! What libtorch may be given: the code of networks, and none that reaches further than its arguments.

mod common;

use ckaprune::program::Sources;
use ckaprune::run::admission::{Refused, admit, check_sources};

use common::{archives, files, open, tests};

/// What is refused of this body of a method of a module that has a field `table` and a method `twice`.
fn refused(body: &str) -> Option<String> {
    let text = format!(
        "class Net(Module):\n  training : bool\n  def twice(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    \
         return torch.mul(x, 2)\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n{body}"
    );
    let mut sources = Sources::default();
    sources.add("__torch__", &text).unwrap();
    match check_sources(&sources) {
        Ok(()) => None,
        Err(Refused::Call { what, place }) => {
            assert_eq!(place, "__torch__.Net.forward");
            Some(what)
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn every_fixture_is_admitted() {
    for path in archives() {
        admit(&open(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

#[test]
fn whatever_libtorch_prints_for_a_network_is_admitted() {
    for path in files(&tests().join("sources/valid"), "py") {
        let mut sources = Sources::default();
        sources
            .add("__torch__", &std::fs::read_to_string(&path).unwrap())
            .unwrap();
        check_sources(&sources).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

#[test]
fn operators_that_reach_files_processes_or_machines_are_refused_by_name() {
    let cases = [
        ("torch.save(x, \"/tmp/x\")", "torch.save"),
        ("torch.from_file(\"/tmp/x\", True, 8)", "torch.from_file"),
        ("ops.aten.save(x, \"/tmp/x\")", "ops.aten.save"),
        ("ops.prim.rpc_sync(\"other\", x)", "ops.prim.rpc_sync"),
        ("ops.c10d.broadcast(x)", "ops.c10d.broadcast"),
        ("ops.image.write_file(\"x\", x)", "ops.image.write_file"),
        ("torch.nn.save(x)", "torch.nn.save"),
        (
            "__torch__.torch.classes.dist_c10d.Store(x)",
            "__torch__.torch.classes.dist_c10d.Store",
        ),
    ];
    for (call, what) in cases {
        let body = format!("    y = {call}\n    return x\n");
        assert_eq!(refused(&body).as_deref(), Some(what), "{call}");
    }
}

#[test]
fn an_operator_under_another_name_is_refused() {
    let cases = [
        // A tensor's method is the operator of that name.
        ("    _0 = (x).save(\"/tmp/x\")\n", ".save()"),
        ("    f = torch.save\n    f(x, \"/tmp/x\")\n", "torch.save"),
        ("    t = torch\n    _0 = t.save(x, \"/tmp/x\")\n", "torch"),
        (
            "    o = ops.aten\n    _0 = o.save(x, \"/tmp/x\")\n",
            "ops.aten",
        ),
        ("    f = x.save\n    f(\"/tmp/x\")\n", "f"),
        // A harmless name for it.
        ("    int = x.save\n    int(\"/tmp/x\")\n", "int"),
        (
            "    (getattr(x, \"save\"))(\"/tmp/x\")\n",
            "the result of an expression",
        ),
        (
            "    f = __torch__.g\n    f = x.save\n    _0 = f(\"/tmp/x\")\n",
            "f",
        ),
        (
            "    [x.save][0](\"/tmp/x\")\n",
            "the result of an expression",
        ),
        (
            "    _0 = fork(x.save, \"/tmp/x\")\n",
            "fork of something that is no function of its own",
        ),
        (
            "    def f():\n      return x\n    f = x.save\n    _0 = fork(f, \"/tmp/x\")\n",
            "fork of something that is no function of its own",
        ),
        (
            "    def f():\n      return torch.save(x, \"/tmp/x\")\n    _0 = fork(f)\n",
            "torch.save",
        ),
        // Where it never runs, and where it stands deep inside.
        (
            "    if False:\n      _0 = torch.save(x, \"/tmp/x\")\n",
            "torch.save",
        ),
        (
            "    _0 = [(1, {\"a\": -torch.save(x, \"/tmp/x\")})]\n",
            "torch.save",
        ),
        (
            "    with torch.save(x, \"/tmp/x\") as y:\n      pass\n",
            "torch.save",
        ),
        (
            "    for i in range(torch.save(x, \"/tmp/x\")):\n      pass\n",
            "torch.save",
        ),
        ("    exec(\"import os\")\n", "exec"),
    ];
    for (body, what) in cases {
        let body = format!("{body}    return x\n");
        assert_eq!(refused(&body).as_deref(), Some(what), "{body}");
    }
}

#[test]
fn own_methods_and_operators_as_methods_are_admitted() {
    let body =
        "    y = (self).twice(x, )\n    z = y.relu()\n    w = (z).flatten(1)\n    return w\n";
    assert_eq!(refused(body), None);
}

#[test]
fn fields_and_default_values_are_code_as_well() {
    let text = "class Net(Module):\n  training : Final[bool] = torch.save(1, \"x\")\n  def forward(self: __torch__.Net,\n    \
                x: Tensor) -> Tensor:\n    return x\n";
    let mut sources = Sources::default();
    sources.add("__torch__", text).unwrap();
    let error = check_sources(&sources).unwrap_err();
    assert!(
        matches!(&error, Refused::Call { what, place } if what == "torch.save" && place == "__torch__.Net")
    );
    let text = "def f(x: Tensor=torch.save(1, \"x\")) -> Tensor:\n  return x\n";
    let mut sources = Sources::default();
    sources.add("__torch__", text).unwrap();
    assert!(
        matches!(check_sources(&sources), Err(Refused::Call { what, .. }) if what == "torch.save")
    );
}

/// Of a module with methods that have names of operators which may not be called, in a network with `body` as `forward`.
fn refused_beside_shadows(body: &str, further: &str) -> Option<String> {
    let text = format!(
        "class Shadow(Module):\n  inner : __torch__.Shadow\n  scale : Tensor\n  any : Any\n  def resize_(self: __torch__.Shadow,\n    \
         x: Tensor) -> Tensor:\n    return x\n  def set_(self: __torch__.Shadow,\n    x: Tensor) -> Tensor:\n    return (self).resize_(x, )\n\
         class Script:\n  def __init__(self: __torch__.Script) -> NoneType:\n    pass\n  def save(self: __torch__.Script) -> int:\n    return 1\n\
         class Like(ModuleInterface):\n  def resize_(self, x: Tensor) -> Tensor:\n    pass\n\
         class Fields(NamedTuple):\n  a : Tensor\n  b : __torch__.Shadow\n\
         {further}\
         class Net(Module):\n  shadow : __torch__.Shadow\n  like : __torch__.Like\n  held : List[__torch__.Shadow]\n  maybe : Optional[__torch__.Shadow]\n  \
         def forward(self: __torch__.Net,\n    x: Tensor,\n    o: __torch__.Shadow,\n    u) -> Tensor:\n{body}    return x\n"
    );
    let mut sources = Sources::default();
    sources.add("__torch__", &text).unwrap();
    match check_sources(&sources) {
        Ok(()) => None,
        Err(Refused::Call { what, .. }) => Some(what),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_method_by_the_name_of_a_withheld_operator_is_one_of_its_own_class_alone() {
    for call in [
        "_0 = (self.shadow).resize_(x, )",
        "s = self.shadow\n    _0 = (s).set_(x, )",
        "s = self.shadow\n    i = s.inner\n    _0 = (getattr(i, \"inner\")).resize_(x, )",
        "_0 = (self.like).resize_(x, )",
        "_0 = (o).resize_(x, )",
        "t = __torch__.Script()\n    _0 = (t).save()",
        "t : __torch__.Like = self.held[0]\n    _0 = (t).resize_(x, )",
    ] {
        let body = format!("    {call}\n");
        assert_eq!(refused_beside_shadows(&body, ""), None, "{call}");
    }
}

#[test]
fn a_class_with_a_method_of_that_name_unlocks_no_operator_of_tensors() {
    for call in [
        "_0 = (x).resize_([1000000000])",
        "_0 = x.resize_([1000000000])",
        "_0 = (u).resize_([1000000000])",
        "_0 = (self.shadow.scale).resize_([1000000000])",
        "_0 = ((self.shadow).resize_(x, )).resize_([1000000000])",
        "_0 = (torch.relu(x)).set_(x)",
        // By way of what may hold anything.
        "_0 = (self.shadow.any).resize_([1000000000])",
        "_0 = (self.held[0]).resize_([1000000000])",
        "_0 = (self.maybe).resize_([1000000000])",
        "_0 = ([x][0]).resize_([1000000000])",
        "_0 = ((x, x)[0]).resize_([1000000000])",
        "_0 = ({\"a\": x}[\"a\"]).resize_([1000000000])",
        "_0 = (__torch__.Fields(x, o).a).resize_([1000000000])",
        "_0 = (__torch__.Fields(x, o)).resize_([1000000000])",
        "_0 = (unchecked_cast(Tensor, x)).resize_([1000000000])",
        "_0 = (annotate(Any, x)).resize_([1000000000])",
        // By way of a variable that is an object at one place and a tensor at another.
        "s = self.shadow\n    s = x\n    _0 = (s).resize_([1000000000])",
        "if True:\n      s = self.shadow\n    else:\n      s = x\n    _0 = (s).resize_([1000000000])",
        "o = x\n    _0 = (o).resize_([1000000000])",
        "self = x\n    _0 = (self).resize_([1000000000])",
        "s, t, = self.shadow, x\n    _0 = (t).resize_([1000000000])",
        "for s in [x]:\n      _0 = (s).resize_([1000000000])",
        "with self.shadow as s:\n      _0 = (s).resize_([1000000000])",
        "def f(s):\n      return (s).resize_([1000000000])\n    _0 = fork(f, x)",
        "a = b\n    b = a\n    _0 = (a).resize_([1000000000])",
        // A class that has no such method itself.
        "_0 = (self).resize_([1000000000])",
    ] {
        let body = format!("    {call}\n");
        let refused = refused_beside_shadows(&body, "");
        assert!(
            matches!(refused.as_deref(), Some(".resize_()" | ".set_()")),
            "{call}: {refused:?}"
        );
    }
}

#[test]
fn two_things_of_one_name_are_sure_to_be_neither() {
    let call = "    _0 = (o).resize_([1000000000])\n";
    let twice = "class Shadow(Module):\n  def resize_(self, x: Tensor) -> Tensor:\n    return x\n";
    assert!(refused_beside_shadows(call, twice).is_some());
    let function = "def Script(x: Tensor) -> Tensor:\n  return x\n";
    let made = "    t = __torch__.Script(x)\n    _0 = (t).save()\n";
    assert!(refused_beside_shadows(made, function).is_some());
    let free = "def resize_(x: Tensor) -> Tensor:\n  return (x).resize_([1000000000])\n";
    assert!(refused_beside_shadows("", free).is_some());
}
