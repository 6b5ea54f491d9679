//! The shape of a tensor: one to four extents, the first is the image (row) index, the last the
//! channel. Everything that is derived from extents is derived here.

use std::fmt;

/// Extents of a dense row-major tensor of `f32`. Images are `[batch, height, width, channels]`, logits
/// `[batch, classes]`, one number per image `[batch, 1]`, biases `[channels]`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The shape with these extents.
    pub fn new(extents: &[usize]) -> Self {
        Self(extents.to_vec())
    }

    /// All extents.
    pub fn extents(&self) -> &[usize] {
        &self.0
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.0.iter().product()
    }

    /// Whether there is no value at all; such tensors are refused when a graph is built.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the values.
    pub fn bytes(&self) -> u64 {
        4 * self.len() as u64
    }

    /// The first extent: images of a batch.
    pub fn rows(&self) -> usize {
        self.0.first().copied().unwrap_or(1)
    }

    /// Values per row.
    pub fn columns(&self) -> usize {
        self.len() / self.rows().max(1)
    }

    /// The last extent.
    pub fn channels(&self) -> usize {
        self.0.last().copied().unwrap_or(1)
    }

    /// `[batch, height, width, channels]`, if this is a batch of images.
    pub fn image(&self) -> Option<[usize; 4]> {
        <[usize; 4]>::try_from(self.0.as_slice()).ok()
    }

    /// How a tensor of this shape is read when the result has shape `result`; `None` if it does not fit.
    pub fn broadcast_to(&self, result: &Self) -> Option<Broadcast> {
        let (own, all) = (&self.0, &result.0);
        if own == all {
            Some(Broadcast::Full)
        } else if self.len() == 1 {
            Some(Broadcast::Scalar)
        } else if own.len() == 2 && own[1] == 1 && own[0] == all[0] {
            Some(Broadcast::Stretch)
        } else if all.ends_with(own)
            || (own.len() == all.len() && own[1..] == all[1..] && all[0].is_multiple_of(own[0]))
        {
            Some(Broadcast::Tile)
        } else {
            None
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// How an operand's index follows from the index `i` of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Broadcast {
    /// The same index.
    Full = 0,
    /// `i % length`: a bias per channel, or one batch repeated.
    Tile = 1,
    /// `i / (result length / length)`: one number per image.
    Stretch = 2,
    /// A single value.
    Scalar = 3,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operand_is_read_whole_tiled_stretched_or_as_one_value() {
        let images = Shape::new(&[6, 4, 4, 3]);
        let how = |extents: &[usize]| Shape::new(extents).broadcast_to(&images);
        assert_eq!(how(&[6, 4, 4, 3]), Some(Broadcast::Full));
        assert_eq!(how(&[3]), Some(Broadcast::Tile));
        assert_eq!(how(&[2, 4, 4, 3]), Some(Broadcast::Tile));
        assert_eq!(how(&[6, 1]), Some(Broadcast::Stretch));
        assert_eq!(how(&[1]), Some(Broadcast::Scalar));
        assert_eq!(how(&[6]), None);
        assert_eq!(how(&[4, 1]), None);
    }
}
