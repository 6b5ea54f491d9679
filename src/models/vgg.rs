//! VGG networks whose file holds names and shapes alone: `features.0`, `features.1`, … are convolutions of 3x3 with or without
//! batch normalisation, numbered with the activations and the pooling between them, which have no tensors.
//!
//! | head | image in front of it | repositories |
//! | --- | --- | --- |
//! | `classifier` | the mean over all positions | kuangliu's pytorch-cifar |
//! | `classifier.0`, `.3`, `.6`, or other numbers in order, with ReLU between | averaged or repeated to the size that the first layer reads, 7x7 in torchvision | torchvision |
//!
//! Between the last layer of a block and the next convolution there is a place for ReLU, and where there is another one, for
//! maximum pooling of 2x2. Pooling follows the last convolution in any case.

use super::torch::{Found, Result, SIDES, Shapes, identity, of_zoo};
use crate::graph::{Resize, Window};
use crate::nn::Problem;
use crate::nn::builder::{Builder, Kernel};
use crate::nn::layer::{Layer, Pooling};
use crate::nn::net::Value;
use crate::nn::zoo::LAST_GAIN;

/// Layers beyond which nobody has trained such a network.
const MOST_LAYERS: usize = 200;

/// The name of the first weight.
const FIRST: &str = "features.0.weight";

/// Whether the tensors are those of such a network.
pub(super) fn is_vgg(shapes: &Shapes) -> bool {
    shapes.has(FIRST) && shapes.get::<4>(FIRST).is_ok() && !heads(shapes).is_empty()
}

/// The network that the tensors belong to. `expected` is what the data look like.
pub(super) fn network(shapes: &Shapes, expected: Option<Problem>) -> Result<Found> {
    let [_, channels, ..] = shapes.get::<4>(FIRST)?;
    let convolutions = convolutions(shapes);
    let last = *convolutions.last().ok_or("there is no convolution")?;
    let [maps, ..] = shapes.get::<4>(&format!("features.{last}.weight"))?;
    let heads = heads(shapes);
    let side = side_of(shapes, &heads[0], maps)?;
    let [classes, _] = shapes.get::<2>(&format!("{}.weight", heads[heads.len() - 1]))?;
    let usual = usual_side(side, poolings(shapes, &convolutions)?);
    let problem = match expected {
        Some(problem) => Problem { channels, classes, ..problem },
        None => Problem::square(usual, channels, classes),
    };
    problem.check(1.0).map_err(|error| error.to_string())?;
    let normalised = shapes.has("normalise.mean");
    let mut net = Builder::new(problem);
    let mut x = net.images();
    if normalised {
        x = net.normalise(x, "normalise", &identity(channels));
    }
    for (at, &index) in convolutions.iter().enumerate() {
        x = block(shapes, &mut net, x, index, convolutions.get(at + 1).copied())?;
    }
    x = sized(&mut net, x, side, usual)?;
    head(shapes, &mut net, x, &heads)?;
    let classifier = net.finish().map_err(|error| error.to_string())?;
    let (network, width) = of_zoo(shapes, FIRST, &classifier, normalised);
    Ok(Found { family: "a VGG network", network, width, classifier, notes: Vec::new() })
}

/// The places of the convolutions.
fn convolutions(shapes: &Shapes) -> Vec<usize> {
    (0..MOST_LAYERS).filter(|index| shapes.get::<4>(&format!("features.{index}.weight")).is_ok()).collect()
}

/// How many of them pooling follows.
fn poolings(shapes: &Shapes, convolutions: &[usize]) -> Result<u32> {
    let mut count = 0;
    for (at, &index) in convolutions.iter().enumerate() {
        count += u32::from(is_pooled(shapes, index, convolutions.get(at + 1).copied())?);
    }
    Ok(count)
}

/// Whether pooling follows the convolution at `index`, before the one at `next`.
fn is_pooled(shapes: &Shapes, index: usize, next: Option<usize>) -> Result<bool> {
    // The place of ReLU.
    let at = index + 1 + usize::from(is_normalised(shapes, index));
    match next.map_or(Some(1), |next| next.checked_sub(at + 1)) {
        Some(places @ (0 | 1)) => Ok(places == 1),
        _ => Err(format!(
            "between features.{index} and the next convolution is something else than ReLU and pooling"
        )),
    }
}

/// Whether batch normalisation follows the convolution at `index`.
fn is_normalised(shapes: &Shapes, index: usize) -> bool {
    shapes.has(&format!("features.{}.running_mean", index + 1))
}

/// The side of the images that such a network is made for: what is halved so often to `side`, which the first linear layer
/// reads. A mean over all positions does not tell it.
fn usual_side(side: usize, poolings: u32) -> usize {
    match side {
        1 => SIDES[0],
        _ => 1_usize.checked_shl(poolings).and_then(|times| side.checked_mul(times)).unwrap_or(SIDES[1]),
    }
}

/// The names of the linear layers, in order.
fn heads(shapes: &Shapes) -> Vec<String> {
    let is_linear = |name: &String| shapes.get::<2>(&format!("{name}.weight")).is_ok();
    let numbered = (0..MOST_LAYERS).map(|index| format!("classifier.{index}"));
    std::iter::once("classifier".to_string()).chain(numbered).filter(is_linear).collect()
}

/// The side of the image of so many maps that the first linear layer, named `first`, reads.
fn side_of(shapes: &Shapes, first: &str, maps: usize) -> Result<usize> {
    let [_, features] = shapes.get::<2>(&format!("{first}.weight"))?;
    let side = (1..=features).find(|side| maps * side * side >= features).unwrap_or(1);
    match maps * side * side == features {
        true => Ok(side),
        false => Err(format!(
            "the tensor {first}.weight reads {features} numbers, which are no square of the {maps} channels before it"
        )),
    }
}

/// The linear layers of these names, with ReLU between them.
fn head(shapes: &Shapes, net: &mut Builder, mut x: Value, names: &[String]) -> Result<()> {
    for (at, name) in names.iter().enumerate() {
        let [outputs, inputs] = shapes.get::<2>(&format!("{name}.weight"))?;
        let found = net.extents(x).len();
        if found != inputs {
            return Err(format!(
                "the tensor {name}.weight reads {inputs} numbers, and the layer before it gives {found}"
            ));
        }
        if !shapes.has(&format!("{name}.bias")) {
            return Err(format!("the tensor {name}.bias is missing"));
        }
        let is_last = at + 1 == names.len();
        x = net.dense(x, name, outputs, if is_last { LAST_GAIN } else { 1.0 });
        if !is_last {
            x = net.relu(x);
        }
    }
    Ok(())
}

/// The convolution at a place, and what follows it before the next one.
fn block(shapes: &Shapes, net: &mut Builder, x: Value, index: usize, next: Option<usize>) -> Result<Value> {
    let weight = format!("features.{index}.weight");
    let shape = shapes.get::<4>(&weight)?;
    let [outputs, inputs, 3, 3] = shape else {
        return Err(format!("the tensor {weight} has the shape {shape:?}; a kernel of 3x3 is needed"));
    };
    let from = net.extents(x).channels();
    if from != inputs {
        return Err(format!(
            "the tensor {weight} has the shape {shape:?}, and {from} channels come before it"
        ));
    }
    let bias = shapes.has(&format!("features.{index}.bias"));
    let kernel = Kernel::new(3, outputs);
    let kernel = if bias { kernel } else { kernel.without_bias() };
    let mut x = net.convolution(x, &format!("features.{index}"), kernel);
    if is_normalised(shapes, index) {
        x = net.batch_norm(x, &format!("features.{}", index + 1));
    }
    x = net.relu(x);
    let pooled = is_pooled(shapes, index, next)?;
    let smaller = net.extents(x).positions() == 1;
    if pooled && smaller {
        return Err(format!("the images are too small for the pooling behind features.{index}"));
    }
    Ok(if pooled { net.pool(x, Pooling::Max, Window::new(2, 2)) } else { x })
}

/// An image with this many rows and columns, as PyTorch's adaptive average pooling makes it; for one of each, the mean. The
/// network is made for images with the side `usual`.
fn sized(net: &mut Builder, x: Value, side: usize, usual: usize) -> Result<Value> {
    let crate::nn::layer::Extents::Image { height, width, .. } = net.extents(x) else {
        return Err("the last convolution gives no image".to_string());
    };
    match (height, width) {
        _ if side == 1 => Ok(net.global_mean(x)),
        (rows, columns) if rows == side && columns == side => Ok(x),
        (1, 1) => Ok(net.layer("repeat", Layer::Resize(Resize::nearest([1, 1], [side; 2])), &[x])),
        (rows, columns) if rows.is_multiple_of(side) && columns.is_multiple_of(side) => {
            let [rows, columns] = [rows / side, columns / side];
            Ok(net.pool(x, Pooling::Mean, Window::mean(rows, columns)))
        }
        (rows, columns) => Err(format!(
            "the images end as {rows}x{columns}, which the linear layers read as {side}x{side}; give images whose sides are \
             {usual} or a multiple of it, or export the model to ONNX"
        )),
    }
}
