//! Pages of results: one self-contained file of HTML, which opens from disk and asks for nothing else.
//!
//! Its looks follow Edward Tufte, *The Visual Display of Quantitative Information* (2nd edition, 2001): little ink that
//! is not data, axes as long as the data, words beside what they speak of.

pub mod charts;
mod summary;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::report::Invocation;
use charts::{Bars, Frontier, HeatMap, Reliability, Stages};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = concat!(include_str!("hover.js"), include_str!("sort.js"));

/// A page of results. Every text may be anything: none is read as HTML.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub title: String,
    /// A line or two on what was done to what.
    pub subtitle: String,
    /// What a reader in a hurry wants to know.
    pub headlines: Vec<Headline>,
    pub sections: Vec<Section>,
}

/// A figure in large type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headline {
    pub label: String,
    pub value: String,
    /// What the value is to be compared with.
    pub note: String,
}

/// A part of a page, under a heading.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section {
    pub title: String,
    pub contents: Vec<Content>,
}

impl Section {
    /// A section that has no contents yet.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Section {
            title: title.into(),
            contents: Vec::new(),
        }
    }

    /// The section with one more content at its end.
    #[must_use]
    pub fn with(mut self, content: impl Into<Content>) -> Self {
        self.contents.push(content.into());
        self
    }
}

/// What stands in a section.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Text(String),
    Bars(Bars),
    Frontier(Frontier),
    HeatMap(HeatMap),
    Reliability(Reliability),
    Stages(Stages),
    Facts(Facts),
    Table(Table),
    Code(Code),
    Beside(Beside),
}

/// Contents that stand side by side where there is room, and else one below the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside(pub Vec<Content>);

/// Names and what they stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(pub Vec<Fact>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fact {
    pub name: String,
    pub value: String,
    /// Nobody gave this value: the page shows it paler.
    pub default: bool,
}

/// Rows of words and numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub title: String,
    pub columns: Vec<Column>,
    /// Each row has a cell for each column.
    pub rows: Vec<Vec<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    pub title: String,
    /// Its cells are numbers, which stand at the right edge.
    pub number: bool,
}

impl Column {
    /// A column of words.
    #[must_use]
    pub fn words(title: &str) -> Self {
        Column {
            title: title.into(),
            number: false,
        }
    }

    /// A column of numbers.
    #[must_use]
    pub fn numbers(title: &str) -> Self {
        Column {
            title: title.into(),
            number: true,
        }
    }
}

/// The sections that say how to get the same result again.
#[must_use]
pub fn how_to_repeat(invocation: &Invocation) -> [Section; 2] {
    [
        Section::new("Configuration").with(Facts::from(invocation)),
        Section::new("Command").with(Code(invocation.command_line.clone())),
    ]
}

/// Something to be copied, such as a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code(pub String);

macro_rules! content_of {
    ($($kind:ident),*) => {
        $(impl From<$kind> for Content {
            fn from(content: $kind) -> Self {
                Content::$kind(content)
            }
        })*
    };
}

content_of!(
    Bars,
    Frontier,
    HeatMap,
    Reliability,
    Stages,
    Facts,
    Table,
    Code,
    Beside
);

impl From<String> for Content {
    fn from(text: String) -> Self {
        Content::Text(text)
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Content::Text(text.into())
    }
}

impl Page {
    /// The page as a file.
    #[must_use]
    pub fn html(&self) -> String {
        let names = names_of(&self.sections);
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy());
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="generator" content=(GENERATOR);
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        h1 { (self.title) }
                        @if !self.subtitle.is_empty() { p.subtitle { (self.subtitle) } }
                    }
                    main {
                        @if !self.headlines.is_empty() {
                            dl.headlines { @for headline in &self.headlines { (headline.markup()) } }
                        }
                        @for (section, name) in self.sections.iter().zip(&names) { (section.markup(name)) }
                    }
                    footer { p { "Written by " (GENERATOR) "." } }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        without_controls(page.into_string())
    }
}

const GENERATOR: &str = concat!("ckaprune ", env!("CARGO_PKG_VERSION"));

/// What a browser may run: only the page's own style and script, which it knows by their hashes. A script that came in
/// with a name cannot run.
fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

/// A name for each section, of the letters and digits of its title; no two are the same.
fn names_of(sections: &[Section]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let name = |section: &Section| {
        let words = section.title.split(|c: char| !c.is_alphanumeric());
        let words = words.filter(|word| !word.is_empty()).map(str::to_lowercase);
        let mut name = words.collect::<Vec<_>>().join("-");
        while name.is_empty() || !taken.insert(name.clone()) {
            name.push_str("-more");
        }
        name
    };
    sections.iter().map(name).collect()
}

impl Headline {
    fn markup(&self) -> Markup {
        html! {
            div {
                dt { (self.label) }
                dd.value { (self.value) }
                @if !self.note.is_empty() { dd.note { (self.note) } }
            }
        }
    }
}

impl Section {
    /// `name` is what links to the section end in.
    fn markup(&self, name: &str) -> Markup {
        html! {
            section id=(name) {
                h2 {
                    (self.title)
                    a.anchor href={ "#" (name) } aria-label="link to this section" { "#" }
                }
                @for content in &self.contents { (content.markup()) }
            }
        }
    }
}

impl Content {
    fn markup(&self) -> Markup {
        match self {
            Content::Text(text) => html! { p { (text) } },
            Content::Bars(chart) => figure("bars", &chart.title, chart.points(), chart.markup()),
            Content::Frontier(chart) => {
                figure("frontier", &chart.title, chart.points(), chart.markup())
            }
            Content::HeatMap(chart) => {
                figure("heat-map", &chart.title, chart.points(), chart.markup())
            }
            Content::Reliability(chart) => {
                figure("reliability", &chart.title, chart.points(), chart.markup())
            }
            Content::Stages(chart) => {
                figure("stages", &chart.title, chart.points(), chart.markup())
            }
            Content::Facts(facts) => facts.markup(),
            Content::Table(table) => table.markup(),
            Content::Code(code) => code.markup(),
            Content::Beside(contents) => html! {
                div.beside { @for content in &contents.0 { div { (content.markup()) } } }
            },
        }
    }
}

/// A chart under its title, in a box of its own to scroll in. An attribute says how many marks it has, for tests of the
/// page.
fn figure(kind: &str, title: &str, points: usize, chart: Markup) -> Markup {
    html! {
        figure.(kind) data-points=(points) {
            figcaption { (title) }
            @if points == 0 {
                p.empty { "There is nothing to show." }
            } @else {
                div.scroll { (chart) }
            }
        }
    }
}

impl Facts {
    fn markup(&self) -> Markup {
        html! {
            dl.facts {
                @for fact in &self.0 {
                    div.default[fact.default] {
                        dt { (fact.name) }
                        dd { (fact.value) }
                    }
                }
            }
        }
    }
}

impl From<&Invocation> for Facts {
    /// Every option of a command; the defaults are paler.
    fn from(invocation: &Invocation) -> Self {
        let fact = |(name, value): (&String, &Value)| Fact {
            name: name.clone(),
            value: match value {
                Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
                value => plain(value),
            },
            default: !invocation.given.contains(name),
        };
        Facts(invocation.configuration.iter().map(fact).collect())
    }
}

/// Whether a cell belongs to the row above.
fn is_indented(cell: &str) -> bool {
    cell.starts_with("  ")
}

impl Table {
    /// Whether its rows may stand in another order: none belongs to the one above it.
    fn is_sortable(&self) -> bool {
        let mut cells = self.rows.iter().flatten();
        self.rows.len() > 1 && !cells.any(|cell| is_indented(cell))
    }

    fn markup(&self) -> Markup {
        let number = |i: usize| self.columns.get(i).is_some_and(|c| c.number);
        html! {
            div.scroll {
                table.sortable[self.is_sortable()] {
                    @if !self.title.is_empty() { caption { (self.title) } }
                    thead { tr {
                        @for column in &self.columns { th.number[column.number] scope="col" { (column.title) } }
                    } }
                    tbody {
                        @for row in &self.rows {
                            tr { @for (i, cell) in row.iter().enumerate() {
                                td.number[number(i)].indented[is_indented(cell)] { (cell.trim_start()) }
                            } }
                        }
                    }
                }
            }
        }
    }
}

impl Code {
    fn markup(&self) -> Markup {
        html! {
            div.code {
                pre { code { (self.0) } }
                button type="button" hidden { "Copy" }
            }
        }
    }
}

/// A text without quotes.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The text without characters that mislead readers, XML or terminals: control characters other than line ends and tabs,
/// and characters that turn the direction of writing.
fn without_controls(text: String) -> String {
    let leads_astray = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
    };
    if text.contains(leads_astray) {
        text.replace(leads_astray, "\u{fffd}")
    } else {
        text
    }
}
