//! A table of values as colours.

use colorous::{CIVIDIS, Color};
use maud::{Markup, html};

use super::draw::{self, FAINT, FONT_SIZE, INK, LINE, PAPER, Size, fitted, px, widest};
use super::scale::{Scale, Unit, extent};
use super::{standalone, svg};

/// Rows × columns of values, each a cell whose colour tells the value.
///
/// The colours are those of cividis (Nuñez, Anderton, Renslow, *PLoS ONE* 2018, arXiv 1712.01662), which reads the same
/// with any colour vision and in grey.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeatMap {
    /// What the map shows.
    pub title: String,
    /// What a value is, such as `CKA`.
    pub value: String,
    pub unit: Unit,
    /// What a row is, such as `block`.
    pub row: String,
    /// What a column is, such as `iteration`.
    pub column: String,
    pub rows: Vec<String>,
    pub columns: Vec<String>,
    /// One list for each row, with one value for each column. A cell without a finite value stays empty.
    pub values: Vec<Vec<Option<f64>>>,
    /// The values at the two ends of the colours. A value beyond an end has the colour of that end. `None`: the least and
    /// the greatest value of the data.
    pub range: Option<[f64; 2]>,
    /// Cells that are pointed out.
    pub marks: Vec<Mark>,
    /// What a mark means, such as `removed`.
    pub marked: String,
    /// Rows that begin a new group. A gap stands before each.
    pub row_groups: Vec<usize>,
    /// Columns that begin a new group. A gap stands before each.
    pub column_groups: Vec<usize>,
}

/// A cell that is pointed out, with a ring in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub row: usize,
    pub column: usize,
}

/// The shortest side that a cell may have.
const SMALLEST: f64 = 14.;
/// The longest side that a cell may have.
const LARGEST: f64 = 30.;
/// Width of all columns together, as long as their cells do not become too small or too large for it.
const WISHED: f64 = 600.;
const LONGEST_LABEL: f64 = 220.;
const GAP: f64 = 4.;

/// Where everything stands.
struct Layout {
    cell: Size,
    /// Where the first cell stands.
    left: f64,
    top: f64,
    /// Column labels stand upright, because they are wider than their cells.
    upright: bool,
    /// Height of the column labels.
    labels: f64,
    size: Size,
}

impl HeatMap {
    /// The map as a file of its own: complete with its colours, on white.
    #[must_use]
    pub fn svg(&self) -> String {
        standalone(self.markup())
    }

    pub(crate) fn markup(&self) -> Markup {
        let layout = self.layout();
        let scale = self.scale();
        let description = self.description(&scale);
        let content = html! {
            (self.legend(&scale))
            (self.labels(&layout))
            g.cells { (self.cells(&layout, &scale)) }
        };
        svg(&self.title, &description, layout.size, &content)
    }

    /// Cells that have a value.
    pub(crate) fn points(&self) -> usize {
        let rows = 0..self.rows.len();
        rows.flat_map(|row| (0..self.columns.len()).map(move |column| (row, column)))
            .filter(|&(row, column)| self.value_at(row, column).is_some())
            .count()
    }

    fn value_at(&self, row: usize, column: usize) -> Option<f64> {
        let value = *self.values.get(row)?.get(column)?;
        value.filter(|v| v.is_finite())
    }

    fn finite(&self) -> impl Iterator<Item = f64> {
        self.values
            .iter()
            .flatten()
            .flatten()
            .copied()
            .filter(|v| v.is_finite())
    }

    fn scale(&self) -> Scale {
        let found = self.range.or_else(|| extent(self.finite()));
        Scale {
            values: found.unwrap_or([0., 1.]),
            places: [0., 1.],
        }
    }

    fn description(&self, scale: &Scale) -> String {
        let (rows, columns) = (self.rows.len(), self.columns.len());
        let [low, high] = extent(self.finite()).unwrap_or(scale.values);
        format!(
            "{} of {rows} rows ({}) and {columns} columns ({}), from {} to {}",
            self.value,
            self.row,
            self.column,
            self.unit.exact(low),
            self.unit.exact(high)
        )
    }

    fn layout(&self) -> Layout {
        let (rows, columns) = (self.rows.len() as f64, self.columns.len() as f64);
        let width = (WISHED / columns.max(1.)).clamp(SMALLEST, LARGEST).floor();
        // Square where rows and columns are alike.
        let height = if self.rows == self.columns {
            width
        } else {
            (WISHED / rows.max(1.)).clamp(SMALLEST, 20.).floor()
        };
        let longest = widest(self.columns.iter().map(String::as_str), LONGEST_LABEL);
        let upright = longest > width - 2.;
        let labels = if upright { longest + 6. } else { LINE };
        let left = widest(self.rows.iter().map(String::as_str), LONGEST_LABEL)
            .max(draw::width_of(&self.row))
            + 8.;
        let top = 2. * LINE + 14. + labels;
        let right = left + columns * width + GAP * self.column_groups.len() as f64;
        let bottom = top + rows * height + GAP * self.row_groups.len() as f64;
        Layout {
            cell: Size { width, height },
            left,
            top,
            upright,
            labels,
            size: Size {
                width: right.max(self.legend_width()),
                height: bottom,
            },
        }
    }

    /// The colours with the values at their ends, and what marks mean.
    fn legend(&self, scale: &Scale) -> Markup {
        const STEPS: u32 = 48;
        let [low, high] = self.ends(scale);
        // The pieces stand on whole pixels: between them one would see seams otherwise.
        let begin = (draw::width_of(&self.value) + 10. + draw::width_of(&low) + 6.).ceil();
        let step = STRIP / f64::from(STEPS);
        let end = begin + STRIP + 6.;
        let mark = end + draw::width_of(&high) + 28.;
        html! {
            g.legend {
                text.strong x="0" y=(px(LINE - 4.)) font-weight="600" { (self.value) }
                text x=(px(begin - 6.)) y=(px(LINE - 4.)) text-anchor="end" { (low) }
                @for i in 0..STEPS {
                    @let colour = CIVIDIS.eval_continuous(f64::from(i) / f64::from(STEPS - 1));
                    rect x=(px(begin + f64::from(i) * step)) y="2" width=(px(step)) height="12"
                        fill=(hex(colour)) {}
                }
                text x=(px(end)) y=(px(LINE - 4.)) { (high) }
                @if !self.marks.is_empty() {
                    (ring(mark, LINE / 2.))
                    text x=(px(mark + 10.)) y=(px(LINE - 4.)) { (self.marked) }
                }
            }
        }
    }

    /// The values at the ends of the colours, and whether others lie beyond.
    fn ends(&self, scale: &Scale) -> [String; 2] {
        let [low, high] = scale.values;
        let show = |value| self.unit.show(value, scale.span());
        let below = if self.finite().any(|v| v < low) {
            "≤ "
        } else {
            ""
        };
        let above = if self.finite().any(|v| v > high) {
            "≥ "
        } else {
            ""
        };
        [
            format!("{below}{}", show(low)),
            format!("{above}{}", show(high)),
        ]
    }

    fn legend_width(&self) -> f64 {
        let [low, high] = self.ends(&self.scale());
        let words = [&self.value, &low, &high, &self.marked].map(|t| draw::width_of(t));
        words.iter().sum::<f64>() + STRIP + 70.
    }

    fn labels(&self, layout: &Layout) -> Markup {
        let Layout {
            cell, left, top, ..
        } = *layout;
        let bottom = top - 4.;
        html! {
            g.labels {
                text x=(px(left)) y=(px(top - layout.labels - 6.)) fill=(FAINT) class="faint" { (self.column) " →" }
                text x="0" y=(px(bottom)) fill=(FAINT) class="faint" { (self.row) }
                @for (i, column) in self.columns.iter().enumerate() {
                    @let middle = left + self.across(i, cell.width) + cell.width / 2.;
                    @if layout.upright {
                        @let x = middle + FONT_SIZE * 0.35;
                        text transform={ "translate(" (px(x)) " " (px(bottom)) ") rotate(-90)" } {
                            (fitted(column, LONGEST_LABEL))
                        }
                    } @else {
                        text x=(px(middle)) y=(px(bottom)) text-anchor="middle" { (column) }
                    }
                }
                @for (i, row) in self.rows.iter().enumerate() {
                    @let y = top + self.down(i, cell.height) + cell.height / 2. + FONT_SIZE * 0.35;
                    text x=(px(left - 8.)) y=(px(y)) text-anchor="end" { (fitted(row, LONGEST_LABEL)) }
                }
            }
        }
    }

    fn cells(&self, layout: &Layout, scale: &Scale) -> Markup {
        let Layout {
            cell, left, top, ..
        } = *layout;
        html! {
            @for (r, row) in self.rows.iter().enumerate() {
                @for (c, column) in self.columns.iter().enumerate() {
                    @if let Some(value) = self.value_at(r, c) {
                        @let (x, y) = (left + self.across(c, cell.width), top + self.down(r, cell.height));
                        @let marked = self.marks.contains(&Mark { row: r, column: c });
                        g.mark {
                            title {
                                (row) "\n" (self.column) " " (column) "\n" (self.value) " " (self.unit.exact(value))
                                @if marked { "\n" (self.marked) }
                            }
                            rect x=(px(x)) y=(px(y)) width=(px(cell.width - 1.)) height=(px(cell.height - 1.))
                                fill=(hex(CIVIDIS.eval_continuous(scale.place(value)))) {}
                            @if marked { (ring(x + (cell.width - 1.) / 2., y + (cell.height - 1.) / 2.)) }
                        }
                    }
                }
            }
        }
    }

    fn across(&self, column: usize, width: f64) -> f64 {
        column as f64 * width + GAP * gaps(&self.column_groups, column)
    }

    fn down(&self, row: usize, height: f64) -> f64 {
        row as f64 * height + GAP * gaps(&self.row_groups, row)
    }
}

/// Length of the colours in the legend.
const STRIP: f64 = 144.;

fn gaps(groups: &[usize], place: usize) -> f64 {
    groups.iter().filter(|&&first| first <= place).count() as f64
}

/// A black ring within a white one, which is seen on every colour.
fn ring(x: f64, y: f64) -> Markup {
    html! {
        circle.ring cx=(px(x)) cy=(px(y)) r="4" fill=(PAPER) stroke=(INK) stroke-width="1.5" {}
    }
}

fn hex(colour: Color) -> String {
    format!("#{colour:x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> HeatMap {
        HeatMap {
            title: "t".into(),
            value: "CKA".into(),
            rows: vec!["a<b".into(), "b".into()],
            columns: vec!["1".into(), "2".into()],
            values: vec![vec![Some(0.), Some(f64::NAN)], vec![Some(1.), None]],
            marks: vec![Mark { row: 1, column: 0 }],
            marked: "removed".into(),
            ..HeatMap::default()
        }
    }

    #[test]
    fn a_cell_has_its_colour_in_itself() {
        let svg = map().svg();
        assert_eq!(map().points(), 2);
        assert_eq!(svg.matches("class=\"mark\"").count(), 2);
        for end in [0., 1.] {
            let colour = hex(CIVIDIS.eval_continuous(end));
            // In the legend and in the cell.
            assert_eq!(
                svg.matches(&format!("fill=\"{colour}\"")).count(),
                2,
                "{svg}"
            );
        }
        assert!(!svg.contains("var("));
    }

    #[test]
    fn what_lies_beyond_the_range_is_told() {
        let narrow = HeatMap {
            range: Some([0.5, 1.]),
            ..map()
        };
        assert_eq!(
            narrow.ends(&narrow.scale()),
            ["≤ 0.50".to_owned(), "1.00".to_owned()]
        );
    }
}
