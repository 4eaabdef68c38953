//! Files made to keep a reader busy or to fill its memory: `inspect` ends in good time with an answer or an error.

// Its other half builds what other tests need.
#[allow(dead_code)]
#[path = "../archive/build.rs"]
mod build;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use build::{Files, global, object, tensor, text};
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::blocks::{Candidates, Search};
use ckaprune::report::BlockReport;
use ckaprune::report::tree;
use peak_alloc::PeakAlloc;

/// Far beyond what any case takes, even on a busy machine: without its bound a case takes hours or all memory.
const PATIENCE: Duration = Duration::from_secs(120);
/// Of one case: each begins when the one before is done.
const GIGABYTES: f32 = 1.;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Everything `inspect` does with a network of this source code; what is wrong with it, if anything.
#[track_caller]
fn inspect(source: &str) -> Option<String> {
    let net = Files::with_data(&object("__torch__", "Net", &[]));
    inspect_files(&net.with("code/__torch__.py", source.as_bytes()))
}

#[track_caller]
fn inspect_files(files: &Files) -> Option<String> {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    MEMORY.reset_peak_usage();
    let begun = Instant::now();
    let error = read(files);
    let (took, peak) = (begun.elapsed(), MEMORY.peak_usage_as_gb());
    println!("{took:?}, {peak} GB: {error:?}");
    assert!(took < PATIENCE, "{took:?}");
    assert!(peak < GIGABYTES, "{peak} GB");
    error
}

fn read(files: &Files) -> Option<String> {
    let archive = match files.open() {
        Ok(archive) => archive,
        Err(error) => return Some(error.to_string()),
    };
    let request = &Request {
        search: Search {
            candidates: Candidates::All,
            ..Search::default()
        },
        ..Request::shape(&[3, 8, 8])
    };
    match Analysis::of(&archive, request) {
        Err(error) => Some(error.to_string()),
        Ok(analysis) => {
            let _ = BlockReport::all(&analysis);
            let _ = analysis.macs();
            let _ = tree::tree(&analysis).table();
            None
        }
    }
}

/// The same with this body of `forward`.
#[track_caller]
fn forward(body: &str) -> Option<String> {
    inspect(&format!(
        "class Net(Module):\n  __parameters__ = []\n  __buffers__ = []\n  training : bool\n  def forward(self: __torch__.Net,\n    \
         x: Tensor) -> Tensor:\n{body}    return x\n"
    ))
}

fn lines(line: impl Fn(usize) -> String, count: usize) -> String {
    (0..count).map(|i| format!("    {}\n", line(i))).collect()
}

#[test]
fn values_that_double_with_every_line() {
    for (first, line) in [
        ("(x, x)", "y = (y, y)"),
        ("[x]", "y = [y, y]"),
        ("{\"a\": x}", "y = {\"a\": y, \"b\": y}"),
        ("\"text\"", "y = torch.add(y, y)"),
        ("[1]", "y = torch.add(y, y)"),
        ("[1]", "y = torch.mul(y, 1000)"),
        ("1", "y = torch.mul(y, y)"),
        ("7", "y = torch.add(y, y)"),
    ] {
        println!("{line}");
        forward(&format!("    y = {first}\n{}", lines(|_| line.into(), 80)));
    }
}

#[test]
fn large_values_that_are_read_over_and_over() {
    let large = "    y = [0]\n    for i in range(14):\n      y = torch.add(y, y)\n";
    let read = "    for i in range(400000):\n      z = y\n";
    println!("read");
    forward(&format!("{large}{read}"));
    let tuple = "    y = (x, x)\n    for i in range(12):\n      y = (y, y)\n";
    println!("tuple");
    forward(&format!("{tuple}{read}"));
    println!("branches");
    let variables = lines(|i| format!("y{i} = (y, x)"), 500);
    let branches = "    for i in range(20000):\n      if bool(torch.sum(x)):\n        z = 1\n      else:\n        z = 2\n";
    forward(&format!("{tuple}{variables}{branches}"));
}

#[test]
fn programs_of_more_steps_than_any_network() {
    for body in [
        "    for i in range(400000):\n      x = torch.relu(x)\n",
        "    for i in range(400000):\n      y = x\n",
        "    for i in range(1000000000000):\n      x = torch.relu(x)\n",
        "    while True:\n      x = torch.relu(x)\n",
    ] {
        println!("{body}");
        forward(body);
    }
}

#[test]
fn programs_just_within_the_bounds() {
    for body in [
        "    for i in range(3000):\n      y = torch.relu(x)\n      x = torch.add(x, y)\n",
        "    for i in range(20000):\n      y = x\n    for i in range(2000):\n      y = torch.relu(x)\n      x = torch.add(x, y)\n",
        "    for i in range(6000):\n      y = torch.relu(x)\n",
        "    for i in range(3000):\n      y = torch.flatten(x)\n      x = torch.relu_(x)\n",
        "    for i in range(6000):\n      x = torch.relu_(x)\n",
        "    y = torch.relu(x)\n    for i in range(3000):\n      y = torch.flatten(x, 0, 0)\n      _0 = torch.fill_(y, i)\n",
        "    y = [x]\n    for i in range(900):\n      y = torch.add(y, [torch.relu(torch.cat(y, 1))])\n    x = torch.cat(y, 1)\n",
    ] {
        println!("{body}");
        forward(body);
    }
}

#[test]
fn statements_that_stay_are_copied_often() {
    let body = lines(|i| format!("    a{i} = torch.add(y, y)"), 2000);
    println!("with");
    forward(&format!(
        "    y = x\n    for i in range(400000):\n      with x:\n{}",
        body
    ));
    println!("large reads");
    let tuple = "    y = (x, x)\n    for i in range(12):\n      y = (y, y)\n";
    let reads = lines(|i| format!("  a{i} = [y, y, y, y]"), 3000);
    forward(&format!("{tuple}    with x:\n{reads}"));
}

#[test]
fn functions_that_call_the_next_one_twice() {
    let function = |i: usize| {
        format!(
            "def f{i}(x: Tensor) -> Tensor:\n  y = __torch__.f{}(x, )\n  return __torch__.f{}(y, )\n",
            i + 1,
            i + 1
        )
    };
    let functions: String = (0..40).map(function).collect();
    let last = "def f40(x: Tensor) -> Tensor:\n  return torch.relu(x)\n";
    inspect(&format!(
        "{functions}{last}class Net(Module):\n  training : bool\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    return __torch__.f0(x, )\n"
    ));
}

/// What is wrong with a module tree of this pickle, beside a class with a `forward` that gives back its input.
#[track_caller]
fn tree_of(body: &[u8]) -> Option<String> {
    let source = "class Net(Module):\n  training : bool\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    return x\n";
    let files = Files::with_data(body).with("code/__torch__.py", source.as_bytes());
    inspect_files(&files)
}

/// `name` is put into the memo at its first use and fetched from there ever after.
fn nested_objects(depth: usize, name: &str) -> Vec<u8> {
    let class = [&global("__torch__", "Net")[..], b"q\x01"].concat();
    let mut body = [&class[..], b")\x81}(", &text(name), b"q\x02"].concat();
    for _ in 1..depth {
        body.extend(b"h\x01)\x81}(h\x02");
    }
    body.extend(b"N");
    body.extend(b"ub".repeat(depth));
    body
}

#[test]
fn a_long_name_that_deep_modules_share() {
    let error = tree_of(&nested_objects(200, &"n".repeat(60_000)));
    assert!(error.unwrap().contains("modules allowed"));
}

#[test]
fn a_long_text_that_many_attributes_share() {
    let long = [&text(&"t".repeat(1 << 20))[..], b"q\x05"].concat();
    let attributes: Vec<u8> = (0..40_000)
        .flat_map(|i| {
            [
                &text(&format!("a{i}"))[..],
                if i == 0 { &long[..] } else { b"h\x05" },
            ]
            .concat()
        })
        .collect();
    let body = [
        &global("__torch__", "Net")[..],
        b")\x81}(",
        &attributes,
        b"ub",
    ]
    .concat();
    let error = tree_of(&body);
    assert!(error.unwrap().contains("values allowed"));
}

#[test]
fn a_large_attribute_that_is_read_over_and_over() {
    let items: Vec<u8> = (0..200_000).flat_map(|_| b"K\x01".to_vec()).collect();
    // The tensor at the end makes it a value that nothing is known of, once all of it was looked at.
    let tensor = tensor("FloatStorage", "9", 0, 0, &[0], &[1]);
    let list = [&b"]("[..], &items, &tensor, b"e"].concat();
    let source = "class Net(Module):\n  training : bool\n  table : List[int]\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    for i in range(400000):\n      y = self.table\n    return x\n";
    let files = Files::with_data(&object("__torch__", "Net", &[("table", list)]))
        .with("code/__torch__.py", source.as_bytes());
    inspect_files(&files);
}

#[test]
fn classes_and_methods_without_number() {
    let classes: String = (0..40_000)
        .map(|i| format!("class C{i}(Module):\n  training : bool\n"))
        .collect();
    let methods: String = (0..20_000)
        .map(|i| format!("  def f{i}(self):\n    pass\n"))
        .collect();
    let last = "  def last(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    return x\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    for i in range(400000):\n      x = (self).last(x, )\n    return x\n";
    inspect(&format!(
        "{classes}class Net(Module):\n  training : bool\n{methods}{last}"
    ));
}

#[test]
fn more_source_code_than_any_network_has() {
    let error = inspect(&"a=b\n".repeat(2_000_000));
    assert!(error.unwrap().contains("more source code"));
}

/// Names for what hangs in one another, each of which is spoken of by several.
#[test]
fn names_for_attributes_of_attributes() {
    let names = lines(
        |i| match i {
            0 => "a0 = self.a".into(),
            _ => format!("a{i} = a{}.a", i - 1),
        },
        100_000,
    );
    forward(&names);
    let dead = names.replace("    a", "      a");
    forward(&format!("    if False:\n{dead}    else:\n      pass\n"));
}

/// Blocks without modules, whose code another method holds again in another order.
#[test]
fn code_that_is_almost_written_twice() {
    let sums = |last: &str| {
        let sum = |i: usize| {
            format!(
                "x{} = torch.add(x{i}, torch.mul(x{i}, CONSTANTS.c0))",
                i + 1
            )
        };
        lines(sum, 3_000).replace("x0", last)
    };
    let first = sums("x");
    inspect(&format!(
        "class Net(Module):\n  __parameters__ = []\n  __buffers__ = []\n  training : bool\n  def forward(self: __torch__.Net,\n    \
         x: Tensor) -> Tensor:\n{first}    return x3000\n  def other(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n{first}    return x3000\n"
    ));
}
