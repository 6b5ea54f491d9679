//! Twin of `shaders/resize.wgsl`.

use super::resampling::{blend, taps};
use crate::kernels::Arguments;
use crate::kernels::params::ResizeParams;
use rayon::prelude::*;

/// Reads x `[n, h, w, c]`; writes it in another height and width, `[n, H, W, c]`.
pub fn resize(call: &mut Arguments) {
    let p: ResizeParams = call.params();
    let [width, height, channels, to] = [p.width, p.height, p.channels, p.to_height].map(|v| v as usize);
    let [rows, columns] = taps(&p).map(|side| side.iter().map(|t| t.parts().collect()).collect::<Vec<Vec<_>>>());
    let x = call.reads[0];
    call.writes[0].par_chunks_mut(p.to_width as usize * channels).enumerate().for_each(|(line, out)| {
        let image = &x[line / to * height * width * channels..];
        blend(image, [width, channels], &rows[line % to], &columns, out);
    });
}
