//! Twin of `shaders/resize_gradient.wgsl`.

use super::resampling::{blend, readers, taps};
use crate::kernels::Arguments;
use crate::kernels::params::ResizeParams;
use rayon::prelude::*;

/// Reads d `[n, H, W, c]`; writes what the positions that read each pixel carry, by its part of each, `[n, h, w, c]`.
pub fn resize_gradient(call: &mut Arguments) {
    let p: ResizeParams = call.params();
    let [height, channels] = [p.height, p.channels].map(|v| v as usize);
    let [to_height, to_width] = [p.to_height, p.to_width].map(|v| v as usize);
    let [rows, columns] = taps(&p);
    let (rows, columns) = (readers(&rows, p.height), readers(&columns, p.width));
    let d = call.reads[0];
    call.writes[0].par_chunks_mut(p.width as usize * channels).enumerate().for_each(|(line, out)| {
        let image = &d[line / height * to_height * to_width * channels..];
        blend(image, [to_width, channels], &rows[line % height], &columns, out);
    });
}
