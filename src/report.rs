//! Results: JSON for programs, tables for people.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::{Context, Result};
use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};
use serde::Serialize;

use crate::analysis::Analysis;
use crate::blocks::{Block, show_shape};

/// Version of the JSON documents.
pub const SCHEMA: u32 = 1;

/// A block as JSON documents show it.
#[derive(Clone, Debug, Serialize)]
pub struct BlockReport {
    pub path: String,
    /// Counted from 1.
    pub stage: usize,
    pub removable: bool,
    /// Why it is not removable.
    pub reason: Option<String>,
    /// Of one sample, without the batch dimension.
    pub input_shape: Option<Vec<i64>>,
    pub output_shape: Option<Vec<i64>>,
    pub params: i64,
    pub macs: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cka: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
}

impl From<&Block> for BlockReport {
    fn from(block: &Block) -> Self {
        BlockReport {
            path: block.path.clone(),
            stage: block.stage + 1,
            removable: block.is_removable(),
            reason: block.obstacle.as_ref().map(ToString::to_string),
            input_shape: block.input_shape.clone(),
            output_shape: block.output_shape.clone(),
            params: block.params,
            macs: block.macs.count,
            cka: None,
            rank: None,
        }
    }
}

/// What `inspect` says.
#[derive(Clone, Debug, Serialize)]
pub struct InspectReport {
    pub schema: u32,
    pub command: &'static str,
    pub model: String,
    pub input_shape: Vec<i64>,
    /// The input shape was not named but guessed from the network.
    pub input_shape_guessed: bool,
    pub params: i64,
    pub macs: i64,
    /// False if some code could not be followed, so that `macs` is a lower bound.
    pub macs_exact: bool,
    pub stages: usize,
    pub blocks: Vec<BlockReport>,
}

impl InspectReport {
    #[must_use]
    pub fn new(model: String, analysis: &Analysis) -> Self {
        let macs = analysis.macs();
        InspectReport {
            schema: SCHEMA,
            command: "inspect",
            model,
            input_shape: analysis.input_shape.clone(),
            input_shape_guessed: analysis.shape_guessed,
            params: analysis.params(),
            macs: macs.count,
            macs_exact: macs.exact,
            stages: analysis.blocks.last().map_or(0, |b| b.stage + 1),
            blocks: analysis.blocks.iter().map(BlockReport::from).collect(),
        }
    }

    /// The table people read.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::new();
        let guessed = if self.input_shape_guessed {
            " (guessed; --input-size names it)"
        } else {
            ""
        };
        let at_least = if self.macs_exact { "" } else { "at least " };
        let removable = self.blocks.iter().filter(|b| b.removable).count();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", self.model);
        let _ = writeln!(
            out,
            "  input       {}{guessed}",
            show_shape(&self.input_shape)
        );
        let _ = writeln!(out, "  parameters  {}", thousands(self.params));
        let _ = writeln!(
            out,
            "  MACs        {at_least}{} (convolutions, linear layers, matrix products)",
            thousands(self.macs)
        );
        if self.blocks.is_empty() {
            let _ = writeln!(out, "  blocks      none: {}", no_blocks(self.params));
            return out;
        }
        let _ = writeln!(
            out,
            "  blocks      {}, {removable} of them removable, in {} stage{}\n",
            self.blocks.len(),
            self.stages,
            if self.stages == 1 { "" } else { "s" },
        );
        let mut table = table(&[
            "stage",
            "block",
            "shape",
            "parameters",
            "share",
            "MACs",
            "share",
            "removable",
        ]);
        for block in &self.blocks {
            let known =
                |shape: &Option<Vec<i64>>| shape.as_ref().map_or("?".into(), |s| show_shape(s));
            let shape = match block.input_shape == block.output_shape {
                true => known(&block.output_shape),
                false => format!(
                    "{} → {}",
                    known(&block.input_shape),
                    known(&block.output_shape)
                ),
            };
            table.add_row(vec![
                number(block.stage.to_string()),
                Cell::new(&block.path),
                Cell::new(shape),
                number(thousands(block.params)),
                number(percent(block.params, self.params)),
                number(thousands(block.macs)),
                number(percent(block.macs, self.macs)),
                Cell::new(
                    block
                        .reason
                        .as_ref()
                        .map_or("yes".into(), |reason| format!("no: {reason}")),
                ),
            ]);
        }
        out + &render(&table)
    }
}

/// Why a network with so many parameters has no blocks.
#[must_use]
pub fn no_blocks(params: i64) -> &'static str {
    // torch.jit.freeze turns parameters into constants and drops the modules that blocks are found by.
    match params {
        0 => {
            "it was frozen, so its modules and parameters are gone; export it without torch.jit.freeze"
        }
        _ => "there is no region `x + f(x)` with one tensor in and one out",
    }
}

/// One line under the header, nothing else.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table in the house style; the caller adds the rows.
#[must_use]
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(STYLE)
        .set_header(header.iter().map(Cell::new));
    table
}

/// The table's text, without blanks at the lines' ends.
#[must_use]
pub fn render(table: &Table) -> String {
    table.trim_fmt() + "\n"
}

/// A cell whose text stands at its right edge.
#[must_use]
pub fn number(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// `125,485,696`
#[must_use]
pub fn thousands(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::from(if n < 0 { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `3.76 %` of the whole.
#[must_use]
pub fn percent(part: i64, whole: i64) -> String {
    if whole == 0 {
        "-".into()
    } else {
        format!("{:.2} %", 100. * part as f64 / whole as f64)
    }
}

/// Writes a result to stdout. A reader that has seen enough (`| head`) is no error.
///
/// # Errors
/// If stdout cannot be written.
pub fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(e).context("the result cannot be written to stdout")
        }
        _ => Ok(()),
    }
}

/// A document as indented JSON.
pub fn json(document: &impl Serialize) -> Result<String> {
    let mut text =
        serde_json::to_string_pretty(document).context("the result cannot be written as JSON")?;
    text.push('\n');
    Ok(text)
}
