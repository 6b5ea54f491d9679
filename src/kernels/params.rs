//! The parameter structs of all kernels. WGSL declares each struct under the same name. A test compares them field by field:
//! naga's offsets with these.
//!
//! Convolutions have two sides, and every struct names their channels in the same way. `fine_channels` are the channels of the side
//! with more positions (a in formulas), `coarse_channels` those of the other side (b). Winograd's kernels work in either
//! direction: `inputs` are the channels of the side that they read, `outputs` those of the other.

use crate::graph::{Convolution, Shape};
use bytemuck::{Pod, Zeroable};

/// Name, byte offset and size of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The same as in WGSL.
    pub name: &'static str,
    /// Bytes from the start of the struct.
    pub offset: usize,
}

/// The layout of a parameter struct, for the test that compares it with WGSL.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Name of the struct, the same in WGSL.
    pub name: &'static str,
    /// Bytes.
    pub size: usize,
    /// All fields in order.
    pub fields: &'static [Field],
}

/// A parameter struct that knows its layout.
pub trait Params: Pod {
    /// The layout as Rust has it.
    const LAYOUT: Layout;
}

macro_rules! params {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Pod, Zeroable)]
        #[repr(C)]
        pub struct $name { $($(#[$field_doc])* pub $field: $kind),* }

        impl Params for $name {
            const LAYOUT: Layout = Layout {
                name: stringify!($name),
                size: size_of::<$name>(),
                fields: &[$(Field { name: stringify!($field), offset: std::mem::offset_of!($name, $field) }),*],
            };
        }
    )*};
}

params! {
    /// Geometry of a convolution and of both its gradients.
    ConvolutionParams {
        /// Images.
        batch: u32,
        /// Rows of the coarse side.
        height: u32,
        /// Columns of the coarse side.
        width: u32,
        /// Channels of the fine side (a).
        fine_channels: u32,
        /// Channels of the coarse side (b).
        coarse_channels: u32,
        /// Partial sums of the weight gradient.
        splits: u32,
        /// Coarse rows (over all images) per partial sum.
        rows_per_split: u32,
        /// Columns of a matrix of `im2col`: taps times fine channels, rounded up to a multiple of 8 by zeros.
        columns: u32,
        /// Slope of leaky ReLU below zero in the epilogue.
        slope: f32,
    }

    /// A convolution of any geometry, or one of its gradients.
    GeneralParams {
        /// Images.
        batch: u32,
        /// Rows of the fine side.
        fine_height: u32,
        /// Columns of the fine side.
        fine_width: u32,
        /// Channels of the fine side (a).
        fine_channels: u32,
        /// Rows of the coarse side.
        height: u32,
        /// Columns of the coarse side.
        width: u32,
        /// Channels of the coarse side (b).
        coarse_channels: u32,
        /// Groups of channels.
        groups: u32,
        /// Rows of the kernel.
        kernel_height: u32,
        /// Columns of the kernel.
        kernel_width: u32,
        /// Fine rows from one coarse row to the next.
        stride_height: u32,
        /// Fine columns from one coarse column to the next.
        stride_width: u32,
        /// Fine rows from one tap to the next.
        dilation_height: u32,
        /// Fine columns from one tap to the next.
        dilation_width: u32,
        /// Rows of zeros above the image.
        top: u32,
        /// Columns of zeros before the image.
        left: u32,
        /// Partial sums of the weight gradient.
        splits: u32,
        /// Coarse rows (over all images) per partial sum.
        rows_per_split: u32,
        /// Slope of leaky ReLU below zero in the epilogue.
        slope: f32,
    }

    /// Products of matrices. `rows`, `inner` and `columns` are multiples of 8.
    MatrixParams {
        /// Products.
        matrices: u32,
        /// Rows of the left matrix and of the product.
        rows: u32,
        /// Columns of the left matrix, rows of the right one.
        inner: u32,
        /// Columns of the right matrix and of the product.
        columns: u32,
        /// Left matrices: as many as products, or 25 (5 x 5) for 81 products (9 x 9). Each of the 25 serves all phases that have
        /// its point (`shaders/shared/winograd_s2_points.wgsl`).
        lefts: u32,
        /// Which matrices lie row after row and not in blocks: the sum of 1 for the left one, 2 for the right one, and 4 for the
        /// product. There is then one matrix of each kind.
        row_major: u32,
        /// Rows of a row-major left matrix and of a row-major product. `rows` is this number rounded up.
        height: u32,
        /// Rows of a row-major right matrix. `inner` is this number rounded up.
        depth: u32,
    }

    /// Geometry of Winograd's algorithms. Channels are multiples of 8.
    WinogradParams {
        /// Images.
        batch: u32,
        /// Rows of the coarse side.
        height: u32,
        /// Columns of the coarse side.
        width: u32,
        /// Channels of the side that is read: fine channels, or coarse channels for the adjoint.
        inputs: u32,
        /// Channels of the other side.
        outputs: u32,
        /// Tiles of 4 x 4 pixels over all images, rounded up to a multiple of 8 by empty tiles.
        tiles: u32,
        /// The code of the [`crate::graph::Epilogue`] of the result. Border biases occur only for the adjoint at stride 2. It is a
        /// parameter, because every value of a constant is compiled separately.
        epilogue: u32,
        /// 1 for the adjoint: its weight is rotated by 180 degrees, and at stride 2 it reads the coarse side and writes the fine one. 1
        /// also for a gradient by the weight whose image is the coarse side. 0 else.
        adjoint: u32,
        /// Slope of leaky ReLU below zero in the epilogue.
        slope: f32,
    }

    /// An element-wise function of one tensor.
    UnaryParams {
        /// Values of the result.
        count: u32,
        /// Values of the operand (for tiling).
        length: u32,
        /// Values of the result per value of the operand (for stretching).
        stretch: u32,
        /// The function's first constant.
        a: f32,
        /// The function's second constant.
        b: f32,
    }

    /// An element-wise function of two tensors.
    BinaryParams {
        /// Values of the result.
        count: u32,
        /// Values of the left operand.
        left_length: u32,
        /// Values of the result per value of the left operand.
        left_stretch: u32,
        /// Values of the right operand.
        right_length: u32,
        /// Values of the result per value of the right operand.
        right_stretch: u32,
        /// The function's first constant.
        a: f32,
        /// The function's second constant.
        b: f32,
    }

    /// Several element-wise functions at once.
    ElementwiseParams {
        /// Rows; 1 where rows do not matter.
        rows: u32,
        /// Values per row.
        columns: u32,
        /// Blocks of a row, one per workgroup.
        blocks: u32,
        /// Values per block.
        block: u32,
        /// Values per value of the stretched operands.
        stretch: u32,
        /// Values of the tiled operands.
        tile: u32,
    }

    /// Several element-wise functions at once, and sums over rows of their results in parts.
    ElementwiseColumnsParams {
        /// Rows.
        rows: u32,
        /// Values per row.
        columns: u32,
        /// Partial sums.
        splits: u32,
        /// Rows per partial sum.
        rows_per_split: u32,
        /// Columns that a workgroup takes, a power of two.
        width: u32,
        /// Rows per value of the stretched operands.
        stretch: u32,
    }

    /// A sum over rows in parts.
    SumRowsParams {
        /// Rows to add.
        rows: u32,
        /// Values per row.
        columns: u32,
        /// Partial sums.
        splits: u32,
        /// Rows per partial sum.
        rows_per_split: u32,
    }

    /// A matrix of one row per image.
    RowsParams {
        /// Rows.
        rows: u32,
        /// Values per row.
        columns: u32,
    }

    /// Rows by index, and what is added to them.
    GatherRowsParams {
        /// Rows of the result.
        rows: u32,
        /// Values per row.
        columns: u32,
        /// Slope of leaky ReLU below zero in the epilogue.
        slope: f32,
    }

    /// Pooling over windows, or its adjoint.
    PoolParams {
        /// Images.
        batch: u32,
        /// Rows of the large side.
        height: u32,
        /// Columns of the large side.
        width: u32,
        /// Channels.
        channels: u32,
        /// Rows of the window.
        window_height: u32,
        /// Columns of the window.
        window_width: u32,
        /// The factor of a window's sum.
        scale: f32,
        /// Slope of the activation's backward mask.
        slope: f32,
    }

    /// Pooling over windows of any stride and padding, or an adjoint.
    WindowParams {
        /// Images.
        batch: u32,
        /// Rows of the large side.
        height: u32,
        /// Columns of the large side.
        width: u32,
        /// Channels.
        channels: u32,
        /// Rows of windows.
        rows: u32,
        /// Columns of windows.
        columns: u32,
        /// Rows of a window.
        window_height: u32,
        /// Columns of a window.
        window_width: u32,
        /// Rows from one window to the next.
        stride_height: u32,
        /// Columns from one window to the next.
        stride_width: u32,
        /// Rows of padding above the image.
        top: u32,
        /// Columns of padding before the image.
        left: u32,
        /// Rows of padding below the image.
        bottom: u32,
        /// Columns of padding behind the image.
        right: u32,
        /// Images of the keys, which are repeated over the batch.
        keys: u32,
        /// The [`crate::graph::Divisor`].
        divisor: u32,
        /// The factor of a window's sum.
        scale: f32,
    }

    /// Resizing, or its adjoint: position o of the result is at (o·multiply + add) / divide of the operand.
    ResizeParams {
        /// Images.
        batch: u32,
        /// Channels.
        channels: u32,
        /// Rows of the operand.
        height: u32,
        /// Columns of the operand.
        width: u32,
        /// Rows of the result.
        to_height: u32,
        /// Columns of the result.
        to_width: u32,
        /// See above, for rows.
        row_multiply: u32,
        /// See above, for rows.
        row_add: i32,
        /// See above, for rows.
        row_divide: u32,
        /// See above, for columns.
        column_multiply: u32,
        /// See above, for columns.
        column_add: i32,
        /// See above, for columns.
        column_divide: u32,
        /// 1 interpolates between neighbours. 0 takes the pixel at or before the position.
        linear: u32,
    }

    /// One extent of a border sum or of its adjoint: `[outer, length, inner]` and `[outer, 3·stride, inner]`.
    BorderParams {
        /// The product of the extents before this one.
        outer: u32,
        /// Rows or columns of the images.
        length: u32,
        /// The product of the extents behind this one.
        inner: u32,
        /// The stride of the transposed convolution.
        stride: u32,
    }

    /// A copy of a block of columns.
    CopyColumnsParams {
        /// Rows of the destination.
        rows: u32,
        /// Columns copied.
        columns: u32,
        /// Values per row of the source.
        from_columns: u32,
        /// First source column.
        from_start: u32,
        /// Values per row of the destination.
        to_columns: u32,
        /// First destination column.
        to_start: u32,
        /// Destination rows per source row.
        spread: u32,
    }

    /// Numbers from a counter.
    RandomParams {
        /// Number of values.
        count: u32,
    }

    /// Adam with a moving average.
    AdamParams {
        /// Parameters.
        count: u32,
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the second moment.
        beta2: f32,
        /// Added to the root of the second moment.
        epsilon: f32,
    }
}

impl GeneralParams {
    /// The geometry. It does not have the padding behind the image, which no kernel needs.
    fn geometry(&self) -> Convolution {
        let pair = |rows: u32, columns: u32| [rows as usize, columns as usize];
        let [top, left] = pair(self.top, self.left);
        Convolution {
            size: pair(self.kernel_height, self.kernel_width),
            stride: pair(self.stride_height, self.stride_width),
            padding: [[top, 0], [left, 0]],
            dilation: pair(self.dilation_height, self.dilation_width),
            groups: self.groups as usize,
        }
    }

    /// The shape for people, and the reason why the kernels for the usual geometry do not serve it.
    pub fn explain(&self) -> String {
        let image = |[h, w, c]: [u32; 3]| Shape::new(&[self.batch, h, w, c].map(|e| e as usize));
        let fine = image([self.fine_height, self.fine_width, self.fine_channels]);
        let coarse = image([self.height, self.width, self.coarse_channels]);
        let [rows, columns] = [self.kernel_height, self.kernel_width];
        let reason = self.geometry().usual(&fine, &coarse).err().unwrap_or("none");
        format!("between {fine} and {coarse}, kernel {rows}x{columns}: {reason}")
    }
}

impl PoolParams {
    /// Blocks of `channels` channels on the small side.
    pub fn small_blocks(&self, channels: u32) -> u32 {
        self.batch
            * (self.height / self.window_height)
            * (self.width / self.window_width)
            * (self.channels / channels)
    }
}
