//! The page in a browser: nothing is said on its console, and every mark shows its tooltip to pointer and keyboard.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::process::{Command, Stdio};

use ckaprune::report::page::Page;
use serde_json::Value;

use crate::sample::{HOSTILE_RUN, RESNET_56};

/// Notes what goes wrong from the very beginning on.
const WATCH: &str = r"
window.wrong = [];
window.addEventListener('error', (event) => window.wrong.push('error: ' + event.message));
window.addEventListener('securitypolicyviolation', (event) => window.wrong.push('refused: ' + event.violatedDirective));
for (const level of ['error', 'warn']) console[level] = (...words) => window.wrong.push(level + ': ' + words.join(' '));
";

/// Points at every mark and reads what is shown.
const TRY: &str = r"
const tip = document.getElementById('tip');
const marks = [...document.querySelectorAll('svg.chart .mark')];
const seen = (mark) => !tip.hidden && tip.getBoundingClientRect().height > 0 && tip.textContent === mark.dataset.tip
  && tip.textContent.length > 0;
const by = (begin, end) => marks.filter((mark) => {
  begin(mark);
  const told = seen(mark);
  end(mark);
  return told && tip.hidden;
}).length;
const send = (kind) => (mark) => mark.dispatchEvent(new MouseEvent(kind, { bubbles: true }));
const points = [...document.querySelectorAll('figure')].map((figure) =>
  [figure.className, Number(figure.dataset.points), figure.querySelectorAll('.mark').length]);
const pointer = by(send('mouseover'), send('mouseout'));
// A window that the desktop has not given the focus yet tells its elements nothing of theirs.
const tell = (mark, kind) => { if (!document.hasFocus()) mark.dispatchEvent(new FocusEvent(kind, { bubbles: true })); };
const keyboard = by(
  (mark) => { mark.focus(); if (document.activeElement === mark) tell(mark, 'focusin'); },
  (mark) => { mark.blur(); tell(mark, 'focusout'); });
const stops = document.querySelectorAll('svg.chart [tabindex=\'0\']').length;
const [first] = document.querySelector('.heat-map').querySelectorAll('.mark');
first.focus();
document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
const arrow = document.activeElement !== first && seen(document.activeElement);
const sorted = (() => {
  const table = document.querySelector('table.sortable');
  const column = [...table.tHead.rows[0].cells].findIndex((cell) => cell.classList.contains('number'));
  const title = table.tHead.rows[0].cells[column];
  const values = () => [...table.tBodies[0].rows].map((row) => parseFloat(row.cells[column].textContent.replace(/,/g, '')));
  const first = values();
  const told = [];
  for (const way of ['ascending', 'descending', null]) {
    title.querySelector('button').click();
    const now = values();
    const wanted = way ? [...first].sort((a, b) => way === 'ascending' ? a - b : b - a) : first;
    told.push(title.getAttribute('aria-sort') === way && now.join() === wanted.join());
  }
  return told;
})();
const links = [...document.querySelectorAll('h2 a.anchor')].filter((link) =>
  document.getElementById(decodeURIComponent(link.hash.slice(1)))?.contains(link)).length;
const sections = document.querySelectorAll('section').length;
const charts = document.querySelectorAll('svg.chart').length;
const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
document.body.dataset.found = JSON.stringify({ title: document.title, wrong: window.wrong, points, marks: marks.length,
  pointer, keyboard, charts, stops, arrow, wide, sorted, links, sections });
";

/// The browser to test with, if there is one.
fn chromium() -> Option<OsString> {
    let names = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ]
    .map(OsString::from);
    let named = env::var_os("CHROME").filter(|name| !name.is_empty());
    let runs = |name: &OsString| {
        let asked = Command::new(name)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
    };
    named.into_iter().chain(names).find(runs)
}

/// What the page does in a browser that is `width` pixels wide; nothing where there is no browser.
fn tried(page: &Page, width: usize) -> Option<Value> {
    let Some(chromium) = chromium() else {
        eprintln!("skipped: no Chromium found (set CHROME to its path)");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    let html = page.html();
    // The policy lets no other script run than the page's own, so it is told of these two.
    let (policy, script) = ("script-src '", "<script nonce=\"t\">");
    assert!(html.contains(policy));
    let html = html
        .replacen(policy, "script-src 'nonce-t' '", 1)
        .replacen("<title>", &format!("{script}{WATCH}</script><title>"), 1)
        .replacen("</body>", &format!("{script}{{{TRY}}}</script></body>"), 1);
    fs::write(&file, html).unwrap();
    let output = Command::new(chromium)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=5000",
            "--dump-dom",
        ])
        .arg(format!("--window-size={width},800"))
        .arg(format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        ))
        .arg(format!("file://{}", file.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    let found = dom
        .split("data-found=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let found =
        found.unwrap_or_else(|| panic!("{dom}\n{}", String::from_utf8_lossy(&output.stderr)));
    Some(
        serde_json::from_str(
            &found
                .replace("&quot;", "\"")
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&amp;", "&"),
        )
        .unwrap(),
    )
}

fn check(found: &Value) {
    assert_eq!(
        found["wrong"],
        serde_json::json!([]),
        "the console stays empty"
    );
    for figure in found["points"].as_array().unwrap() {
        assert_eq!(figure[1], figure[2], "a mark a value: {figure}");
        assert_ne!(figure[1], 0, "{figure}");
    }
    assert_eq!(
        found["pointer"], found["marks"],
        "every mark answers the pointer"
    );
    assert_eq!(
        found["keyboard"], found["marks"],
        "every mark answers the keyboard"
    );
    assert_eq!(
        found["stops"], found["charts"],
        "one stop of the Tab key a chart"
    );
    assert_eq!(found["arrow"], true, "arrow keys lead to the next mark");
    assert_eq!(
        found["sorted"],
        serde_json::json!([true, true, true]),
        "a click sorts, one more turns it round, a third gives the order back"
    );
    assert_eq!(found["links"], found["sections"], "a link to each section");
    assert_eq!(
        found["wide"], 0,
        "nothing but charts in their boxes scrolls sideways"
    );
}

#[test]
fn a_browser_shows_every_value() {
    if let Some(found) = tried(&RESNET_56.page(), 1100) {
        check(&found);
        assert_eq!(found["title"], "Pruning of layer56.pt");
    }
}

#[test]
fn hostile_names_do_nothing_in_a_browser() {
    if let Some(found) = tried(&HOSTILE_RUN.page(), 500) {
        check(&found);
        let title = found["title"].as_str().unwrap();
        assert!(title.starts_with("Pruning of </title></svg>"), "{title}");
    }
}
