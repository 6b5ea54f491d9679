//! The WGSL of an [`Expression`]: `shaders/elementwise.wgsl` or `shaders/elementwise_columns.wgsl` with the tensors and instructions of a call in place of
//! the example between its marks. The text depends on the expression alone, so it is what pipelines are remembered by.

use super::expression::{Expression, Instruction};
use crate::graph::Broadcast;
use std::fmt::Write;

/// The shader of `expression` from the kernel's source.
pub fn shader(source: &str, expression: &Expression) -> String {
    let parts = [
        ("tensors", tensors(expression)),
        ("row", row(expression)),
        ("value", value(expression)),
        ("sums", sums(expression)),
    ];
    parts.iter().fold(source.to_string(), |text, (mark, part)| replace(&text, mark, part))
}

/// Replaces the text between `// [mark]` and the next `// [end]`.
fn replace(text: &str, mark: &str, part: &str) -> String {
    let open = format!("// [{mark}]\n");
    let (before, rest) = text.split_once(&open).expect("elementwise.wgsl has every mark");
    let (_, after) = rest.split_once("// [end]\n").expect("every mark is closed");
    format!("{}\n{part}{after}", before.trim_end())
}

fn tensors(expression: &Expression) -> String {
    let mut text = String::new();
    for tensor in 0..expression.reads + expression.writes {
        let binding = tensor + 1;
        let _ =
            writeln!(text, "@group(0) @binding({binding}) var<storage, read_write> t{tensor}: array<f32>;");
    }
    if !expression.sums.is_empty() {
        text.push_str("var<workgroup> partial: array<f32, 64>;\n");
    }
    text
}

/// What is computed once per workgroup.
fn row(expression: &Expression) -> String {
    let mut text = instructions(expression, true, "    ");
    for i in 0..expression.sums.len() {
        let _ = writeln!(text, "    var sum{i} = 0.0;");
    }
    text
}

/// What is computed for every value.
fn value(expression: &Expression) -> String {
    let mut text = instructions(expression, false, "        ");
    for store in &expression.stores {
        let _ = writeln!(text, "        t{}[i] = v{};", store.tensor, store.value);
    }
    for (i, sum) in expression.sums.iter().enumerate() {
        let _ = writeln!(text, "        sum{i} += v{};", sum.value);
    }
    text
}

/// The end of the sums, one after the other.
fn sums(expression: &Expression) -> String {
    if expression.by_column { sums_of_columns(expression) } else { sums_of_rows(expression) }
}

/// The lanes of each column, the upper half added to the lower. Workgroups beyond the last part, and lanes beyond the last
/// column, must not write.
fn sums_of_columns(expression: &Expression) -> String {
    let mut text = String::new();
    for (i, sum) in expression.sums.iter().enumerate() {
        if i > 0 {
            text.push_str("    workgroupBarrier();\n");
        }
        let _ = write!(
            text,
            "    partial[local] = sum{i};
    for (var half = 32u; half >= params.width; half >>= 1u) {{
        workgroupBarrier();
        if local < half {{
            partial[local] += partial[local + half];
        }}
    }}
    if local < params.width && inside {{
        t{}[part * params.columns + column] = partial[local];
    }}
",
            sum.tensor
        );
    }
    text
}

/// The tree of `sum_columns`, for one sum after the other. Workgroups beyond the last row must not write.
fn sums_of_rows(expression: &Expression) -> String {
    let mut text = String::new();
    for (i, sum) in expression.sums.iter().enumerate() {
        if i > 0 {
            text.push_str("    workgroupBarrier();\n");
        }
        let _ = write!(
            text,
            "    partial[local] = sum{i};
    for (var half = 32u; half > 0u; half >>= 1u) {{
        workgroupBarrier();
        if local < half {{
            partial[local] += partial[local + half];
        }}
    }}
    if local == 0u && number < params.rows {{
        t{}[row] = partial[0];
    }}
",
            sum.tensor
        );
    }
    text
}

fn instructions(expression: &Expression, steady: bool, indent: &str) -> String {
    let mut text = String::new();
    for (i, (instruction, own)) in expression.instructions.iter().zip(expression.steady()).enumerate() {
        if own == steady {
            let _ = writeln!(text, "{indent}let v{i} = {};", formula(expression, *instruction));
        }
    }
    text
}

fn formula(expression: &Expression, instruction: Instruction) -> String {
    match instruction {
        Instruction::Constant(value) => literal(value),
        Instruction::Load { tensor, how } => match how {
            Broadcast::Full => format!("t{tensor}[i]"),
            Broadcast::Tile if expression.by_column => format!("t{tensor}[column]"),
            Broadcast::Stretch if expression.by_column => format!("t{tensor}[image]"),
            Broadcast::Tile => format!("t{tensor}[i - quotient(i, params.tile) * params.tile]"),
            Broadcast::Stretch if expression.by_row => format!("t{tensor}[row]"),
            Broadcast::Stretch => format!("t{tensor}[quotient(i, params.stretch)]"),
            Broadcast::Scalar => format!("t{tensor}[0]"),
        },
        Instruction::Unary { code, constants, x } => unary(code, constants, x),
        Instruction::Binary { code, constants, operands } => binary(code, constants, operands),
    }
}

/// As in `unary.wgsl`.
fn unary(code: u32, [a, b]: [f32; 2], x: usize) -> String {
    let (a, b) = (literal(a), literal(b));
    match code {
        0 => format!("v{x}"),
        1 => format!("{a} * v{x} + {b}"),
        2 => format!("clamp(v{x}, {a}, {b})"),
        3 => format!("select({a} * v{x}, v{x}, v{x} > 0.0)"),
        4 => format!("exp(v{x})"),
        5 => format!("log(v{x})"),
        6 => format!("hyperbolic_tangent(v{x})"),
        7 => format!("1.0 / (1.0 + exp(-v{x}))"),
        8 => format!("sqrt(v{x})"),
        9 => format!("v{x} * v{x}"),
        10 => format!("abs(v{x})"),
        11 => format!("sign(v{x})"),
        12 => format!("1.0 / v{x}"),
        13 => format!("erf(v{x})"),
        14 => format!("softplus(v{x})"),
        15 => format!("power(v{x}, {a})"),
        _ => unreachable!("graph::Unary has no function {code}"),
    }
}

/// As in `binary.wgsl`.
fn binary(code: u32, [a, b]: [f32; 2], [l, r]: [usize; 2]) -> String {
    let (a, b) = (literal(a), literal(b));
    match code {
        0 => format!("v{l} + v{r}"),
        1 => format!("v{l} - v{r}"),
        2 => format!("v{l} * v{r}"),
        3 => format!("v{l} / v{r}"),
        4 => format!("max(v{l}, v{r})"),
        5 => format!("min(v{l}, v{r})"),
        6 => format!("select(0.0, 1.0, v{l} == v{r})"),
        7 => format!("select(0.0, 1.0, v{l} > v{r})"),
        8 => format!("select({a} * v{l}, v{l}, v{r} > 0.0)"),
        9 => format!("select(0.0, v{l}, v{r} >= {a} && v{r} <= {b})"),
        10 => format!("compose(v{l}, v{r})"),
        11 => format!("2.0 * v{r} * (1.0 - v{r}) * v{l}"),
        12 => format!("select(0.0, v{l}, v{r} != 0.0)"),
        _ => unreachable!("graph::Binary has no function {code}"),
    }
}

/// A text that is read back as the same number: the shortest one, unless it names a number above the largest f32, which
/// browsers refuse.
fn literal(value: f32) -> String {
    let shortest = format!("{value:?}");
    match shortest.parse::<f64>() {
        Ok(read) if read.abs() > f64::from(f32::MAX) => format!("f32({:?})", f64::from(value)),
        _ => format!("f32({shortest})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::expression::Store;

    #[test]
    fn literals_are_read_back_as_they_were_and_are_numbers_that_f32_has() {
        for value in [f32::MAX, -f32::MAX, f32::MIN_POSITIVE, 0.1, -3.0, 1e30] {
            let text = literal(value);
            let number: f64 = text.trim_start_matches("f32(").trim_end_matches(')').parse().unwrap();
            assert_eq!(number as f32, value, "{text}");
            assert!(number.abs() <= f64::from(f32::MAX), "{text}");
        }
    }

    #[test]
    fn tensors_and_instructions_stand_where_the_example_stood() {
        let load = |tensor, how| Instruction::Load { tensor, how };
        let expression = Expression {
            instructions: vec![
                load(0, Broadcast::Full),
                load(1, Broadcast::Stretch),
                Instruction::Binary { code: 2, constants: [0.0; 2], operands: [0, 1] },
            ],
            reads: 2,
            writes: 2,
            stores: vec![Store { tensor: 2, value: 2 }],
            sums: vec![Store { tensor: 3, value: 2 }],
            by_row: true,
            by_column: false,
        };
        let text = shader(crate::kernels::elementwise.forms[0].source, &expression);
        let (row, value) = text.split_once("for (var column").unwrap();
        assert!(row.contains("let v1 = t1[row];"), "{text}");
        assert!(value.contains("let v2 = v0 * v1;\n        t2[i] = v2;\n        sum0 += v2;"), "{text}");
        assert!(value.contains("t3[row] = partial[0];"), "{text}");
        assert!(!text.contains("t1[i] = v0"), "the example is gone: {text}");
    }
}
