//! Operators over constants, computed while a model is read: what exporters leave of arithmetic on shapes and of weights
//! that they did not arrange themselves.

mod arithmetic;

use super::attributes::Attributes;
use super::axes::{
    Steps, axis, broadcast, cut, new_extents, order, reduced, shape_part, squeezed, steps, unsqueezed,
};
use super::constant::{BATCH, Constant, Numbers, WITH_BATCH, kinds, room};
use arithmetic::{binary, unary};

type Result<T> = std::result::Result<T, String>;

/// The results of an operator whose inputs are all constants; `None` if it is not computed here.
pub fn fold(
    operator: &str,
    attributes: &Attributes,
    inputs: &[Option<&Constant>],
) -> Option<Result<Vec<Constant>>> {
    let known = KNOWN.contains(&operator);
    known.then(|| {
        let read = |i: usize| inputs.get(i).copied().flatten().ok_or_else(|| format!("lacks its input {i}"));
        match operator {
            "Split" => split(attributes, read(0)?, inputs.get(1).copied().flatten()),
            _ => one(operator, attributes, &read, inputs).map(|result| vec![result]),
        }
    })
}

const PER_IMAGE: &str =
    "repeats a constant for every image, as transformers do with their class token, which is not supported";

/// What is computed.
pub const KNOWN: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "Cast",
    "CastLike",
    "Ceil",
    "Concat",
    "ConstantOfShape",
    "Div",
    "Equal",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Greater",
    "GreaterOrEqual",
    "Identity",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Pow",
    "Range",
    "Reciprocal",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "Reshape",
    "Round",
    "Shape",
    "Sign",
    "Size",
    "Slice",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "Where",
];

fn one<'a>(
    operator: &str,
    attributes: &Attributes,
    read: &dyn Fn(usize) -> Result<&'a Constant>,
    inputs: &[Option<&Constant>],
) -> Result<Constant> {
    let optional = |i: usize| inputs.get(i).copied().flatten();
    match operator {
        "Identity" => Ok(read(0)?.clone()),
        "Cast" => cast(read(0)?, attributes.integer("to", kinds::F32)),
        "CastLike" => {
            let whole = matches!(read(1)?.values, Numbers::Integers(_));
            cast(read(0)?, if whole { kinds::I64 } else { kinds::F32 })
        }
        "Shape" => {
            let extents: Vec<i64> = read(0)?.extents.iter().map(|&extent| extent as i64).collect();
            let part = shape_part(attributes, &extents);
            Ok(Constant::integers(&[part.len()], part.to_vec()))
        }
        "Size" => Ok(Constant::integers(&[], vec![read(0)?.len() as i64])),
        "Reshape" => {
            let x = read(0)?;
            x.reshaped(&new_extents(
                &x.extents,
                read(1)?.to_integers()?,
                attributes.integer("allowzero", 0) == 1,
            )?)
        }
        "Flatten" => {
            let x = read(0)?;
            let axis = cut(attributes.integer("axis", 1), x.extents.len())?;
            let (front, back) = x.extents.split_at(axis);
            x.reshaped(&[front.iter().product(), back.iter().product()])
        }
        "Squeeze" | "Unsqueeze" => {
            let axes = match optional(1) {
                Some(axes) => Some(axes.to_integers()?.to_vec()),
                None => attributes.integers("axes"),
            };
            let x = read(0)?;
            let extents = match operator {
                "Squeeze" => squeezed(&x.extents, axes.as_deref(), |&extent| extent == 1)?,
                _ => unsqueezed(&x.extents, &axes.ok_or("has no axes")?, 1)?,
            };
            x.reshaped(&extents)
        }
        "Transpose" => {
            let x = read(0)?;
            x.transposed(&order(attributes, x.extents.len())?)
        }
        "Concat" => {
            let parts: Option<Vec<&Constant>> = inputs.iter().copied().collect();
            concat(&parts.ok_or("lacks an input")?, attributes.integer("axis", 0))
        }
        "Gather" => gather(read(0)?, read(1)?, attributes.integer("axis", 0)),
        "Slice" => slice(read(0)?, inputs, attributes),
        "Expand" => {
            let x = read(0)?;
            let wanted = read(1)?.to_integers()?;
            if wanted.contains(&BATCH) {
                return Err(PER_IMAGE.to_string());
            }
            x.spread(&broadcast(&x.extents, &positive(wanted)?)?)
        }
        "Tile" => tile(read(0)?, read(1)?.to_integers()?),
        "ConstantOfShape" => {
            let extents = positive(read(0)?.to_integers()?)?;
            let len = room(&extents)?;
            match attributes.tensor("value")? {
                Some(Constant { values: Numbers::Integers(values), .. }) => {
                    Ok(Constant::integers(&extents, vec![*values.first().ok_or("has no value")?; len]))
                }
                Some(Constant { values: Numbers::Floats(values), .. }) => {
                    Ok(Constant::floats(&extents, vec![*values.first().ok_or("has no value")?; len]))
                }
                None => Ok(Constant::floats(&extents, vec![0.0; len])),
            }
        }
        "Range" => range([read(0)?, read(1)?, read(2)?]),
        "Where" => choose(read(0)?, read(1)?, read(2)?),
        "ReduceMax" | "ReduceMean" | "ReduceMin" | "ReduceProd" | "ReduceSum" => {
            reduce(operator, read(0)?, optional(1), attributes)
        }
        "Max" | "Min" => {
            let mut result = read(0)?.clone();
            for other in inputs.iter().skip(1).copied().flatten() {
                result = binary(operator, &result, other)?;
            }
            Ok(result)
        }
        "Abs" | "Ceil" | "Exp" | "Floor" | "Log" | "Neg" | "Not" | "Reciprocal" | "Round" | "Sign"
        | "Sqrt" => unary(operator, read(0)?),
        "Mod" if attributes.integer("fmod", 0) == 1 => binary("Remainder", read(0)?, read(1)?),
        _ => binary(operator, read(0)?, read(1)?),
    }
}

fn positive(extents: &[i64]) -> Result<Vec<usize>> {
    extents
        .iter()
        .map(|&extent| match extent {
            BATCH => Err(WITH_BATCH.to_string()),
            extent => usize::try_from(extent).map_err(|_| format!("makes the shape {extents:?}")),
        })
        .collect()
}

fn cast(x: &Constant, to: i64) -> Result<Constant> {
    let values = match (&x.values, kinds::is_float(to)) {
        (_, true) => Numbers::Floats(x.to_floats()?),
        (Numbers::Integers(values), _) if to == kinds::BOOL => {
            Numbers::Integers(values.iter().map(|&v| i64::from(v != 0)).collect())
        }
        (Numbers::Floats(values), _) if to == kinds::BOOL => {
            Numbers::Integers(values.iter().map(|&v| i64::from(v != 0.0)).collect())
        }
        (Numbers::Floats(values), _) => Numbers::Integers(values.iter().map(|&v| v as i64).collect()),
        (Numbers::Integers(_), _) => x.values.clone(),
    };
    Ok(Constant { values, ..x.clone() })
}

fn concat(parts: &[&Constant], along: i64) -> Result<Constant> {
    let first = parts.first().ok_or("joins nothing")?;
    let along = axis(along, first.extents.len())?;
    let mut extents = first.extents.clone();
    extents[along] = 0;
    for part in parts {
        let fits = part.extents.len() == extents.len()
            && (0..extents.len()).all(|i| i == along || part.extents[i] == extents[i]);
        if !fits {
            return Err(format!("joins {:?} and {:?}", first.extents, part.extents));
        }
        extents[along] = extents[along].checked_add(part.extents[along]).ok_or("is too large")?;
    }
    let before = room(&extents)?.checked_div(extents[along..].iter().product()).unwrap_or(0);
    let all_whole = parts.iter().all(|part| matches!(part.values, Numbers::Integers(_)));
    let mut whole = Vec::new();
    let mut real = Vec::new();
    for row in 0..before {
        for part in parts {
            let own: usize = part.extents[along..].iter().product();
            let range = row * own..(row + 1) * own;
            match &part.values {
                Numbers::Integers(values) if all_whole => whole.extend_from_slice(&values[range]),
                Numbers::Floats(values) => real.extend_from_slice(&values[range]),
                Numbers::Integers(_) => return Err("joins whole and real numbers".to_string()),
            }
        }
    }
    Ok(if all_whole { Constant::integers(&extents, whole) } else { Constant::floats(&extents, real) })
}

fn gather(x: &Constant, at: &Constant, along: i64) -> Result<Constant> {
    let along = axis(along, x.extents.len())?;
    let indices: Vec<usize> =
        at.to_integers()?.iter().map(|&i| axis(i, x.extents[along])).collect::<Result<_>>()?;
    let (front, back) = (&x.extents[..along], &x.extents[along + 1..]);
    let extents = [front, &at.extents, back].concat();
    room(&extents)?;
    let (rows, size): (usize, usize) = (front.iter().product(), back.iter().product());
    let extent = x.extents[along];
    let places = (0..rows).flat_map(|row| {
        indices.iter().flat_map(move |&index| {
            let from = (row * extent + index) * size;
            from..from + size
        })
    });
    x.pick(&extents, places)
}

fn slice(x: &Constant, inputs: &[Option<&Constant>], attributes: &Attributes) -> Result<Constant> {
    let mut result = x.clone();
    for (axis, Steps { start, step, count }) in steps(&x.extents, inputs, attributes)? {
        let extents = [&result.extents[..axis], &[count], &result.extents[axis + 1..]].concat();
        let size: usize = result.extents[axis + 1..].iter().product();
        let rows: usize = result.extents[..axis].iter().product();
        let extent = result.extents[axis];
        let places = (0..rows).flat_map(|row| {
            (0..count).flat_map(move |i| {
                let from = (row * extent + start.wrapping_add_signed(step * i as isize)) * size;
                from..from + size
            })
        });
        result = result.pick(&extents, places)?;
    }
    Ok(result)
}

fn split(attributes: &Attributes, x: &Constant, sizes: Option<&Constant>) -> Result<Vec<Constant>> {
    let along = axis(attributes.integer("axis", 0), x.extents.len())?;
    let sizes = match sizes {
        Some(sizes) => sizes.to_integers()?.to_vec(),
        None => attributes.integers("split").ok_or("has no sizes")?,
    };
    let mut from = 0;
    sizes
        .iter()
        .map(|&size| {
            let to = from + size.clamp(0, x.extents[along] as i64);
            let steps = Constant::integers(&[1], vec![from]);
            let inputs = [
                None,
                Some(&steps),
                Some(&Constant::integers(&[1], vec![to])),
                Some(&Constant::integers(&[1], vec![along as i64])),
            ]
            .map(Option::<&Constant>::cloned);
            let inputs: Vec<Option<&Constant>> = inputs.iter().map(Option::as_ref).collect();
            from = to;
            slice(x, &inputs, attributes)
        })
        .collect()
}

fn tile(x: &Constant, times: &[i64]) -> Result<Constant> {
    let times = positive(times)?;
    if times.len() != x.extents.len() {
        return Err(format!("repeats {} axes {} times", x.extents.len(), times.len()));
    }
    let mut result = x.clone();
    for (axis, &times) in times.iter().enumerate() {
        room(&[times, result.len().max(1)])?;
        let parts = vec![&result; times];
        result = concat(&parts, axis as i64)?;
    }
    Ok(result)
}

fn range(parts: [&Constant; 3]) -> Result<Constant> {
    if let [Ok([start]), Ok([end]), Ok([step])] = parts.map(Constant::to_integers) {
        if [start, end, step].contains(&&BATCH) {
            return Err(WITH_BATCH.to_string());
        }
        let (from, to, by) = (i128::from(*start), i128::from(*end), i128::from(*step));
        if by == 0 {
            return Err("has the step 0".to_string());
        }
        let span = if by > 0 { to - from } else { from - to };
        let len = usize::try_from((span.max(0) + by.abs() - 1) / by.abs()).map_err(|_| "is too large")?;
        room(&[len])?;
        return Ok(Constant::integers(&[len], (0..len as i128).map(|i| (from + by * i) as i64).collect()));
    }
    let mut numbers = [0.0_f64; 3];
    for (number, part) in numbers.iter_mut().zip(parts) {
        *number = f64::from(*part.to_floats()?.first().ok_or("has no value")?);
    }
    let [from, to, by] = numbers;
    let len = ((to - from) / by).ceil().max(0.0);
    if !len.is_finite() {
        return Err("is too large".to_string());
    }
    room(&[len as usize])?;
    Ok(Constant::floats(&[len as usize], (0..len as usize).map(|i| (from + by * i as f64) as f32).collect()))
}

fn choose(condition: &Constant, yes: &Constant, no: &Constant) -> Result<Constant> {
    let all = broadcast(&broadcast(&condition.extents, &yes.extents)?, &no.extents)?;
    let [condition, yes, no] = [condition.spread(&all)?, yes.spread(&all)?, no.spread(&all)?];
    let condition = condition.to_integers()?.to_vec();
    match (&yes.values, &no.values) {
        (Numbers::Integers(yes), Numbers::Integers(no)) => {
            let chosen =
                condition.iter().zip(yes.iter().zip(no)).map(|(&c, (&y, &n))| if c != 0 { y } else { n });
            Ok(Constant::integers(&all, chosen.collect()))
        }
        _ => {
            let (yes, no) = (yes.to_floats()?, no.to_floats()?);
            let chosen =
                condition.iter().zip(yes.iter().zip(&no)).map(|(&c, (&y, &n))| if c != 0 { y } else { n });
            Ok(Constant::floats(&all, chosen.collect()))
        }
    }
}

fn reduce(
    operator: &str,
    x: &Constant,
    axes: Option<&Constant>,
    attributes: &Attributes,
) -> Result<Constant> {
    let axes = match axes {
        Some(axes) => Some(axes.to_integers()?.to_vec()),
        None => attributes.integers("axes"),
    };
    let rank = x.extents.len();
    let Some(gone) = reduced(axes.as_deref(), rank, attributes)? else { return Ok(x.clone()) };
    let kept: Vec<usize> = (0..rank).filter(|i| !gone.contains(i)).collect();
    let order = [&kept[..], &gone[..]].concat();
    let lines = x.transposed(&order)?;
    let size: usize = gone.iter().map(|&i| x.extents[i]).product();
    if size == 0 || lines.len() == 0 {
        return Err("reduces nothing".to_string());
    }
    let extents: Vec<usize> = match attributes.integer("keepdims", 1) {
        0 => kept.iter().map(|&i| x.extents[i]).collect(),
        _ => (0..rank).map(|i| if gone.contains(&i) { 1 } else { x.extents[i] }).collect(),
    };
    match &lines.values {
        Numbers::Integers(values) if operator != "ReduceMean" => {
            if values.contains(&BATCH) {
                return Err(WITH_BATCH.to_string());
            }
            let one = |line: &[i64]| match operator {
                "ReduceMax" => line.iter().copied().max(),
                "ReduceMin" => line.iter().copied().min(),
                "ReduceProd" => line.iter().try_fold(1_i64, |all, &v| all.checked_mul(v)),
                _ => line.iter().try_fold(0_i64, |all, &v| all.checked_add(v)),
            };
            let values: Option<Vec<i64>> = values.chunks(size).map(one).collect();
            Ok(Constant::integers(&extents, values.ok_or("is too large")?))
        }
        _ => {
            let one = |line: &[f32]| match operator {
                "ReduceMax" => line.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                "ReduceMin" => line.iter().copied().fold(f32::INFINITY, f32::min),
                "ReduceProd" => line.iter().product(),
                "ReduceMean" => line.iter().sum::<f32>() / size as f32,
                _ => line.iter().sum(),
            };
            Ok(Constant::floats(&extents, lines.to_floats()?.chunks(size).map(one).collect()))
        }
    }
}
