//! The blocks of a network, stage by stage in the order in which they run.

use maud::{Markup, html};

use super::draw::{
    self, FAINT, FONT_SIZE, INK, LINE, PAPER, Rect, Size, fitted, hatching, px, width_of,
};
use super::scale::Unit;
use super::svg;

/// Which blocks of a network went, and when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stages {
    /// What the chart shows.
    pub title: String,
    /// In the order in which they run.
    pub stages: Vec<Stage>,
}

/// Blocks of one shape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stage {
    /// Such as `stage 1, 16 × 32 × 32`.
    pub name: String,
    pub blocks: Vec<Block>,
}

/// A block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// Its path in the network.
    pub name: String,
    pub kind: BlockKind,
    pub macs: f64,
    /// The iteration that removed it, counted from 1.
    pub removed: Option<usize>,
    /// What else there is to know, such as why it cannot be removed.
    pub note: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BlockKind {
    /// Its output has the shape of its input, and it may go.
    #[default]
    Removable,
    /// Its output has another shape.
    ChangesShape,
    /// It has to stay for another reason.
    Fixed,
}

const WIDTH: f64 = 700.;
const BOX: Size = Size {
    width: 30.,
    height: 26.,
};
/// From the left of a box to the left of the next one.
const STEP: f64 = 38.;
/// Height of a row of boxes with their names.
const ROW: f64 = 60.;
/// Height of the strip that shows the MACs.
const STRIP: f64 = 3.;

struct Row<'a> {
    y: f64,
    /// In the first row of a stage: the stage's name, and what the names of its blocks begin with.
    title: Option<(String, String)>,
    /// The blocks, and the names that are written below them.
    blocks: Vec<(&'a Block, String)>,
}

impl Stages {
    /// Blocks that are drawn.
    pub(crate) fn points(&self) -> usize {
        self.stages.iter().map(|s| s.blocks.len()).sum()
    }

    pub(crate) fn markup(&self) -> Markup {
        let most = self.blocks().map(|b| b.macs).fold(0., f64::max);
        let left = self.left();
        let (rows, y) = self.rows(left);
        let (legend, legend_height) = self.legend(y, most);
        let content = html! {
            @for row in &rows {
                @if let Some((name, prefix)) = &row.title {
                    text.strong x="0" y=(px(row.y + LINE)) font-weight="600" { (fitted(name, left - 12.)) }
                    text.faint x="0" y=(px(row.y + 2. * LINE)) fill=(FAINT) { (fitted(prefix, left - 12.)) }
                }
                @for (i, (block, name)) in row.blocks.iter().enumerate() {
                    @let (x, y) = (left + i as f64 * STEP, row.y + 4.);
                    @if i + 1 < row.blocks.len() {
                        path.wire d={ "M" (px(x + BOX.width)) " " (px(y + BOX.height / 2.)) "h" (px(STEP - BOX.width)) }
                            stroke=(FAINT) fill="none" {}
                    }
                    (block.at(x, y, name, most))
                }
            }
            (legend)
        };
        let size = Size {
            width: WIDTH,
            height: y + legend_height,
        };
        svg(&self.title, &self.description(), size, &content)
    }

    /// The rows of boxes, as many as each stage needs, and where the last one ends.
    fn rows(&self, left: f64) -> (Vec<Row<'_>>, f64) {
        let per_row = (((WIDTH - left) / STEP).floor() as usize).max(1);
        let mut rows = Vec::new();
        let mut y = 0.;
        for stage in &self.stages {
            let (prefix, names) = short_names(&stage.blocks);
            let mut title = Some((stage.name.clone(), prefix));
            let named: Vec<(&Block, String)> = stage.blocks.iter().zip(names).collect();
            for blocks in named.chunks(per_row) {
                rows.push(Row {
                    y,
                    title: title.take(),
                    blocks: blocks.to_vec(),
                });
                y += ROW;
            }
        }
        (rows, y)
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.stages.iter().flat_map(|s| &s.blocks)
    }

    fn left(&self) -> f64 {
        let prefixes: Vec<String> = self
            .stages
            .iter()
            .map(|s| short_names(&s.blocks).0)
            .collect();
        let names = self.stages.iter().map(|s| s.name.as_str());
        draw::widest(names.chain(prefixes.iter().map(String::as_str)), 190.) + 18.
    }

    fn description(&self) -> String {
        let gone = self.blocks().filter(|b| b.removed.is_some()).count();
        format!(
            "{} blocks in {} stages, {gone} of them removed",
            self.points(),
            self.stages.len()
        )
    }

    /// The legend, which explains only what is in the picture, and its height.
    fn legend(&self, y: f64, most: f64) -> (Markup, f64) {
        let has = |kind: BlockKind| self.blocks().any(|b| b.kind == kind && b.removed.is_none());
        let gone = self.blocks().any(|b| b.removed.is_some());
        let kinds = [
            (
                has(BlockKind::Removable),
                BlockKind::Removable,
                None,
                "stays",
            ),
            (gone, BlockKind::Removable, Some(0), "removed, by iteration"),
            (
                has(BlockKind::ChangesShape),
                BlockKind::ChangesShape,
                None,
                "changes the shape",
            ),
            (
                has(BlockKind::Fixed),
                BlockKind::Fixed,
                None,
                "cannot be removed",
            ),
        ];
        let mut x = 0.;
        let mut items = Vec::new();
        for (_, kind, removed, words) in kinds.into_iter().filter(|k| k.0) {
            items.push((
                x,
                Block {
                    kind,
                    removed,
                    ..Block::default()
                },
                words,
            ));
            x += width_of(words) + 44.;
        }
        let strip = format!(
            "strip at the foot: its MACs, at most {}",
            Unit::Count.show(most, most)
        );
        let legend = html! {
            g.legend {
                @for (x, sample, words) in &items {
                    g transform={ "translate(" (px(*x)) " " (px(y)) ") scale(0.6)" } { (sample.outline(0., 0., Some(""))) }
                    text x=(px(x + 24.)) y=(px(y + 12.)) { (words) }
                }
                @if most > 0. { text.faint x="0" y=(px(y + 12. + LINE)) fill=(FAINT) { (strip) } }
            }
        };
        (legend, 12. + 1.5 * LINE)
    }
}

impl Block {
    fn at(&self, x: f64, y: f64, name: &str, most: f64) -> Markup {
        let part = if most > 0. {
            (self.macs / most).clamp(0., 1.)
        } else {
            0.
        };
        html! {
            g.mark {
                title { (self.told()) }
                (self.outline(x, y, None))
                rect.solid x=(px(x)) y=(px(y + BOX.height - STRIP)) width=(px(part * BOX.width)) height=(px(STRIP))
                    fill=(INK) {}
                text.faint x=(px(x + BOX.width / 2.)) y=(px(y + BOX.height + FONT_SIZE + 3.)) text-anchor="middle"
                    fill=(FAINT) { (fitted(name, STEP)) }
            }
        }
    }

    fn told(&self) -> String {
        let mut lines = vec![self.name.clone()];
        if let Some(iteration) = self.removed {
            lines.push(format!("removed in iteration {iteration}"));
        }
        lines.push(format!("{} MACs", Unit::Count.exact(self.macs)));
        if !self.note.is_empty() {
            lines.push(self.note.clone());
        }
        lines.join("\n")
    }

    /// The box of a block. Its sides are slanted if the block changes the shape, and double if it cannot be removed. A
    /// removed block is hatched and has the number of its iteration, or `words` in place of the number.
    fn outline(&self, x: f64, y: f64, words: Option<&str>) -> Markup {
        let Size { width, height } = BOX;
        let gone = self.removed.is_some();
        let path = match self.kind {
            BlockKind::ChangesShape => format!(
                "M{} {}h{}l4 {}h-{}z",
                px(x + 4.),
                px(y),
                px(width - 8.),
                px(height),
                px(width)
            ),
            BlockKind::Removable | BlockKind::Fixed => {
                format!(
                    "M{} {}h{}v{}h-{}z",
                    px(x),
                    px(y),
                    px(width),
                    px(height),
                    px(width)
                )
            }
        };
        let number = self
            .removed
            .map(|n| words.map_or(n.to_string(), str::to_owned));
        html! {
            path.box.gone[gone] d=(path) fill=(PAPER) stroke=(if gone { FAINT } else { INK })
                stroke-dasharray=[gone.then_some("3 2")] {}
            @if self.kind == BlockKind::Fixed {
                path.wire d={ "M" (px(x + 4.)) " " (px(y)) "v" (px(height)) "M" (px(x + width - 4.)) " " (px(y)) "v" (px(height)) }
                    stroke=(INK) fill="none" {}
            }
            @if gone {
                path.hatch d=(hatching(Rect { x, y, width, height })) stroke=(FAINT) stroke-width="0.75" {}
            }
            @if let Some(number) = number.filter(|n| !n.is_empty()) {
                @let wide = width_of(&number) + 6.;
                rect.box-number x=(px(x + (width - wide) / 2.)) y=(px(y + 4.)) width=(px(wide)) height="15" fill=(PAPER) {}
                text.strong x=(px(x + width / 2.)) y=(px(y + 15.5)) text-anchor="middle" font-weight="600" { (number) }
            }
        }
    }
}

/// What all paths of the blocks begin with, up to a dot, and the rest of each path.
fn short_names(blocks: &[Block]) -> (String, Vec<String>) {
    let first = blocks.first().map_or("", |b| b.name.as_str());
    let dots = first
        .char_indices()
        .filter(|(_, c)| *c == '.')
        .map(|(i, _)| &first[..=i]);
    let common = dots
        .rev()
        .find(|&prefix| blocks.iter().all(|b| b.name.starts_with(prefix)));
    let prefix = common.unwrap_or_default();
    let names = blocks
        .iter()
        .map(|b| b.name.strip_prefix(prefix).unwrap_or(&b.name).to_owned());
    (prefix.to_owned(), names.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_they_have_in_common() {
        let blocks = |names: &[&str]| -> Vec<Block> {
            let block = |name: &&str| Block {
                name: (*name).into(),
                ..Block::default()
            };
            names.iter().map(block).collect()
        };
        let short = |names| {
            let (prefix, names) = short_names(&blocks(names));
            format!("{prefix}|{}", names.join(" "))
        };
        assert_eq!(short(&["net.layer1.0", "net.layer1.1"]), "net.layer1.|0 1");
        assert_eq!(
            short(&["net.layer1.0", "net.layer2.0"]),
            "net.|layer1.0 layer2.0"
        );
        assert_eq!(short(&["a", "b"]), "|a b");
        assert_eq!(short(&["模.0", "模.1"]), "模.|0 1");
        assert_eq!(short(&[]), "|");
    }
}
