//! A page in short, as Markdown, where people talk about a change: in a pull request or beside a job of CI.

use super::{Beside, Content, Page, Table};

impl Page {
    /// Title, figures and tables of the page as GitHub's Markdown; charts, options and command stay on the page. Every
    /// text may be anything: none is read as Markdown or HTML.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut parts = vec![format!("## {}", plain(&self.title))];
        if !self.subtitle.is_empty() {
            parts.push(plain(&self.subtitle));
        }
        if !self.headlines.is_empty() {
            parts.push(self.figures());
        }
        for section in &self.sections {
            let tables: Vec<String> = section.contents.iter().filter_map(table_of).collect();
            if !tables.is_empty() {
                parts.push(format!("### {}", plain(&section.title)));
                parts.extend(tables);
            }
        }
        super::without_controls(parts.join("\n\n") + "\n")
    }

    /// The headlines as a table of one row.
    fn figures(&self) -> String {
        let labels = self.headlines.iter().map(|h| plain(&h.label));
        let values = self.headlines.iter().map(|h| match h.note.as_str() {
            "" => format!("**{}**", plain(&h.value)),
            note => format!("**{}** ({})", plain(&h.value), plain(note)),
        });
        [
            line(labels),
            line(self.headlines.iter().map(|_| "---".into())),
            line(values),
        ]
        .join("\n")
    }
}

fn table_of(content: &Content) -> Option<String> {
    match content {
        Content::Table(table) if !table.rows.is_empty() => Some(table.markdown()),
        Content::Beside(Beside(contents)) => {
            let tables: Vec<String> = contents.iter().filter_map(table_of).collect();
            (!tables.is_empty()).then(|| tables.join("\n\n"))
        }
        _ => None,
    }
}

impl Table {
    fn markdown(&self) -> String {
        let titles = line(self.columns.iter().map(|column| plain(&column.title)));
        let rule = line(
            self.columns
                .iter()
                .map(|column| if column.number { "---:" } else { "---" }.into()),
        );
        let rows = self
            .rows
            .iter()
            .map(|row| line(row.iter().map(|cell| of_cell(cell))));
        let table: Vec<String> = [titles, rule].into_iter().chain(rows).collect();
        match self.title.as_str() {
            "" => table.join("\n"),
            title => format!("{}\n\n{}", plain(title), table.join("\n")),
        }
    }
}

/// A cell; one that belongs to the row above is moved to the right.
fn of_cell(cell: &str) -> String {
    let indent = if super::is_indented(cell) {
        "&emsp;"
    } else {
        ""
    };
    format!("{indent}{}", plain(cell.trim()))
}

/// A row of a table.
fn line(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
}

/// The text with nothing in it that Markdown or HTML knows.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => plain.push(' '),
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            // A mention would notify somebody.
            '@' => plain.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' => {
                plain.push('\\');
                plain.push(c);
            }
            c => plain.push(c),
        }
    }
    plain
}
