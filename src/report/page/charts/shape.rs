//! How kinds of data are told apart: by shape first, by tone besides.

use maud::{Markup, html};

use super::draw::{PAPER, px};

/// The shape of a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    #[default]
    Dot,
    Circle,
    Square,
    Diamond,
    Triangle,
    Cross,
}

/// Blue and orange are those of Okabe and Ito (*Color Universal Design*, 2008), darker for thin lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Ink,
    Blue,
    Orange,
    Grey,
}

impl Tone {
    pub(super) const ALL: [Tone; 4] = [Tone::Blue, Tone::Orange, Tone::Ink, Tone::Grey];

    /// Its colour on white.
    pub(super) fn ink(self) -> &'static str {
        match self {
            Tone::Ink => "#222222",
            Tone::Blue => "#0b67a3",
            Tone::Orange => "#b4540a",
            Tone::Grey => "#6b6b6b",
        }
    }

    /// The class by which a style sheet knows it.
    pub(super) fn class(self) -> &'static str {
        match self {
            Tone::Ink => "ink",
            Tone::Blue => "blue",
            Tone::Orange => "orange",
            Tone::Grey => "grey",
        }
    }
}

impl Shape {
    pub(super) fn at(self, x: f64, y: f64, tone: Tone) -> Markup {
        let ink = tone.ink();
        let path = |d: String| html! { path.solid d=(d) fill=(ink) {} };
        let from = |dx: f64, dy: f64| format!("M{} {}", px(x + dx), px(y + dy));
        match self {
            Shape::Dot => html! { circle.solid cx=(px(x)) cy=(px(y)) r="4" fill=(ink) {} },
            Shape::Circle => html! {
                circle.hollow cx=(px(x)) cy=(px(y)) r="4" fill=(PAPER) stroke=(ink) stroke-width="1.5" {}
            },
            Shape::Square => path(from(-4., -4.) + "h8v8h-8z"),
            Shape::Diamond => path(from(0., -5.5) + "l5.5 5.5l-5.5 5.5l-5.5 -5.5z"),
            Shape::Triangle => path(from(0., -5.) + "l5 9h-10z"),
            Shape::Cross => html! {
                path.stroke d={ (from(-4., -4.)) "l8 8m0 -8l-8 8" } fill="none" stroke=(ink) stroke-width="1.5" {}
            },
        }
    }
}
