//! The geometry of convolutions: the pixels of the fine side that belong to a position of the coarse side, and the number of
//! positions. Both executors, the gradients and the networks use it.

use super::Shape;
use serde::{Deserialize, Serialize};

/// The geometry that a convolution and its two gradients share. They are the three partial derivatives of one trilinear form,
/// `T(x, w, d) = Σ x[n, s·o + t·k − p, a] · w[k, a', b] · d[n, o, b]`,
/// over images n, coarse positions o, taps k, channels a (fine side) and b (coarse side) of one group, with stride s, dilation t
/// and p rows and columns of zeros before the image; a' counts the fine channels of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convolution {
    /// Rows and columns of the kernel.
    pub size: [usize; 2],
    /// Fine rows and columns from one coarse position to the next.
    pub stride: [usize; 2],
    /// Rows, then columns, of zeros before and behind the image.
    pub padding: [[usize; 2]; 2],
    /// Fine rows and columns from one tap to the next.
    pub dilation: [usize; 2],
    /// Groups of channels that do not see each other; as many as fine channels make the convolution depthwise.
    pub groups: usize,
}

/// The usual geometry, which has kernels of its own: a square kernel of size 1 or 3, stride 1 or 2, zeros around the image so that
/// the fine side is exactly `stride` times the coarse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usual {
    /// Side of the kernel.
    pub size: usize,
    /// Fine rows and columns per coarse one.
    pub stride: usize,
}

impl Convolution {
    /// A square kernel with `size / 2` zeros on all sides, so that an odd one keeps the image's extents at stride 1.
    pub const fn same(size: usize, stride: usize) -> Self {
        let (size, stride, padding) = ([size; 2], [stride; 2], [[size / 2; 2]; 2]);
        Self { size, stride, padding, dilation: [1; 2], groups: 1 }
    }

    /// With other `[[top, bottom], [left, right]]` rows and columns of zeros.
    #[must_use]
    pub const fn padded(self, padding: [[usize; 2]; 2]) -> Self {
        Self { padding, ..self }
    }

    /// With taps that many rows and columns apart.
    #[must_use]
    pub const fn dilated(self, dilation: [usize; 2]) -> Self {
        Self { dilation, ..self }
    }

    /// With groups of channels that do not see each other.
    #[must_use]
    pub const fn grouped(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Rows and columns of the coarse side of an image of that many; `None` if the kernel does not fit the padded image.
    pub fn positions(&self, image: [usize; 2]) -> Option<[usize; 2]> {
        Some([self.along(0, image[0])?, self.along(1, image[1])?])
    }

    fn along(&self, axis: usize, extent: usize) -> Option<usize> {
        let [before, behind] = self.padding[axis];
        let reach = self.reach(axis)?;
        let padded = extent.checked_add(before)?.checked_add(behind)?;
        padded.checked_sub(reach)?.checked_div(self.stride[axis]).map(|steps| steps + 1)
    }

    /// Fine rows or columns from the first to the last tap, both included.
    fn reach(&self, axis: usize) -> Option<usize> {
        let steps = self.size[axis].checked_sub(1)?;
        (self.dilation[axis] > 0).then_some(())?;
        self.dilation[axis].checked_mul(steps)?.checked_add(1)
    }

    /// Extents of the weight between these fine and coarse channels, or the reason why there is none.
    pub(crate) fn weight(&self, fine: usize, coarse: usize) -> Result<[usize; 4], String> {
        let positive = [self.size, self.stride, self.dilation].iter().flatten().all(|&v| v > 0);
        if !positive || self.groups == 0 {
            return Err("size, stride, dilation and groups are at least 1".to_string());
        }
        let groups = self.groups;
        if !fine.is_multiple_of(groups) || !coarse.is_multiple_of(groups) {
            return Err(format!("{groups} groups need multiples of {groups} channels on both sides"));
        }
        Ok([self.size[0], self.size[1], fine / groups, coarse])
    }

    /// The usual geometry, if this is one.
    ///
    /// # Errors
    /// The reason why this geometry with these sides is not usual.
    pub(crate) fn usual(&self, fine: &Shape, coarse: &Shape) -> Result<Usual, &'static str> {
        let [fine, coarse] = [fine, coarse].map(|side| side.image().expect("checked when built"));
        let Self { size, stride, dilation, groups, padding } = *self;
        if groups != 1 {
            return Err(if groups == fine[3] { "depthwise" } else { "groups of channels" });
        }
        if dilation != [1; 2] {
            return Err("dilation");
        }
        if ![[1; 2], [3; 2]].contains(&size) {
            return Err("a kernel that is neither 1x1 nor 3x3");
        }
        if ![[1; 2], [2; 2]].contains(&stride) {
            return Err("a stride that is neither 1 nor 2");
        }
        // The sides determine the number of zeros behind the image.
        if padding.iter().any(|[before, _]| *before != size[0] / 2) {
            return Err("padding other than half the kernel");
        }
        let whole = (1..3).all(|axis| fine[axis] == stride[0] * coarse[axis]);
        match whole {
            true => Ok(Usual { size: size[0], stride: stride[0] }),
            false => Err("sides that are no multiple of the stride"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_counted_as_pytorch_counts_them() {
        let same = Convolution::same;
        assert_eq!(same(3, 1).positions([7, 9]), Some([7, 9]));
        assert_eq!(same(3, 2).positions([7, 8]), Some([4, 4]));
        assert_eq!(same(1, 2).positions([7, 8]), Some([4, 4]));
        assert_eq!(same(2, 1).positions([4, 4]), Some([5, 5]));
        assert_eq!(same(7, 2).positions([30, 45]), Some([15, 23]));
        let uneven = Convolution { size: [3, 2], stride: [3, 1], ..same(1, 1) };
        assert_eq!(uneven.padded([[0, 1], [2, 0]]).positions([7, 5]), Some([2, 6]));
        assert_eq!(same(3, 1).dilated([2, 1]).positions([7, 7]), Some([5, 7]));
        assert_eq!(same(5, 1).padded([[0; 2]; 2]).positions([4, 9]), None, "larger than the image");
        for bad in [
            Convolution { size: [0, 1], ..same(1, 1) },
            Convolution { stride: [1, 0], ..same(1, 1) },
            Convolution { dilation: [0, 1], ..same(1, 1) },
        ] {
            assert_eq!(bad.positions([4, 4]), None, "{bad:?}");
            assert!(bad.weight(1, 1).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_small_square_kernels_on_whole_sides_are_usual() {
        let (same, image) = (Convolution::same, |h, w, c| Shape::new(&[2, h, w, c]));
        let usual = |g: Convolution, fine: Shape| {
            let [h, w] = g.positions([fine.extents()[1], fine.extents()[2]]).unwrap();
            g.usual(&fine, &image(h, w, 4))
        };
        for (size, stride) in [(1, 1), (1, 2), (3, 1), (3, 2)] {
            assert_eq!(usual(same(size, stride), image(6, 8, 4)), Ok(Usual { size, stride }));
        }
        assert_eq!(usual(same(3, 1), image(7, 7, 4)), Ok(Usual { size: 3, stride: 1 }));
        let unused = same(3, 2).padded([[1, 0], [1, 1]]);
        assert_eq!(
            usual(unused, image(6, 8, 4)),
            Ok(Usual { size: 3, stride: 2 }),
            "zeros that no tap meets"
        );
        for (general, fine) in [
            (same(3, 2), image(7, 8, 4)),
            (same(1, 2), image(7, 7, 4)),
            (same(5, 1), image(8, 8, 4)),
            (same(3, 3), image(9, 9, 4)),
            (same(3, 1).grouped(2), image(8, 8, 4)),
            (same(3, 1).grouped(4), image(8, 8, 4)),
            (same(3, 1).dilated([2, 2]).padded([[2; 2]; 2]), image(8, 8, 4)),
            (same(3, 2).padded([[0, 1], [0, 1]]), image(8, 8, 4)),
        ] {
            usual(general, fine).unwrap_err();
        }
    }
}
