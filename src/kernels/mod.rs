//! The kernel registry. Every kernel has three homes of the same name: `shaders/<name>.wgsl`, its twin
//! `src/cpu/<name>.rs`, and one line below. A kernel may have further forms with the same bindings and parameters. Their names are
//! `<need>.<niche>`: what they ask of an adapter, and for which calls they are made. The form `gpu.vec4` of `conv2d` is
//! `shaders/gpu/conv2d.vec4.wgsl`. The twin judges all forms.

pub mod allowance;
pub mod call;
pub mod difference;
pub mod expression;
pub mod fits;
pub mod generate;
pub mod grids;
pub mod params;
mod source;

use crate::cpu;
pub use call::{Arguments, Call, Constants, TensorId, constant};
use params::{
    AdamParams, BinaryParams, BorderParams, ConvolutionParams, CopyColumnsParams, ElementwiseColumnsParams,
    ElementwiseParams, GatherRowsParams, GeneralParams, Layout, MatrixParams, Params, PoolParams,
    RandomParams, ResizeParams, RowsParams, SumRowsParams, UnaryParams, WindowParams, WinogradParams,
};

/// A kernel's function on the CPU.
pub type Twin = fn(&mut Arguments<'_>);

/// Workgroups of a call, from its parameters and constants.
pub type Grid = fn(params: &[u8], constants: &[(&'static str, u32)]) -> [u32; 3];

/// Whether a form can compute a call, from its parameters and constants.
pub type Fits = fn(params: &[u8], constants: &[(&'static str, u32)]) -> bool;

/// What a form asks of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Exactly this subgroup size, if the form relies on subgroups.
    pub subgroup: Option<u32>,
    /// Whether it sees tensors as 64-bit integers. Such a form reads and writes f32 alone.
    pub int64: bool,
    /// Whether it is made for GPUs: it is right everywhere, but no software adapter needs to try it.
    pub hardware: bool,
    /// Whether no other form comes near it at calls that it fits: a quick start tries none, unless it is wrong.
    pub alone: bool,
}

impl Needs {
    /// Those of a portable form.
    pub const NONE: Self = Self { subgroup: None, int64: false, hardware: false, alone: false };
    /// Those of a form for GPUs.
    pub const GPU: Self = Self { hardware: true, ..Self::NONE };
    /// Those of a form for subgroups of exactly eight invocations, which lavapipe has.
    pub const SUBGROUPS: Self = Self { subgroup: Some(8), ..Self::NONE };
    /// Those of such a form with 64-bit integers.
    pub const LAVAPIPE: Self = Self { int64: true, ..Self::SUBGROUPS };
    /// Those of such a form for images of three channels, or for few rows.
    pub const LAVAPIPE_ALONE: Self = Self { alone: true, ..Self::LAVAPIPE };
}

/// One WGSL form of a kernel.
#[derive(Debug)]
pub struct Form {
    /// `portable`, or `<need>.<niche>`.
    pub name: &'static str,
    /// The WGSL text.
    pub source: &'static str,
    /// Workgroups to dispatch.
    pub grid: Grid,
    /// What it asks of an adapter.
    pub needs: Needs,
    /// Whether it can compute a call with these parameters and constants; the portable form can compute all.
    pub fits: Fits,
    /// Override constants that this form has besides the call's own.
    pub tile: fn(params: &[u8]) -> Constants,
}

impl Form {
    /// Whether it can exist in a browser: WebGPU has no 64-bit integers and no subgroups of a size that is known.
    pub fn in_browsers(&self) -> bool {
        self.needs.subgroup.is_none() && !self.needs.int64
    }

    /// The override constants of a call in this form.
    pub fn constants(&self, call: &Call) -> Constants {
        call.constants.iter().copied().chain((self.tile)(&call.params)).collect()
    }
}

/// What a form may differ from its twin, by the rule of [`difference::Allowed`]. The absolute part is in units of the tensor's
/// largest finite value, because gradients of 1e-6 deserve the same scrutiny as images.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// In units of the largest value of the tensor.
    pub absolute: f32,
    /// In units of the value itself.
    pub relative: f32,
}

/// What storing a number as f16 may change, in units of the number: the last of its 11 bits, as WGSL leaves the
/// direction of rounding to the device.
const HALF_ROUNDING: f32 = 1.0 / 1024.0;

impl Tolerance {
    /// The tolerance of a result that is stored as f16, if `half`.
    #[must_use]
    pub fn stored(self, half: bool) -> Self {
        let more = if half { HALF_ROUNDING } else { 0.0 };
        Self { relative: self.relative + more, ..self }
    }
}

/// One kernel.
#[derive(Debug)]
pub struct Kernel {
    /// The same in WGSL, twin and here.
    pub name: &'static str,
    /// Layout of the parameter struct.
    pub layout: Layout,
    /// Number of tensors read, then written, in binding order; a fused call has its own.
    pub reads: usize,
    /// Number of tensors written.
    pub writes: usize,
    /// The portable form first.
    pub forms: &'static [Form],
    /// The judge.
    pub twin: Twin,
    /// A faster CPU form, itself judged by the twin.
    pub fast: Option<Twin>,
    /// See [`Tolerance`].
    pub tolerance: Tolerance,
}

macro_rules! fast {
    () => {
        None
    };
    ($path:path) => {
        Some($path)
    };
}

macro_rules! path_or {
    ($default:path) => {
        $default
    };
    ($default:path, $path:path) => {
        $path
    };
}

/// The name of the file of a form that may share it with another.
macro_rules! name_or {
    ($form:ident) => {
        stringify!($form)
    };
    ($form:ident, $source:ident) => {
        stringify!($source)
    };
}

/// What a form asks of an adapter goes by its name, `<need>.<niche>`.
macro_rules! needs {
    (lavapipe direct) => {
        Needs::SUBGROUPS
    };
    (lavapipe eights) => {
        Needs::LAVAPIPE
    };
    (lavapipe $niche:ident) => {
        Needs::LAVAPIPE_ALONE
    };
    (gpu $niche:ident) => {
        Needs::GPU
    };
    (any $niche:ident) => {
        Needs::NONE
    };
}

macro_rules! kernels {
    ($($name:ident ($params:ty) $reads:literal -> $writes:literal, tolerance ($absolute:literal, $relative:literal),
        grid $grid:path $(, fast $fast:path)?
        $(, form $need:ident . $form:ident $form_grid:path $(, source $source:ident)? $(, fits $fits:path)? $(, tile $tile:path)?)*;)*) => {
        $(
            /// See `shaders/` for the contract.
            pub static $name: Kernel = Kernel {
                name: stringify!($name),
                layout: <$params>::LAYOUT,
                reads: $reads,
                writes: $writes,
                forms: &[
                    Form {
                        name: "portable",
                        source: shader!(stringify!($name)),
                        grid: $grid,
                        needs: Needs::NONE,
                        fits: fits::all,
                        tile: no_tile,
                    },
                    $(Form {
                        name: concat!(stringify!($need), ".", stringify!($form)),
                        source: shader!(
                            concat!(stringify!($need), "/", stringify!($name), ".", name_or!($form $(, $source)?))
                        ),
                        grid: $form_grid,
                        needs: needs!($need $form),
                        fits: path_or!(fits::all $(, $fits)?),
                        tile: path_or!(no_tile $(, $tile)?),
                    },)*
                ],
                twin: cpu::$name::$name,
                fast: fast!($($fast)?),
                tolerance: Tolerance { absolute: $absolute, relative: $relative },
            };
        )*
        /// Every kernel.
        pub static ALL: &[&Kernel] = &[$(&$name),*];
    };
}

fn no_tile(_params: &[u8]) -> Constants {
    Vec::new()
}

#[expect(non_upper_case_globals, reason = "a kernel has one name in WGSL, twin and registry")]
mod registry {
    use super::source::shader;
    use super::{
        AdamParams, BinaryParams, BorderParams, ConvolutionParams, CopyColumnsParams,
        ElementwiseColumnsParams, ElementwiseParams, Form, GatherRowsParams, GeneralParams, Kernel,
        MatrixParams, Needs, Params, PoolParams, RandomParams, ResizeParams, RowsParams, SumRowsParams,
        Tolerance, UnaryParams, WindowParams, WinogradParams, cpu, fits, grids, no_tile, source,
    };
    kernels! {
        conv2d(ConvolutionParams) 3 -> 1, tolerance (1e-5, 1e-5), grid grids::conv2d,
            fast cpu::fast::conv2d::conv2d,
            form gpu.vec4 grids::conv2d_vec4, fits fits::vec4, tile grids::vec4_tile,
            form gpu.small_tiles grids::conv2d_vec4, source vec4, fits fits::conv2d_small_tiles, tile grids::small_tiles_tile,
            form gpu.few_outputs grids::conv2d_few_outputs, fits fits::conv2d_few_outputs, tile grids::conv2d_few_outputs_tile,
            form lavapipe.direct grids::conv2d_direct, tile grids::conv2d_tile,
            form lavapipe.rgb grids::conv2d_rgb, fits fits::conv2d_rgb;
        conv2d_input_gradient(ConvolutionParams) 3 -> 1, tolerance (1e-5, 1e-5), grid grids::conv2d_input_gradient,
            fast cpu::fast::conv2d_input_gradient::conv2d_input_gradient,
            form gpu.vec4 grids::conv2d_input_gradient_vec4, fits fits::vec4, tile grids::vec4_tile,
            form gpu.small_tiles grids::conv2d_input_gradient_vec4, source vec4, fits fits::conv2d_input_gradient_small_tiles, tile grids::small_tiles_tile,
            form gpu.long_dot grids::conv2d_input_gradient, fits fits::conv2d_input_gradient_long_dot,
            form gpu.few_outputs grids::conv2d_input_gradient_few_outputs, fits fits::conv2d_input_gradient_few_outputs,
            tile grids::conv2d_input_gradient_few_outputs_tile,
            form lavapipe.direct grids::conv2d_input_gradient_direct, tile grids::conv2d_input_gradient_tile,
            form lavapipe.rgb grids::conv2d_input_gradient_rgb, fits fits::conv2d_input_gradient_rgb;
        conv2d_weight_gradient(ConvolutionParams) 2 -> 1, tolerance (3e-5, 1e-5), grid grids::conv2d_weight_gradient,
            fast cpu::fast::conv2d_weight_gradient::conv2d_weight_gradient,
            form gpu.vec4 grids::conv2d_weight_gradient_vec4, fits fits::vec4, tile grids::vec4_tile,
            form gpu.small_tiles grids::conv2d_weight_gradient_vec4, source vec4, fits fits::conv2d_weight_gradient_small_tiles, tile grids::small_tiles_tile,
            form lavapipe.direct grids::conv2d_weight_gradient_direct, fits fits::conv2d_weight_gradient_direct,
            tile grids::conv2d_weight_gradient_tile;
        convolution(GeneralParams) 3 -> 1, tolerance (1e-5, 1e-5), grid grids::general, fast cpu::fast::convolution::convolution;
        convolution_input_gradient(GeneralParams) 3 -> 1, tolerance (1e-5, 1e-5), grid grids::general_input_gradient, fast cpu::fast::convolution_input_gradient::convolution_input_gradient;
        convolution_weight_gradient(GeneralParams) 2 -> 1, tolerance (3e-5, 1e-5), grid grids::general_weight_gradient, fast cpu::fast::convolution_weight_gradient::convolution_weight_gradient;
        matrix_product(MatrixParams) 2 -> 1, tolerance (1e-5, 1e-5), grid grids::matrix_product,
            form lavapipe.eights grids::matrix_product_eights,
            form lavapipe.few_rows grids::matrix_product_few_rows, fits fits::matrix_product_few_rows;
        im2col(ConvolutionParams) 1 -> 1, tolerance (0.0, 0.0), grid grids::im2col,
            form lavapipe.eights grids::im2col_eights, fits fits::im2col_eights, tile grids::im2col_eights_tile,
            form lavapipe.rgb grids::im2col_rgb, fits fits::im2col_rgb;
        col2im(ConvolutionParams) 2 -> 1, tolerance (1e-6, 1e-5), grid grids::col2im,
            form lavapipe.eights grids::im2col_eights, fits fits::im2col_eights, tile grids::im2col_eights_tile;
        winograd_s1_weight(WinogradParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_pairs,
            form lavapipe.eights grids::winograd_pairs_eights;
        winograd_s1_image(WinogradParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_s1_image,
            form lavapipe.eights grids::winograd_s1_image_eights;
        winograd_s1_result(WinogradParams) 2 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_s1_result,
            form lavapipe.eights grids::winograd_s1_result_eights;
        winograd_s1_coarse(WinogradParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_coarse,
            form lavapipe.eights grids::winograd_coarse_eights;
        winograd_s1_gradient(WinogradParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_pairs,
            form lavapipe.eights grids::winograd_pairs_eights;
        winograd_s2_weight(WinogradParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_pairs,
            form lavapipe.eights grids::winograd_pairs_eights;
        winograd_s2_image(WinogradParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_s2_image,
            form lavapipe.eights grids::winograd_s2_image_eights;
        winograd_s2_result(WinogradParams) 2 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_s2_result,
            form lavapipe.eights grids::winograd_s2_result_eights;
        winograd_s2_coarse(WinogradParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_coarse,
            form lavapipe.eights grids::winograd_coarse_eights;
        winograd_s2_gradient(WinogradParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_pairs,
            form lavapipe.eights grids::winograd_pairs_eights;
        unary(UnaryParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::blocks, fast cpu::fast::unary::unary;
        binary(BinaryParams) 2 -> 1, tolerance (1e-6, 1e-5), grid grids::blocks, fast cpu::fast::binary::binary;
        elementwise(ElementwiseParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::elementwise;
        elementwise_columns(ElementwiseColumnsParams) 1 -> 1, tolerance (1e-5, 1e-5), grid grids::elementwise_columns, fast cpu::fast::elementwise_columns::elementwise_columns;
        sum_rows(SumRowsParams) 1 -> 1, tolerance (1e-5, 1e-5), grid grids::sum_rows,
            fast cpu::fast::sum_rows::sum_rows,
            form gpu.many_rows grids::sum_rows_many_rows, fits fits::sum_rows_many_rows,
            form lavapipe.eights grids::sum_rows_eights, fits fits::sum_rows_eights;
        sum_columns(RowsParams) 1 -> 1, tolerance (1e-5, 1e-5), grid grids::one_group_per_row;
        pool(PoolParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::pool,
            fast cpu::fast::pool::pool,
            form gpu.vec4 grids::pool_vec4, fits fits::pool_vec4,
            form lavapipe.eights grids::pool_eights, fits fits::pool_eights;
        unpool(PoolParams) 2 -> 1, tolerance (1e-7, 1e-6), grid grids::unpool,
            fast cpu::fast::unpool::unpool,
            form gpu.vec4 grids::pool_vec4, fits fits::pool_vec4,
            form lavapipe.eights grids::pool_eights, fits fits::pool_eights;
        window_pool(WindowParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::window_pool,
            fast cpu::fast::window_pool::window_pool;
        window_unpool(WindowParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::window_unpool;
        max_pool(WindowParams) 2 -> 1, tolerance (0.0, 0.0), grid grids::window_pool,
            fast cpu::fast::max_pool::max_pool;
        max_unpool(WindowParams) 2 -> 1, tolerance (1e-6, 1e-5), grid grids::window_unpool, fast cpu::fast::max_unpool::max_unpool;
        border_sum(BorderParams) 1 -> 1, tolerance (1e-5, 1e-5), grid grids::border_sum,
            form gpu.per_value grids::border_sum_per_value,
            form lavapipe.eights grids::border_sum_eights, fits fits::border_sum_eights;
        border_spread(BorderParams) 1 -> 1, tolerance (0.0, 0.0), grid grids::border_spread;
        copy_columns(CopyColumnsParams) 1 -> 1, tolerance (0.0, 0.0), grid grids::copy_columns,
            form any.few_columns grids::copy_columns_few_columns, fits fits::copy_columns_few_columns,
            form gpu.per_value grids::copy_columns_per_value,
            form lavapipe.eights grids::copy_columns_eights, fits fits::copy_columns_eights;
        resize(ResizeParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::resize;
        resize_gradient(ResizeParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::resize_gradient;
        softmax(RowsParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::one_invocation_per_row;
        cross_entropy(RowsParams) 2 -> 1, tolerance (1e-6, 1e-5), grid grids::one_invocation_per_row;
        cross_entropy_gradient(RowsParams) 3 -> 1, tolerance (1e-6, 1e-5), grid grids::one_invocation_per_row;
        one_hot(RowsParams) 1 -> 1, tolerance (0.0, 0.0), grid grids::row_elements;
        arg_max(RowsParams) 1 -> 1, tolerance (0.0, 0.0), grid grids::one_invocation_per_row;
        random_normal(RandomParams) 1 -> 1, tolerance (2e-6, 1e-5), grid grids::elements;
        gather_rows(GatherRowsParams) 3 -> 1, tolerance (1e-7, 1e-6), grid grids::gather_rows,
            form lavapipe.eights grids::gather_rows_eights, fits fits::gather_rows_eights;
        swap_channels(RowsParams) 1 -> 1, tolerance (0.0, 0.0), grid grids::swap_channels;
        adam(AdamParams) 2 -> 4, tolerance (1e-6, 1e-5), grid grids::blocks, fast cpu::fast::adam::adam,
            form lavapipe.eights grids::adam_eights, fits fits::adam_eights;
    }
}

pub use registry::*;

/// The kernel of this name.
pub fn by_name(name: &str) -> Option<&'static Kernel> {
    ALL.iter().copied().find(|k| k.name == name)
}
