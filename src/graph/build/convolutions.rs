//! Convolutions and their two gradients. They are written without an end: the compiler finds biases, activations and masks that
//! their kernels can take in (`program/rewrite.rs`).

use super::{Graph, GraphError, Result};
use crate::graph::{Borders, Convolution, Epilogue, Operation, Shape, Tensor};

/// Steps of the longest sum of the kernels for any geometry, whose sums have one stage. A step adds four values; every tap ends
/// with up to three steps of one.
const LONGEST_SUM: usize = 1 << 15;

impl Graph {
    /// A convolution: fine `[n, H, W, a]` by `[kh, kw, a/groups, b]` to coarse `[n, h, w, b]`; [`Convolution::positions`]
    /// says how many positions there are.
    pub fn convolve(&mut self, g: Convolution, x: Tensor, w: Tensor) -> Result {
        let name = "convolution";
        let [[n, height, width, a], weight] = self.images(name, x, w)?;
        let b = weight[3];
        self.fits_weight(name, [x, w], g, [a, b])?;
        let Some([h, w_]) = g.positions([height, width]) else {
            let expected = format!("the kernel reaches beyond the padded image of {height}x{width}");
            return Err(self.misfit(name, x, w, expected));
        };
        let shape = Shape::new(&[n, h, w_, b]);
        self.fits_kernels(name, [x, w], g, [self.shape(x), &shape], weight[2])?;
        Ok(self.push(Operation::Convolve(g, Epilogue::None), &[x, w], shape))
    }

    /// The adjoint of [`Graph::convolve`] in its image, which is the transposed convolution: coarse `[n, h, w, b]` by
    /// `[kh, kw, a/groups, b]` to fine `[n, height, width, a]`, of which the coarse side alone does not tell the extents.
    pub fn convolve_input_gradient(
        &mut self,
        g: Convolution,
        d: Tensor,
        w: Tensor,
        [height, width]: [usize; 2],
    ) -> Result {
        let name = "transposed convolution";
        let shape = self.transposed(name, g, [d, w], [height, width])?;
        Ok(self.push(Operation::ConvolveInputGradient(g, Epilogue::None), &[d, w], shape))
    }

    /// [`Graph::convolve_input_gradient`] to the fine side that has `stride` times the coarse side's rows and columns.
    pub fn convolve_transposed(&mut self, g: Convolution, d: Tensor, w: Tensor) -> Result {
        let fine = self.whole_multiple("transposed convolution", g, d, w)?;
        self.convolve_input_gradient(g, d, w, fine)
    }

    /// [`Graph::convolve_transposed`], to which a bias of the image and of the place by the border is added (see [`Borders`]),
    /// `[n, 3s, 3s, a]`, then leaky ReLU. The geometry is [`Convolution::same`] of a 3x3 kernel at stride 1 or 2.
    pub fn convolve_transposed_with_borders(
        &mut self,
        g: Convolution,
        slope: f32,
        [d, w, biases]: [Tensor; 3],
    ) -> Result {
        let name = "transposed convolution with biases by the border";
        let fine = self.whole_multiple(name, g, d, w)?;
        let shape = self.transposed(name, g, [d, w], fine)?;
        let borders = Borders { stride: g.stride[0] };
        let [n, h, width, a] = shape.image().expect("convolutions make images");
        let usual = [1, 2].map(|stride| Convolution::same(3, stride)).contains(&g);
        if !usual || !borders.fit(h) || !borders.fit(width) {
            let expected = "it takes a 3x3 kernel at stride 1 or 2, padded by 1, and two positions to a side";
            return Err(self.misfit(name, d, w, expected.to_string()));
        }
        if self.shape(biases).image() != Some([n, borders.side(), borders.side(), a]) {
            return Err(GraphError::Mismatch {
                operation: name,
                left: shape,
                right: self.shape(biases).clone(),
            });
        }
        let operation = Operation::ConvolveInputGradient(g, Epilogue::BorderBiasLeaky(slope));
        Ok(self.push(operation, &[d, w, biases], shape))
    }

    /// The adjoint of [`Graph::convolve`] in its weight: `[kh, kw, a/groups, b]`.
    pub fn convolve_weight_gradient(&mut self, g: Convolution, x: Tensor, d: Tensor) -> Result {
        let name = "weight gradient of a convolution";
        let [[n, height, width, a], [m, h, w, b]] = self.images(name, x, d)?;
        let weight = g.weight(a, b).map_err(|expected| self.misfit(name, x, d, expected))?;
        match g.positions([height, width]) {
            Some(coarse) if coarse == [h, w] && n == m => {
                Ok(self.push(Operation::ConvolveWeightGradient(g), &[x, d], Shape::new(&weight)))
            }
            Some([rows, columns]) => {
                let expected = format!("the coarse side would be [{n}, {rows}, {columns}, {b}]");
                Err(self.misfit(name, x, d, expected))
            }
            None => {
                let expected = format!("the kernel reaches beyond the padded image of {height}x{width}");
                Err(self.misfit(name, x, d, expected))
            }
        }
    }

    /// The fine side of a transposed convolution, if that has these rows and columns.
    fn transposed(
        &self,
        name: &'static str,
        g: Convolution,
        [d, w]: [Tensor; 2],
        [height, width]: [usize; 2],
    ) -> Result<Shape> {
        let [[n, rows, columns, b], weight] = self.images(name, d, w)?;
        let a = weight[2].saturating_mul(g.groups);
        self.fits_weight(name, [d, w], g, [a, b])?;
        let coarse = g.positions([height, width]);
        if coarse != Some([rows, columns]) {
            let made = coarse.map_or("nothing".to_string(), |[h, w]| format!("{h}x{w}"));
            let expected = format!(
                "the convolution makes {made} of the {height}x{width} asked for, not {rows}x{columns}"
            );
            return Err(self.misfit(name, d, w, expected));
        }
        let shape = Shape::new(&[n, height, width, a]);
        self.fits_kernels(name, [d, w], g, [&shape, self.shape(d)], b / g.groups)?;
        Ok(shape)
    }

    fn whole_multiple(&self, name: &'static str, g: Convolution, d: Tensor, w: Tensor) -> Result<[usize; 2]> {
        let [[_, rows, columns, _], _] = self.images(name, d, w)?;
        Ok([rows * g.stride[0], columns * g.stride[1]])
    }

    fn images(&self, name: &'static str, x: Tensor, w: Tensor) -> Result<[[usize; 4]; 2]> {
        match (self.shape(x).image(), self.shape(w).image()) {
            (Some(image), Some(weight)) => Ok([image, weight]),
            _ => Err(self.misfit(name, x, w, "both need four extents".to_string())),
        }
    }

    fn fits_weight(
        &self,
        name: &'static str,
        [x, w]: [Tensor; 2],
        g: Convolution,
        channels: [usize; 2],
    ) -> Result<()> {
        let weight =
            g.weight(channels[0], channels[1]).map_err(|expected| self.misfit(name, x, w, expected))?;
        match self.shape(w).extents() == weight {
            true => Ok(()),
            false => Err(self.misfit(name, x, w, format!("the weight would be {weight:?}"))),
        }
    }

    /// Whether some kernel adds as much as one result takes: `channels` at every tap.
    fn fits_kernels(
        &self,
        name: &'static str,
        [x, w]: [Tensor; 2],
        g: Convolution,
        [fine, coarse]: [&Shape; 2],
        channels: usize,
    ) -> Result<()> {
        let steps = g.size[0].saturating_mul(g.size[1]).saturating_mul(channels / 4 + 3);
        if g.usual(fine, coarse).is_ok() || steps <= LONGEST_SUM {
            return Ok(());
        }
        let expected = format!("one result would add {channels} channels at each tap; split it into groups");
        Err(self.misfit(name, x, w, expected))
    }

    fn misfit(&self, operation: &'static str, x: Tensor, w: Tensor, expected: String) -> GraphError {
        let [left, right] = [x, w].map(|tensor| self.shape(tensor).clone());
        GraphError::Geometry { operation, left, right, expected }
    }
}
