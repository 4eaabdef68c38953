//! A chapter's Markdown as a tree, for whatever prints it.

use pulldown_cmark::{Alignment, CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A part of a chapter.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// 1 is the chapter's title.
    Heading(usize, Vec<Span>),
    Paragraph(Vec<Span>),
    /// What stands in front of an entry of a list, and the entry.
    Item(String, Vec<Block>),
    /// Lines that stay as they are, and the language they are in, if it is said.
    Code(String, String),
    Table(Table),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Whether a column is of numbers, which stand at its right edge.
    pub numbers: Vec<bool>,
    pub head: Vec<Vec<Span>>,
    pub rows: Vec<Vec<Vec<Span>>>,
}

/// A piece of text in one type.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub text: String,
    pub face: Face,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    Plain,
    Strong,
    Emphasis,
    Code,
}

/// Reads a chapter.
#[must_use]
pub fn read(markdown: &str) -> Vec<Block> {
    let mut reader = Reader {
        events: Parser::new_ext(markdown, Options::ENABLE_TABLES),
    };
    reader.blocks()
}

struct Reader<'a> {
    events: Parser<'a>,
}

impl Reader<'_> {
    /// All blocks up to the end of what they stand in.
    fn blocks(&mut self) -> Vec<Block> {
        let mut blocks = Vec::new();
        // Text of an entry of a list that stands in no paragraph.
        let mut loose = Vec::new();
        while let Some(event) = self.events.next() {
            match event {
                Event::End(TagEnd::Item | TagEnd::List(_) | TagEnd::BlockQuote(_)) => break,
                Event::Start(tag) => {
                    if let Some(face) = face_of(&tag) {
                        loose.extend(self.spans(face));
                        continue;
                    }
                    flush(&mut blocks, &mut loose);
                    self.block(tag, &mut blocks);
                }
                event => loose.extend(span(event, Face::Plain)),
            }
        }
        flush(&mut blocks, &mut loose);
        blocks
    }

    fn block(&mut self, tag: Tag<'_>, blocks: &mut Vec<Block>) {
        match tag {
            Tag::Heading { level, .. } => {
                blocks.push(Block::Heading(level as usize, self.spans(Face::Plain)));
            }
            Tag::CodeBlock(kind) => {
                let language = match kind {
                    CodeBlockKind::Fenced(language) => language.to_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                let lines = self.spans(Face::Code);
                blocks.push(Block::Code(language, text_of(&lines)));
            }
            Tag::List(first) => blocks.extend(self.entries(first)),
            Tag::Table(alignments) => blocks.push(Block::Table(self.table(&alignments))),
            _ => {
                let mut spans = self.spans(Face::Plain);
                flush(blocks, &mut spans);
            }
        }
    }

    /// The entries of a list, numbered if it has a first number.
    fn entries(&mut self, first: Option<u64>) -> Vec<Block> {
        let mut entries = Vec::new();
        let mut number = first;
        while let Some(Event::Start(Tag::Item)) = self.events.next() {
            let mark = number.map_or("•".to_owned(), |number| format!("{number}."));
            number = number.map(|number| number + 1);
            entries.push(Block::Item(mark, self.blocks()));
        }
        entries
    }

    fn table(&mut self, alignments: &[Alignment]) -> Table {
        let numbers = alignments.iter().map(|a| *a == Alignment::Right);
        let mut table = Table {
            numbers: numbers.collect(),
            ..Table::default()
        };
        let mut row = Vec::new();
        while let Some(event) = self.events.next() {
            match event {
                Event::Start(Tag::TableCell) => row.push(self.spans(Face::Plain)),
                Event::End(TagEnd::TableHead) => table.head = std::mem::take(&mut row),
                Event::End(TagEnd::TableRow) => table.rows.push(std::mem::take(&mut row)),
                Event::End(TagEnd::Table) => break,
                _ => {}
            }
        }
        table
    }

    /// The text up to the end of what it stands in. An address behind a link follows its text; where a link leads to
    /// another file of the repository, the text is all.
    fn spans(&mut self, face: Face) -> Vec<Span> {
        let mut spans = Vec::new();
        while let Some(event) = self.events.next() {
            match event {
                Event::End(_) => break,
                // Pictures are not printed.
                Event::Start(Tag::Image { .. }) => drop(self.spans(face)),
                Event::Start(tag) => {
                    let address = match &tag {
                        Tag::Link { dest_url, .. } if dest_url.starts_with("http") => {
                            Some(format!(" <{dest_url}>"))
                        }
                        _ => None,
                    };
                    spans.extend(self.spans(face_of(&tag).unwrap_or(face)));
                    spans.extend(address.map(|text| Span { text, face }));
                }
                event => spans.extend(span(event, face)),
            }
        }
        spans
    }
}

fn flush(blocks: &mut Vec<Block>, loose: &mut Vec<Span>) {
    if !loose.is_empty() {
        blocks.push(Block::Paragraph(std::mem::take(loose)));
    }
}

/// The type that a tag inside a paragraph sets its text in; `None` if it begins a paragraph or more.
fn face_of(tag: &Tag<'_>) -> Option<Face> {
    match tag {
        Tag::Strong => Some(Face::Strong),
        Tag::Emphasis => Some(Face::Emphasis),
        Tag::Link { .. } => Some(Face::Plain),
        _ => None,
    }
}

fn span(event: Event<'_>, face: Face) -> Option<Span> {
    let (text, face) = match event {
        Event::Text(text) => (text.to_string(), face),
        Event::Code(text) => (text.to_string(), Face::Code),
        Event::SoftBreak | Event::HardBreak => (" ".to_owned(), face),
        _ => return None,
    };
    Some(Span { text, face })
}

/// The text alone.
#[must_use]
pub fn text_of(spans: &[Span]) -> String {
    spans.iter().map(|span| span.text.as_str()).collect()
}
