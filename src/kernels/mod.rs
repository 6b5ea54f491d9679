//! The kernel registry. Every kernel has three homes of the same name: `shaders/<name>.wgsl`, its twin
//! `src/cpu/<name>.rs`, and one line below. Further forms of a kernel (for software adapters with
//! subgroups, say) are permutations: same bindings, same parameters, another WGSL file under
//! `shaders/permutations/`; the twin judges them all.

pub mod allowance;
pub mod expression;
pub mod fits;
pub mod generate;
pub mod grids;
pub mod params;
mod source;

use crate::cpu;
use crate::program::Call;
use expression::Expression;
use params::{
    AdamParams, BinaryParams, BorderParams, ConvolutionParams, CopyColumnsParams, ElementwiseColumnsParams,
    ElementwiseParams, GatherRowsParams, GeneralParams, Layout, MatrixParams, Params, PoolParams,
    RandomParams, ResizeParams, RowsParams, SumRowsParams, UnaryParams, WindowParams, WinogradParams,
};

/// Values of WGSL `override` constants, by name.
pub type Constants = Vec<(&'static str, u32)>;

/// What one call hands to a twin: plain slices in the order of the shader's bindings.
pub struct Arguments<'a> {
    /// The parameter struct's bytes.
    pub params: &'a [u8],
    /// Override constants.
    pub constants: &'a [(&'static str, u32)],
    /// What a fused call computes; other kernels have none.
    pub expression: Option<&'a Expression>,
    /// Tensors that are read.
    pub reads: &'a [&'a [f32]],
    /// Tensors that are written (and read, where the kernel works in place).
    pub writes: &'a mut [&'a mut [f32]],
}

impl Arguments<'_> {
    /// The parameters as their struct.
    pub fn params<P: Params>(&self) -> P {
        bytemuck::pod_read_unaligned(self.params)
    }

    /// The value of an override constant; 0 if the call does not set it.
    pub fn constant(&self, name: &str) -> u32 {
        constant(self.constants, name)
    }
}

/// The value of `name` among `constants`, 0 if absent.
pub fn constant(constants: &[(&'static str, u32)], name: &str) -> u32 {
    constants.iter().find(|(n, _)| *n == name).map_or(0, |&(_, v)| v)
}

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
    /// Those of a form for subgroups of eight.
    pub const SUBGROUP8: Self = Self { subgroup: Some(8), ..Self::NONE };
    /// Those of such a form with 64-bit integers.
    pub const WIDE8: Self = Self { int64: true, ..Self::SUBGROUP8 };
    /// Those of such a form for images of three channels, or for few rows.
    pub const ALONE8: Self = Self { alone: true, ..Self::WIDE8 };
}

/// One WGSL form of a kernel.
#[derive(Debug)]
pub struct Form {
    /// `portable`, or the permutation's name.
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
    /// The override constants of a call in this form.
    pub fn constants(&self, call: &Call) -> Constants {
        call.constants.iter().copied().chain((self.tile)(&call.params)).collect()
    }
}

/// `|Δ| ≤ absolute · max|ref| + relative · |ref|`: what a form may differ from its twin. The absolute part is
/// in units of the tensor's largest value, because gradients of 1e-6 deserve the same scrutiny as images.
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

/// What a form asks of an adapter goes by its name.
macro_rules! needs {
    (subgroup8) => {
        Needs::SUBGROUP8
    };
    (three8) => {
        Needs::ALONE8
    };
    (low8) => {
        Needs::ALONE8
    };
    (row) => {
        Needs::NONE
    };
    (wide8) => {
        Needs::WIDE8
    };
    (vec4) => {
        Needs::GPU
    };
    (narrow) => {
        Needs::GPU
    };
    (deep) => {
        Needs::GPU
    };
    (flat) => {
        Needs::GPU
    };
    (tree) => {
        Needs::GPU
    };
    (slim) => {
        Needs::GPU
    };
}

macro_rules! kernels {
    ($($name:ident ($params:ty) $reads:literal -> $writes:literal, tolerance ($absolute:literal, $relative:literal),
        grid $grid:path $(, fast $fast:path)?
        $(, form $form:ident $form_grid:path $(, source $source:ident)? $(, fits $fits:path)? $(, tile $tile:path)?)*;)*) => {
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
                        name: stringify!($form),
                        source: shader!(
                            concat!("permutations/", stringify!($name), ".", name_or!($form $(, $source)?))
                        ),
                        grid: $form_grid,
                        needs: needs!($form),
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
            form vec4 grids::conv2d_vec4, fits fits::vec4, tile grids::vec4_tile,
            form slim grids::conv2d_vec4, source vec4, fits fits::conv2d_slim, tile grids::slim_tile,
            form narrow grids::conv2d_narrow, fits fits::conv2d_narrow, tile grids::conv2d_narrow_tile,
            form subgroup8 grids::conv2d_subgroup8, tile grids::conv2d_tile,
            form three8 grids::conv2d_three8, fits fits::conv2d_three8;
        conv2d_input_gradient(ConvolutionParams) 3 -> 1, tolerance (1e-5, 1e-5), grid grids::conv2d_input_gradient,
            fast cpu::fast::conv2d_input_gradient::conv2d_input_gradient,
            form vec4 grids::conv2d_input_gradient_vec4, fits fits::vec4, tile grids::vec4_tile,
            form slim grids::conv2d_input_gradient_vec4, source vec4, fits fits::conv2d_input_gradient_slim, tile grids::slim_tile,
            form deep grids::conv2d_input_gradient, fits fits::conv2d_input_gradient_deep,
            form narrow grids::conv2d_input_gradient_narrow, fits fits::conv2d_input_gradient_narrow,
            tile grids::conv2d_input_gradient_narrow_tile,
            form subgroup8 grids::conv2d_input_gradient_subgroup8, tile grids::conv2d_input_gradient_tile,
            form three8 grids::conv2d_input_gradient_three8, fits fits::conv2d_input_gradient_three8;
        conv2d_weight_gradient(ConvolutionParams) 2 -> 1, tolerance (3e-5, 1e-5), grid grids::conv2d_weight_gradient,
            fast cpu::fast::conv2d_weight_gradient::conv2d_weight_gradient,
            form vec4 grids::conv2d_weight_gradient_vec4, fits fits::vec4, tile grids::vec4_tile,
            form slim grids::conv2d_weight_gradient_vec4, source vec4, fits fits::conv2d_weight_gradient_slim, tile grids::slim_tile,
            form subgroup8 grids::conv2d_weight_gradient_subgroup8, fits fits::conv2d_weight_gradient_subgroup8,
            tile grids::conv2d_weight_gradient_tile;
        convolution(GeneralParams) 3 -> 1, tolerance (1e-5, 1e-5), grid grids::general, fast cpu::fast::convolution::convolution;
        convolution_input_gradient(GeneralParams) 3 -> 1, tolerance (1e-5, 1e-5), grid grids::general_input_gradient, fast cpu::fast::convolution_input_gradient::convolution_input_gradient;
        convolution_weight_gradient(GeneralParams) 2 -> 1, tolerance (3e-5, 1e-5), grid grids::general_weight_gradient, fast cpu::fast::convolution_weight_gradient::convolution_weight_gradient;
        matrix_product(MatrixParams) 2 -> 1, tolerance (1e-5, 1e-5), grid grids::matrix_product,
            form wide8 grids::matrix_product_wide8,
            form low8 grids::matrix_product_low8, fits fits::matrix_product_low8;
        im2col(ConvolutionParams) 1 -> 1, tolerance (0.0, 0.0), grid grids::im2col,
            form wide8 grids::taps_wide8, fits fits::taps_wide8, tile grids::taps_wide8_tile,
            form three8 grids::taps_three8, fits fits::taps_three8;
        col2im(ConvolutionParams) 2 -> 1, tolerance (1e-6, 1e-5), grid grids::col2im,
            form wide8 grids::taps_wide8, fits fits::taps_wide8, tile grids::taps_wide8_tile;
        winograd_s1_weight(WinogradParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_pairs,
            form wide8 grids::winograd_pairs_wide8;
        winograd_s1_image(WinogradParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_s1_image,
            form wide8 grids::winograd_s1_image_wide8;
        winograd_s1_result(WinogradParams) 2 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_s1_result,
            form wide8 grids::winograd_s1_result_wide8;
        winograd_s1_coarse(WinogradParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_coarse,
            form wide8 grids::winograd_coarse_wide8;
        winograd_s1_gradient(WinogradParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_pairs,
            form wide8 grids::winograd_pairs_wide8;
        winograd_s2_weight(WinogradParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_pairs,
            form wide8 grids::winograd_pairs_wide8;
        winograd_s2_image(WinogradParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_s2_image,
            form wide8 grids::winograd_s2_image_wide8;
        winograd_s2_result(WinogradParams) 2 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_s2_result,
            form wide8 grids::winograd_s2_result_wide8;
        winograd_s2_coarse(WinogradParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_coarse,
            form wide8 grids::winograd_coarse_wide8;
        winograd_s2_gradient(WinogradParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::winograd_pairs,
            form wide8 grids::winograd_pairs_wide8;
        unary(UnaryParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::blocks;
        binary(BinaryParams) 2 -> 1, tolerance (1e-6, 1e-5), grid grids::blocks;
        elementwise(ElementwiseParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::elementwise;
        elementwise_columns(ElementwiseColumnsParams) 1 -> 1, tolerance (1e-5, 1e-5), grid grids::elementwise_columns, fast cpu::fast::elementwise_columns::elementwise_columns;
        sum_rows(SumRowsParams) 1 -> 1, tolerance (1e-5, 1e-5), grid grids::sum_rows,
            fast cpu::fast::sum_rows::sum_rows,
            form tree grids::sum_rows_tree, fits fits::sum_rows_tree,
            form wide8 grids::sum_rows_wide8, fits fits::sum_rows_wide8;
        sum_columns(RowsParams) 1 -> 1, tolerance (1e-5, 1e-5), grid grids::one_group_per_row;
        pool(PoolParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::pool,
            fast cpu::fast::pool::pool,
            form vec4 grids::pool_vec4, fits fits::pool_vec4,
            form wide8 grids::pool_wide8, fits fits::pool_wide8;
        unpool(PoolParams) 2 -> 1, tolerance (1e-7, 1e-6), grid grids::unpool,
            fast cpu::fast::unpool::unpool,
            form vec4 grids::pool_vec4, fits fits::pool_vec4,
            form wide8 grids::pool_wide8, fits fits::pool_wide8;
        window_pool(WindowParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::window_pool,
            fast cpu::fast::window_pool::window_pool;
        window_unpool(WindowParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::window_unpool;
        max_pool(WindowParams) 2 -> 1, tolerance (0.0, 0.0), grid grids::window_pool,
            fast cpu::fast::max_pool::max_pool;
        max_unpool(WindowParams) 2 -> 1, tolerance (1e-6, 1e-5), grid grids::window_unpool, fast cpu::fast::max_unpool::max_unpool;
        border_sum(BorderParams) 1 -> 1, tolerance (1e-5, 1e-5), grid grids::border_sum,
            form flat grids::border_sum_flat,
            form wide8 grids::border_sum_wide8, fits fits::border_sum_wide8;
        border_spread(BorderParams) 1 -> 1, tolerance (0.0, 0.0), grid grids::border_spread;
        copy_columns(CopyColumnsParams) 1 -> 1, tolerance (0.0, 0.0), grid grids::copy_columns,
            form row grids::copy_columns_row, fits fits::copy_columns_row,
            form flat grids::copy_columns_flat,
            form wide8 grids::copy_columns_wide8, fits fits::copy_columns_wide8;
        resize(ResizeParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::resize;
        resize_gradient(ResizeParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::resize_gradient;
        softmax(RowsParams) 1 -> 1, tolerance (1e-6, 1e-5), grid grids::one_invocation_per_row;
        cross_entropy(RowsParams) 2 -> 1, tolerance (1e-6, 1e-5), grid grids::one_invocation_per_row;
        cross_entropy_gradient(RowsParams) 3 -> 1, tolerance (1e-6, 1e-5), grid grids::one_invocation_per_row;
        one_hot(RowsParams) 1 -> 1, tolerance (0.0, 0.0), grid grids::row_elements;
        arg_max(RowsParams) 1 -> 1, tolerance (0.0, 0.0), grid grids::one_invocation_per_row;
        random_normal(RandomParams) 1 -> 1, tolerance (2e-6, 1e-5), grid grids::elements;
        gather_rows(GatherRowsParams) 3 -> 1, tolerance (1e-7, 1e-6), grid grids::gather_rows,
            form wide8 grids::gather_rows_wide8, fits fits::gather_rows_wide8;
        swap_channels(RowsParams) 1 -> 1, tolerance (0.0, 0.0), grid grids::swap_channels;
        adam(AdamParams) 2 -> 4, tolerance (1e-6, 1e-5), grid grids::blocks,
            form wide8 grids::adam_wide8, fits fits::adam_wide8;
    }
}

pub use registry::*;

/// The kernel of this name.
pub fn by_name(name: &str) -> Option<&'static Kernel> {
    ALL.iter().copied().find(|k| k.name == name)
}
