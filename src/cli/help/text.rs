//! A chapter as text, for terminals and for whatever reads the program's output.

use clap::builder::styling::Style;
use comfy_table::{Cell, CellAlignment, ContentArrangement};

use crate::report::{render, screen, table};

use super::chapter::{self, Block, Face, Span, text_of};

/// How text is to look.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Characters in a line at most; code has lines as long as they are.
    pub width: usize,
    /// Whether there are weights of type; without them code stands between its backticks.
    pub has_styles: bool,
}

impl Look {
    /// As stdout can show it, in lines of so many characters at most.
    #[must_use]
    pub fn of_stdout(widest: usize) -> Self {
        Look {
            width: screen::width().min(widest),
            has_styles: screen::has_colours(),
        }
    }

    fn narrower(self, by: usize) -> Self {
        Look {
            width: self.width.saturating_sub(by).max(20),
            ..self
        }
    }
}

/// The text of a chapter.
#[must_use]
pub fn text(blocks: &[Block], look: Look) -> String {
    let mut text = String::new();
    for (i, block) in blocks.iter().enumerate() {
        let is_list = |block: &Block| matches!(block, Block::Item(..));
        let goes_on = i > 0 && is_list(&blocks[i - 1]) && is_list(block);
        if i > 0 && !goes_on {
            text.push('\n');
        }
        text.push_str(&of_block(block, look));
    }
    text
}

fn of_block(block: &Block, look: Look) -> String {
    match block {
        Block::Heading(level, spans) => heading(*level, spans, look),
        Block::Paragraph(spans) => textwrap::fill(&styled(spans, look), look.width) + "\n",
        Block::Item(mark, blocks) => item(mark, blocks, look),
        Block::Code(_, lines) => textwrap::indent(lines, "    "),
        Block::Table(source) => of_table(source, look),
    }
}

fn heading(level: usize, spans: &[Span], look: Look) -> String {
    let words = text_of(spans);
    if look.has_styles {
        let style = Style::new().bold();
        let style = if level == 1 { style.underline() } else { style };
        return format!("{style}{words}{style:#}\n");
    }
    let line = if level == 1 { "=" } else { "-" };
    format!("{words}\n{}\n", line.repeat(words.chars().count()))
}

/// An entry of a list: what stands in front of it, and all its lines behind that.
fn item(mark: &str, blocks: &[Block], look: Look) -> String {
    let depth = mark.chars().count() + 1;
    let inner = text(blocks, look.narrower(depth));
    let indented = textwrap::indent(&inner, &" ".repeat(depth));
    format!("{mark} {}", indented.trim_start())
}

fn of_table(source: &chapter::Table, look: Look) -> String {
    let plain = Look {
        has_styles: false,
        ..look
    };
    let cells = |row: &[Vec<Span>]| -> Vec<String> {
        row.iter().map(|spans| styled(spans, plain)).collect()
    };
    let head = cells(&source.head);
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut table = table(&head);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(look.width.try_into().unwrap_or(u16::MAX));
    for row in &source.rows {
        let aligned = cells(row).into_iter().zip(&source.numbers);
        table.add_row(aligned.map(|(text, is_number)| {
            let cell = Cell::new(text);
            if *is_number {
                cell.set_alignment(CellAlignment::Right)
            } else {
                cell
            }
        }));
    }
    render(&table)
}

fn styled(spans: &[Span], look: Look) -> String {
    let style = |face| match face {
        Face::Plain => Style::new(),
        Face::Strong => Style::new().bold(),
        Face::Emphasis => Style::new().italic(),
        Face::Code => Style::new().fg_color(Some(clap::builder::styling::AnsiColor::Cyan.into())),
    };
    let spans = spans.iter().map(|span| match (look.has_styles, span.face) {
        (true, face) => format!("{}{}{:#}", style(face), span.text, style(face)),
        (false, Face::Code) => format!("`{}`", span.text),
        (false, _) => span.text.clone(),
    });
    spans.collect()
}
