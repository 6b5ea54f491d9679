//! How the inputs of a direct convolution lie while it computes: a copy of the image's lines, with the zeros around them.
//!
//! Channels form blocks, and a line has its pixels block by block. So the inputs of neighbouring outputs lie at distances that
//! the compiler knows, and one pointer serves a whole tile. With one pointer per output, which was tried before, half the time of
//! narrow layers went into moving and checking them.

/// Channels of a block, of a pixel with so many channels.
fn block_of(channels: usize) -> usize {
    match channels {
        1 | 2 => 1,
        3 | 6 => 3,
        _ => 8,
    }
}

/// Of lines that are read with a stride of `step` pixels.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Channels of a block; what a pixel lacks is zero.
    pub block: usize,
    /// Blocks of a pixel.
    pub blocks: usize,
    channels: usize,
    step: usize,
    /// Blocks from one line of pixels to the next, among those that are `step` apart.
    pitch: usize,
}

impl Layout {
    /// For outputs whose inputs are `step` apart, of which `count` lie side by side in the first of the pixels that they take.
    pub fn new(channels: usize, step: usize, pitch: usize) -> Self {
        let block = block_of(channels);
        Self { block, blocks: channels.div_ceil(block), channels, step, pitch }
    }

    /// Values of a line.
    pub fn line(&self) -> usize {
        self.blocks * self.step * self.pitch * self.block
    }

    /// Where in its line a block of a pixel begins.
    pub fn at(&self, column: usize, block: usize) -> usize {
        ((block * self.step + column % self.step) * self.pitch + column / self.step) * self.block
    }

    /// Writes a line whose pixel `left` is the first of `pixels`; the others are zero.
    #[inline(always)]
    pub fn fill(&self, left: isize, pixels: &[f32], line: &mut [f32]) {
        match self.block {
            1 => self.fill_blocks::<1>(left, pixels, line),
            3 => self.fill_blocks::<3>(left, pixels, line),
            _ => self.fill_blocks::<8>(left, pixels, line),
        }
    }

    #[inline(always)]
    fn fill_blocks<const B: usize>(&self, left: isize, pixels: &[f32], line: &mut [f32]) {
        for (index, part) in line.chunks_exact_mut(self.pitch * B).enumerate() {
            let (block, phase) = (index / self.step, index % self.step);
            // The first pixel of this part that is an input, and which input it is.
            let first = ((left - phase as isize).max(0) as usize).div_ceil(self.step);
            let from = ((first * self.step + phase) as isize - left) as usize;
            let pixels = pixels.get(from * self.channels..).unwrap_or_default();
            let part = part.as_chunks_mut::<B>().0;
            let (zeros, rest) = part.split_at_mut(first.min(part.len()));
            let inputs = (pixels.len() / self.channels).div_ceil(self.step);
            let (own, others) = rest.split_at_mut(inputs.min(rest.len()));
            zeros.fill([0.0; B]);
            self.copy_block(block * B, pixels, own);
            others.fill([0.0; B]);
        }
    }

    /// Copies a block of channels, from `channel` on, of every `step`-th pixel.
    #[inline(always)]
    fn copy_block<const B: usize>(&self, channel: usize, pixels: &[f32], to: &mut [[f32; B]]) {
        if self.step == 1 && self.channels == B {
            let len = to.len() * B;
            to.as_flattened_mut().copy_from_slice(&pixels[..len]);
            return;
        }
        let used = B.min(self.channels - channel);
        let apart = self.step * self.channels;
        for (to, pixels) in to.iter_mut().zip(pixels.get(channel..).unwrap_or_default().chunks(apart)) {
            if used == B
                && let Some(values) = pixels.first_chunk::<B>()
            {
                *to = *values;
            } else {
                *to = [0.0; B];
                to[..used].copy_from_slice(&pixels[..used]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_pixels_block_by_block_with_zeros_around_and_phase_by_phase_where_outputs_are_apart() {
        for (channels, step, left, width) in [
            (1, 1, 1, 5),
            (3, 1, 1, 4),
            (8, 1, 0, 4),
            (16, 2, 1, 6),
            (10, 1, 2, 3),
            (5, 2, -1, 7),
            (4, 3, 4, 1),
        ] {
            let layout = Layout::new(channels, step, 4);
            let pixels: Vec<f32> = (1..=width * channels).map(|i| i as f32).collect();
            let mut line = vec![f32::NAN; layout.line()];
            layout.fill(left, &pixels, &mut line);
            let mut wanted = vec![0.0; layout.line()];
            for column in 0..4 * step {
                let input = column as isize - left;
                for channel in (0..channels).filter(|_| (0..width as isize).contains(&input)) {
                    let at = layout.at(column, channel / layout.block) + channel % layout.block;
                    wanted[at] = pixels[input as usize * channels + channel];
                }
            }
            assert_eq!(line, wanted, "{channels} channels, step {step}, {left} before {width}");
        }
    }
}
