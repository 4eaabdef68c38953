//! Charts as SVG, from neutral data. A chart says what it shows in words as well, every mark of it tells its values in
//! a `<title>`, and no meaning hangs on colour alone.

mod bars;
mod draw;
mod frontier;
mod heat_map;
mod reliability;
mod scale;
mod shape;
mod stages;

pub use bars::{Bar, Bars, Group};
pub use frontier::{Axis, Frontier, Level, Point, Series};
pub use heat_map::{HeatMap, Mark};
pub use reliability::{Bin, Reliability};
pub use scale::Unit;
pub use shape::{Shape, Tone};
pub use stages::{Block, BlockKind, Stage, Stages};

use maud::{Markup, html};

use draw::{FONT, FONT_SIZE, Size};

/// A picture on its paper, and what it is called.
fn svg(title: &str, description: &str, size: Size, content: &Markup) -> Markup {
    const MARGIN: f64 = 4.;
    let [width, height] = [size.width, size.height].map(|side| draw::px(side + 2. * MARGIN));
    let corner = draw::px(-MARGIN);
    html! {
        svg.chart xmlns="http://www.w3.org/2000/svg" role="group" aria-label=(title)
            width=(width) height=(height) viewBox={ (corner) " " (corner) " " (width) " " (height) }
            font-family=(FONT) font-size=(FONT_SIZE) fill=(draw::INK)
        {
            desc { (description) }
            rect.paper x=(corner) y=(corner) width="100%" height="100%" fill=(draw::PAPER) {}
            (content)
        }
    }
}

/// A whole file of one picture.
fn standalone(picture: Markup) -> String {
    super::without_controls(picture.into_string())
}
