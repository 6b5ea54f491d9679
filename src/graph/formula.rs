//! Formulas with operators, so that one of a paper reads like it: `(a - b).square().sum_columns()`.
//!
//! Each operator writes the node that the [`Graph`]'s method of the same meaning writes, in the order in which Rust
//! evaluates the operands. Operators cannot return an error, so the first one is kept, nothing is written after it, and
//! [`Graph::formulas`] returns it at the end.
//!
//! ```
//! # use pgn_wgpu::graph::{Graph, GraphError};
//! # fn main() -> Result<(), GraphError> {
//! let mut graph = Graph::new();
//! let [a, b] = [graph.input("a", &[4, 3])?, graph.input("b", &[4, 3])?];
//! let distance = graph.formula(|f| {
//!     let [a, b] = f.all([a, b]);
//!     (a - b).square().sum_columns().sqrt()
//! })?;
//! assert_eq!(graph.shape(distance).extents(), [4, 1]);
//! # Ok(())
//! # }
//! ```

use super::{Binary, Graph, GraphError, Shape, Tensor, Unary};
use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A graph into which formulas are written, and the first error.
pub struct Formula(RefCell<(Graph, Option<GraphError>)>);

/// A value of a formula.
#[derive(Clone, Copy)]
pub struct Term<'f> {
    formula: &'f Formula,
    /// After an error, some tensor of the graph.
    tensor: Tensor,
}

impl Graph {
    /// Writes a formula with operators.
    ///
    /// # Errors
    /// The first one of its operations.
    pub fn formula(
        &mut self,
        write: impl for<'f> FnOnce(&'f Formula) -> Term<'f>,
    ) -> Result<Tensor, GraphError> {
        self.formulas(|formula| [write(formula)]).map(|[tensor]| tensor)
    }

    /// Writes formulas with operators; their results are tensors again.
    ///
    /// # Errors
    /// The first one of their operations.
    pub fn formulas<const N: usize>(
        &mut self,
        write: impl for<'f> FnOnce(&'f Formula) -> [Term<'f>; N],
    ) -> Result<[Tensor; N], GraphError> {
        let formula = Formula(RefCell::new((std::mem::take(self), None)));
        let tensors = write(&formula).map(|result| result.tensor);
        let (graph, error) = formula.0.into_inner();
        *self = graph;
        error.map_or(Ok(tensors), Err)
    }
}

impl Formula {
    /// A tensor of the graph, for formulas.
    pub fn of(&self, tensor: Tensor) -> Term<'_> {
        Term { formula: self, tensor }
    }

    /// Tensors of the graph, for formulas.
    pub fn all<const N: usize>(&self, tensors: [Tensor; N]) -> [Term<'_>; N] {
        tensors.map(|tensor| self.of(tensor))
    }

    /// Writes the new value of a state.
    pub fn assign(&self, state: Tensor, value: Term) {
        self.write(value.tensor, |graph| graph.assign(state, value.tensor).map(|()| value.tensor));
    }

    /// Writes one operation, if there was no error; `instead` stands for its result after one.
    fn write(
        &self,
        instead: Tensor,
        operation: impl FnOnce(&mut Graph) -> Result<Tensor, GraphError>,
    ) -> Tensor {
        let (graph, error) = &mut *self.0.borrow_mut();
        if error.is_some() {
            return instead;
        }
        operation(graph).unwrap_or_else(|first| {
            *error = Some(first);
            instead
        })
    }
}

impl Term<'_> {
    /// What an operation of the graph makes of it: for those that have no method here.
    #[must_use]
    pub fn then(self, operation: impl FnOnce(&mut Graph, Tensor) -> Result<Tensor, GraphError>) -> Self {
        let tensor = self.formula.write(self.tensor, |graph| operation(graph, self.tensor));
        Self { tensor, ..self }
    }

    /// Its shape.
    pub fn shape(self) -> Shape {
        self.formula.0.borrow().0.shape(self.tensor).clone()
    }

    fn unary(self, function: Unary) -> Self {
        self.then(|graph, x| Ok(graph.unary(function, x)))
    }

    fn binary(self, function: Binary, right: Self) -> Self {
        self.then(|graph, left| graph.binary(function, left, right.tensor))
    }

    /// `a·x + b` in one operation; `x * a` and `x + b` are one each.
    #[must_use]
    pub fn affine(self, a: f32, b: f32) -> Self {
        self.unary(Unary::Affine(a, b))
    }

    /// The larger of both values.
    #[must_use]
    pub fn maximum(self, other: Self) -> Self {
        self.binary(Binary::Maximum, other)
    }

    /// The smaller of both values.
    #[must_use]
    pub fn minimum(self, other: Self) -> Self {
        self.binary(Binary::Minimum, other)
    }

    /// 1 where it is greater than `other`, else 0.
    #[must_use]
    pub fn greater(self, other: Self) -> Self {
        self.binary(Binary::Greater, other)
    }

    /// 1 where it equals `other`, else 0.
    #[must_use]
    pub fn equals(self, other: Self) -> Self {
        self.binary(Binary::Equal, other)
    }

    /// `yes` where it is 1, `no` where it is 0; a row of one value decides for the whole row. What is not chosen may be
    /// infinite or no number.
    #[must_use]
    pub fn choose(self, yes: Self, no: Self) -> Self {
        yes.binary(Binary::Select, self) + no.binary(Binary::Select, -self + 1.0)
    }

    /// `x²`.
    #[must_use]
    pub fn square(self) -> Self {
        self.unary(Unary::Square)
    }

    /// Square root.
    #[must_use]
    pub fn sqrt(self) -> Self {
        self.unary(Unary::Sqrt)
    }

    /// `1 / x`.
    #[must_use]
    pub fn reciprocal(self) -> Self {
        self.unary(Unary::Reciprocal)
    }

    /// `|x|`.
    #[must_use]
    pub fn abs(self) -> Self {
        self.unary(Unary::Abs)
    }

    /// `e^x`.
    #[must_use]
    pub fn exp(self) -> Self {
        self.unary(Unary::Exp)
    }

    /// Natural logarithm.
    #[must_use]
    pub fn log(self) -> Self {
        self.unary(Unary::Log)
    }

    /// `min(max(x, least), most)`.
    #[must_use]
    pub fn clamp(self, least: f32, most: f32) -> Self {
        self.unary(Unary::Clamp(least, most))
    }

    /// The same values through which no gradient flows.
    #[must_use]
    pub fn detach(self) -> Self {
        self.then(|graph, x| Ok(graph.detach(x)))
    }

    /// The sum of each row (image).
    #[must_use]
    pub fn sum_columns(self) -> Self {
        self.then(|graph, x| Ok(graph.sum_columns(x)))
    }

    /// The sum over rows of `columns` values.
    #[must_use]
    pub fn sum_rows(self, columns: usize) -> Self {
        self.then(|graph, x| graph.sum_rows(x, columns))
    }

    /// The sum of everything.
    #[must_use]
    pub fn sum(self) -> Self {
        self.then(|graph, x| Ok(graph.sum(x)))
    }
}

/// An operator between two values, and between a value and a number.
macro_rules! operator {
    ($trait:ident, $method:ident, $binary:ident, |$number:ident| $affine:expr) => {
        impl $trait for Term<'_> {
            type Output = Self;

            fn $method(self, right: Self) -> Self {
                self.binary(Binary::$binary, right)
            }
        }

        impl $trait<f32> for Term<'_> {
            type Output = Self;

            fn $method(self, $number: f32) -> Self {
                let (a, b) = $affine;
                self.affine(a, b)
            }
        }
    };
}
operator!(Add, add, Add, |number| (1.0, number));
operator!(Sub, sub, Subtract, |number| (1.0, -number));
operator!(Mul, mul, Multiply, |number| (number, 0.0));
operator!(Div, div, Divide, |number| (1.0 / number, 0.0));

impl Neg for Term<'_> {
    type Output = Self;

    fn neg(self) -> Self {
        self.affine(-1.0, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A graph with the inputs `a` and `b`, and what `write` does to it, as text.
    fn nodes(write: impl FnOnce(&mut Graph, [Tensor; 2])) -> String {
        let mut graph = Graph::new();
        let inputs = ["a", "b"].map(|name| graph.input(name, &[2, 3]).unwrap());
        write(&mut graph, inputs);
        format!("{graph:?}")
    }

    #[test]
    fn operators_write_the_nodes_of_the_methods_in_the_order_of_evaluation() {
        let formula = nodes(|graph, inputs| {
            let result = graph.formula(|f| {
                let [a, b] = f.all(inputs);
                let norm = (a - b).square().sum_columns().sqrt();
                -(a * b / norm.detach() + a * 2.0 - 1.0).clamp(0.0, 1.0).abs() / 4.0
                    + b.exp().sum_rows(3).log()
            });
            graph.output("y", result.unwrap());
        });
        let methods = nodes(|graph, [a, b]| {
            let difference = graph.subtract(a, b).unwrap();
            let square = graph.unary(Unary::Square, difference);
            let sums = graph.sum_columns(square);
            let norm = graph.unary(Unary::Sqrt, sums);
            let product = graph.multiply(a, b).unwrap();
            let norm = graph.detach(norm);
            let quotient = graph.binary(Binary::Divide, product, norm).unwrap();
            let double = graph.affine(a, 2.0, 0.0);
            let sum = graph.add(quotient, double).unwrap();
            let less = graph.affine(sum, 1.0, -1.0);
            let clamped = graph.unary(Unary::Clamp(0.0, 1.0), less);
            let absolute = graph.unary(Unary::Abs, clamped);
            let negative = graph.affine(absolute, -1.0, 0.0);
            let quarter = graph.affine(negative, 0.25, 0.0);
            let exponential = graph.unary(Unary::Exp, b);
            let sums = graph.sum_rows(exponential, 3).unwrap();
            let logarithm = graph.unary(Unary::Log, sums);
            let result = graph.add(quarter, logarithm).unwrap();
            graph.output("y", result);
        });
        assert_eq!(formula, methods);
    }

    #[test]
    fn the_first_error_comes_out_at_the_end_and_nothing_is_written_after_it() {
        let mut error = None;
        let written = nodes(|graph, inputs| {
            let state = graph.state("state", &[2, 3]).unwrap();
            error = graph
                .formula(|f| {
                    let [a, b] = f.all(inputs);
                    let wrong = a.sum_rows(4);
                    f.assign(state, a);
                    (wrong + b).sum_rows(5).square()
                })
                .err();
        });
        let expected = nodes(|graph, [a, _]| {
            graph.state("state", &[2, 3]).unwrap();
            assert_eq!(graph.sum_rows(a, 4).err(), error);
        });
        assert_eq!(written, expected);
        assert!(error.is_some_and(|error| error.to_string().contains("[4]")), "not the first one");
    }

    #[test]
    fn states_are_assigned_and_several_results_come_out() {
        let formula = nodes(|graph, [a, b]| {
            let state = graph.state("state", &[2, 3]).unwrap();
            let [sum, total] = graph
                .formulas(|f| {
                    let sum = f.of(a) + f.of(b);
                    f.assign(state, sum.reciprocal());
                    [sum, sum.sum()]
                })
                .unwrap();
            assert_eq!([sum, total].map(|tensor| graph.shape(tensor).len()), [6, 1]);
        });
        let methods = nodes(|graph, [a, b]| {
            let state = graph.state("state", &[2, 3]).unwrap();
            let sum = graph.add(a, b).unwrap();
            let inverse = graph.unary(Unary::Reciprocal, sum);
            graph.assign(state, inverse).unwrap();
            graph.sum(sum);
        });
        assert_eq!(formula, methods);
    }
}
