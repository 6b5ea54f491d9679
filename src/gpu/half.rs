//! Shaders for tensors that are stored as f16: the same WGSL with the types of some bindings changed.
//!
//! A load becomes `f32(x[i])` and a store `x[i] = f16(value)`, so all arithmetic stays f32. The text is rewritten. WGSL does not mix
//! f16 and f32 by itself, so a missed access does not compile, and the tests compile every kernel with every binding.

use half::f16;

/// `source` with the storage bindings in `mask` (bit b for binding b) as f16.
pub fn rewrite(source: &str, mask: u32) -> String {
    // A comment may contain text that looks like an access.
    let code = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    let mut text = format!("enable f16;\n{}\n", code.collect::<Vec<_>>().join("\n"));
    for binding in (0..32).filter(|b| mask & (1 << b) != 0) {
        let (name, element) =
            tensor(&text, binding).expect("tensors that may be f16 are arrays of f32 or vec4<f32>");
        text = accesses(&text, &name, element);
        text = text.replace(
            &format!(" {name}: array<{}>", element.wide),
            &format!(" {name}: array<{}>", element.half),
        );
    }
    text
}

/// The element type of an array of numbers, in 32 and in 16 bits.
#[derive(Clone, Copy)]
struct Element {
    wide: &'static str,
    half: &'static str,
}

const ELEMENTS: [Element; 2] =
    [Element { wide: "f32", half: "f16" }, Element { wide: "vec4<f32>", half: "vec4<f16>" }];

/// Name and element of the storage variable of f32 at a binding.
fn tensor(text: &str, binding: u32) -> Option<(String, Element)> {
    let (_, rest) = text.split_once(&format!("@binding({binding})"))?;
    let (declaration, _) = rest.split_once(';')?;
    let (head, kind) = declaration.rsplit_once(':')?;
    let name = head.rsplit([' ', '>', '\n']).next()?;
    let element = ELEMENTS.into_iter().find(|element| kind.trim() == format!("array<{}>", element.wide))?;
    head.contains("storage").then(|| (name.to_string(), element))
}

/// Converts every access to the elements of `name`.
fn accesses(text: &str, name: &str, element: Element) -> String {
    let Element { wide, half } = element;
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = find(rest, name) {
        let end = at + name.len() + closing(&rest[at + name.len()..]);
        let index = accesses(&rest[at + name.len()..end], name, element);
        out += &rest[..at];
        rest = &rest[end..];
        let after = rest.trim_start();
        if after.starts_with('=') && !after.starts_with("==") {
            let value = after[1..].split(';').next().unwrap_or_default();
            out += &format!("{name}{index} = {half}({})", accesses(value.trim(), name, element));
            rest = &rest[rest.find(';').unwrap_or(rest.len())..];
        } else {
            out += &format!("{wide}({name}{index})");
        }
    }
    out + rest
}

/// Where `name[` is as a word of its own.
fn find(text: &str, name: &str) -> Option<usize> {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let access = format!("{name}[");
    text.match_indices(&access).map(|(at, _)| at).find(|&at| !text[..at].ends_with(word))
}

/// The end of the bracket that `text` opens with.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' if depth == 1 => return at + 1,
            ']' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// Values as a buffer holds them.
pub fn to_bytes(values: &[f32], half: bool) -> Vec<u8> {
    if !half {
        return bytemuck::cast_slice(values).to_vec();
    }
    let mut bytes: Vec<u8> = values.iter().flat_map(|&v| f16::from_f32(v).to_bits().to_ne_bytes()).collect();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The first `len` values of a buffer's words.
pub fn from_words(words: &[u32], half: bool, len: usize) -> Vec<f32> {
    if !half {
        return bytemuck::cast_slice(words)[..len].to_vec();
    }
    let bits: &[u16] = bytemuck::cast_slice(words);
    bits[..len].iter().map(|&b| f16::from_bits(b).to_f32()).collect()
}

/// Bytes of `len` values in a buffer.
pub fn bytes(len: usize, half: bool) -> u64 {
    let size = if half { 2 } else { 4 };
    (len as u64 * size).next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_and_stores_of_a_chosen_binding_convert_and_others_stay() {
        let source = "@group(0) @binding(1) var<storage, read_write> x: array<f32>;\n\
                      @group(0) @binding(2) var<storage, read_write> max_x: array<f32>;\n\
                      // x[n] is the sum of x[k] = 1\n\
                      fn f(i: u32) {\n    max_x[i] = x[u32(x[i])] + max_x[x.y];\n    x[i + 1u] = x[i] * 2.0;\n    if (x[i] == 1.0) {}\n}\n";
        let text = rewrite(source, 0b10);
        assert!(text.starts_with("enable f16;\n"), "{text}");
        assert!(text.contains("> x: array<f16>;") && text.contains("> max_x: array<f32>;"), "{text}");
        assert!(text.contains("max_x[i] = f32(x[u32(f32(x[i]))]) + max_x[x.y];"), "{text}");
        assert!(text.contains("x[i + 1u] = f16(f32(x[i]) * 2.0);"), "{text}");
        assert!(text.contains("if (f32(x[i]) == 1.0)"), "{text}");
    }

    #[test]
    fn values_survive_the_buffer_within_the_precision_of_their_type() {
        let values = [0.0, -1.5, 0.1, 65504.0, 1e-7];
        for half in [false, true] {
            let bytes = to_bytes(&values, half);
            assert_eq!(bytes.len() as u64, super::bytes(values.len(), half));
            let back = from_words(&bytemuck::pod_collect_to_vec(&bytes), half, values.len());
            for (own, expected) in back.iter().zip(values) {
                let allowed = if half { expected.abs() / 2048.0 + 3e-8 } else { 0.0 };
                assert!((own - expected).abs() <= allowed, "{own} for {expected}");
            }
        }
    }
}
