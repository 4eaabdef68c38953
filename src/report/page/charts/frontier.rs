//! Points over two axes: what quality is left at what size.

use maud::{Markup, html};

use super::draw::{FAINT, FONT_SIZE, INK, LINE, PAPER, Size, px, width_of};
use super::scale::{Scale, Unit, extent};
use super::shape::{Shape, Tone};
use super::svg;

/// Accuracy over MACs, or any other quality over any other cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frontier {
    /// What the chart shows.
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    /// Values of y to compare with.
    pub levels: Vec<Level>,
    /// What [`Point::from`] is, such as `before fine-tuning`.
    pub before: String,
    /// What [`Point::chosen`] means, such as `exported`.
    pub chosen: String,
}

/// What is measured along an axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    pub label: String,
    pub unit: Unit,
}

/// Points of one kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    pub name: String,
    pub shape: Shape,
    pub tone: Tone,
    /// A line leads from each point to the next.
    pub joined: bool,
    pub points: Vec<Point>,
}

/// A measured network. One whose place is not finite is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// Written beside the point; may be empty.
    pub label: String,
    /// What else there is to know, in lines.
    pub note: String,
    pub x: f64,
    pub y: f64,
    /// Where y stood before a repair or fine-tuning: a thin line leads from there.
    pub from: Option<f64>,
    /// Pointed out, with a ring around it.
    pub chosen: bool,
}

/// A value of y to compare with, as a broken line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Level {
    pub name: String,
    pub y: f64,
}

const WIDTH: f64 = 700.;
const HEIGHT: f64 = 300.;
/// Room above the plot for the name of the y axis, and below for ticks and the name of the x axis.
const TOP: f64 = 34.;
const BOTTOM: f64 = 40.;
/// How far a point reaches from its middle.
const REACH: f64 = 9.;

struct Plot {
    x: Scale,
    y: Scale,
}

impl Frontier {
    /// Points that are drawn.
    pub(crate) fn points(&self) -> usize {
        self.series.iter().flat_map(Series::drawn).count()
    }

    pub(crate) fn markup(&self) -> Markup {
        let plot = self.plot();
        let size = Size {
            width: WIDTH,
            height: HEIGHT + BOTTOM + self.legend_height(),
        };
        let content = html! {
            (self.axes(&plot))
            (self.levels(&plot))
            @for series in &self.series { (self.series(series, &plot)) }
            (self.legend())
        };
        svg(&self.title, &self.description(), size, &content)
    }

    fn description(&self) -> String {
        let names: Vec<String> = self
            .series
            .iter()
            .map(|s| format!("{} ({} points)", s.name, s.drawn().count()))
            .collect();
        format!(
            "{} over {}: {}",
            self.y.label,
            self.x.label,
            names.join(", ")
        )
    }

    fn plot(&self) -> Plot {
        let points = || self.series.iter().flat_map(Series::drawn);
        let levels = self.levels.iter().map(|l| l.y);
        let ys = extent(points().map(|p| p.y).chain(levels)).unwrap_or([0., 1.]);
        let xs = extent(points().map(|p| p.x)).unwrap_or([0., 1.]);
        let left = [ys[0], ys[1]]
            .map(|y| width_of(&self.y.unit.show(y, ys[1] - ys[0])))
            .into_iter()
            .fold(0., f64::max)
            + 18.;
        let names = self.named_levels().map(|(_, name)| width_of(&name));
        let margin = names.fold(0., f64::max).min(200.);
        Plot {
            x: Scale {
                values: xs,
                places: [left + REACH, WIDTH - 2. * REACH - margin],
            },
            y: Scale {
                values: ys,
                places: [HEIGHT - REACH, TOP + REACH],
            },
        }
    }

    /// Lines that reach as far as the data do, with round values written beside them.
    fn axes(&self, plot: &Plot) -> Markup {
        let [left, right] = plot.x.places;
        let [bottom, top] = plot.y.places;
        let (foot, side) = (HEIGHT + 2., left - REACH - 2.);
        html! {
            g.axes stroke=(FAINT) stroke-width="1" fill="none" {
                path d={ "M" (px(left)) " " (px(foot)) "H" (px(right)) } {}
                path d={ "M" (px(side)) " " (px(bottom)) "V" (px(top)) } {}
                @for x in plot.x.ticks(6) {
                    path d={ "M" (px(plot.x.place(x))) " " (px(foot)) "v4" } {}
                }
                @for y in plot.y.ticks(5) {
                    path d={ "M" (px(side)) " " (px(plot.y.place(y))) "h-4" } {}
                }
            }
            g.labels {
                @for x in plot.x.ticks(6) {
                    text x=(px(plot.x.place(x))) y=(px(foot + LINE)) text-anchor="middle" {
                        (self.x.unit.show(x, plot.x.span()))
                    }
                }
                @for y in plot.y.ticks(5) {
                    text x=(px(side - 6.)) y=(px(plot.y.place(y) + FONT_SIZE * 0.35)) text-anchor="end" {
                        (self.y.unit.show(y, plot.y.span()))
                    }
                }
                text.faint x="0" y=(px(FONT_SIZE)) fill=(FAINT) { (self.y.label) }
                text.faint x=(px(right)) y=(px(foot + 2. * LINE)) text-anchor="end" fill=(FAINT) {
                    (self.x.label) " →"
                }
            }
        }
    }

    /// Broken lines. Their names stand in the margin, where none covers another.
    fn levels(&self, plot: &Plot) -> Markup {
        let [left, right] = [plot.x.places[0] - REACH, plot.x.places[1] + REACH];
        let mut levels: Vec<(f64, String)> = self.named_levels().collect();
        levels.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut free = f64::NEG_INFINITY;
        let lines = levels.into_iter().map(|(value, name)| {
            let y = plot.y.place(value);
            let written = (y + FONT_SIZE * 0.35).max(free);
            free = written + FONT_SIZE + 2.;
            (y, written, name)
        });
        html! {
            @for (y, written, name) in lines {
                g.level {
                    path d={ "M" (px(left)) " " (px(y)) "H" (px(right)) } stroke=(FAINT) stroke-dasharray="1 3" fill="none" {}
                    text.faint x=(px(right + 6.)) y=(px(written)) fill=(FAINT) { (name) }
                }
            }
        }
    }

    fn named_levels(&self) -> impl Iterator<Item = (f64, String)> {
        let finite = self.levels.iter().filter(|l| l.y.is_finite());
        finite.map(|l| (l.y, format!("{} {}", l.name, self.y.unit.exact(l.y))))
    }

    fn series(&self, series: &Series, plot: &Plot) -> Markup {
        let place = |p: &Point| (plot.x.place(p.x), plot.y.place(p.y));
        let line: Vec<String> = series
            .drawn()
            .map(place)
            .map(|(x, y)| format!("{} {}", px(x), px(y)))
            .collect();
        let labelled = series.labelled(plot);
        html! {
            g class={ "series " (series.tone.class()) } {
                @if series.joined && line.len() > 1 {
                    path.line d={ "M" (line.join("L")) } fill="none" stroke=(series.tone.ink()) stroke-width="1" {}
                }
                @for (i, point) in series.drawn().enumerate() {
                    @let (x, y) = place(point);
                    g.mark {
                        title { (self.told(series, point)) }
                        @if let Some(from) = point.from.filter(|f| f.is_finite()) {
                            (rise(x, y, from, plot, series.tone))
                        }
                        @if point.chosen {
                            circle.choice cx=(px(x)) cy=(px(y)) r="8" fill="none" stroke=(INK) stroke-width="1.5" {}
                        }
                        (series.shape.at(x, y, series.tone))
                        // An invisible circle that the pointer hits more easily.
                        circle.target cx=(px(x)) cy=(px(y)) r=(px(REACH)) fill="transparent" {}
                        @if labelled.contains(&i) {
                            text.faint x=(px(x)) y=(px(y - 11.)) text-anchor="middle" fill=(FAINT) { (point.label) }
                        }
                    }
                }
            }
        }
    }

    /// What a point says when it is pointed at.
    fn told(&self, series: &Series, point: &Point) -> String {
        let mut lines = vec![match point.label.as_str() {
            "" => series.name.clone(),
            label => format!("{} {label}", series.name),
        }];
        lines.push(format!("{}: {}", self.y.label, self.y.unit.exact(point.y)));
        if let Some(from) = point.from {
            lines.push(format!("{}: {}", self.before, self.y.unit.exact(from)));
        }
        lines.push(format!("{}: {}", self.x.label, self.x.unit.exact(point.x)));
        if point.chosen {
            lines.push(self.chosen.clone());
        }
        if !point.note.is_empty() {
            lines.push(point.note.clone());
        }
        lines.join("\n")
    }

    /// What the legend shows, in rows as wide as the picture: of each entry its place, its name and a sample.
    fn rows_of_legend(&self) -> Vec<Vec<(f64, &str, Markup)>> {
        let series = self.series.iter().map(|s| {
            let sample = html! { g class=(s.tone.class()) { (s.shape.at(0., 0., s.tone)) } };
            (s.name.as_str(), sample)
        });
        let stem = html! {
            path.rise d="M0 -6v9" fill="none" stroke=(INK) stroke-opacity="0.5" {}
            circle.hollow cx="0" cy="4" r="2" fill=(PAPER) stroke=(INK) {}
        };
        let ring = html! {
            circle.choice cx="0" cy="0" r="6" fill="none" stroke=(INK) stroke-width="1.5" {}
        };
        let points = || self.series.iter().flat_map(Series::drawn);
        let stem = points()
            .any(|p| p.from.is_some())
            .then_some((self.before.as_str(), stem));
        let ring = points()
            .any(|p| p.chosen)
            .then_some((self.chosen.as_str(), ring));
        let mut rows: Vec<Vec<(f64, &str, Markup)>> = vec![Vec::new()];
        let mut x = 0.;
        for (name, sample) in series.chain(ring).chain(stem) {
            let width = width_of(name) + 36.;
            if x > 0. && x + width > WIDTH {
                rows.push(Vec::new());
                x = 0.;
            }
            if let Some(row) = rows.last_mut() {
                row.push((x, name, sample));
            }
            x += width;
        }
        rows
    }

    fn legend_height(&self) -> f64 {
        self.rows_of_legend().len() as f64 * (LINE + 2.)
    }

    fn legend(&self) -> Markup {
        html! {
            g.legend {
                @for (i, row) in self.rows_of_legend().into_iter().enumerate() {
                    @let y = HEIGHT + BOTTOM + (i as f64 + 0.5) * (LINE + 2.);
                    @for (x, name, sample) in row {
                        g transform={ "translate(" (px(x + 6.)) " " (px(y)) ")" } { (sample) }
                        text x=(px(x + 18.)) y=(px(y + FONT_SIZE * 0.35)) { (name) }
                    }
                }
            }
        }
    }
}

impl Series {
    fn drawn(&self) -> impl Iterator<Item = &Point> {
        self.points
            .iter()
            .filter(|p| p.x.is_finite() && p.y.is_finite())
    }

    /// The points whose labels do not touch one another. The chosen point comes first, then the last one, then the others.
    fn labelled(&self, plot: &Plot) -> Vec<usize> {
        let points: Vec<&Point> = self.drawn().collect();
        let mut wanted: Vec<usize> = (0..points.len()).collect();
        let last = points.len().saturating_sub(1);
        wanted.sort_by_key(|&i| (!points[i].chosen, i != last, i));
        let mut taken: Vec<[f64; 4]> = Vec::new();
        wanted.retain(|&i| {
            let (x, y) = (plot.x.place(points[i].x), plot.y.place(points[i].y));
            let half = width_of(&points[i].label) / 2. + 2.;
            let area = [x - half, x + half, y - 22., y - 9.];
            let free = taken
                .iter()
                .all(|t| area[1] < t[0] || area[0] > t[1] || area[3] < t[2] || area[2] > t[3]);
            if free {
                taken.push(area);
            }
            free && half > 2.
        });
        wanted
    }
}

/// A line to the point from where y stood before. If that lies below the plot, the line begins at its foot, with the head
/// of an arrow.
fn rise(x: f64, y: f64, from: f64, plot: &Plot, tone: Tone) -> Markup {
    let begin = plot.y.place(from);
    let below = from < plot.y.values[0];
    html! {
        path.rise d={ "M" (px(x)) " " (px(begin)) "V" (px(y)) } fill="none" stroke=(tone.ink())
            stroke-width="1" stroke-opacity="0.5" {}
        @if below {
            path.rise d={ "M" (px(x - 3.)) " " (px(begin - 4.)) "l3 4l3 -4" } fill="none" stroke=(tone.ink()) {}
        } @else {
            circle.hollow cx=(px(x)) cy=(px(begin)) r="2" fill=(PAPER) stroke=(tone.ink()) {}
        }
    }
}
