//! Why a network has nothing to remove, and its modules as a tree.

mod common;

use ckaprune::archive::Archive;
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::blocks::verdict::why_nothing_is_removable;
use ckaprune::report::tree::{TreeNode, tree};
use common::{FIXTURE_INPUT, fixture, open};

/// A fixture, its root's `forward` replaced.
fn with_forward(name: &str, body: &str) -> Archive {
    let mut archive = open(&fixture(name));
    let file = "code/__torch__.py";
    let text = archive.source(file).unwrap();
    let (head, _) = text.split_once("x: Tensor) -> Tensor:\n").unwrap();
    let body: String = body
        .lines()
        .map(|l| format!("    {}\n", l.trim_end()))
        .collect();
    let text = format!("{head}x: Tensor) -> Tensor:\n{body}");
    archive.set_source(file, text);
    archive
}

fn analyse(archive: &Archive) -> Analysis {
    Analysis::of(archive, &Request::shape(&FIXTURE_INPUT)).unwrap()
}

fn why(body: &str) -> String {
    let analysis = analyse(&with_forward("plain_scripted.pt", body));
    assert!(!analysis.blocks.iter().any(|b| b.is_removable()));
    why_nothing_is_removable(&analysis)
}

#[test]
fn a_plain_chain_is_called_one() {
    let why = why_nothing_is_removable(&analyse(&open(&fixture("plain_scripted.pt"))));
    assert_eq!(
        why,
        "it is a plain chain: nothing is added to what skips it"
    );
}

#[test]
fn spans_that_another_search_finds_are_offered() {
    let body = "block = getattr(self.stage1, \"0\")\nconv = self.conv\nconv2 = block.conv2\nreturn (conv2).forward((conv).forward(x, ), )";
    let archive = with_forward("basic_scripted.pt", body);
    let offer = "--candidates all offers spans that keep the shape of their input (1)";
    let why = why_nothing_is_removable(&analyse(&archive));
    assert!(why.ends_with(offer), "{why}");
}

#[test]
fn branches_that_are_concatenated_are_called_so() {
    let why = why(
        "features = self.features\nreturn torch.cat([(features).forward(x, ), torch.max_pool2d(x, [4, 4])], 1)",
    );
    assert!(
        why.contains("joined by concatenation (torch.cat, 1×)"),
        "{why}"
    );
}

#[test]
fn sums_that_are_no_skips_are_counted() {
    let why = why(
        "features = self.features\n_0 = (features).forward(x, )\nreturn torch.add(torch.mean(_0, [1]), torch.mean(torch.max_pool2d(x, [4, 4]), [1]))",
    );
    assert!(
        why.starts_with("none of its sums (1) is `x + f(x)`"),
        "{why}"
    );
}

/// The blocks may all lie behind: then this is why there are none.
#[test]
fn an_early_return_that_data_decide_is_named_with_its_line() {
    let body = "conv = self.conv
pool = self.pool
x0 = (conv).forward(x, )
scores = torch.flatten((pool).forward(x0, ), 1)
sure = torch.gt(torch.max(torch.softmax(scores, 1)), 0.9)
if bool(sure):
  y = scores
else:
  stage1 = self.stage1
  x1 = (stage1).forward(x0, )
  y = torch.flatten((pool).forward(x1, ), 1)
return y";
    let mut archive = with_forward("basic_scripted.pt", body);
    let file = "code/__torch__.py";
    let blocks = open(&fixture("basic_scripted.pt"));
    let (_, blocks) = blocks.source(file).unwrap().split_once("class ").unwrap();
    let (_, blocks) = blocks.split_once("class ").unwrap();
    let text = format!("{}class {blocks}", archive.source(file).unwrap());
    archive.set_source(file, text);
    let why = why_nothing_is_removable(&analyse(&archive));
    let source = archive.source(file).unwrap();
    let line = 1 + source
        .lines()
        .position(|l| l.contains("if bool(sure)"))
        .unwrap();
    let place = format!("it returns early where data decide (__torch__.py:{line})");
    assert!(why.starts_with(&place), "{why}");
    assert!(!why.contains("plain chain"), "{why}");
}

#[test]
fn what_is_not_followed_is_not_called_a_plain_chain() {
    let why = why("if bool(torch.any(x)):\n  y = torch.neg(x)\nelse:\n  y = x\nreturn y");
    assert_eq!(why, "none of its code can be followed");
}

fn paths(node: &TreeNode, found: &mut Vec<String>) {
    found.push(node.path.clone());
    node.children.iter().for_each(|c| paths(c, found));
}

#[test]
fn the_tree_has_every_module_in_order() {
    let analysis = analyse(&open(&fixture("preact_traced.pt")));
    let mut shown = Vec::new();
    paths(&tree(&analysis), &mut shown);
    let modules = analysis.network.modules.iter();
    let mut all: Vec<String> = modules.map(|(_, m)| m.path.clone()).collect();
    assert_eq!(shown.len(), all.len());
    all.sort();
    shown.sort();
    assert_eq!(shown, all);
}

#[test]
fn a_module_that_hangs_in_two_places_is_described_at_the_first() {
    let mut archive = open(&fixture("plain_scripted.pt"));
    let root = archive.data().root();
    let pool = archive.object("pool").unwrap();
    archive.data_mut().set_attribute(root, "again", pool);
    let tree = tree(&analyse(&archive));
    let again = tree.children.iter().find(|c| c.name == "again").unwrap();
    assert_eq!(again.same_as.as_deref(), Some("pool"));
    assert_eq!(again.path, "again");
    assert!(again.children.is_empty());
}
