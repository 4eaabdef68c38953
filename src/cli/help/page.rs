//! A chapter as a manual page.

use roff::{Inline, Roff, bold, italic, roman};

use super::Topic;
use super::chapter::{Block, Face, Span, text_of};
use super::text::{Look, text};

/// Width of what `man` shows of a page on a usual terminal, in characters.
const WIDTH: usize = 72;

/// The page of a chapter.
#[must_use]
pub fn page(topic: &Topic, blocks: &[Block]) -> String {
    let mut page = Roff::new();
    let name = format!("ckaprune-{}", topic.name);
    let version = format!("ckaprune {}", env!("CARGO_PKG_VERSION"));
    page.control("TH", [name.as_str(), "7", "", version.as_str()]);
    page.control("SH", ["NAME"]);
    page.text([roman(format!("{name} - {}", topic.about))]);
    for block in blocks {
        add(&mut page, block);
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("ckaprune"), roman("(1)")]);
    page.render()
}

fn add(page: &mut Roff, block: &Block) {
    match block {
        Block::Heading(level, spans) => {
            let section = if *level < 3 { "SH" } else { "SS" };
            page.control(section, [text_of(spans).as_str()]);
        }
        Block::Paragraph(spans) => {
            page.control("PP", []);
            page.text(inlines(spans));
        }
        Block::Item(mark, blocks) => {
            page.control("IP", [mark.as_str(), "4"]);
            entry(page, blocks);
        }
        Block::Code(..) | Block::Table(_) => {
            let look = Look {
                width: WIDTH,
                has_styles: false,
            };
            page.control("PP", []);
            page.control("nf", []);
            let lines = text(std::slice::from_ref(block), look);
            page.text([roman(lines.trim_end_matches('\n'))]);
            page.control("fi", []);
        }
    }
}

/// What stands in an entry of a list, its first paragraph behind the mark.
fn entry(page: &mut Roff, blocks: &[Block]) {
    let Some((first, rest)) = blocks.split_first() else {
        return;
    };
    match first {
        Block::Paragraph(spans) => {
            page.text(inlines(spans));
        }
        other => add(page, other),
    }
    page.control("RS", ["4"]);
    for block in rest {
        add(page, block);
    }
    page.control("RE", []);
}

fn inlines(spans: &[Span]) -> Vec<Inline> {
    let inline = |span: &Span| match span.face {
        Face::Plain => roman(&span.text),
        Face::Strong | Face::Code => bold(&span.text),
        Face::Emphasis => italic(&span.text),
    };
    spans.iter().map(inline).collect()
}
