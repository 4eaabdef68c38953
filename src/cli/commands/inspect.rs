//! `ckaprune inspect`: never executes the network.

use std::fmt::Write as _;

use anyhow::Result;
use comfy_table::Cell;
use serde::Serialize;

use super::{Outcome, analyse, open_model, show};
use crate::blocks::analysis::Analysis;
use crate::blocks::show_shape;
use crate::blocks::verdict::why_nothing_is_removable;
use crate::cli::Inspect;
use crate::program::interface::{Input, InterfaceError, Layout, Scale, is_packed, is_quantised};
use crate::report::tree::{TreeNode, tree};
use crate::report::{self, BlockReport, ReceptiveField, SCHEMA, number, percent, thousands};
use crate::run::admission;

#[derive(Serialize)]
struct InspectReport {
    schema: u32,
    command: &'static str,
    model: String,
    input_shape: Vec<i64>,
    /// The input shape was not named but guessed from the network.
    input_shape_guessed: bool,
    /// Of a module whose input the network around it makes of images: their shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    image_shape: Option<Vec<i64>>,
    /// What a module inside the network is given, where that is not the images for sure.
    #[serde(skip)]
    given: Option<String>,
    /// In which order the network takes the dimensions of images.
    #[serde(skip_serializing_if = "is_usual")]
    layout: Layout,
    /// The network takes bytes of 0 to 255.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    bytes: bool,
    #[serde(skip)]
    input: Input,
    params: i64,
    macs: i64,
    /// False if some code could not be followed, so that `macs` is a lower bound.
    macs_exact: bool,
    quantised: bool,
    /// What the network gives in place of scores before softmax; absent where it gives those.
    #[serde(skip_serializing_if = "Scale::is_usual")]
    scores: Scale,
    stages: usize,
    blocks: Vec<BlockReport>,
    /// Why no block is removable.
    #[serde(skip_serializing_if = "Option::is_none")]
    nothing_removable: Option<String>,
    /// What stands in the way of running, scoring or training it.
    #[serde(skip_serializing_if = "Option::is_none")]
    obstacle: Option<String>,
    /// The places behind which the sizes of tensors are not known. Nobody can tell whether a block there keeps its shape.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shapes_end: Vec<ShapeEndReport>,
    not_followed: Vec<NotFollowedReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tree: Option<TreeNode>,
    #[serde(skip)]
    frozen: bool,
}

#[derive(Serialize, PartialEq)]
struct ShapeEndReport {
    /// The operator's name in the code.
    operator: String,
    /// The path of the module; empty for the root.
    path: String,
    /// File and line in the archive's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<String>,
    reason: &'static str,
}

#[derive(Serialize, PartialEq)]
struct NotFollowedReport {
    /// The path of the module; empty for the root.
    path: String,
    reason: String,
}

pub(in crate::cli) fn run(options: &Inspect) -> Result<Outcome> {
    let path = &options.model.model;
    let archive = open_model(&options.model)?;
    let analysis = analyse(
        &options.model,
        &archive,
        options.input_size,
        options.search.into(),
    )?;
    let mut report = InspectReport::new(path.display().to_string(), &analysis);
    if let Err(refused) = admission::check(&archive, &analysis.network.sources) {
        // Packed layers are refused as well, but the refusal names an operator that tells nobody why.
        if !is_packed(&analysis.program) {
            report.obstacle = Some(refused.to_string());
        }
    }
    report.tree = options.tree.then(|| tree(&analysis));
    show(options.messages, &report, || report.text())?;
    Ok(Outcome::Done)
}

fn is_usual(layout: &Layout) -> bool {
    *layout == Layout::default()
}

impl InspectReport {
    fn new(model: String, analysis: &Analysis) -> Self {
        let macs = analysis.macs();
        let blocks = BlockReport::all(analysis);
        let none = !blocks.iter().any(|b| b.removable);
        InspectReport {
            schema: SCHEMA,
            command: "inspect",
            model,
            input_shape: analysis.input_shape.clone(),
            input_shape_guessed: analysis.shape_guessed,
            image_shape: (analysis.image_shape() != analysis.input_shape)
                .then(|| analysis.image_shape().to_vec()),
            given: analysis.given(),
            layout: analysis.image_input().layout,
            bytes: analysis.image_input().bytes,
            input: analysis.image_input(),
            params: analysis.params(),
            macs: macs.count,
            macs_exact: macs.exact,
            quantised: is_quantised(&analysis.network, &analysis.program),
            scores: (analysis.interface.as_ref()).map_or(Scale::default(), |i| i.scale),
            stages: analysis.blocks.last().map_or(0, |b| b.stage + 1),
            nothing_removable: none.then(|| why_nothing_is_removable(analysis)),
            blocks,
            obstacle: obstacle(analysis).map(|e| e.to_string()),
            shapes_end: shapes_end(analysis),
            not_followed: not_followed(analysis),
            tree: None,
            frozen: analysis.network.is_frozen(),
        }
    }

    fn text(&self) -> String {
        let mut out = self.head();
        if !self.blocks.is_empty() {
            out += "\n";
            out += &report::render(&self.block_table());
        }
        // Writing to a String cannot fail.
        if !self.shapes_end.is_empty() {
            let _ = writeln!(out, "\nshapes end:");
        }
        for end in &self.shapes_end {
            let path = if end.path.is_empty() { "." } else { &end.path };
            let line = end
                .line
                .as_ref()
                .map_or(String::new(), |line| format!(" ({line})"));
            let _ = writeln!(out, "  {path}: {}{line}: {}", end.operator, end.reason);
        }
        if !self.not_followed.is_empty() {
            let _ = writeln!(out, "\nnot followed:");
        }
        for NotFollowedReport { path, reason } in &self.not_followed {
            let path = if path.is_empty() { "." } else { path };
            let _ = writeln!(out, "  {path}: {reason}");
        }
        if let Some(tree) = &self.tree {
            out += "\n";
            out += &tree.table();
            if self.frozen && tree.children.iter().all(|c| c.class.is_none()) {
                out += "\nThe network was frozen: its modules are gone, and the root is all there is.\n";
            }
        }
        out
    }

    fn head(&self) -> String {
        let mut out = String::new();
        let guessed = if self.input_shape_guessed {
            " (guessed; --input-size names it)"
        } else {
            ""
        };
        let at_least = if self.macs_exact { "" } else { "at least " };
        let removable = self.blocks.iter().filter(|b| b.removable).count();
        let _ = writeln!(out, "{}", self.model);
        let _ = writeln!(
            out,
            "  input       {}{guessed}",
            show_shape(&self.input_shape)
        );
        if let Some(given) = &self.given {
            let _ = writeln!(out, "  is given    {given}");
        }
        if !self.input.is_usual() {
            let _ = writeln!(out, "  takes       {}", self.input);
        }
        let _ = writeln!(out, "  parameters  {}", thousands(self.params));
        let _ = writeln!(
            out,
            "  MACs        {at_least}{} (convolutions, linear layers, matrix products)",
            thousands(self.macs)
        );
        let stages = if self.stages == 1 { "stage" } else { "stages" };
        let why = self.nothing_removable.as_deref().unwrap_or_default();
        let _ = match (self.blocks.len(), removable) {
            (0, _) => writeln!(out, "  blocks      none: {why}"),
            (count, 0) => writeln!(
                out,
                "  blocks      {count}, none of them removable, in {} {stages}: {why}",
                self.stages
            ),
            (count, _) => writeln!(
                out,
                "  blocks      {count}, {removable} of them removable, in {} {stages}",
                self.stages
            ),
        };
        // The line on blocks says already that the network is quantised.
        let said = self.quantised && self.nothing_removable.is_some();
        if let Some(obstacle) = self.obstacle.as_ref().filter(|_| !said) {
            let _ = writeln!(out, "  note        {obstacle}");
        }
        out
    }

    fn block_table(&self) -> comfy_table::Table {
        let mut table = report::table(&[
            "stage",
            "block",
            "shape",
            "stride",
            "field",
            "parameters",
            "share",
            "MACs",
            "share",
            "removable",
        ]);
        for block in &self.blocks {
            let verdict = block.reason.as_ref();
            table.add_row(vec![
                number(block.stage.to_string()),
                Cell::new(&block.path),
                Cell::new(shapes(block)),
                number(block.stride.map_or("?".into(), |s| s.to_string())),
                number(sight(block.receptive_field.as_ref())),
                number(thousands(block.params)),
                number(percent(block.params, self.params)),
                number(thousands(block.macs)),
                number(percent(block.macs, self.macs)),
                Cell::new(verdict.map_or("yes".into(), |reason| format!("no: {reason}"))),
            ]);
        }
        table
    }
}

fn shapes(block: &BlockReport) -> String {
    let known = |shape: &Option<Vec<i64>>| shape.as_ref().map_or("?".into(), |s| show_shape(s));
    let output = known(&block.output_shape);
    if block.input_shape == block.output_shape {
        output
    } else {
        format!("{} → {output}", known(&block.input_shape))
    }
}

/// How much of the image a position sees: pixels of the longer side, or `all`.
fn sight(field: Option<&ReceptiveField>) -> String {
    match field {
        Some(ReceptiveField::Side(side)) => side.to_string(),
        Some(ReceptiveField::Whole(_)) => "all".into(),
        None => "?".into(),
    }
}

/// What stands in the way of scoring: the output, the element type, or that it is quantised.
fn obstacle(analysis: &Analysis) -> Option<InterfaceError> {
    match &analysis.interface {
        Ok(interface) => interface.check_prunable().err(),
        Err(error) => Some(error.clone()),
    }
}

/// Where shapes end. Each operator of a line is named once. Code that was not followed has a list of its own.
fn shapes_end(analysis: &Analysis) -> Vec<ShapeEndReport> {
    let Analysis {
        network, program, ..
    } = analysis;
    let mut found = Vec::new();
    for end in program.shape_ends() {
        let Some(operator) = end.operator else {
            continue;
        };
        let report = ShapeEndReport {
            operator,
            path: network.modules.get(end.module).path.clone(),
            line: end.line.map(|line| network.sources.show_line(line)),
            reason: end.reason,
        };
        if !found.contains(&report) {
            found.push(report);
        }
    }
    found
}

/// What was not followed: each place and reason once. If shapes ended before, code that only lacked a shape is left out.
fn not_followed(analysis: &Analysis) -> Vec<NotFollowedReport> {
    let program = &analysis.program;
    let shapes_end = !program.shape_ends().is_empty();
    let causes = program.not_followed.iter();
    let mut found = Vec::new();
    for left in causes.filter(|left| !(shapes_end && left.for_want_of_shape)) {
        let report = NotFollowedReport {
            path: analysis.network.modules.get(left.module).path.clone(),
            reason: left.told(&analysis.network),
        };
        if !found.contains(&report) {
            found.push(report);
        }
    }
    found
}
