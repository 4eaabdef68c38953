//! Whether a network is right as often as it says.

use maud::{Markup, html};

use super::draw::{FAINT, FONT_SIZE, LINE, Size, px};
use super::scale::{Scale, Unit};
use super::shape::{Shape, Tone};
use super::svg;
use crate::report::percent_to;

/// Accuracy over confidence, bin by bin (Niculescu-Mizil and Caruana, ICML 2005; Guo et al., arXiv 1706.04599, figure 1):
/// a network that is as often right as it is confident stands on the diagonal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reliability {
    /// What the chart shows.
    pub title: String,
    pub bins: Vec<Bin>,
}

/// Images whose confidence lies between two values. A bin without images is not drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// Ends of the bin, fractions.
    pub ends: [f64; 2],
    /// Mean probability of the class that was chosen.
    pub confidence: f64,
    /// Fraction of the images that were right.
    pub accuracy: f64,
    /// How many images there are.
    pub images: usize,
}

const LEFT: f64 = 50.;
const SIDE: f64 = 260.;
const TOP: f64 = 24.;
/// Height of the bar of the bin with the most images.
const COUNTS: f64 = 40.;
/// Distance between the plot and these bars.
const GAP: f64 = 14.;

impl Reliability {
    /// Bins that are drawn.
    pub(crate) fn points(&self) -> usize {
        self.drawn().count()
    }

    fn drawn(&self) -> impl Iterator<Item = &Bin> {
        let finite = |b: &&Bin| b.confidence.is_finite() && b.accuracy.is_finite();
        self.bins.iter().filter(|b| b.images > 0).filter(finite)
    }

    pub(crate) fn markup(&self) -> Markup {
        let x = Scale {
            values: [0., 1.],
            places: [LEFT, LEFT + SIDE],
        };
        let y = Scale {
            values: [0., 1.],
            places: [TOP + SIDE, TOP],
        };
        let foot = TOP + SIDE + GAP + COUNTS;
        let most = self.drawn().map(|b| b.images).max().unwrap_or(1) as f64;
        let ticks = [0., 0.25, 0.5, 0.75, 1.];
        let content = html! {
            g.axes stroke=(FAINT) fill="none" {
                path d={ "M" (px(LEFT - 6.)) " " (px(TOP + SIDE)) "V" (px(TOP)) } {}
                path d={ "M" (px(LEFT)) " " (px(foot + 2.)) "h" (px(SIDE)) } {}
                path.diagonal d={ "M" (px(LEFT)) " " (px(TOP + SIDE)) "L" (px(LEFT + SIDE)) " " (px(TOP)) } stroke-dasharray="1 3" {}
            }
            g.labels {
                text.faint x="0" y=(px(FONT_SIZE)) fill=(FAINT) { "accuracy" }
                text.faint x=(px(LEFT + SIDE)) y=(px(foot + 2. + 2. * LINE)) text-anchor="end" fill=(FAINT) { "confidence →" }
                text.faint x=(px(LEFT - 12.)) y=(px(foot)) text-anchor="end" fill=(FAINT) { "images" }
                text.faint x=(px(LEFT + 6.)) y=(px(TOP + 12.)) fill=(FAINT) { "too modest" }
                text.faint x=(px(LEFT + SIDE - 4.)) y=(px(TOP + SIDE - 6.)) text-anchor="end" fill=(FAINT) { "too sure" }
                @for tick in ticks {
                    text x=(px(LEFT - 12.)) y=(px(y.place(tick) + FONT_SIZE * 0.35)) text-anchor="end" { (whole(tick)) }
                    text x=(px(x.place(tick))) y=(px(foot + 2. + LINE)) text-anchor="middle" { (whole(tick)) }
                }
            }
            @for bin in self.drawn() {
                @let (at, up) = (x.place(bin.confidence), y.place(bin.accuracy));
                @let ideal = y.place(bin.confidence);
                @let tall = (bin.images as f64 / most * COUNTS).max(1.);
                @let [from, to] = bin.ends.map(|end| x.place(end));
                g.mark {
                    title {
                        "confidence " (Unit::Percent.exact(bin.confidence)) " (" (whole(bin.ends[0])) " to " (whole(bin.ends[1])) ")\n"
                        "accuracy " (Unit::Percent.exact(bin.accuracy)) "\n"
                        (bin.images) " images"
                    }
                    rect.target x=(px(from)) y=(px(TOP)) width=(px((to - from).max(1.))) height=(px(foot - TOP)) fill="transparent" {}
                    path.rise d={ "M" (px(at)) " " (px(ideal)) "V" (px(up)) } stroke=(Tone::Orange.ink()) stroke-width="2" fill="none" {}
                    (Shape::Dot.at(at, up, Tone::Ink))
                    rect.quiet x=(px(from + 0.5)) y=(px(foot - tall)) width=(px((to - from - 1.).max(1.))) height=(px(tall)) fill=(FAINT) {}
                }
            }
        };
        let size = Size {
            width: LEFT + SIDE + 24.,
            height: foot + 2. + 2. * LINE + 4.,
        };
        let description = format!("accuracy over confidence in {} bins", self.points());
        svg(&self.title, &description, size, &content)
    }
}

/// A fraction in whole percent.
fn whole(fraction: f64) -> String {
    percent_to(0, fraction)
}
