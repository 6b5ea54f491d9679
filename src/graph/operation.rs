//! The set of primitive operations. The gradient rule of each (`gradient.rs`) uses operations of the same set, so gradients of
//! gradients need no further rules.

use super::convolution::Convolution;
use super::resize::Resize;
use super::window::Window;

/// The end of a convolution's sum before it is stored. Graphs are written without epilogues; the compiler finds the places for them
/// (`program/rewrite.rs`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Epilogue {
    /// Nothing.
    None,
    /// A bias per output channel is added.
    Bias,
    /// A bias is added, then leaky ReLU of this slope.
    BiasLeaky(f32),
    /// Leaky ReLU's backward for this slope, by the activation that stands where the result goes.
    LeakyMask(f32),
    /// A bias of the image and of the place by the border (see [`Borders`]) is added, then leaky ReLU of this slope; of
    /// transposed convolutions only.
    BorderBiasLeaky(f32),
}

impl Epilogue {
    /// The number by which `shaders/shared/epilogue.wgsl` and the twins know it.
    pub fn code(self) -> u32 {
        match self {
            Self::None => codes::NOTHING,
            Self::Bias => codes::BIAS,
            Self::BiasLeaky(_) => codes::BIAS_LEAKY,
            Self::LeakyMask(_) => codes::LEAKY_MASK,
            Self::BorderBiasLeaky(_) => codes::BORDER_BIAS_LEAKY,
        }
    }

    /// The slope of leaky ReLU, 1 where there is none.
    pub fn slope(self) -> f32 {
        match self {
            Self::None | Self::Bias => 1.0,
            Self::BiasLeaky(slope) | Self::LeakyMask(slope) | Self::BorderBiasLeaky(slope) => slope,
        }
    }
}

/// Codes of [`Epilogue`], named as in `shaders/shared/epilogue.wgsl`.
pub mod codes {
    /// Sums as they are.
    pub const NOTHING: u32 = 0;
    /// A bias per channel is added.
    pub const BIAS: u32 = 1;
    /// A bias per channel is added, then leaky ReLU.
    pub const BIAS_LEAKY: u32 = 2;
    /// Leaky ReLU's backward.
    pub const LEAKY_MASK: u32 = 3;
    /// A bias of the image and of the place by the border is added, then leaky ReLU.
    pub const BORDER_BIAS_LEAKY: u32 = 4;
    /// The names, in the order of the codes.
    pub const NAMES: [&str; 5] = ["NOTHING", "BIAS", "BIAS_LEAKY", "LEAKY_MASK", "BORDER_BIAS_LEAKY"];

    /// The name of a code.
    pub fn name(code: u32) -> &'static str {
        NAMES[code as usize]
    }
}

/// The result of a transposed convolution of size 3 over a constant plane. Away from the border it repeats with the stride. So the
/// result of a 3 x 3 plane, with `3·stride` rows, has all its values. The first `stride` rows of this small result stand for the
/// first rows of the image, the last for the last ones, and those between for all others. The same holds for columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Borders {
    /// The transposed convolution's.
    pub stride: usize,
}

impl Borders {
    /// Rows and columns of the small image from which planes are made.
    pub const COARSE_SIDE: usize = 3;

    /// Rows and columns of the small result.
    pub fn side(self) -> usize {
        Self::COARSE_SIDE * self.stride
    }

    /// The row that stands for row `i` of `length` (at least twice the stride).
    pub fn class(self, i: usize, length: usize) -> usize {
        let (coarse, phase) = (i / self.stride, i % self.stride);
        let place = match coarse {
            0 => 0,
            _ if coarse + 1 == length / self.stride => 2,
            _ => 1,
        };
        place * self.stride + phase
    }

    /// Whether an image with `length` rows or columns has a first and a last one of each phase.
    pub fn fit(self, length: usize) -> bool {
        length.is_multiple_of(self.stride) && length >= 2 * self.stride
    }
}

/// Functions of one value; `a` and `b` are the operation's two constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// The value itself: a copy, or a broadcast to a larger shape.
    Identity,
    /// `a·x + b`.
    Affine(f32, f32),
    /// `min(max(x, a), b)`.
    Clamp(f32, f32),
    /// `x` where positive, else `a·x`.
    LeakyRelu(f32),
    /// `e^x`.
    Exp,
    /// Natural logarithm.
    Log,
    /// Hyperbolic tangent.
    Tanh,
    /// `1 / (1 + e^−x)`.
    Sigmoid,
    /// Square root.
    Sqrt,
    /// `x²`.
    Square,
    /// `|x|`; its gradient at 0 is 0.
    Abs,
    /// −1, 0 or 1.
    Sign,
    /// `1 / x`.
    Reciprocal,
    /// The error function.
    Erf,
    /// `log(1 + e^x)`.
    Softplus,
    /// `x^a`; a negative x has only powers of whole numbers.
    Power(f32),
}

impl Unary {
    /// The number by which `shaders/unary.wgsl` and its twin know the function.
    pub fn code(self) -> u32 {
        match self {
            Self::Identity => 0,
            Self::Affine(..) => 1,
            Self::Clamp(..) => 2,
            Self::LeakyRelu(_) => 3,
            Self::Exp => 4,
            Self::Log => 5,
            Self::Tanh => 6,
            Self::Sigmoid => 7,
            Self::Sqrt => 8,
            Self::Square => 9,
            Self::Abs => 10,
            Self::Sign => 11,
            Self::Reciprocal => 12,
            Self::Erf => 13,
            Self::Softplus => 14,
            Self::Power(_) => 15,
        }
    }

    /// The two constants, 0 where unused.
    pub fn constants(self) -> [f32; 2] {
        match self {
            Self::Affine(a, b) | Self::Clamp(a, b) => [a, b],
            Self::LeakyRelu(a) | Self::Power(a) => [a, 0.0],
            _ => [0.0, 0.0],
        }
    }
}

/// Functions of two values, element by element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Binary {
    /// `l + r`.
    Add,
    /// `l − r`.
    Subtract,
    /// `l · r`.
    Multiply,
    /// `l / r`.
    Divide,
    /// The larger.
    Maximum,
    /// The smaller.
    Minimum,
    /// 1 where equal, else 0.
    Equal,
    /// 1 where `l > r`, else 0.
    Greater,
    /// Backward of leaky ReLU: `l` where `r > 0`, else `a·l`; `r` is the activation's output.
    LeakyMask(f32),
    /// Backward of a clamp: `l` where `a ≤ r ≤ b`, else 0.
    ClampMask(f32, f32),
    /// Equation 5 of the paper: `sigmoid(logit(l) + 2r)`, `l` first clamped to [1e-6, 1 − 1e-6].
    Compose,
    /// Its derivative by the generator's output, applied: `2·r·(1 − r)·l`, `r` being the composed image.
    ComposeGradient,
    /// `l` where `r` is not 0, else 0; a NaN in `l` does not get through.
    Select,
}

impl Binary {
    /// The number by which `shaders/binary.wgsl` and its twin know the function.
    pub fn code(self) -> u32 {
        match self {
            Self::Add => 0,
            Self::Subtract => 1,
            Self::Multiply => 2,
            Self::Divide => 3,
            Self::Maximum => 4,
            Self::Minimum => 5,
            Self::Equal => 6,
            Self::Greater => 7,
            Self::LeakyMask(_) => 8,
            Self::ClampMask(..) => 9,
            Self::Compose => 10,
            Self::ComposeGradient => 11,
            Self::Select => 12,
        }
    }

    /// The two constants, 0 where unused.
    pub fn constants(self) -> [f32; 2] {
        match self {
            Self::LeakyMask(a) => [a, 0.0],
            Self::ClampMask(a, b) => [a, b],
            _ => [0.0, 0.0],
        }
    }
}

/// One node of the graph; the operands are named in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Written by the host before each run.
    Input(String),
    /// Lives on the device from run to run, shared by name between programs.
    State(String),
    /// One value everywhere.
    Constant(f32),
    /// `[base]`: the values from `offset` on, no copy.
    View {
        /// First value.
        offset: usize,
    },
    /// `[x]`: the same values through which no gradient flows, or in another shape; no copy.
    Alias {
        /// False: gradients stop here.
        differentiable: bool,
    },
    /// `[x]`.
    Unary(Unary),
    /// `[l, r]`.
    Binary(Binary),
    /// `[x]` seen as rows of as many columns as the result has values: the sum over the rows.
    SumRows,
    /// `[x]`: the sum of each row.
    SumColumns,
    /// `[x, w]`, and as the compiler ends it `[x, w, bias]` or `[x, w, activation]`: from the fine to the coarse side.
    Convolve(Convolution, Epilogue),
    /// `[d, w]`, `[d, w, bias]` or `[d, w, activation]`: from the coarse to the fine side, whose extents are the
    /// result's; a transposed convolution.
    ConvolveInputGradient(Convolution, Epilogue),
    /// `[x, d]`: the weight's gradient.
    ConvolveWeightGradient(Convolution),
    /// `[x]`.
    Pool(Window),
    /// `[d]` or `[d, mask]`: spreads each value over its window; with a mask, leaky ReLU's backward of
    /// that slope follows, which only windows side by side have.
    Unpool(Window, Option<f32>),
    /// `[values, keys]`: from each window the value where the keys are largest.
    MaxPool(Window),
    /// `[d, keys]`: its adjoint in the values.
    MaxUnpool(Window),
    /// `[x]`.
    Resize(Resize),
    /// `[d]`: its adjoint.
    ResizeGradient(Resize),
    /// `[x]`: sums over the places that [`Borders`] does not tell apart, `[n, 3s, 3s, c]`.
    BorderSum(Borders),
    /// `[x]`: the adjoint of `BorderSum`, every place's value at all places that it stands for.
    BorderSpread(Borders),
    /// `[parts…]` side by side along the channels; a part with fewer rows is repeated over the positions
    /// of its image.
    Concatenate,
    /// `[x]`: `len` channels from `start`, as many as the result has.
    Slice {
        /// First channel.
        start: usize,
    },
    /// `[x]`: row-wise softmax.
    Softmax,
    /// `[logits, labels]`: cross-entropy per image.
    CrossEntropy,
    /// `[logits, labels, scale]`: `scale · (softmax − one-hot)`.
    CrossEntropyGradient,
    /// `[labels]`: 1 at the label.
    OneHot,
    /// `[x]`: the column of each row's largest value, the first one of equals.
    ArgMax,
    /// `[seed]`: standard normal numbers of a counter-based generator.
    RandomNormal,
    /// `[x, rows]`: row `rows[i]` of x as row i; or `[x, rows, beside]`, the epilogue being `BiasLeaky`: added to what is beside
    /// it, then leaky ReLU of the epilogue's slope.
    GatherRows(Epilogue),
    /// `[parts…]` laid out in one tensor at the offsets, for instance all gradients of a network.
    Pack {
        /// First value of each part.
        offsets: Vec<usize>,
    },
    /// `[state, value]`: writes the state.
    Assign,
    /// `[gradient, schedule, parameters, momentum, variance]`, then the parameters' moving average if one is kept: one
    /// Adam step, in place.
    Adam,
}

/// Images are clamped to `[COMPOSE_FLOOR, 1 − COMPOSE_FLOOR]` before the logit of equation 5 (the library's).
pub const COMPOSE_FLOOR: f32 = 1e-6;
