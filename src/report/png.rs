//! Figures as PNG, rasterised from their SVG with letters that are part of the program, so that the picture is the
//! same on every machine.

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};
use std::io;
use std::sync::{Arc, LazyLock};

/// Pixels per unit of the drawing: sharp in print at column width.
const ENLARGEMENT: f32 = 3.0;

/// Letters for the signs that figures use; see `assets/subset_font.py`.
static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(include_bytes!("../../assets/figures-regular.otf").to_vec());
    fonts.load_font_data(include_bytes!("../../assets/figures-semibold.otf").to_vec());
    Arc::new(fonts)
});

/// The bytes of a PNG file of a drawing that [`super::svg::draw`] made for a file.
///
/// # Errors
/// If the text is no SVG, or the picture does not fit the memory.
pub fn rasterise(svg: &str) -> io::Result<Vec<u8>> {
    let options = Options { font_family: "Inter".to_string(), fontdb: FONTS.clone(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(io::Error::other)?;
    let size = tree.size().to_int_size().scale_by(ENLARGEMENT);
    let canvas = size.and_then(|size| Pixmap::new(size.width(), size.height()));
    let mut canvas = canvas.ok_or_else(|| io::Error::other("the drawing is too large"))?;
    resvg::render(&tree, Transform::from_scale(ENLARGEMENT, ENLARGEMENT), &mut canvas.as_mut());
    canvas.encode_png().map_err(io::Error::other)
}
