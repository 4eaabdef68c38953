//! What a map says: to programs, on a page, as a picture, and in one line.

use serde::Serialize;

use super::terminal;
use crate::report::page::charts::{HeatMap, Mark, Unit};
use crate::report::page::{Column, Fact, Facts, Headline, Page, Section, Table};
use crate::report::progress::Progress;
use crate::report::{SCHEMA, calibration_images};
use crate::score::similarity::{Layer, LayerKind, Map, Skipped};

/// A map, and what it is a map of.
pub(super) struct MapReport {
    pub model: String,
    pub against: Option<String>,
    pub input_shape: Vec<i64>,
    pub synthetic: bool,
    /// How long the comparison took, from loading the networks to the similarities.
    pub seconds: f64,
    /// Files with the map in them.
    pub written: Vec<String>,
    pub map: Map,
}

#[derive(Serialize)]
pub(super) struct Document<'a> {
    schema: u32,
    command: &'static str,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<&'a str>,
    input_shape: &'a [i64],
    synthetic: bool,
    map: MapDocument<'a>,
    seconds: f64,
    written: &'a [String],
}

#[derive(Serialize)]
struct MapDocument<'a> {
    estimator: &'static str,
    samples: usize,
    batch_size: usize,
    rows: &'a [Layer],
    columns: &'a [Layer],
    /// One list for each row.
    cka: Vec<Vec<f64>>,
    skipped: Vec<SkippedDocument<'a>>,
}

#[derive(Serialize)]
struct SkippedDocument<'a> {
    model: &'a str,
    #[serde(flatten)]
    skipped: &'a Skipped,
}

/// What `estimator` says: linear CKA whose unbiased HSIC is averaged over minibatches.
const ESTIMATOR: &str = "minibatch-cka-unbiased-hsic";

/// Two blocks that are most alike, and how much.
#[derive(Clone, Copy)]
struct Pair {
    row: usize,
    column: usize,
    cka: f64,
}

impl MapReport {
    pub fn document(&self) -> Document<'_> {
        let map = &self.map;
        Document {
            schema: SCHEMA,
            command: "score",
            model: &self.model,
            against: self.against.as_deref(),
            input_shape: &self.input_shape,
            synthetic: self.synthetic,
            map: MapDocument {
                estimator: ESTIMATOR,
                samples: map.samples,
                batch_size: map.batch_size,
                rows: &map.rows,
                columns: &map.columns,
                cka: map.cka.rows().into_iter().map(|row| row.to_vec()).collect(),
                skipped: self
                    .skipped()
                    .map(|(model, skipped)| SkippedDocument { model, skipped })
                    .collect(),
            },
            seconds: self.seconds,
            written: &self.written,
        }
    }

    /// What was left out, and of which network.
    fn skipped(&self) -> impl Iterator<Item = (&str, &Skipped)> {
        let of_rows = self.map.skipped_rows.iter();
        let of_columns = self.map.skipped_columns.iter();
        let of_columns = self
            .against
            .iter()
            .flat_map(move |other| of_columns.clone().map(move |s| (other.as_str(), s)));
        of_rows.map(|s| (self.model.as_str(), s)).chain(of_columns)
    }

    pub fn note_skipped(&self, progress: Progress) {
        for (model, Skipped { path, reason }) in self.skipped() {
            progress.note(format_args!(
                "note: {model}: {path} is not in the map: {reason}"
            ));
        }
    }

    /// The two blocks that are most alike. In one network neighbours do not count, because they nearly always are.
    fn most_alike(&self) -> Option<Pair> {
        let is_block = |layers: &[Layer], i: usize| layers[i].kind == LayerKind::Block;
        let counts = |row: usize, column: usize| {
            let apart = self.against.is_some() || column > row + 1;
            apart && is_block(&self.map.rows, row) && is_block(&self.map.columns, column)
        };
        let all = self.map.cka.indexed_iter();
        let all = all.filter(|((row, column), _)| counts(*row, *column));
        let best = all.max_by(|(_, a), (_, b)| a.total_cmp(b));
        best.map(|((row, column), cka)| Pair {
            row,
            column,
            cka: *cka,
        })
    }

    /// What the map says in one line. `None` if there are too few blocks.
    fn finding(&self) -> Option<String> {
        let Pair { row, column, cka } = self.most_alike()?;
        let (row, column) = (&self.map.rows[row].path, &self.map.columns[column].path);
        Some(match &self.against {
            None => format!(
                "Of blocks that are not neighbours, {row} and {column} are most alike: {cka:.3}."
            ),
            Some(other) => format!(
                "Most alike are {row} of {} and {column} of {other}: {cka:.3}.",
                self.model
            ),
        })
    }

    /// The images that blocks were compared on.
    fn images(&self) -> String {
        calibration_images(self.map.samples, self.synthetic)
    }

    pub fn text(&self) -> String {
        let against = self.against.iter().map(|other| format!(" and {other}"));
        let mut text = format!(
            "{}{}: linear CKA of blocks, each to each, on {} in minibatches of {}\n\n",
            self.model,
            against.collect::<String>(),
            self.images(),
            self.map.batch_size
        );
        text += &terminal::heat_map(&self.map, self.against.is_some());
        if let Some(finding) = self.finding() {
            text += &format!("\n{finding}\n");
        }
        text + &format!("\nwritten to {}\n", self.written.join(", "))
    }

    pub fn chart(&self) -> HeatMap {
        let labels = |layers: &[Layer]| layers.iter().map(|l| l.path.clone()).collect();
        let value = |cka: &f64| Some(*cka);
        let of = |model: &str| match self.against {
            Some(_) => format!("block of {model}"),
            None => "block".into(),
        };
        let mark = self.most_alike().map(|pair| Mark {
            row: pair.row,
            column: pair.column,
        });
        let rows = self.map.cka.rows().into_iter();
        HeatMap {
            title: "Similarity of blocks".into(),
            value: "CKA".into(),
            unit: Unit::Plain,
            row: of(&self.model),
            column: of(self.against.as_ref().unwrap_or(&self.model)),
            rows: labels(&self.map.rows),
            columns: labels(&self.map.columns),
            values: rows.map(|row| row.iter().map(value).collect()).collect(),
            range: Some([0., 1.]),
            marks: mark.into_iter().collect(),
            marked: match self.against {
                Some(_) => "most alike".into(),
                None => "most alike of those that are not neighbours".into(),
            },
            row_groups: stage_begins(&self.map.rows),
            column_groups: stage_begins(&self.map.columns),
        }
    }

    pub fn page(&self) -> Page {
        let title = match &self.against {
            Some(other) => format!("Blocks of {} and {other}", self.model),
            None => format!("Blocks of {}", self.model),
        };
        let mut similarities = Section::new("How alike they are");
        if let Some(finding) = self.finding() {
            similarities = similarities.with(finding);
        }
        let mut sections = vec![
            similarities.with(self.chart()),
            Section::new("Each block").with(self.table()),
        ];
        let skipped: Vec<Vec<String>> = self
            .skipped()
            .map(|(model, s)| vec![model.into(), s.path.clone(), s.reason.clone()])
            .collect();
        if !skipped.is_empty() {
            sections.push(Section::new("Not in the map").with(Table {
                title: String::new(),
                columns: ["network", "block", "reason"].map(Column::words).to_vec(),
                rows: skipped,
            }));
        }
        sections.push(self.method());
        Page {
            title,
            subtitle: format!("Linear CKA of what blocks give, on {}", self.images()),
            headlines: self.headlines(),
            sections,
        }
    }

    fn headlines(&self) -> Vec<Headline> {
        let blocks = |layers: &[Layer]| {
            let blocks = layers.iter().filter(|l| l.kind == LayerKind::Block);
            blocks.count().to_string()
        };
        let headline = |label: &str, value: String, note: &str| Headline {
            label: label.into(),
            value,
            note: note.into(),
        };
        let mut headlines = vec![headline("blocks", blocks(&self.map.rows), &self.model)];
        if let Some(other) = &self.against {
            headlines.push(headline("blocks", blocks(&self.map.columns), other));
        }
        if let Some(pair) = self.most_alike() {
            let (row, column) = (&self.map.rows[pair.row], &self.map.columns[pair.column]);
            let note = format!("{} and {}", row.path, column.path);
            headlines.push(headline("most alike", format!("{:.3}", pair.cka), &note));
        }
        headlines
    }

    /// A row for each block: which one it is most like, and in one network how much it is like the one before it.
    fn table(&self) -> Table {
        let map = &self.map;
        let show = |cka: f64| format!("{cka:.3}");
        let mut columns = vec![Column::words("block"), Column::words("output")];
        let other = match &self.against {
            Some(other) => format!("most like, in {other}"),
            None => {
                columns.push(Column::numbers("CKA with the one before"));
                "most like, of those further away".into()
            }
        };
        columns.extend([Column::words(&other), Column::numbers("CKA")]);
        let row = |i: usize| {
            let layer = &map.rows[i];
            let shape = layer.output_shape.as_deref();
            let shape = shape.map_or("?".into(), crate::blocks::show_shape);
            let mut cells = vec![layer.path.clone(), shape];
            if self.against.is_none() {
                let before = i.checked_sub(1).map(|before| map.cka[[i, before]]);
                cells.push(before.map(show).unwrap_or_default());
            }
            let far = |j: &usize| self.against.is_some() || i.abs_diff(*j) > 1;
            let most = (0..map.columns.len()).filter(far);
            let most = most.max_by(|a, b| map.cka[[i, *a]].total_cmp(&map.cka[[i, *b]]));
            cells.extend(match most {
                Some(j) => [map.columns[j].path.clone(), show(map.cka[[i, j]])],
                None => [String::new(), String::new()],
            });
            cells
        };
        Table {
            title: String::new(),
            columns,
            rows: (0..map.rows.len()).map(row).collect(),
        }
    }

    fn method(&self) -> Section {
        let fact = |name: &str, value: String| Fact {
            name: name.into(),
            value,
            default: false,
        };
        let facts = vec![
            fact("images", self.images()),
            fact("in minibatches of", self.map.batch_size.to_string()),
            fact("input", crate::blocks::show_shape(&self.input_shape)),
        ];
        Section::new("How it was measured")
            .with(
                "CKA is 1 where two outputs are the same up to rotation and scale, and about 0 where they have nothing to do \
                 with each other; a little less than 0 is chance. The unbiased HSIC of each pair is averaged over \
                 minibatches, so the size of the minibatches does not bias it (Nguyen, Raghu, Kornblith, arXiv 2010.15327).",
            )
            .with(Facts(facts))
    }
}

/// The places at which a new stage begins.
fn stage_begins(layers: &[Layer]) -> Vec<usize> {
    (1..layers.len())
        .filter(|i| layers[*i].stage != layers[i - 1].stage)
        .collect()
}
