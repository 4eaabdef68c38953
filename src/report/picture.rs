//! Charts as PNG.

use std::sync::Arc;

use anyhow::{Context, Result};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::{Database, Family, Query};
use resvg::usvg::{Options, Tree};

/// A picture made of an SVG.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The bytes of a PNG file.
    pub png: Vec<u8>,
    /// Its words are missing, because this machine has no font.
    pub wordless: bool,
}

/// Fonts without serifs that are looked for, in this order, if the machine names none.
const USUAL_FONTS: [&str; 5] = [
    "Helvetica",
    "Liberation Sans",
    "DejaVu Sans",
    "Noto Sans",
    "Segoe UI",
];
/// A picture whose longer side has no more pixels than this is drawn with two by two pixels for each CSS pixel.
const SHARP: f32 = 4096.;

/// Draws an SVG with the fonts of this machine.
///
/// # Errors
/// If it is no SVG, or too large for a picture in memory.
pub fn draw(svg: &str) -> Result<Picture> {
    let mut fonts = Database::new();
    fonts.load_system_fonts();
    let wordless = !has_sans_serif(&mut fonts);
    let options = Options {
        fontdb: Arc::new(fonts),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).context("the picture cannot be drawn")?;
    let (width, height) = (tree.size().width(), tree.size().height());
    let scale = if 2. * width.max(height) <= SHARP {
        2.
    } else {
        1.
    };
    let side = |length: f32| (length * scale).ceil() as u32;
    let mut pixels = Pixmap::new(side(width), side(height))
        .with_context(|| format!("a picture of {width} × {height} pixels is too large"))?;
    resvg::render(
        &tree,
        Transform::from_scale(scale, scale),
        &mut pixels.as_mut(),
    );
    let png = pixels
        .encode_png()
        .context("the picture cannot be written as PNG")?;
    Ok(Picture { png, wordless })
}

/// Whether there is a font without serifs. Chooses one if the machine names none.
fn has_sans_serif(fonts: &mut Database) -> bool {
    let finds = |fonts: &Database, family: Family| {
        let query = Query {
            families: &[family],
            ..Query::default()
        };
        fonts.query(&query).is_some()
    };
    if finds(fonts, Family::SansSerif) {
        return true;
    }
    let any = fonts
        .faces()
        .filter(|face| !face.monospaced)
        .find_map(|face| face.families.first().map(|(name, _)| name.clone()));
    let usual = USUAL_FONTS.iter().map(|name| (*name).to_owned());
    let mut names = usual.chain(any);
    match names.find(|name| finds(fonts, Family::Name(name))) {
        Some(name) => {
            fonts.set_sans_serif_family(name);
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_stand_where_the_svg_has_them() {
        let svg = r##"<svg xmlns="http://www.w3.org/2000/svg" width="3" height="1">
            <rect width="1" height="1" fill="#ff0000"/><rect x="2" width="1" height="1" fill="#0000ff"/></svg>"##;
        let picture = image::load_from_memory(&draw(svg).unwrap().png)
            .unwrap()
            .to_rgba8();
        assert_eq!(picture.dimensions(), (6, 2));
        assert_eq!(picture.get_pixel(0, 0).0, [255, 0, 0, 255]);
        assert_eq!(picture.get_pixel(3, 1).0[3], 0);
        assert_eq!(picture.get_pixel(5, 1).0, [0, 0, 255, 255]);
    }

    #[test]
    fn words_are_drawn_unless_their_lack_is_told() {
        let svg = r##"<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20" font-family="system-ui, sans-serif">
            <text y="15">HHH</text></svg>"##;
        let picture = draw(svg).unwrap();
        let pixels = image::load_from_memory(&picture.png).unwrap().to_rgba8();
        let has_ink = pixels.pixels().any(|pixel| pixel.0[3] > 128);
        assert_eq!(has_ink, !picture.wordless);
    }

    #[test]
    fn what_is_no_picture_is_an_error() {
        assert!(draw("no svg").is_err());
        let huge = r#"<svg xmlns="http://www.w3.org/2000/svg" width="1e9" height="1e9"/>"#;
        assert!(draw(huge).is_err());
    }
}
