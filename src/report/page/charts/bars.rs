//! Lengths side by side, in groups.

use maud::{Markup, html};

use super::draw::{
    self, FAINT, FONT_SIZE, INK, LINE, PAPER, Rect, Size, fitted, hatching, px, width_of,
};
use super::scale::{Scale, Unit};
use super::shape::Tone;
use super::svg;

/// Horizontal bars from zero: latency, accuracy under each corruption, accuracy of each class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bars {
    /// What the chart shows.
    pub title: String,
    /// What is measured.
    pub value: String,
    pub unit: Unit,
    /// The names of a group's bars, such as `before` and `after`; up to four are told apart by their filling.
    pub series: Vec<String>,
    pub groups: Vec<Group>,
}

/// What is compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    pub label: String,
    /// One for each series; `None` where nothing was measured.
    pub bars: Vec<Option<Bar>>,
}

/// One length, at least 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bar {
    pub value: f64,
    /// Lower and upper end of an interval, drawn as a whisker.
    pub interval: Option<[f64; 2]>,
    /// What else there is to know, in lines.
    pub note: String,
}

impl Bar {
    /// A bar without an interval and without a note.
    #[must_use]
    pub fn of(value: f64) -> Self {
        Bar {
            value,
            ..Bar::default()
        }
    }
}

/// A bar that has a length, and where it belongs.
struct Drawn<'a> {
    group: &'a Group,
    /// Counted from 0.
    series: usize,
    bar: &'a Bar,
}

const WIDTH: f64 = 700.;
const THICK: f64 = 10.;
const STEP: f64 = 13.;

impl Bars {
    /// Bars that are drawn.
    pub(crate) fn points(&self) -> usize {
        self.groups.iter().flat_map(Group::drawn).count()
    }

    pub(crate) fn markup(&self) -> Markup {
        let scale = self.scale();
        let gap = if self.series.len() > 1 { 9. } else { 4. };
        let group = self.series.len().max(1) as f64 * STEP + gap;
        let top = if self.series.len() > 1 {
            LINE + 12.
        } else {
            4.
        };
        let size = Size {
            width: WIDTH,
            height: top + self.groups.len() as f64 * group,
        };
        let content = html! {
            @if self.series.len() > 1 { (self.legend()) }
            @for (g, one) in self.groups.iter().enumerate() {
                @let y = top + g as f64 * group;
                @let middle = y + (self.series.len().max(1) as f64 * STEP) / 2. + FONT_SIZE * 0.3;
                text x=(px(scale.places[0] - 8.)) y=(px(middle)) text-anchor="end" {
                    (fitted(&one.label, scale.places[0] - 8.))
                }
                @for drawn in one.drawn() { (self.bar(&drawn, y + drawn.series as f64 * STEP, &scale)) }
            }
            @let bottom = size.height;
            path.axis d={ "M" (px(scale.places[0])) " " (px(top - 3.)) "V" (px(bottom)) } stroke=(FAINT) fill="none" {}
        };
        svg(&self.title, &self.description(), size, &content)
    }

    fn description(&self) -> String {
        let groups = self.groups.len();
        match self.series.len() {
            0 | 1 => format!("{} of {groups}", self.value),
            _ => format!(
                "{} of {groups}, each by {}",
                self.value,
                self.series.join(", ")
            ),
        }
    }

    fn scale(&self) -> Scale {
        let drawn = || self.groups.iter().flat_map(Group::drawn);
        let bars = || drawn().map(|drawn| drawn.bar);
        let ends = bars().flat_map(|b| [Some(b.value), b.interval.map(|i| i[1])]);
        let most = ends.flatten().filter(|v| v.is_finite()).fold(0., f64::max);
        let labels = self.groups.iter().map(|g| g.label.as_str());
        let shown = bars()
            .map(|b| width_of(&self.unit.exact(b.value)))
            .fold(0., f64::max);
        Scale {
            values: [0., if most > 0. { most } else { 1. }],
            places: [draw::widest(labels, 220.) + 10., WIDTH - shown - 14.],
        }
    }

    fn bar(&self, drawn: &Drawn, y: f64, scale: &Scale) -> Markup {
        let bar = drawn.bar;
        let (x, end) = (scale.places[0], scale.place(bar.value));
        let area = Rect {
            x,
            y,
            width: end - x,
            height: THICK,
        };
        let far = bar
            .interval
            .map_or(end, |[_, high]| scale.place(high).max(end));
        html! {
            g.mark {
                title { (self.told(drawn)) }
                rect.target x=(px(x)) y=(px(y - 1.5)) width=(px(scale.places[1] - x)) height=(px(STEP)) fill="transparent" {}
                (filling(drawn.series, area))
                @if let Some([low, high]) = bar.interval {
                    path.whisker d={ "M" (px(scale.place(low))) " " (px(y + THICK / 2.)) "H" (px(scale.place(high)))
                        "m0 -3v6M" (px(scale.place(low))) " " (px(y + THICK / 2. - 3.)) "v6" } stroke=(INK) fill="none" {}
                }
                text x=(px(far + 6.)) y=(px(y + THICK - 1.)) { (self.unit.exact(bar.value)) }
            }
        }
    }

    /// What a bar says when it is pointed at.
    fn told(&self, drawn: &Drawn) -> String {
        let Drawn { group, series, bar } = drawn;
        let mut lines = vec![group.label.clone()];
        let name = self
            .series
            .get(*series)
            .filter(|n| !n.is_empty())
            .unwrap_or(&self.value);
        lines.push(format!("{name}: {}", self.unit.exact(bar.value)));
        if let Some([low, high]) = bar.interval {
            lines.push(format!(
                "{} to {}",
                self.unit.exact(low),
                self.unit.exact(high)
            ));
        }
        if !bar.note.is_empty() {
            lines.push(bar.note.clone());
        }
        lines.join("\n")
    }

    fn legend(&self) -> Markup {
        let mut x = 0.;
        let places = self.series.iter().map(|name| {
            let place = x;
            x += width_of(name) + 48.;
            place
        });
        let places: Vec<f64> = places.collect();
        html! {
            g.legend {
                @for (s, (name, x)) in self.series.iter().zip(&places).enumerate() {
                    (filling(s, Rect { x: *x, y: 3., width: 22., height: THICK }))
                    text x=(px(x + 28.)) y=(px(LINE - 4.)) { (name) }
                }
            }
        }
    }
}

impl Group {
    fn drawn(&self) -> impl Iterator<Item = Drawn<'_>> {
        let bars = self.bars.iter().enumerate();
        let bars = bars.filter_map(|(series, bar)| Some((series, bar.as_ref()?)));
        bars.filter(|(_, bar)| bar.value.is_finite())
            .map(|(series, bar)| Drawn {
                group: self,
                series,
                bar,
            })
    }
}

/// How the bars of a series are filled: full, hatched, empty or thin, so that nobody needs colour to tell them apart.
fn filling(series: usize, area: Rect) -> Markup {
    let tone = Tone::ALL[series % Tone::ALL.len()];
    let (class, ink) = (tone.class(), tone.ink());
    let Rect {
        x,
        y,
        width,
        height,
    } = area;
    let [x, y, width, height] = [x, y, width, height].map(px);
    html! {
        g class=(class) {
            @match series % 4 {
                0 => rect.solid x=(x) y=(y) width=(width) height=(height) fill=(ink) {}
                1 => {
                    rect.hollow x=(x) y=(y) width=(width) height=(height) fill=(PAPER) stroke=(ink) {}
                    path.stroke d=(hatching(area)) stroke=(ink) fill="none" {}
                }
                2 => rect.hollow x=(x) y=(y) width=(width) height=(height) fill=(PAPER) stroke=(ink) {}
                _ => rect.solid x=(x) y=(px(area.y + area.height / 3.)) width=(width) height=(px(area.height / 3.)) fill=(ink) {}
            }
        }
    }
}
