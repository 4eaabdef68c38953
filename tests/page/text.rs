//! The page as text.

use ckaprune::report::page::charts::{Bars, Frontier, HeatMap, Reliability, Stages};
use ckaprune::report::page::{Code, Column, Headline, Page, Section, Table};

use crate::sample::{HOSTILE, HOSTILE_RUN, RESNET_56, Run};

fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

#[test]
fn every_chart_has_a_mark_for_each_value() {
    let html = RESNET_56.page().html();
    // 24 candidates over 15 iterations, less the cells of blocks that were gone.
    let cells: usize = RESNET_56
        .heat_map()
        .values
        .iter()
        .flatten()
        .flatten()
        .count();
    for (chart, points) in [
        ("frontier", 17),
        ("stages", 27),
        ("heat-map", cells),
        ("bars", 4),
        ("bars", 17),
        ("reliability", 8),
    ] {
        let figure = format!("<figure class=\"{chart}\" data-points=\"{points}\">");
        let drawn: Vec<usize> = html
            .split(&figure)
            .skip(1)
            .map(|rest| count(rest.split("</figure>").next().unwrap(), "class=\"mark\""))
            .collect();
        assert_eq!(drawn, [points], "{figure}");
    }
}

#[test]
fn names_cannot_end_the_place_they_stand_in() {
    let html = HOSTILE_RUN.page().html();
    assert_eq!(count(&html, "<script"), 1, "the page's own");
    assert_eq!(count(&html, "</script"), 1);
    assert_eq!(count(&html, "</style"), 1);
    assert_eq!(count(&html, "<img"), 0);
    assert!(html.contains("&lt;img src=x onerror=&quot;"));
    let astray = ['\u{202e}', '\u{1b}', '\u{0}'];
    assert!(!html.contains(astray), "controls are replaced");
}

#[test]
fn the_page_asks_for_nothing() {
    let html = RESNET_56.page().html();
    assert_eq!(
        count(&html, " href="),
        count(&html, " href=\"#"),
        "links lead to the page itself"
    );
    for outside in [" src=", "url(", "@import", "fetch("] {
        assert_eq!(count(&html, outside), 0, "{outside}");
    }
    // The name of SVG is no address that anything is loaded from.
    assert_eq!(
        count(&html, "http"),
        count(&html, "http://www.w3.org/2000/svg") + 1,
        "and http-equiv"
    );
    assert!(html.contains("default-src 'none'; style-src 'sha256-"));
}

#[test]
fn a_heat_map_alone_is_well_formed() {
    let svg = HOSTILE_RUN.heat_map().svg();
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
    assert_eq!(count(&svg, "</svg>"), 1);
    assert!(!svg.contains(HOSTILE));
    // Every element that is opened is closed, as XML wants it.
    for element in ["rect", "text", "g", "title", "circle"] {
        let opened = count(&svg, &format!("<{element} ")) + count(&svg, &format!("<{element}>"));
        assert_eq!(opened, count(&svg, &format!("</{element}>")), "{element}");
    }
}

#[test]
fn charts_of_nothing_say_so() {
    let section = Section::new("nothing")
        .with(Frontier::default())
        .with(HeatMap::default())
        .with(Stages::default())
        .with(Bars::default())
        .with(Reliability::default());
    let page = Page {
        sections: vec![section],
        ..Page::default()
    };
    let html = page.html();
    assert_eq!(count(&html, "There is nothing to show."), 5);
    assert!(!html.contains("NaN") && !html.contains("inf"));
}

#[test]
fn large_runs_scroll_in_their_own_box() {
    let large = Run {
        blocks_per_stage: 20,
        iterations: 40,
        ..RESNET_56
    };
    let html = large.page().html();
    assert!(html.contains("<div class=\"scroll\"><svg"));
    assert!(!html.contains("NaN"));
}

#[test]
fn every_section_has_a_name_of_its_own_that_a_link_leads_to() {
    let page = Page {
        sections: ["Speed", "Speed", "", "</h2>"].map(Section::new).into(),
        ..Page::default()
    };
    let html = page.html();
    for name in ["speed", "speed-more", "-more", "h2"] {
        assert_eq!(
            count(&html, &format!("<section id=\"{name}\">")),
            1,
            "{name}"
        );
        assert_eq!(count(&html, &format!("href=\"#{name}\"")), 1, "{name}");
    }
}

/// Rows of different quantities, some of which belong to the one above.
fn nested() -> Table {
    Table {
        columns: vec![Column::words(""), Column::numbers("A|B")],
        rows: [["accuracy", "93.26 %"], ["  95 %", "91.4 to 94.8"]]
            .map(|row| row.map(str::to_owned).into())
            .into(),
        ..Table::default()
    }
}

#[test]
fn a_row_that_belongs_to_the_one_above_is_indented_and_stays_there() {
    let section = Section::new("Networks").with(nested());
    let page = Page {
        sections: vec![section],
        ..Page::default()
    };
    let html = page.html();
    assert!(html.contains("indented\">95 %</td>"));
    assert!(!html.contains("<table class=\"sortable\">"));
    assert!(
        RESNET_56
            .page()
            .html()
            .contains("<table class=\"sortable\">")
    );
}

#[test]
fn a_summary_has_the_figures_and_tables() {
    let page = Page {
        title: "Pruning of a_b.pt".into(),
        subtitle: "8 of 27 blocks".into(),
        headlines: vec![Headline {
            label: "accuracy".into(),
            value: "92.91 %".into(),
            note: "-0.35 points".into(),
        }],
        sections: vec![
            Section::new("Networks").with(nested()),
            Section::new("Command").with(Code("ckaprune".into())),
        ],
    };
    insta::assert_snapshot!(page.markdown(), @r"
    ## Pruning of a\_b.pt

    8 of 27 blocks

    | accuracy |
    | --- |
    | **92.91 %** (-0.35 points) |

    ### Networks

    |  | A\|B |
    | --- | ---: |
    | accuracy | 93.26 % |
    | &emsp;95 % | 91.4 to 94.8 |
    ");
}

#[test]
fn names_are_no_markdown() {
    let summary = HOSTILE_RUN.page().markdown();
    for active in ["<script", "<img", "</title", "\u{202e}", "\u{1b}"] {
        assert!(!summary.contains(active), "{active}");
    }
    let rows = summary.lines().filter(|line| line.starts_with("| "));
    assert!(rows.count() > 2);
}
