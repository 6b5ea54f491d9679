//! Fast form of `elementwise_columns`: adds a few rows in f32 and their sums in f64, as the fast form of `sum_rows` does, to
//! the bit.

use super::sum_rows::ROWS;
use crate::cpu::elementwise_columns::{ColumnSums, run};
use crate::cpu::flushed;
use crate::kernels::Arguments;

/// As the twin, `cpu::elementwise_columns::elementwise_columns`.
pub fn elementwise_columns(call: &mut Arguments) {
    run::<Sums>(call);
}

struct Sums {
    few: Vec<f32>,
    rows: usize,
    all: Vec<f64>,
}

impl Sums {
    fn pour(&mut self) {
        self.all.iter_mut().zip(&self.few).for_each(|(sum, &value)| *sum += f64::from(value));
        self.few.fill(0.0);
        self.rows = 0;
    }
}

impl ColumnSums for Sums {
    fn new(columns: usize) -> Self {
        Self { few: vec![0.0; columns], rows: 0, all: vec![0.0; columns] }
    }

    fn add(&mut self, row: &[f32]) {
        self.few.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
        self.rows += 1;
        if self.rows == ROWS {
            self.pour();
        }
    }

    fn write(&mut self, out: &mut [f32]) {
        self.pour();
        out.iter_mut().zip(&self.all).for_each(|(out, &sum)| *out = flushed(sum as f32));
    }
}
