//! Functions of two and more values, with the shapes' rules of ONNX.

use super::{Call, Importer, Known, Result, one};
use crate::nn::arrangement::{Arrangement, Axis};
use crate::nn::layer::{Activation, Arithmetic, Layer};
use crate::nn::onnx::constant::{BATCH, Constant, Places, spread_strides};
use crate::nn::onnx::data::{Data, Place};
use crate::nn::onnx::fold;
use crate::nn::onnx::import::NewSlot;
use crate::nn::slot::{FileOrder, Role};

/// `Add`, `Sub`, `Mul` and `Div`.
pub fn binary(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let function = match call.operator {
        "Add" => Arithmetic::Add,
        "Sub" => Arithmetic::Subtract,
        "Mul" => Arithmetic::Multiply,
        _ => Arithmetic::Divide,
    };
    let both = [0, 1].map(|i| call.inputs.get(i).cloned().flatten());
    match both {
        [Some(left), Some(right)] => one(combine(importer, function, left, right)?),
        _ => Err("lacks an input".to_string()),
    }
}

/// Functions of any number of values.
pub fn several(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let function = match call.operator {
        "Max" => Arithmetic::Maximum,
        "Min" => Arithmetic::Minimum,
        _ => Arithmetic::Add,
    };
    let mut inputs = call.inputs.iter().flatten().cloned();
    let mut result = inputs.next().ok_or("reads nothing")?;
    for input in inputs {
        result = match (&result, &input) {
            (Known::Constant(_), Known::Constant(_)) => {
                return Err("reads several constants; export the model with constant folding".to_string());
            }
            _ => Known::Data(combine(importer, function, result, input)?),
        };
    }
    let Known::Data(mut data) = result else { return Err("reads constants only".to_string()) };
    if call.operator == "Mean" {
        let share = Activation::Affine(1.0 / call.inputs.len() as f32, 0.0);
        data.value = importer.push(Layer::Activation(share), &[data.value])?;
    }
    one(data)
}

/// `Pow` with a single number on one side.
pub fn power(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let number = |i: usize| {
        call.optional(i)?
            .and_then(|constant| constant.uniform())
            .ok_or_else(|| "is supported with a single number as base or exponent alone".to_string())
    };
    let (data, functions) = match call.data(0) {
        Ok(data) => (data, vec![Activation::Power(number(1)?)]),
        Err(_) => {
            let base = number(0)?;
            if base <= 0.0 {
                return Err(format!("has the base {base}, which has no powers of fractions"));
            }
            (call.data(1)?, vec![Activation::Affine(base.ln(), 0.0), Activation::Exp])
        }
    };
    let mut value = data.value;
    for function in functions {
        value = importer.push(Layer::Activation(function), &[value])?;
    }
    one(data.with_value(value))
}

/// `Where` by a condition that is a constant: factors of 1 and 0, and the constant's share.
pub fn choose(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let condition = call.constant(0)?;
    let zero = Constant::floats(&[], vec![0.0]);
    let mut shares = [zero.clone(), zero];
    let mut result: Option<Data> = None;
    for input in [1, 2] {
        let chosen = |&value: &i64| f32::from((value != 0) == (input == 1));
        let factors = condition.to_integers()?.iter().map(chosen).collect();
        if let Ok(share) = call.constant(input) {
            shares[input - 1] = (*share).clone();
            continue;
        }
        let (data, factors) = (call.data(input)?.clone(), Constant::floats(&condition.extents, factors));
        let own = with(importer, Arithmetic::Multiply, data, &factors, false)?;
        result = Some(match result {
            None => own,
            Some(other) => of_both(importer, Arithmetic::Add, other, own)?,
        });
    }
    let data = result.ok_or("reads constants only")?;
    let inputs = [Some(&*condition), Some(&shares[0]), Some(&shares[1])];
    let share = fold::fold("Where", call.attributes, &inputs).ok_or("reads constants only")??.swap_remove(0);
    let values = share.to_floats()?;
    if values.iter().any(|value| !value.is_finite()) {
        return Err("chooses values that are not finite".to_string());
    }
    let nothing = values.iter().all(|&value| value == 0.0);
    one(if nothing { data } else { with(importer, Arithmetic::Add, data, &share, false)? })
}

/// `Expand`: repeats along axes of one place.
pub fn expand(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0)?;
    let wanted = call.constant(1)?;
    let wanted = wanted.to_integers()?;
    let shape = data.shape();
    let missing = wanted.len().saturating_sub(shape.len());
    if wanted[..missing].iter().any(|&extent| extent != 1)
        || (missing > 0 && data.axes.contains(&Place::Batch))
    {
        return Err("adds axes in front of the images".to_string());
    }
    let ahead = shape.len() - (wanted.len() - missing);
    let extents: Vec<usize> = (0..shape.len())
        .map(|axis| match (axis.checked_sub(ahead).map(|i| wanted[i + missing]), shape[axis]) {
            (Some(wanted), BATCH) if ![1, BATCH].contains(&wanted) && Some(wanted) != importer.batch => {
                Err(format!("repeats the images {wanted} times"))
            }
            (_, BATCH) => Ok(1),
            (Some(wanted), own) => {
                usize::try_from(wanted.max(own)).map_err(|_| format!("makes the extent {wanted}"))
            }
            (None, own) => Ok(own as usize),
        })
        .collect::<Result<_>>()?;
    one(enlarged(importer, data.clone(), &extents)?)
}

/// A function of two values, one of which depends on the images.
pub fn combine(importer: &mut Importer, function: Arithmetic, left: Known, right: Known) -> Result<Data> {
    match (left, right) {
        (Known::Data(left), Known::Data(right)) => of_both(importer, function, left, right),
        (Known::Data(data), Known::Constant(constant)) => with(importer, function, data, &constant, false),
        (Known::Constant(constant), Known::Data(data)) => with(importer, function, data, &constant, true),
        _ => Err("reads constants only".to_string()),
    }
}

fn of_both(importer: &mut Importer, function: Arithmetic, left: Data, right: Data) -> Result<Data> {
    let (mut left, mut right) = (in_front(left, right.rank())?, right);
    right = in_front(right, left.rank())?;
    if left.axes.iter().zip(&right.axes).any(|(a, b)| (*a == Place::Batch) != (*b == Place::Batch)) {
        return Err("combines the images with another axis".to_string());
    }
    let rank = left.rank();
    let extents = |data: &Data| (0..rank).map(|axis| data.extent(axis).unwrap_or(1)).collect::<Vec<_>>();
    let (own, other) = (extents(&left), extents(&right));
    let all: Vec<usize> = own.iter().zip(&other).map(|(&a, &b)| a.max(b)).collect();
    let fits = |extents: &[usize]| extents.iter().zip(&all).all(|(&own, &all)| own == all || own == 1);
    if !fits(&own) || !fits(&other) {
        return Err("reads shapes that do not fit together".to_string());
    }
    // The larger one stays where it is.
    let swapped = right.len() > left.len();
    if swapped {
        std::mem::swap(&mut left, &mut right);
    }
    for axis in 0..rank {
        if left.axes[axis] != Place::Batch
            && left.extent(axis)? == right.extent(axis)?
            && !left.agree(&mut right, axis)
        {
            return Err("reads two layouts of one axis that do not fit together".to_string());
        }
    }
    let left = enlarged_like(importer, left, &right)?;
    let right = enlarged_like(importer, right, &left)?;
    let order = same_order(&left, &right);
    let right = importer.arranged(right, &order)?;
    let form = importer.extents[left.value.0];
    let value = importer.form(right.value, form)?;
    let (first, second) = if swapped { (value, left.value) } else { (left.value, value) };
    let layer = if function == Arithmetic::Add { Layer::Add } else { Layer::Combine(function) };
    let value = importer.push(layer, &[first, second])?;
    Ok(left.with_value(value).tidied())
}

/// With axes of one place in front, up to `rank`.
fn in_front(mut data: Data, rank: usize) -> Result<Data> {
    let missing = rank.saturating_sub(data.rank());
    if missing > 0 && data.axes.contains(&Place::Batch) {
        return Err("combines the images with another axis".to_string());
    }
    data.axes.splice(0..0, std::iter::repeat_n(Place::Atoms(Vec::new()), missing));
    Ok(data)
}

/// The atoms of `right` in the order in which `left`, which has the same, has them in memory.
fn same_order(left: &Data, right: &Data) -> Vec<usize> {
    let (ours, theirs) = (left.in_order(), right.in_order());
    let index = |atom: &usize| ours.iter().position(|own| own == atom).expect("every atom has an axis");
    left.storage.iter().map(|atom| theirs[index(atom)]).collect()
}

/// Repeats `data` along the axes that only `like` has, in an order of memory that suits `like`.
fn enlarged_like(importer: &mut Importer, mut data: Data, like: &Data) -> Result<Data> {
    for axis in 0..data.rank() {
        if data.axes[axis] == Place::Batch || !data.atoms(axis)?.is_empty() {
            continue;
        }
        let atoms = like.atoms(axis)?.to_vec();
        let new: Vec<usize> = (data.extents.len()..).take(atoms.len()).collect();
        data.extents.extend(atoms.iter().map(|&atom| like.extents[atom]));
        data.axes[axis] = Place::Atoms(new);
    }
    // In the order of memory of the other one, where it has all axes; else in front.
    let has_all = (0..data.rank()).all(|axis| {
        matches!((&data.axes[axis], &like.axes[axis]), (Place::Atoms(own), Place::Atoms(other)) if own.len() == other.len())
            || data.axes[axis] == Place::Batch
    });
    let known = data.storage.clone();
    let order: Vec<usize> = match has_all {
        true => same_order(like, &data),
        false => {
            let new = data.in_order().into_iter().filter(|atom| !known.contains(atom));
            new.chain(known.iter().copied()).collect()
        }
    };
    repeat_into(importer, data, &order)
}

/// Repeats `data`, whose memory lacks some of its atoms, so that memory has all of them in this order.
fn repeat_into(importer: &mut Importer, mut data: Data, order: &[usize]) -> Result<Data> {
    let kept: Vec<usize> = order.iter().copied().filter(|atom| data.storage.contains(atom)).collect();
    if kept.len() == order.len() {
        return Ok(data);
    }
    data = importer.arranged(data, &kept)?;
    let mut at = 0;
    while at < order.len() {
        let run = order[at..].iter().take_while(|atom| !data.storage.contains(atom)).count();
        if run > 0 {
            let product = |atoms: &[usize]| atoms.iter().map(|&atom| data.extents[atom]).product::<usize>();
            let axis =
                Axis { before: product(&data.storage[..at]), extent: 1, after: product(&data.storage[at..]) };
            let times = product(&order[at..at + run]);
            data.value = importer.push(Layer::Arrange(Arrangement::Repeat(axis, times)), &[data.value])?;
            data.storage.splice(at..at, order[at..at + run].iter().copied());
        }
        at += run.max(1);
    }
    Ok(data)
}

/// Repeated along axes of one place to these extents.
fn enlarged(importer: &mut Importer, mut data: Data, extents: &[usize]) -> Result<Data> {
    for (axis, &extent) in extents.iter().enumerate() {
        if data.axes[axis] == Place::Batch || data.extent(axis)? == extent {
            continue;
        }
        if data.extent(axis)? != 1 {
            return Err("reads shapes that do not fit together".to_string());
        }
        let block = data.block(axis)?.ok_or("needs an axis that lies together")?;
        let value = importer.push(Layer::Arrange(Arrangement::Repeat(block, extent)), &[data.value])?;
        data = data.with_extent(axis, extent, value)?;
    }
    Ok(data)
}

/// A function of `data` and of a constant, which stands on the left if `reversed`.
pub fn with(
    importer: &mut Importer,
    function: Arithmetic,
    data: Data,
    constant: &Constant,
    reversed: bool,
) -> Result<Data> {
    let unpadded_rank = data.rank();
    if constant.len() == 1 && constant.extents.len() <= unpadded_rank {
        let number = constant.to_floats()?[0];
        let value = with_number(importer, function, &data, number, reversed)?;
        return Ok(data.with_value(value));
    }
    let data = in_front_of_constant(data, constant)?;
    let missing = data.rank() - constant.extents.len().min(data.rank());
    let front = constant.extents.len().saturating_sub(data.rank());
    let wanted = |axis: usize| axis.checked_sub(missing).map_or(1, |i| constant.extents[i + front]);
    let extents: Vec<usize> =
        (0..data.rank()).map(|axis| data.extent(axis).unwrap_or(1).max(wanted(axis))).collect();
    let data = enlarged(importer, data, &extents)?;
    let (extents, strides) = constant_in_memory(&data, constant)?;
    let from = strides.iter().position(|&stride| stride > 0).unwrap_or(extents.len());
    let values = constant.to_floats()?;
    let values: Vec<f32> = Places::new(&extents[from..], &strides[from..]).map(|at| values[at]).collect();
    let role = if constant.origin.is_some() { Role::Weight } else { Role::Buffer };
    let new = NewSlot { extents: vec![values.len()], role, order: FileOrder::Same, values };
    let slot = importer.slot(constant.origin.as_deref(), "constant", new);
    let value = importer.push(Layer::With { function, slot, reversed }, &[data.value])?;
    Ok(data.with_value(value))
}

fn in_front_of_constant(data: Data, constant: &Constant) -> Result<Data> {
    let front = constant.extents.len().saturating_sub(data.rank());
    if constant.extents[..front].iter().all(|&extent| extent == 1)
        && data.axes.contains(&Place::Batch)
        && front > 0
    {
        return Err("adds axes in front of the images".to_string());
    }
    in_front(data, constant.extents.len())
}

/// How memory of `data` reads a constant: extents and strides of its atoms.
pub fn constant_in_memory(data: &Data, constant: &Constant) -> Result<(Vec<usize>, Vec<usize>)> {
    let shape: Vec<usize> = (0..data.rank()).map(|axis| data.extent(axis).unwrap_or(1)).collect();
    let strides = spread_strides(&constant.extents, &shape).ok_or_else(|| {
        format!(
            "reads a constant of {:?}, which differs from image to image or does not fit",
            constant.extents
        )
    })?;
    Ok(data.read(&strides))
}

/// A function of every value and of one number.
fn with_number(
    importer: &mut Importer,
    function: Arithmetic,
    data: &Data,
    number: f32,
    reversed: bool,
) -> Result<crate::nn::net::Value> {
    let refused = || format!("has the number {number}");
    if matches!(
        (function, number),
        (Arithmetic::Maximum, f32::NEG_INFINITY) | (Arithmetic::Minimum, f32::INFINITY)
    ) {
        // The other value, whatever it is.
        return Ok(data.value);
    }
    if !number.is_finite() {
        return Err(refused());
    }
    let functions = match (function, reversed) {
        (Arithmetic::Add, _) => vec![Activation::Affine(1.0, number)],
        (Arithmetic::Subtract, false) => vec![Activation::Affine(1.0, -number)],
        (Arithmetic::Subtract, true) => vec![Activation::Affine(-1.0, number)],
        (Arithmetic::Multiply, _) => vec![Activation::Affine(number, 0.0)],
        (Arithmetic::Divide, false) => vec![Activation::Affine(1.0 / number, 0.0)],
        (Arithmetic::Divide, true) => vec![Activation::Reciprocal, Activation::Affine(number, 0.0)],
        (Arithmetic::Maximum, _) => vec![Activation::Clamp(number, f32::MAX)],
        (Arithmetic::Minimum, _) => vec![Activation::Clamp(f32::MIN, number)],
    };
    let mut value = data.value;
    for function in functions {
        // The inverse of a small number is none.
        if let Activation::Affine(factor, _) = function
            && !factor.is_finite()
        {
            return Err(refused());
        }
        value = importer.push(Layer::Activation(function), &[value])?;
    }
    Ok(value)
}
