//! Which pixels a position of a resized image reads, as in `shaders/shared/resize.wgsl`.

use crate::kernels::params::ResizeParams;

/// Two neighbours, and the part that the second has.
#[derive(Clone, Copy)]
pub struct Taps {
    pub first: usize,
    pub second: usize,
    pub weight: f64,
}

impl Taps {
    /// The pixels that are read, with their parts.
    pub fn parts(&self) -> impl Iterator<Item = (usize, f64)> + use<> {
        [(self.first, 1.0 - self.weight), (self.second, self.weight)]
            .into_iter()
            .filter(|&(_, part)| part != 0.0)
    }
}

/// The taps of all rows and of all columns of the result.
pub fn taps(p: &ResizeParams) -> [Vec<Taps>; 2] {
    let along = |to: u32, multiply: u32, add: i32, divide: u32, length: u32| {
        let tap = |position: u32| {
            let place = (i64::from(position) * i64::from(multiply) + i64::from(add)).max(0) as usize;
            let (divide, last) = (divide as usize, length as usize - 1);
            let first = (place / divide).min(last);
            match p.linear == 0 || first == last {
                true => Taps { first, second: first, weight: 0.0 },
                false => Taps { first, second: first + 1, weight: (place % divide) as f64 / divide as f64 },
            }
        };
        (0..to).map(tap).collect()
    };
    [
        along(p.to_height, p.row_multiply, p.row_add, p.row_divide, p.height),
        along(p.to_width, p.column_multiply, p.column_add, p.column_divide, p.width),
    ]
}

/// For each pixel along one side, the positions that read it and its part of each.
pub fn readers(taps: &[Taps], length: u32) -> Vec<Vec<(usize, f64)>> {
    let mut readers = vec![Vec::new(); length as usize];
    for (position, tap) in taps.iter().enumerate() {
        for (pixel, part) in tap.parts() {
            readers[pixel].push((position, part));
        }
    }
    readers
}

/// Adds to each pixel of a line what the pixels of lines of `values` give by their parts: `rows` and, per pixel, `columns`.
pub fn blend(
    values: &[f32],
    [width, channels]: [usize; 2],
    rows: &[(usize, f64)],
    columns: &[Vec<(usize, f64)>],
    out: &mut [f32],
) {
    let mut sums = vec![0.0f64; channels];
    for (out, columns) in out.chunks_mut(channels).zip(columns) {
        sums.fill(0.0);
        for &(row, down) in rows {
            for &(column, along) in columns {
                let pixel = &values[(row * width + column) * channels..];
                sums.iter_mut().zip(pixel).for_each(|(sum, &v)| *sum += down * along * f64::from(v));
            }
        }
        out.iter_mut().zip(&sums).for_each(|(out, &sum)| *out = sum as f32);
    }
}
