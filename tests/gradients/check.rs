//! Holds a gradient against finite differences of what it is the gradient of.
//!
//! The loss is Σ y·v over the result y with fixed weights v, added on the host in f64; the gradient starts from the
//! cotangent v. Both are computed on the CPU reference path, whose kernels add in f64 and round to f32 once.
//!
//! Derivatives are taken with four points, `(8 (f(h) − f(−h)) − (f(2h) − f(−2h))) / 12h`, around operands that are
//! multiples of 1/1024, so that every step is exact. The truncation error is h⁴/30 times the fifth derivative (none for
//! the many linear operations); the rounding of y to f32 contributes 1.5 · 6e-8 / h of y per result that depends on the
//! operand. Single operations have derivatives of order one at every order: h = 1/32 makes the two errors 3e-8 and 3e-6.
//! In a network, an operand's step is chosen so that the logits move by about a tenth, which makes them 3e-6 and 1e-6.
//! Both stay well below the 2e-4 of the largest derivative that is allowed, and a wrong factor, sign, index or missing
//! term is far above it.

use crate::common::{Values, compare, devices, largest, named, normals, session};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::executor::{Device, Session};
use pgn_wgpu::graph::{Graph, GraphError, Shape, Tensor};
use pgn_wgpu::kernels::Tolerance;

/// In units of the gradient's largest value.
const ALLOWED: f32 = 2e-4;
/// What an adapter's gradient may differ from the CPU reference's: a few kernels' tolerances one after the other.
const ADAPTER: Tolerance = Tolerance { absolute: 3e-5, relative: 1e-5 };

/// An operand with its values; labels and the like are not wanted.
#[derive(Clone)]
pub struct Operand {
    pub extents: Vec<usize>,
    pub values: Vec<f32>,
    pub wanted: bool,
    /// How far finite differences step.
    pub step: f32,
}

/// Normal numbers by which to differentiate.
pub fn wanted(seed: u32, extents: &[usize]) -> Operand {
    Operand {
        extents: extents.to_vec(),
        values: normals(seed, extents.iter().product()),
        wanted: true,
        step: 1.0 / 32.0,
    }
}

/// Numbers that stay as they are.
pub fn fixed(extents: &[usize], values: Vec<f32>) -> Operand {
    Operand { extents: extents.to_vec(), values, wanted: false, step: 0.0 }
}

impl Operand {
    /// Every value replaced by a function of it, rounded to a multiple of 1/1024.
    pub fn map(mut self, function: impl Fn(f32) -> f32) -> Self {
        for value in &mut self.values {
            *value = (function(*value) * 1024.0).round() / 1024.0;
        }
        self
    }

    /// With another step, a power of two.
    pub fn step(self, step: f32) -> Self {
        Self { step, ..self }
    }

    /// No value nearer than a half to 0.
    pub fn away_from_zero(self) -> Self {
        self.map(|v| v + 0.5f32.copysign(v))
    }

    /// Every other channel far above zero and the others far below: biases that keep activations off their kink.
    pub fn alternating(mut self, size: f32) -> Self {
        for (i, value) in self.values.iter_mut().enumerate() {
            *value += if i % 2 == 0 { size } else { -size };
        }
        self
    }
}

/// What `build` makes of the numbers on the CPU.
pub fn computed(
    extents: &[usize],
    values: &[f32],
    build: impl FnOnce(&mut Graph, Tensor) -> Result<Tensor, GraphError>,
) -> Vec<f32> {
    let mut graph = Graph::new();
    let x = graph.input("x", extents).unwrap();
    let y = build(&mut graph, x).unwrap();
    graph.output("y", y);
    let inputs = vec![named("x", values.to_vec())];
    let (_workspace, mut session) = session(&Device::Cpu(Mode::Reference), &graph, &inputs, &vec![]);
    session.compute().unwrap().get("y").to_vec()
}

/// What a case computes: the result, and tensors whose signs must not change within a step because the result has a
/// kink where they are 0.
pub struct Built {
    pub result: Tensor,
    pub kinks: Vec<Tensor>,
}

impl From<Tensor> for Built {
    fn from(result: Tensor) -> Self {
        Self { result, kinks: Vec::new() }
    }
}

/// Checks the gradient of `build`'s result by every wanted operand, and the adapter's against the CPU's.
pub fn check<B: Into<Built>>(
    name: &str,
    operands: &[Operand],
    build: impl Fn(&mut Graph, &[Tensor]) -> Result<B, GraphError>,
) {
    let (plain, inputs) = graph_of(operands, &build);
    let (_workspace, mut plain) = session(&Device::Cpu(Mode::Reference), &plain, &inputs, &vec![]);
    let outputs = plain.compute().unwrap();
    let weights = normals(99, outputs.get("result").len());
    let mut differences = Differences { signs: signs(outputs.get("kinks")), plain, weights: weights.clone() };
    let gradients = gradients(name, operands, &weights, &build);
    for (i, gradient) in &gradients {
        let allowed = ALLOWED * largest(gradient);
        for (at, &derivative) in gradient.iter().enumerate() {
            let difference = differences.by(&operands[*i], *i, at).unwrap_or_else(|| {
                panic!("{name}: operand {i} at {at} steps over a kink; choose other numbers")
            });
            assert!(
                (difference - f64::from(derivative)).abs() <= f64::from(allowed),
                "{name}: the derivative by operand {i} at {at} is {derivative}, but finite differences give {difference}"
            );
        }
    }
}

/// The graph of the result alone, and the operands as inputs.
fn graph_of<B: Into<Built>>(
    operands: &[Operand],
    build: &impl Fn(&mut Graph, &[Tensor]) -> Result<B, GraphError>,
) -> (Graph, Values) {
    let mut graph = Graph::new();
    let tensors = inputs(&mut graph, operands);
    let Built { result, kinks } = build(&mut graph, &tensors).unwrap().into();
    graph.output("result", result);
    let none = graph.constant(1.0, &[1]).unwrap();
    let mut all = graph.reshape(none, &[1, 1]).unwrap();
    for kink in kinks {
        let len = graph.shape(kink).len();
        let row = graph.reshape(kink, &[1, len]).unwrap();
        all = graph.concatenate(&[all, row]).unwrap();
    }
    graph.output("kinks", all);
    let values = operands.iter().enumerate().map(|(i, o)| named(&i.to_string(), o.values.clone())).collect();
    (graph, values)
}

fn inputs(graph: &mut Graph, operands: &[Operand]) -> Vec<Tensor> {
    operands.iter().enumerate().map(|(i, o)| graph.input(&i.to_string(), &o.extents).unwrap()).collect()
}

fn signs(values: &[f32]) -> Vec<bool> {
    values.iter().map(|&v| v > 0.0).collect()
}

/// The CPU reference's gradients by the wanted operands; every other device is compared with it.
fn gradients<B: Into<Built>>(
    name: &str,
    operands: &[Operand],
    weights: &[f32],
    build: &impl Fn(&mut Graph, &[Tensor]) -> Result<B, GraphError>,
) -> Vec<(usize, Vec<f32>)> {
    let mut graph = Graph::new();
    let tensors = inputs(&mut graph, operands);
    let result = build(&mut graph, &tensors).unwrap().into().result;
    let extents = graph.shape(result).extents().to_vec();
    let cotangent = graph.input("weights", &extents).unwrap();
    let indices: Vec<usize> = (0..operands.len()).filter(|&i| operands[i].wanted).collect();
    let by: Vec<Tensor> = indices.iter().map(|&i| tensors[i]).collect();
    let gradients = graph.gradient(result, cotangent, &by).unwrap_or_else(|e| panic!("{name}: {e}"));
    for (i, &gradient) in indices.iter().zip(&gradients) {
        assert_eq!(*graph.shape(gradient).extents(), operands[*i].extents, "{name}: shape of gradient {i}");
        graph.output(&format!("gradient {i}"), gradient);
    }
    let mut values: Values =
        operands.iter().enumerate().map(|(i, o)| named(&i.to_string(), o.values.clone())).collect();
    values.push(named("weights", weights.to_vec()));
    let mut expected: Vec<(usize, Vec<f32>)> = Vec::new();
    for (device_name, device) in devices() {
        let (_workspace, mut session) = session(&device, &graph, &values, &vec![]);
        let outputs = session.compute().unwrap();
        let computed = indices.iter().map(|&i| (i, outputs.get(&format!("gradient {i}")).to_vec()));
        if expected.is_empty() {
            expected = computed.collect();
            continue;
        }
        for ((i, actual), (_, expected)) in computed.zip(&expected) {
            let verdict = compare(&actual, expected, &Shape::new(&operands[i].extents), ADAPTER);
            verdict.unwrap_or_else(|e| panic!("{name}: gradient by operand {i} on {device_name}: {e}"));
        }
    }
    expected
}

/// Takes finite differences of the loss.
struct Differences {
    plain: Session,
    weights: Vec<f32>,
    /// Of the kinked tensors, at the operands as they are.
    signs: Vec<bool>,
}

impl Differences {
    /// By one value of operand `i`; `None` if that steps over a kink.
    fn by(&mut self, operand: &Operand, i: usize, at: usize) -> Option<f64> {
        let mut loss = |steps: f32| {
            let mut values = operand.values.clone();
            values[at] += steps * operand.step;
            self.plain.write(&i.to_string(), &values).unwrap();
            let outputs = self.plain.compute().unwrap();
            let products =
                outputs.get("result").iter().zip(&self.weights).map(|(&y, &v)| f64::from(y) * f64::from(v));
            let sum: f64 = products.sum();
            (signs(outputs.get("kinks")) == self.signs).then_some(sum)
        };
        let [two, one, minus_one, minus_two] = [loss(2.0)?, loss(1.0)?, loss(-1.0)?, loss(-2.0)?];
        self.plain.write(&i.to_string(), &operand.values).unwrap();
        Some((8.0 * (one - minus_one) - (two - minus_two)) / (12.0 * f64::from(operand.step)))
    }
}
