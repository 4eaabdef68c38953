//! Results: JSON for programs, tables and pages for people.
//!
//! In come figures as plain values; out come documents, text and charts. It measures nothing. Imports from `program`,
//! `archive` and `blocks` what it describes.

mod bar;
mod invocation;
mod numbers;
pub mod page;
#[cfg(feature = "torch")]
pub mod picture;
pub mod plan;
pub mod progress;
pub mod screen;
pub mod tree;
pub mod yardstick;

use std::borrow::Cow;
use std::io::{self, Write as _};

use anyhow::{Context, Result};
use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};
use serde::{Deserialize, Serialize};

use crate::blocks::Block;
use crate::blocks::analysis::Analysis;
use crate::blocks::value::Value;
use crate::program::receptive::{self, Field};

pub use bar::bar;
pub use invocation::Invocation;
pub use numbers::{
    calibration_images, change, counted, in_percent, interval, milliseconds, off_by, percent,
    percent_to, points, thousands, true_minus,
};

/// Version of the JSON documents.
pub const SCHEMA: u32 = 1;

/// A block as JSON documents show it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BlockReport {
    pub path: String,
    /// Counted from 1.
    pub stage: usize,
    pub removable: bool,
    /// Why it is not removable.
    pub reason: Option<String>,
    /// The shape of one sample, without the batch dimension.
    pub input_shape: Option<Vec<i64>>,
    pub output_shape: Option<Vec<i64>>,
    /// Pixels of the image from one position of its output to the next.
    pub stride: Option<i64>,
    pub receptive_field: Option<ReceptiveField>,
    pub params: i64,
    /// Fraction of the network's parameters.
    pub params_share: Option<f64>,
    pub macs: i64,
    /// Fraction of the network's MACs.
    pub macs_share: Option<f64>,
    /// Its value by the criterion it was scored with. The criterion's name is the key.
    #[serde(flatten)]
    pub value: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// How many calibration images it was compared on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<usize>,
    /// Part of the network's MACs, parameters or time that goes with it, where its value is weighed against that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saves: Option<f64>,
}

/// How much of the image one position sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ReceptiveField {
    /// The longer side, in pixels.
    Side(i64),
    Whole(Cow<'static, str>),
}

impl ReceptiveField {
    fn of(field: Field) -> Option<Self> {
        match field {
            Field::Pixels([height, width]) => Some(ReceptiveField::Side(height.max(width))),
            Field::Whole => Some(ReceptiveField::Whole("whole image".into())),
            Field::Unknown => None,
        }
    }
}

impl BlockReport {
    /// All blocks of a network, in the order in which they run.
    #[must_use]
    pub fn all(analysis: &Analysis) -> Vec<Self> {
        let views = receptive::views(&analysis.network, &analysis.program);
        let (params, macs) = (analysis.params(), analysis.macs().count);
        let report = |block: &Block| {
            let view = views.get(&block.output);
            BlockReport {
                path: block.path.clone(),
                stage: block.stage + 1,
                removable: block.is_removable(),
                reason: block.obstacle.as_ref().map(ToString::to_string),
                input_shape: block.input_shape.clone(),
                output_shape: block.output_shape.clone(),
                stride: view
                    .and_then(|v| v.stride)
                    .map(|[down, across]| down.max(across)),
                receptive_field: view.and_then(|v| ReceptiveField::of(v.field)),
                params: block.params,
                params_share: share(block.params, params),
                macs: block.macs.count,
                macs_share: share(block.macs.count, macs),
                value: None,
                rank: None,
                samples: None,
                saves: None,
            }
        };
        analysis.blocks.iter().map(report).collect()
    }
}

fn share(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A table has a line under its header, and no other lines.
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

/// The text of a table of a page, for terminals.
#[must_use]
pub fn text_of(source: &page::Table) -> String {
    let header: Vec<&str> = source.columns.iter().map(|c| c.title.as_str()).collect();
    let mut table = table(&header);
    for row in &source.rows {
        let cells = row.iter().zip(&source.columns);
        table.add_row(cells.map(|(text, column)| {
            if column.number {
                number(text.clone())
            } else {
                text.into()
            }
        }));
    }
    render(&table)
}

/// A cell whose text stands at its right edge.
#[must_use]
pub fn number(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// Whether a count is not worth a field in a document.
#[must_use]
pub fn is_zero(count: &usize) -> bool {
    *count == 0
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
