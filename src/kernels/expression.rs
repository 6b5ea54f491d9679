//! The instructions of a call of `elementwise`. They compute the values at one place of its tensors.
//!
//! There were three ways to run a chain of element-wise operations in one pass. Hand-written kernels would be needed for every new
//! attack. One kernel that interprets a list from a uniform has a branch per operation and value, and keeps values in memory; on a
//! software adapter this costs more than the saved passes. The third way is used: `generate` writes WGSL from the list, one
//! pipeline per list. Sizes stay parameters, so that one pipeline serves all batches. The CPU twin interprets the same list, one
//! block of values at a time.

use crate::graph::Broadcast;

/// One instruction; operands are the numbers of earlier instructions. Functions have the codes of
/// [`crate::graph::Unary`] and [`crate::graph::Binary`], with their two constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Instruction {
    /// One value everywhere.
    Constant(f32),
    /// A value of a tensor, by its position among those read, then written.
    Load {
        /// Which tensor.
        tensor: usize,
        /// How it is read.
        how: Broadcast,
    },
    /// A function of one value.
    Unary {
        /// Which function.
        code: u32,
        /// Its constants.
        constants: [f32; 2],
        /// Its operand.
        x: usize,
    },
    /// A function of two values.
    Binary {
        /// Which function.
        code: u32,
        /// Its constants.
        constants: [f32; 2],
        /// Its operands.
        operands: [usize; 2],
    },
}

/// A value that goes into a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store {
    /// The tensor, by its position among those read, then written.
    pub tensor: usize,
    /// The instruction.
    pub value: usize,
}

/// A call's instructions and results. All values are loaded before one is stored, place by place, so a tensor
/// may be read and written; it is then among those written and nowhere else.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expression {
    /// In order.
    pub instructions: Vec<Instruction>,
    /// Tensors that are only read.
    pub reads: usize,
    /// Tensors that are written.
    pub writes: usize,
    /// What is written value by value.
    pub stores: Vec<Store>,
    /// What is added over each row, or over the rows (`by_column`).
    pub sums: Vec<Store>,
    /// Whether workgroups keep to one row, so that what is one number per row is read once and not per value.
    pub by_row: bool,
    /// Whether rows are added up, in parts of many rows, so that what is one number per column is read once per part. Such a call
    /// is one of `elementwise_columns`.
    pub by_column: bool,
}

impl Expression {
    /// For each instruction, whether its value is the same over all of what a workgroup (a twin's unit of work) computes.
    pub fn steady(&self) -> Vec<bool> {
        let mut steady: Vec<bool> = Vec::with_capacity(self.instructions.len());
        for instruction in &self.instructions {
            let this = match *instruction {
                Instruction::Constant(_) => true,
                Instruction::Load { how, .. } => {
                    how == Broadcast::Scalar
                        || (how == Broadcast::Stretch && self.by_row)
                        || (how == Broadcast::Tile && self.by_column)
                }
                Instruction::Unary { x, .. } => steady[x],
                Instruction::Binary { operands: [l, r], .. } => steady[l] && steady[r],
            };
            steady.push(this);
        }
        steady
    }

    /// Whether everything that is written is the result of an instruction, which is flushed already, and not just loaded.
    pub fn writes_results(&self) -> bool {
        let loaded = |store: &Store| matches!(self.instructions[store.value], Instruction::Load { .. });
        !self.stores.iter().any(loaded)
    }
}
