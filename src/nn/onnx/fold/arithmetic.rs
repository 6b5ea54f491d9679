//! Functions of the values of one constant and of two.

use super::Result;
use crate::nn::onnx::axes::broadcast;
use crate::nn::onnx::constant::{BATCH, Constant, Numbers, Places, WITH_BATCH, room, spread_strides};

/// A function of every value.
pub fn unary(operator: &str, x: &Constant) -> Result<Constant> {
    let values = match (&x.values, operator) {
        (Numbers::Integers(values), _) if values.contains(&BATCH) => return Err(WITH_BATCH.to_string()),
        (Numbers::Integers(values), "Abs") => {
            Numbers::Integers(values.iter().map(|v| v.wrapping_abs()).collect())
        }
        (Numbers::Integers(values), "Neg") => {
            Numbers::Integers(values.iter().map(|v| v.wrapping_neg()).collect())
        }
        (Numbers::Integers(values), "Sign") => Numbers::Integers(values.iter().map(|v| v.signum()).collect()),
        (Numbers::Integers(values), "Not") => {
            Numbers::Integers(values.iter().map(|v| i64::from(*v == 0)).collect())
        }
        (Numbers::Integers(_), "Ceil" | "Floor" | "Round") => x.values.clone(),
        _ => {
            let function: fn(f32) -> f32 = match operator {
                "Abs" => f32::abs,
                "Ceil" => f32::ceil,
                "Exp" => f32::exp,
                "Floor" => f32::floor,
                "Log" => f32::ln,
                "Neg" => |v| -v,
                "Reciprocal" => f32::recip,
                "Round" => f32::round_ties_even,
                "Sign" => |v| if v == 0.0 { 0.0 } else { v.signum() },
                "Sqrt" => f32::sqrt,
                _ => return Err("reads real numbers where truth values belong".to_string()),
            };
            Numbers::Floats(x.to_floats()?.into_iter().map(function).collect())
        }
    };
    Ok(Constant { extents: x.extents.clone(), values, origin: None })
}

/// A function of two values, repeated to the same extents.
pub fn binary(operator: &str, a: &Constant, b: &Constant) -> Result<Constant> {
    let all = broadcast(&a.extents, &b.extents)?;
    room(&all)?;
    let [left, right] = [a, b]
        .map(|own| Places::new(&all, &spread_strides(&own.extents, &all).expect("extents fit together")));
    if let (Numbers::Integers(x), Numbers::Integers(y)) = (&a.values, &b.values) {
        let values: Result<Vec<i64>> = left.zip(right).map(|(i, j)| integer(operator, x[i], y[j])).collect();
        return Ok(Constant::integers(&all, values?));
    }
    let (x, y) = (a.to_floats()?, b.to_floats()?);
    let function: fn(f32, f32) -> f32 = match operator {
        "Add" => |x, y| x + y,
        "Sub" => |x, y| x - y,
        "Mul" => |x, y| x * y,
        "Div" => |x, y| x / y,
        "Mod" | "Remainder" => |x, y| x % y,
        "Pow" => f32::powf,
        "Max" => f32::max,
        "Min" => f32::min,
        other => {
            let compare: fn(f32, f32) -> bool = match other {
                "Equal" => |x, y| x == y,
                "Greater" => |x, y| x > y,
                "GreaterOrEqual" => |x, y| x >= y,
                "Less" => |x, y| x < y,
                "LessOrEqual" => |x, y| x <= y,
                _ => return Err("reads real numbers where truth values belong".to_string()),
            };
            let values = left.zip(right).map(|(i, j)| i64::from(compare(x[i], y[j])));
            return Ok(Constant::integers(&all, values.collect()));
        }
    };
    Ok(Constant::floats(&all, left.zip(right).map(|(i, j)| function(x[i], y[j])).collect()))
}

/// A function of two whole numbers, of which either may stand for the number of images.
fn integer(operator: &str, x: i64, y: i64) -> Result<i64> {
    let truth = |value: bool| Ok(i64::from(value));
    match (operator, x, y) {
        ("Equal", ..) => return truth(x == y),
        ("Add" | "Sub", BATCH, 0) | ("Mul" | "Div", BATCH, 1) => return Ok(BATCH),
        ("Add", 0, BATCH) | ("Mul", 1, BATCH) => return Ok(BATCH),
        _ if x == BATCH || y == BATCH => return Err(WITH_BATCH.to_string()),
        _ => {}
    }
    let too_large = || "is too large".to_string();
    match operator {
        "Add" => x.checked_add(y).ok_or_else(too_large),
        "Sub" => x.checked_sub(y).ok_or_else(too_large),
        "Mul" => x.checked_mul(y).ok_or_else(too_large),
        "Div" => x.checked_div(y).ok_or_else(|| "divides by 0".to_string()),
        "Remainder" => x.checked_rem(y).ok_or_else(|| "divides by 0".to_string()),
        // Of the divisor's sign, as in Python.
        "Mod" => {
            let rest = x.checked_rem(y).ok_or_else(|| "divides by 0".to_string())?;
            Ok(if rest != 0 && (rest < 0) != (y < 0) { rest + y } else { rest })
        }
        "Pow" => u32::try_from(y).ok().and_then(|y| x.checked_pow(y)).ok_or_else(too_large),
        "Max" => Ok(x.max(y)),
        "Min" => Ok(x.min(y)),
        "Greater" => truth(x > y),
        "GreaterOrEqual" => truth(x >= y),
        "Less" => truth(x < y),
        "LessOrEqual" => truth(x <= y),
        "And" => truth(x != 0 && y != 0),
        "Or" => truth(x != 0 || y != 0),
        other => Err(format!("is no arithmetic: {other}")),
    }
}
