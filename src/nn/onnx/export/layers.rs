//! Each layer as ONNX operators.

use super::is_flattened_for_linear_layers;
use super::write::{Set, Writer};
use crate::graph::{Coordinates, Divisor, Resize, Rounding, Sampling, Window};
use crate::nn::arrangement::{Arrangement, Axis, Filling};
use crate::nn::layer::{Activation, Arithmetic, Extents, Layer, Pooling};
use crate::nn::net::Value;
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

type Result = std::result::Result<(), String>;

impl Writer<'_> {
    /// Writes layer `index`, whose result gets this name.
    pub fn layer(&mut self, index: usize, result: &str) -> Result {
        let node = &self.net.nodes[index];
        let (layer, inputs) = (node.layer, node.inputs.clone());
        let (x, from, to) = (self.name(inputs[0]), self.extents[inputs[0].0], self.extents[index + 1]);
        match layer {
            Layer::Normalise { mean, deviation } => {
                let [mean, deviation] = [mean, deviation].map(|slot| self.per_channel(slot, from));
                let centred = self.node("Sub", &[&x, &mean], &[]);
                self.node_to("Div", &[&centred, &deviation], &[], result);
            }
            Layer::Convolution { weight, bias, geometry } => {
                let mut read = vec![x, self.kernel(weight)];
                read.extend(bias.map(|bias| self.plain_slot(bias)));
                self.node_to("Conv", &borrowed(&read), &attributes_of(&geometry), result);
            }
            Layer::ConvolutionTranspose { weight, bias, geometry, to } => {
                let mut read = vec![x, self.kernel(weight)];
                read.extend(bias.map(|bias| self.plain_slot(bias)));
                let coarse = geometry.positions(to).unwrap_or(to);
                let beyond = (0..2).map(|axis| {
                    let reach = geometry.dilation[axis] * (geometry.size[axis] - 1) + 1;
                    let least = geometry.stride[axis] * (coarse[axis] - 1) + reach;
                    (to[axis] + geometry.padding[axis][0] + geometry.padding[axis][1] - least) as i64
                });
                let beyond = Set::Integers("output_padding", beyond.collect());
                let attributes: Vec<Set> = attributes_of(&geometry).into_iter().chain([beyond]).collect();
                self.node_to("ConvTranspose", &borrowed(&read), &attributes, result);
            }
            Layer::Dense { weight, bias } => {
                let mut read = vec![x, self.matrix(weight, self.has_channels_in_front(inputs[0]))];
                read.extend(bias.map(|bias| self.plain_slot(bias)));
                self.node_to("Gemm", &borrowed(&read), &[Set::Integer("transB", 1)], result);
            }
            Layer::BatchNorm { scale, shift, mean, variance, epsilon, momentum } => {
                let slots = [scale, shift, mean, variance].map(|slot| self.plain_slot(slot));
                let read = [&x[..], &slots[0], &slots[1], &slots[2], &slots[3]];
                let attributes = [Set::Float("epsilon", epsilon), Set::Float("momentum", 1.0 - momentum)];
                self.node_to("BatchNormalization", &read, &attributes, result);
            }
            Layer::Activation(function) => self.activation(function, &x, result),
            Layer::Pool(pooling, window) => self.pool(pooling, &window, &x, result),
            Layer::GlobalMean => match from {
                Extents::Vector { .. } => self.node_to("Identity", &[&x], &[], result),
                Extents::Image { .. } => {
                    let mean = self.node("GlobalAveragePool", &[&x], &[]);
                    self.node_to("Flatten", &[&mean], &[], result);
                }
            },
            Layer::Flatten | Layer::Reshape(_) => {
                if is_flattened_for_linear_layers(self.net, index, from) {
                    self.node_to("Flatten", &[&x], &[], result);
                } else {
                    let row = self.in_memory(inputs[0], &[from.len()]);
                    self.write_value(&row, to, result);
                }
            }
            Layer::Add => {
                let mut sum = x;
                for (i, input) in inputs.iter().enumerate().skip(1) {
                    let other = self.name(*input);
                    let name = if i + 1 == inputs.len() { result.to_string() } else { self.fresh() };
                    self.node_to("Add", &[&sum, &other], &[], &name);
                    sum = name;
                }
                if inputs.len() == 1 {
                    self.node_to("Identity", &[&sum], &[], result);
                }
            }
            Layer::Combine(function) => {
                let other = self.name(inputs[1]);
                self.node_to(operator(function), &[&x, &other], &[], result);
            }
            Layer::With { function, slot, reversed } => {
                let own = self.repeated(slot, from);
                let read = if reversed { [&own[..], &x] } else { [&x[..], &own] };
                self.node_to(operator(function), &read, &[], result);
            }
            Layer::PRelu { slope } => {
                let slope = self.repeated(slope, from);
                self.node_to("PRelu", &[&x, &slope], &[], result);
            }
            Layer::LayerNorm { .. } | Layer::Softmax { .. } => self.rows(layer, inputs[0], to, result),
            Layer::Resize(resize) => self.resize(&resize, &x, result),
            Layer::Arrange(arrangement) => self.arrangement(arrangement, &inputs, to, result)?,
        }
        self.names.push(result.to_string());
        Ok(())
    }

    /// A slot with a number per channel, beside images or rows.
    fn per_channel(&mut self, slot: usize, beside: Extents) -> String {
        let values = self.net.slots.get(self.values, slot).to_vec();
        match beside {
            Extents::Image { .. } => self.slot(slot, &[values.len(), 1, 1], &values),
            Extents::Vector { .. } => self.slot(slot, &[values.len()], &values),
        }
    }

    /// A slot repeated over memory, beside images or rows.
    fn repeated(&mut self, slot: usize, beside: Extents) -> String {
        let values = self.net.slots.get(self.values, slot).to_vec();
        let len = values.len();
        if len == 1 || len == beside.channels() {
            return self.per_channel(slot, beside);
        }
        match beside {
            Extents::Vector { len: all } => {
                let all: Vec<f32> = (0..all).map(|i| values[i % len]).collect();
                self.slot(slot, &[all.len()], &all)
            }
            Extents::Image { height, width, channels } => {
                let positions = height * width;
                let value = |i: usize| values[(i % positions * channels + i / positions) % len];
                let all: Vec<f32> = (0..positions * channels).map(value).collect();
                self.slot(slot, &[channels, height, width], &all)
            }
        }
    }

    /// A kernel `[height, width, a, b]` as `[b, a, height, width]`.
    fn kernel(&mut self, slot: usize) -> String {
        let values = self.net.slots.get(self.values, slot);
        let [height, width, a, b] = self.net.slots.all[slot].extents[..] else {
            unreachable!("kernels have four extents")
        };
        let taps = height * width;
        let value = |i: usize| values[(i % taps * a + i / taps % a) * b + i / (taps * a)];
        let all: Vec<f32> = (0..values.len()).map(value).collect();
        self.slot(slot, &[b, a, height, width], &all)
    }

    /// A matrix `[1, 1, a, b]` as `[b, a]`; its inputs with channels in front if they are an image that has them so.
    fn matrix(&mut self, slot: usize, image: Option<Extents>) -> String {
        let values = self.net.slots.get(self.values, slot);
        let [_, _, a, b] = self.net.slots.all[slot].extents[..] else {
            unreachable!("matrices have four extents")
        };
        let (channels, positions) = image.map_or((a, 1), |image| (image.channels(), image.positions()));
        let input = |i: usize| i % positions * channels + i / positions;
        let all: Vec<f32> = (0..values.len()).map(|i| values[input(i % a) * b + i / a]).collect();
        self.slot(slot, &[b, a], &all)
    }

    /// Layers over so many values in memory's order.
    fn rows(&mut self, layer: Layer, x: Value, to: Extents, result: &str) {
        let (Layer::LayerNorm { len, .. } | Layer::Softmax { len, .. }) = layer else { return };
        let lines = self.in_memory(x, &[to.len() / len, len]);
        let last = Set::Integer("axis", -1);
        let lines = match layer {
            Layer::LayerNorm { scale, shift, epsilon, .. } => {
                let scale = match scale {
                    Some(scale) => self.plain_slot(scale),
                    None => self.floats(&[len], &vec![1.0; len]),
                };
                let mut read = vec![lines, scale];
                read.extend(shift.map(|shift| self.plain_slot(shift)));
                self.node("LayerNormalization", &borrowed(&read), &[last, Set::Float("epsilon", epsilon)])
            }
            Layer::Softmax { logarithm: true, .. } => self.node("LogSoftmax", &[&lines], &[last]),
            _ => self.node("Softmax", &[&lines], &[last]),
        };
        self.write_value(&lines, to, result);
    }

    fn number(&mut self, value: f32) -> String {
        self.floats(&[], &[value])
    }

    /// `a·x + b`.
    fn affine(&mut self, x: &str, a: f32, b: f32) -> String {
        let (a, b) = (self.number(a), self.number(b));
        let scaled = self.node("Mul", &[x, &a], &[]);
        self.node("Add", &[&scaled, &b], &[])
    }

    fn activation(&mut self, function: Activation, x: &str, result: &str) {
        let alone = |name| (name, Vec::new());
        let (operator, attributes) = match function {
            Activation::LeakyRelu(0.0) => alone("Relu"),
            Activation::LeakyRelu(a) => ("LeakyRelu", vec![Set::Float("alpha", a)]),
            Activation::Softplus => alone("Softplus"),
            Activation::Elu(a) => ("Elu", vec![Set::Float("alpha", a)]),
            Activation::Sigmoid => alone("Sigmoid"),
            Activation::Tanh => alone("Tanh"),
            Activation::HardSigmoid(a, b) => {
                ("HardSigmoid", vec![Set::Float("alpha", a), Set::Float("beta", b)])
            }
            Activation::HardSwish => alone("HardSwish"),
            Activation::Selu(a, b) => ("Selu", vec![Set::Float("alpha", a), Set::Float("gamma", b)]),
            Activation::Celu(a) => ("Celu", vec![Set::Float("alpha", a)]),
            Activation::Mish => alone("Mish"),
            Activation::Softsign => alone("Softsign"),
            Activation::Erf => alone("Erf"),
            Activation::Exp => alone("Exp"),
            Activation::Log => alone("Log"),
            Activation::Sqrt => alone("Sqrt"),
            Activation::Abs => alone("Abs"),
            Activation::Sign => alone("Sign"),
            Activation::Reciprocal => alone("Reciprocal"),
            Activation::Affine(..)
            | Activation::Clamp(..)
            | Activation::Power(_)
            | Activation::Silu
            | Activation::Gelu
            | Activation::GeluTanh => return self.composed(function, x, result),
        };
        self.node_to(operator, &[x], &attributes, result);
    }

    /// Functions that are several operators, or one with constants.
    fn composed(&mut self, function: Activation, x: &str, result: &str) {
        let gate = match function {
            Activation::Affine(a, b) => {
                let (a, b) = (self.number(a), self.number(b));
                let scaled = self.node("Mul", &[x, &a], &[]);
                return self.node_to("Add", &[&scaled, &b], &[], result);
            }
            Activation::Clamp(a, b) => {
                let (a, b) = (self.number(a), self.number(b));
                return self.node_to("Clip", &[x, &a, &b], &[], result);
            }
            Activation::Power(a) => {
                let a = self.number(a);
                return self.node_to("Pow", &[x, &a], &[], result);
            }
            Activation::GeluTanh => {
                let scale = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
                let square = self.node("Mul", &[x, x], &[]);
                let factor = self.affine(&square, 0.044_715 * scale, scale);
                let inner = self.node("Mul", &[x, &factor], &[]);
                let tanh = self.node("Tanh", &[&inner], &[]);
                self.affine(&tanh, 0.5, 0.5)
            }
            Activation::Gelu => {
                let factor = self.number(FRAC_1_SQRT_2);
                let scaled = self.node("Mul", &[x, &factor], &[]);
                let erf = self.node("Erf", &[&scaled], &[]);
                self.affine(&erf, 0.5, 0.5)
            }
            _ => self.node("Sigmoid", &[x], &[]),
        };
        self.node_to("Mul", &[x, &gate], &[], result);
    }

    fn pool(&mut self, pooling: Pooling, window: &Window, x: &str, result: &str) {
        let [[top, bottom], [left, right]] = window.padding;
        let mut attributes = vec![
            Set::Integers("kernel_shape", whole(&[window.height, window.width])),
            Set::Integers("strides", whole(&window.stride)),
            Set::Integers("pads", whole(&[top, left, bottom, right])),
            Set::Integer("ceil_mode", i64::from(window.ceil)),
        ];
        if pooling == Pooling::Max {
            return self.node_to("MaxPool", &[x], &attributes, result);
        }
        attributes.push(Set::Integer("count_include_pad", i64::from(window.divisor != Divisor::Inside)));
        let factor = match window.divisor {
            Divisor::None => window.scale * (window.height * window.width) as f32,
            Divisor::Inside | Divisor::Padded => window.scale,
        };
        if (factor - 1.0).abs() < 1e-6 {
            return self.node_to("AveragePool", &[x], &attributes, result);
        }
        let mean = self.node("AveragePool", &[x], &attributes);
        let factor = self.number(factor);
        self.node_to("Mul", &[&mean, &factor], &[], result);
    }

    fn resize(&mut self, resize: &Resize, x: &str, result: &str) {
        let coordinates = match resize.coordinates {
            Coordinates::Asymmetric => "asymmetric",
            Coordinates::HalfPixel => "half_pixel",
            Coordinates::Corners => "align_corners",
        };
        let mut attributes =
            vec![Set::Text("coordinate_transformation_mode", coordinates), Set::Integers("axes", vec![2, 3])];
        match resize.sampling {
            Sampling::Linear => attributes.push(Set::Text("mode", "linear")),
            Sampling::Nearest(rounding) => {
                let rounding = match rounding {
                    Rounding::Floor => "floor",
                    Rounding::Ceil => "ceil",
                    Rounding::HalfDown => "round_prefer_floor",
                    Rounding::HalfUp => "round_prefer_ceil",
                };
                attributes.extend([Set::Text("mode", "nearest"), Set::Text("nearest_mode", rounding)]);
            }
        }
        let of_sizes = (0..2)
            .all(|side| resize.ratio[side][0] * resize.to[side] == resize.ratio[side][1] * resize.from[side]);
        let read = if of_sizes {
            let sizes = self.integers(&whole(&resize.to));
            [x.to_string(), String::new(), String::new(), sizes]
        } else {
            let scales = resize.ratio.map(|[from, to]| to as f32 / from as f32);
            let scales = self.floats(&[2], &scales);
            [x.to_string(), String::new(), scales, String::new()]
        };
        let read: Vec<&str> = read.iter().map(String::as_str).collect();
        let last = if of_sizes { 4 } else { 3 };
        self.node_to("Resize", &read[..last], &attributes, result);
    }

    fn arrangement(
        &mut self,
        arrangement: Arrangement,
        inputs: &[Value],
        to: Extents,
        result: &str,
    ) -> Result {
        let x = inputs[0];
        let moved = match arrangement {
            Arrangement::Concat(before) => {
                let parts: Vec<String> = inputs
                    .iter()
                    .map(|&part| {
                        let len = self.extents[part.0].len();
                        self.in_memory(part, &[before, len / before])
                    })
                    .collect();
                self.node("Concat", &borrowed(&parts), &[Set::Integer("axis", 2)])
            }
            Arrangement::Repeat(Axis { before, extent, after }, times) => {
                let seen = self.in_memory(x, &[before, extent, after]);
                let shape = self.integers(&whole(&[1, before, times, after]));
                self.node("Expand", &[&seen, &shape], &[])
            }
            Arrangement::Swap(Axis { before, extent, after }, second) => {
                let seen = self.in_memory(x, &[before, extent, second, after / second]);
                self.node("Transpose", &[&seen], &[Set::Integers("perm", vec![0, 1, 3, 2, 4])])
            }
            Arrangement::Slice { axis: Axis { before, extent, after }, start, step, count } => {
                let seen = self.in_memory(x, &[before, extent, after]);
                let end = start as i64 + step as i64 * count as i64;
                // An index before the first would count from the end.
                let end = if end < 0 { -(1 << 31) } else { end };
                let numbers = [start as i64, end, 2, step as i64].map(|number| self.integers(&[number]));
                self.node("Slice", &[&seen, &numbers[0], &numbers[1], &numbers[2], &numbers[3]], &[])
            }
            Arrangement::Pad { axis: Axis { before, extent, after }, by, filling } => {
                let seen = self.in_memory(x, &[before, extent, after]);
                let pads = self.integers(&[0, 0, by[0] as i64, 0, 0, 0, by[1] as i64, 0]);
                let (mode, value) = match filling {
                    Filling::Value(value) => ("constant", value),
                    Filling::Edge => ("edge", 0.0),
                    Filling::Reflect => ("reflect", 0.0),
                    Filling::Wrap => {
                        return Err(
                            "wraps around, for which ONNX has no operator before version 19".to_string()
                        );
                    }
                };
                let value = self.number(value);
                self.node("Pad", &[&seen, &pads, &value], &[Set::Text("mode", mode)])
            }
            Arrangement::Reduce(pooling, Axis { before, extent, after }) => {
                let seen = self.in_memory(x, &[before, extent, after]);
                let axes = self.integers(&[2]);
                let operator = if pooling == Pooling::Max { "ReduceMax" } else { "ReduceMean" };
                self.node(operator, &[&seen, &axes], &[Set::Integer("keepdims", 1)])
            }
        };
        self.write_value(&moved, to, result);
        Ok(())
    }
}

fn operator(function: Arithmetic) -> &'static str {
    match function {
        Arithmetic::Add => "Add",
        Arithmetic::Subtract => "Sub",
        Arithmetic::Multiply => "Mul",
        Arithmetic::Divide => "Div",
        Arithmetic::Maximum => "Max",
        Arithmetic::Minimum => "Min",
    }
}

fn attributes_of(geometry: &crate::graph::Convolution) -> Vec<Set<'static>> {
    let [[top, bottom], [left, right]] = geometry.padding;
    vec![
        Set::Integers("kernel_shape", whole(&geometry.size)),
        Set::Integers("strides", whole(&geometry.stride)),
        Set::Integers("pads", whole(&[top, left, bottom, right])),
        Set::Integers("dilations", whole(&geometry.dilation)),
        Set::Integer("group", geometry.groups as i64),
    ]
}

fn whole(values: &[usize]) -> Vec<i64> {
    values.iter().map(|&value| value as i64).collect()
}

fn borrowed(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}
