//! How far rounding may move the results of a fused call. A single operation has equal inputs in the shader and in the twin, so the
//! tolerance of its kernel judges it. In a fused call the inputs of a later operation carry the rounding of earlier operations. A
//! difference of nearly equal values or a small divisor makes this error larger. So the judge follows the errors through the
//! expression to first order: it allows the error of a result if each operation keeps its own tolerance.

use super::Arguments;
use super::expression::{Expression, Instruction};
use super::params::{ElementwiseColumnsParams, ElementwiseParams};
use crate::cpu::{binary, flushed, source_index, unary};

/// Relative rounding of sums, products and choices, which adapters round correctly, with some room for flushed values.
const EXACT: f64 = 2e-7;
/// Relative and absolute rounding of divisions, roots and transcendental functions: the same as for single operations.
const RELATIVE: f64 = 1e-5;
const ABSOLUTE: f64 = 1e-6;
/// This near to a decision or a pole a first-order bound does not hold.
const UNKNOWN: f64 = f64::INFINITY;

/// A value, and the error that an adapter may make.
type Uncertain = (f32, f64);

/// For each tensor that the call writes, the allowed distance of each value from the twin's, in addition to the kernel's tolerance.
/// The written tensors must still have their values from before the call.
pub fn allowance(call: &Arguments) -> Vec<Vec<f32>> {
    let expression = call.expression.expect("a fused call");
    if expression.by_column {
        return allowance_of_columns(call, expression);
    }
    let params: ElementwiseParams = call.params();
    let mut allowed: Vec<Vec<f32>> = call.writes.iter().map(|w| vec![0.0; w.len()]).collect();
    let columns = params.columns as usize;
    for i in 0..params.rows as usize * columns {
        let values = at(call, expression, &params, i);
        for store in &expression.stores {
            allowed[store.tensor - expression.reads][i] = values[store.value].1 as f32;
        }
        for sum in &expression.sums {
            let (value, error) = values[sum.value];
            allowed[sum.tensor - expression.reads][i / columns] +=
                (error + RELATIVE * f64::from(value).abs()) as f32;
        }
    }
    allowed
}

/// The same as [`allowance`] for a call that adds rows in parts.
fn allowance_of_columns(call: &Arguments, expression: &Expression) -> Vec<Vec<f32>> {
    let p: ElementwiseColumnsParams = call.params();
    let (columns, rows_per_split) = (p.columns as usize, p.rows_per_split as usize);
    let mut allowed: Vec<Vec<f32>> = call.writes.iter().map(|w| vec![0.0; w.len()]).collect();
    let (stretch, tile) = (p.stretch * p.columns, p.columns);
    let params = ElementwiseParams { rows: p.rows, columns: p.columns, blocks: 1, block: 1, stretch, tile };
    for i in 0..p.rows as usize * columns {
        let values = at(call, expression, &params, i);
        for store in &expression.stores {
            allowed[store.tensor - expression.reads][i] = values[store.value].1 as f32;
        }
        for sum in &expression.sums {
            let (value, error) = values[sum.value];
            let part = i / columns / rows_per_split * columns + i % columns;
            allowed[sum.tensor - expression.reads][part] +=
                (error + RELATIVE * f64::from(value).abs()) as f32;
        }
    }
    allowed
}

/// All values at place `i`.
fn at(call: &Arguments, expression: &Expression, params: &ElementwiseParams, i: usize) -> Vec<Uncertain> {
    let mut values: Vec<Uncertain> = Vec::with_capacity(expression.instructions.len());
    for instruction in &expression.instructions {
        values.push(match *instruction {
            Instruction::Constant(value) => (value, 0.0),
            Instruction::Load { tensor, how } => {
                let at = source_index(how as u32, i, params.tile, params.stretch);
                let tensors = call.reads.iter().copied().chain(call.writes.iter().map(|w| &**w));
                (tensors.clone().nth(tensor).expect("a tensor of the call")[at], 0.0)
            }
            Instruction::Unary { code, constants: [a, b], x } => {
                let y = flushed(unary::apply(code, values[x].0, a, b));
                (y, unary_error(code, values[x], y, a))
            }
            Instruction::Binary { code, constants: [a, b], operands: [l, r] } => {
                let y = flushed(binary::apply(code, values[l].0, values[r].0, a, b));
                (y, binary_error(code, [values[l], values[r]], y, [a, b]))
            }
        });
    }
    values
}

/// The operand's error times the slope, and the operation's own rounding.
fn unary_error(code: u32, (x, e): Uncertain, y: f32, a: f32) -> f64 {
    let (x, y, a) = (f64::from(x), f64::from(y), f64::from(a));
    let exact = EXACT * y.abs();
    let rounded = RELATIVE * y.abs() + ABSOLUTE;
    match code {
        1 => a.abs() * e + EXACT * (a * x).abs() + exact,
        3 => a.abs().max(1.0) * e + exact,
        4 => y.abs() * e + RELATIVE * y.abs(),
        5 => near(x, e, e / x.abs()) + rounded,
        // A series computes it near 0.
        6 if x.abs() < 0.1 => (1.0 - y * y).abs() * e + RELATIVE * y.abs(),
        6 => (1.0 - y * y).abs() * e + rounded,
        7 => (y * (1.0 - y)).abs() * e + rounded,
        8 => near(x, e, e / (2.0 * y)) + RELATIVE * y.abs(),
        9 => 2.0 * x.abs() * e + e * e + exact,
        11 => near(x, e, 0.0),
        12 => near(x, e, y * y * e) + RELATIVE * y.abs(),
        13 => std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * e + rounded,
        14 => e / (1.0 + (-x).exp()) + rounded,
        15 => near(x, e, (a * y / x).abs() * e) + RELATIVE * y.abs(),
        _ => e + exact,
    }
}

fn binary_error(code: u32, [(l, el), (r, er)]: [Uncertain; 2], y: f32, [a, b]: [f32; 2]) -> f64 {
    let [l, r, y, a, b] = [l, r, y, a, b].map(f64::from);
    let exact = EXACT * y.abs();
    let flip = |distance: f64, change: f64, else_: f64| {
        if er > 0.0 && distance.abs() <= er { change } else { else_ }
    };
    match code {
        2 => l.abs() * er + r.abs() * el + el * er + exact,
        3 => near(r, er, (el + y.abs() * er) / r.abs()) + RELATIVE * y.abs(),
        4 | 5 => el.max(er) + exact,
        6 | 7 => {
            if el + er > 0.0 && (l - r).abs() <= el + er {
                1.0
            } else {
                0.0
            }
        }
        8 => flip(r, l.abs() * (1.0 - a).abs() + el, el) + exact,
        9 => flip(r - a, l.abs() + el, flip(r - b, l.abs() + el, el)),
        10 => {
            let x = l.clamp(1e-6, 1.0 - 1e-6);
            let slope = y * (1.0 - y);
            (slope / (x * (1.0 - x))).abs() * el + 2.0 * slope.abs() * er + RELATIVE * y.abs() + ABSOLUTE
        }
        11 => {
            (2.0 * r * (1.0 - r)).abs() * el
                + (2.0 * l * (1.0 - 2.0 * r)).abs() * er
                + EXACT * (2.0 * r * l).abs()
                + exact
        }
        12 => flip(r, l.abs() + el, el),
        _ => el + er + exact,
    }
}

/// `error`, unless the operand may lie on the other side of 0.
fn near(x: f64, e: f64, error: f64) -> f64 {
    match e > 0.0 && x.abs() <= e {
        true => UNKNOWN,
        false if e == 0.0 => 0.0,
        false => error,
    }
}
