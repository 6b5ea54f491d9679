//! Pictures of what an attack did: original, adversarial image and amplified perturbation side by side, with labels.

use super::statistics::Statistic;
use super::text::{self, LETTER, LINE};
use crate::attacks::AttackOutcome;
use image::{ImageFormat, Rgb, RgbImage};
use std::io::Cursor;

/// Pictures are enlarged by a whole factor to at least this many pixels.
const LEAST_TILE: u32 = 96;
/// Between tiles.
const GAP: u32 = 8;
const BACKGROUND: Rgb<u8> = Rgb([255; 3]);
/// Letters of the labels beside a row.
const LABEL_LETTERS: u32 = 30;
/// Grey to white: what the largest change of a typical image may be amplified to.
const SPAN: f32 = 0.5;

/// A PNG of the first `count` images, one per row. `title` stands above; perturbations are shown around grey, all
/// amplified by the same factor, which is stated; the changes of the strongest may reach beyond black and white.
///
/// # Errors
/// If the picture cannot be encoded.
pub fn png(
    outcome: &AttackOutcome,
    class_names: &[String],
    title: &str,
    count: usize,
) -> Result<Vec<u8>, image::ImageError> {
    let mut bytes = Cursor::new(Vec::new());
    draw(outcome, class_names, title, count).write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

fn draw(outcome: &AttackOutcome, class_names: &[String], title: &str, count: usize) -> RgbImage {
    let count = count.min(outcome.len());
    let (rows, columns) = (outcome.problem.height as u32, outcome.problem.width as u32);
    let pixels = outcome.problem.pixels();
    let factor = LEAST_TILE.div_ceil(rows.min(columns));
    let [tile_width, tile_height] = [columns * factor, rows * factor];
    let shown = &outcome.adversarial[..count * pixels];
    let difference: Vec<f32> = shown.iter().zip(&outcome.images).map(|(a, x)| a - x).collect();
    let amplification = amplification(&outcome.linf[..count]);
    let heads = ["original".to_string(), "adversarial".to_string(), format!("delta x{amplification}")];
    let head = 2 * LINE + GAP;
    let letters = title.chars().count() as u32 * LETTER;
    let width = (GAP + 3 * (tile_width + GAP) + LABEL_LETTERS * LETTER).max(letters + 2 * GAP);
    let height = GAP + head + count as u32 * (tile_height + GAP);
    let mut picture = RgbImage::from_pixel(width, height, BACKGROUND);
    text::write(&mut picture, GAP, GAP, title);
    let lefts: [u32; 3] = std::array::from_fn(|column| GAP + column as u32 * (tile_width + GAP));
    for (left, name) in lefts.into_iter().zip(&heads) {
        text::write(&mut picture, left, GAP + LINE, name);
    }
    for i in 0..count {
        let range = i * pixels..(i + 1) * pixels;
        let top = GAP + head + i as u32 * (tile_height + GAP);
        let delta: Vec<f32> = difference[range.clone()].iter().map(|d| 0.5 + amplification * d).collect();
        let tiles = [&outcome.images[range.clone()], &outcome.adversarial[range], &delta];
        for (left, values) in lefts.into_iter().zip(tiles) {
            paint(&mut picture, (left, top), values, [rows, columns, factor]);
        }
        for (line, label) in labels(outcome, class_names, i).iter().enumerate() {
            text::write(&mut picture, GAP + 3 * (tile_width + GAP), top + line as u32 * LINE, label);
        }
    }
    picture
}

/// The largest of 1, 2, 5, 10, 20, … that keeps the median of the images' largest changes within the scale.
fn amplification(largest_changes: &[f32]) -> f32 {
    let mut changes: Vec<f64> = largest_changes.iter().map(|&change| f64::from(change)).collect();
    let typical = Statistic::Median.of(&mut changes).unwrap_or(0.0) as f32;
    // Beyond 1000 nothing but rounding would be seen.
    let factors = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].map(|factor| factor as f32);
    factors.into_iter().rev().find(|factor| factor * typical <= SPAN).unwrap_or(1.0)
}

/// One image, `[rows, columns, channels]`, enlarged without smoothing; the first channel in grey, or the first three.
fn paint(picture: &mut RgbImage, (left, top): (u32, u32), values: &[f32], [rows, columns, factor]: [u32; 3]) {
    let channels = values.len() / (rows * columns) as usize;
    let byte = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
    for y in 0..rows * factor {
        for x in 0..columns * factor {
            let position = ((y / factor) * columns + x / factor) as usize * channels;
            let rgb = match channels {
                1 | 2 => [values[position]; 3],
                _ => [values[position], values[position + 1], values[position + 2]],
            };
            picture.put_pixel(left + x, top + y, Rgb(rgb.map(byte)));
        }
    }
}

fn labels(outcome: &AttackOutcome, class_names: &[String], i: usize) -> [String; 5] {
    let name = |class: usize| class_names.get(class).map_or_else(|| class.to_string(), Clone::clone);
    [
        format!("true     {}", name(outcome.labels[i])),
        format!("clean    {}", name(outcome.clean_predictions[i])),
        format!("attacked {}", name(outcome.predictions[i])),
        format!("L2 {:.4}  Linf {:.4}", outcome.l2[i], outcome.linf[i]),
        outcome.verdict(i).name().to_string(),
    ]
    .map(|line| line.chars().take(LABEL_LETTERS as usize).collect())
}

#[cfg(test)]
mod tests {
    use super::super::export::tests::outcome;
    use super::*;

    #[test]
    fn the_picture_shows_original_adversarial_and_amplified_difference() {
        let picture = draw(&outcome(), &[], "fgm", 5);
        let tile = 96;
        let top = GAP + 2 * LINE + GAP;
        // Position 1 of the first image, whose green was moved by 0.5: in its middle.
        let at = |column: u32| picture.get_pixel(GAP + column * (tile + GAP) + 72, top + 24).0;
        assert_eq!(at(0), [12, 16, 20]);
        assert_eq!(at(1), [12, 143, 20]);
        assert_eq!(at(2), [128, 255, 128]); // The median of 0.5 and 0 allows twice the difference; white is the end.
        assert_eq!(picture.height(), top + 2 * (tile + GAP));
    }

    #[test]
    fn the_amplification_is_round_and_suits_the_typical_image() {
        assert_eq!(amplification(&[0.01, 0.03, 0.9]), 10.0);
        assert_eq!(amplification(&[0.001]), 500.0);
        assert_eq!(amplification(&[0.0]), 1000.0);
        assert_eq!(amplification(&[0.9]), 1.0);
    }

    #[test]
    fn labels_are_class_names_where_there_are_any() {
        let names = ["cat", "dog", "ship"].map(str::to_string);
        assert_eq!(labels(&outcome(), &names, 0)[..3], ["true     cat", "clean    cat", "attacked dog"]);
        assert_eq!(labels(&outcome(), &[], 0)[2], "attacked 1");
        let mut already_wrong = outcome();
        already_wrong.clean_predictions[1] = 0;
        assert_eq!([0, 1].map(|i| labels(&outcome(), &[], i)[4].clone()), ["fooled", "withstood"]);
        assert_eq!(labels(&already_wrong, &[], 1)[4], "already wrong");
    }
}
