//! Operators over constants, computed while a model is read: what exporters leave of arithmetic on shapes and of weights
//! that they did not arrange themselves.

use super::attributes::Attributes;
use super::constant::{BATCH, Constant, Numbers, Places, WITH_BATCH, count, kinds, room, spread_strides};

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

/// What is computed.
pub const KNOWN: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "Cast",
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
            let all = broadcast(&x.extents, &positive(wanted)?)?;
            x.spread(&all)
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
        "Abs" | "Ceil" | "Exp" | "Floor" | "Log" | "Neg" | "Not" | "Reciprocal" | "Round" | "Sqrt" => {
            unary(operator, read(0)?)
        }
        "Mod" if attributes.integer("fmod", 0) == 1 => binary("Remainder", read(0)?, read(1)?),
        _ => binary(operator, read(0)?, read(1)?),
    }
}

/// An axis, counted from the end if negative.
pub fn axis(axis: i64, rank: usize) -> Result<usize> {
    let counted = if axis < 0 { axis.checked_add(rank as i64).unwrap_or(-1) } else { axis };
    usize::try_from(counted)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| format!("has the axis {axis} of {rank}"))
}

/// A place between axes, counted from the end if negative: 0 is in front of all of them.
pub fn cut(place: i64, rank: usize) -> Result<usize> {
    if usize::try_from(place) == Ok(rank) { Ok(rank) } else { axis(place, rank) }
}

/// The order of `Transpose`.
pub fn order(attributes: &Attributes, rank: usize) -> Result<Vec<usize>> {
    match attributes.integers("perm") {
        Some(order) => order.iter().map(|&i| axis(i, rank)).collect(),
        None => Ok((0..rank).rev().collect()),
    }
}

/// The part of a shape that `Shape` is asked for.
pub fn shape_part<'a>(attributes: &Attributes, extents: &'a [i64]) -> &'a [i64] {
    let rank = extents.len() as i64;
    let place = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let (start, end) = (place(attributes.integer("start", 0)), place(attributes.integer("end", rank)));
    &extents[start.min(end)..end]
}

/// What `Reshape` makes of extents. Zeros copy, and one −1 is what is left.
pub fn new_extents(own: &[usize], wanted: &[i64], zero_is_zero: bool) -> Result<Vec<usize>> {
    let mut rest = None;
    let mut extents = Vec::new();
    for (i, &extent) in wanted.iter().enumerate() {
        extents.push(match extent {
            -1 if rest.is_none() => {
                rest = Some(i);
                1
            }
            0 if !zero_is_zero => *own.get(i).ok_or("copies an extent that there is not")?,
            BATCH => return Err(WITH_BATCH.to_string()),
            extent => usize::try_from(extent).map_err(|_| format!("makes the shape {wanted:?}"))?,
        });
    }
    let known = count(&extents).ok_or_else(|| format!("makes the shape {wanted:?}"))?;
    let all = count(own).ok_or("has impossible extents")?;
    if let Some(rest) = rest {
        extents[rest] = all.checked_div(known).unwrap_or(0);
    }
    match count(&extents) == Some(all) {
        true => Ok(extents),
        false => Err(format!("makes {wanted:?} of {own:?}, which has another number of values")),
    }
}

/// Without the axes named, or without all that have one place.
pub fn squeezed<T: Clone>(own: &[T], axes: Option<&[i64]>, is_one: impl Fn(&T) -> bool) -> Result<Vec<T>> {
    let gone: Vec<usize> = match axes {
        Some(axes) => axes.iter().map(|&i| axis(i, own.len())).collect::<Result<_>>()?,
        None => (0..own.len()).filter(|&i| is_one(&own[i])).collect(),
    };
    match gone.iter().find(|&&i| !is_one(&own[i])) {
        Some(i) => Err(format!("removes the axis {i}, which has more than one place")),
        None => Ok((0..own.len()).filter(|i| !gone.contains(i)).map(|i| own[i].clone()).collect()),
    }
}

/// With axes of one place.
pub fn unsqueezed<T: Clone>(own: &[T], axes: &[i64], one: T) -> Result<Vec<T>> {
    let rank = own.len() + axes.len();
    let new: Vec<usize> = axes.iter().map(|&i| axis(i, rank)).collect::<Result<_>>()?;
    let mut rest = own.iter();
    let mut all = Vec::new();
    for i in 0..rank {
        all.push(match new.contains(&i) {
            true => one.clone(),
            false => rest.next().ok_or("names an axis twice")?.clone(),
        });
    }
    if rest.next().is_some() { Err("names an axis twice".to_string()) } else { Ok(all) }
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

/// The extents of two tensors together.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |own: &[usize], i: usize| (i + own.len()).checked_sub(rank).map_or(1, |i| own[i]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => Err(format!("has shapes {a:?} and {b:?}, which do not fit together")),
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

/// Where `Slice` begins along one axis, how far it steps and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// The first index.
    pub start: usize,
    /// From one to the next.
    pub step: isize,
    /// How many.
    pub count: usize,
}

impl Steps {
    /// By the rules of `Slice`.
    pub fn new(extent: usize, start: i64, end: i64, step: i64) -> Result<Self> {
        let len = extent as i64;
        if step == 0 || step.unsigned_abs() > u64::from(u32::MAX) {
            return Err(format!("has the step {step}"));
        }
        let from_end = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
        let (start, end) = match step > 0 {
            true => (from_end(start).clamp(0, len), from_end(end).clamp(0, len)),
            false => (from_end(start).clamp(-1, len - 1), from_end(end).clamp(-1, len - 1)),
        };
        let span = if step > 0 { end - start } else { start - end };
        let count = span.max(0).unsigned_abs().div_ceil(step.unsigned_abs()) as usize;
        Ok(Self { start: start.max(0) as usize, step: step as isize, count })
    }
}

/// What `Slice` takes along each axis that it names.
pub fn steps(
    extents: &[usize],
    inputs: &[Option<&Constant>],
    attributes: &Attributes,
) -> Result<Vec<(usize, Steps)>> {
    let numbers = |i: usize, name: &str| match inputs.get(i).copied().flatten() {
        Some(constant) => constant.to_integers().map(|values| Some(values.to_vec())),
        None => Ok(attributes.integers(name)),
    };
    let (starts, ends) =
        (numbers(1, "starts")?.ok_or("has no starts")?, numbers(2, "ends")?.ok_or("has no ends")?);
    let axes = numbers(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let each = numbers(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || each.len() != starts.len() {
        return Err("has starts, ends, axes and steps of different lengths".to_string());
    }
    let mut all = Vec::new();
    for i in 0..starts.len() {
        let axis = axis(axes[i], extents.len())?;
        if [starts[i], ends[i]].contains(&BATCH) {
            return Err(WITH_BATCH.to_string());
        }
        all.push((axis, Steps::new(extents[axis], starts[i], ends[i], each[i])?));
    }
    Ok(all)
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
            .map(|c| c.cloned());
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
        let parts = vec![&result; times];
        room(&[times, result.len()])?;
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
    let gone: Vec<usize> = match axes {
        Some(axes) if !axes.is_empty() => axes.iter().map(|&i| axis(i, rank)).collect::<Result<_>>()?,
        _ if attributes.integer("noop_with_empty_axes", 0) == 1 => return Ok(x.clone()),
        _ => (0..rank).collect(),
    };
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

fn unary(operator: &str, x: &Constant) -> Result<Constant> {
    let values = match (&x.values, operator) {
        (Numbers::Integers(values), _) if values.contains(&BATCH) => return Err(WITH_BATCH.to_string()),
        (Numbers::Integers(values), "Abs") => {
            Numbers::Integers(values.iter().map(|v| v.wrapping_abs()).collect())
        }
        (Numbers::Integers(values), "Neg") => {
            Numbers::Integers(values.iter().map(|v| v.wrapping_neg()).collect())
        }
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
                "Sqrt" => f32::sqrt,
                _ => return Err("reads real numbers where truth values belong".to_string()),
            };
            Numbers::Floats(x.to_floats()?.into_iter().map(function).collect())
        }
    };
    Ok(Constant { extents: x.extents.clone(), values, origin: None })
}

fn binary(operator: &str, a: &Constant, b: &Constant) -> Result<Constant> {
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
