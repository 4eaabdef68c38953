//! A map in a terminal: colours where there are some, else numbers.

use std::fmt::Write as _;

use colorous::{CIVIDIS, Color};
use comfy_table::Cell;

use crate::report::{self, number, screen};
use crate::score::similarity::{Layer, Map};

/// The most rows and columns of numbers that are shown. If there are more, so many of them are picked.
const MOST_NUMBERS: usize = 32;
/// The most rows of colours that are shown.
const MOST_COLOURS: usize = 64;
/// Width of a coloured cell, in characters.
const CELL: usize = 2;

/// The map as stdout can show it. `other`: the columns are the blocks of another network.
pub(super) fn heat_map(map: &Map, other: bool) -> String {
    if !screen::has_colours() {
        return numbers(map, other);
    }
    colours(map, other, screen::width())
}

/// At most `most` of `count` places. They are evenly spread, and both ends are among them.
fn picked(count: usize, most: usize) -> Vec<usize> {
    if count <= most || most < 2 {
        return (0..count).collect();
    }
    (0..most).map(|i| i * (count - 1) / (most - 1)).collect()
}

/// Says how many rows and columns are shown, if not all are.
fn left_out(map: &Map, rows: usize, columns: usize) -> String {
    let (all_rows, all_columns) = (map.rows.len(), map.columns.len());
    if (rows, columns) == (all_rows, all_columns) {
        return String::new();
    }
    format!("{rows} × {columns} of {all_rows} × {all_columns}; the files have all\n")
}

/// Says which number is which column, where the rows do not show it.
fn legend(columns: &[Layer], shown: &[usize]) -> String {
    let named = shown
        .iter()
        .map(|i| format!("{} {}", i + 1, columns[*i].path));
    format!("columns: {}\n", named.collect::<Vec<_>>().join(", "))
}

fn numbers(map: &Map, other: bool) -> String {
    let rows = picked(map.rows.len(), MOST_NUMBERS);
    let columns = picked(map.columns.len(), MOST_NUMBERS);
    let heads: Vec<String> = columns.iter().map(|i| (i + 1).to_string()).collect();
    let header = ["", "block"].into_iter();
    let header: Vec<&str> = header.chain(heads.iter().map(String::as_str)).collect();
    let mut table = report::table(&header);
    for &row in &rows {
        let mut cells = vec![
            number((row + 1).to_string()),
            Cell::new(&map.rows[row].path),
        ];
        // Adding 0 turns −0 into 0.
        let shown = |cka: f64| format!("{:.2}", (cka * 100.).round() / 100. + 0.);
        cells.extend(columns.iter().map(|c| number(shown(map.cka[[row, *c]]))));
        table.add_row(cells);
    }
    let mut text = report::render(&table);
    text += &left_out(map, rows.len(), columns.len());
    if other {
        text += &legend(&map.columns, &columns);
    }
    text
}

fn colours(map: &Map, other: bool, width: usize) -> String {
    let labels = map.rows.iter().map(|l| l.path.chars().count());
    let label = labels.max().unwrap_or(0);
    let most = (width.saturating_sub(label + 1) / CELL).clamp(2, MOST_COLOURS);
    let rows = picked(map.rows.len(), most);
    let columns = picked(map.columns.len(), most);
    let mut text = String::new();
    // Writing to a String cannot fail.
    for &row in &rows {
        let _ = write!(text, "{:<label$} ", map.rows[row].path);
        for &column in &columns {
            text += &cell(map.cka[[row, column]]);
        }
        text += "\n";
    }
    let steps: String = (0..=10).map(|i| cell(f64::from(i) / 10.)).collect();
    let _ = writeln!(text, "\n{:<label$} {steps} 1   CKA", "0");
    text += &left_out(map, rows.len(), columns.len());
    if other {
        text += &legend(&map.columns, &columns);
    }
    text
}

fn cell(cka: f64) -> String {
    let colour = nearest(CIVIDIS.eval_continuous(cka.clamp(0., 1.)));
    format!("\x1b[48;5;{colour}m{:CELL$}\x1b[0m", "")
}

/// The nearest of the 256 colours that terminals have, which are a cube of 6 × 6 × 6 and greys.
fn nearest(colour: Color) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let wanted = [colour.r, colour.g, colour.b];
    let distance = |found: [u8; 3]| -> u32 {
        let pairs = found.iter().zip(wanted);
        pairs.map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
    };
    let rgb = |index: u8| match index {
        232.. => [8 + 10 * (index - 232); 3],
        _ => {
            let place = index - 16;
            [place / 36, place / 6 % 6, place % 6].map(|i| LEVELS[usize::from(i)])
        }
    };
    (16..=255)
        .min_by_key(|index| distance(rgb(*index)))
        .unwrap_or(16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::similarity::LayerKind;
    use ndarray::Array2;

    fn map(blocks: usize) -> Map {
        let layer = |i: usize| Layer {
            kind: LayerKind::Block,
            path: format!("layer.{i}"),
            stage: Some(1),
            output_shape: None,
        };
        let layers: Vec<Layer> = (0..blocks).map(layer).collect();
        Map {
            rows: layers.clone(),
            columns: layers,
            skipped_rows: Vec::new(),
            skipped_columns: Vec::new(),
            cka: Array2::from_shape_fn((blocks, blocks), |(i, j)| {
                (1. - 0.2004 * i.abs_diff(j) as f64).max(-0.002)
            }),
            samples: 8,
            batch_size: 8,
        }
    }

    #[test]
    fn numbers_have_two_decimals_and_no_negative_zero() {
        insta::assert_snapshot!(numbers(&map(6), true), @r"
             block     1      2      3      4      5      6
        ───────────────────────────────────────────────────────
         1   layer.0   1.00   0.80   0.60   0.40   0.20   0.00
         2   layer.1   0.80   1.00   0.80   0.60   0.40   0.20
         3   layer.2   0.60   0.80   1.00   0.80   0.60   0.40
         4   layer.3   0.40   0.60   0.80   1.00   0.80   0.60
         5   layer.4   0.20   0.40   0.60   0.80   1.00   0.80
         6   layer.5   0.00   0.20   0.40   0.60   0.80   1.00
        columns: 1 layer.0, 2 layer.1, 3 layer.2, 4 layer.3, 5 layer.4, 6 layer.5
        ");
    }

    #[test]
    fn of_many_blocks_some_are_shown_and_both_ends_are_among_them() {
        assert_eq!(picked(5, 5), [0, 1, 2, 3, 4]);
        assert_eq!(picked(9, 3), [0, 4, 8]);
        let text = numbers(&map(100), false);
        assert!(text.contains("layer.0 ") && text.contains("layer.99 "));
        assert!(text.contains("32 × 32 of 100 × 100; the files have all"));
        let widths = text.lines().map(|line| line.chars().count());
        assert!(widths.max().unwrap() < 250, "{text}");
    }

    #[test]
    fn coloured_rows_fit_the_terminal() {
        for width in [20, 80, 200] {
            let text = colours(&map(60), false, width);
            let first = text.lines().next().unwrap();
            let cells = first.matches("\x1b[48;5;").count();
            assert!(cells >= 2 && "layer.59 ".len() + CELL * cells <= width);
        }
    }

    #[test]
    fn colours_are_told_apart_from_end_to_end() {
        let index = |cka: f64| nearest(CIVIDIS.eval_continuous(cka));
        assert_eq!(nearest(Color { r: 255, g: 0, b: 0 }), 196);
        assert_eq!(nearest(Color { r: 9, g: 9, b: 9 }), 232);
        let distinct: std::collections::BTreeSet<u8> =
            (0..=10).map(|i| index(f64::from(i) / 10.)).collect();
        assert!(distinct.len() >= 8, "{distinct:?}");
    }
}
