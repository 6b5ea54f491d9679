//! What a device can do and what training makes of it. Nothing is timed before its result was compared.

pub mod attacks;
pub mod memory;
pub mod peak;
pub mod steps;

/// The middle value; the machine's noise is on both sides of it.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
