//! What libtorch may be given: the code of networks, and none that reaches further than its arguments.

mod common;

use ckaprune::admission::{Refused, admit, check_sources};
use ckaprune::program::Sources;

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
