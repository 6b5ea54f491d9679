//! The WGSL text of a form: its own file behind the shared files that its head names in a line
//!
//! ```text
//! // needs: grid, epilogue, lavapipe/eights
//! ```
//!
//! `grid` is `shaders/shared/grid.wgsl`, and `lavapipe/eights` is `shaders/lavapipe/shared/eights.wgsl`.
//!
//! The text is put together when the program is compiled. A name without a file does not compile, and neither does a shader
//! without such a line; `tests/shaders.rs` compares the line with what the shader uses.

/// The shared files by name: what a head writes before it, its folder, the name itself.
macro_rules! shared {
    ($($prefix:literal $folder:literal $name:literal),* $(,)?) => {
        /// What shaders share: name and text.
        pub const SHARED: &[(&str, &str)] =
            &[$((concat!($prefix, $name), include_str!(concat!("../../shaders/", $folder, $name, ".wgsl")))),*];
    };
}
shared![
    "" "shared/" "adam_params",
    "" "shared/" "blocks",
    "" "shared/" "border_sum",
    "" "shared/" "border_sum_of",
    "" "shared/" "compose",
    "" "shared/" "convolution",
    "" "shared/" "convolution_image",
    "" "shared/" "convolution_tile",
    "" "shared/" "copy_columns_params",
    "" "shared/" "epilogue",
    "" "shared/" "functions",
    "" "shared/" "gather_rows_params",
    "" "shared/" "general",
    "" "shared/" "grid",
    "" "shared/" "matrices",
    "" "shared/" "pool",
    "" "shared/" "resize",
    "" "shared/" "rows_params",
    "" "shared/" "sum_rows_params",
    "" "shared/" "window",
    "" "shared/" "window_max",
    "" "shared/" "winograd",
    "" "shared/" "winograd_both",
    "" "shared/" "winograd_coarse",
    "" "shared/" "winograd_gradient",
    "" "shared/" "winograd_s1_points",
    "" "shared/" "winograd_s2_points",
    "" "shared/" "winograd_weight",
    "gpu/" "gpu/shared/" "convolution_vec4",
    "gpu/" "gpu/shared/" "few_outputs",
    "lavapipe/" "lavapipe/shared/" "convolution_direct",
    "lavapipe/" "lavapipe/shared/" "eights",
    "lavapipe/" "lavapipe/shared/" "product",
    "lavapipe/" "lavapipe/shared/" "rgb_taps",
    "lavapipe/" "lavapipe/shared/" "rgb_weights",
    "lavapipe/" "lavapipe/shared/" "rows",
    "lavapipe/" "lavapipe/shared/" "subgroups",
    "lavapipe/" "lavapipe/shared/" "transpose",
    "lavapipe/" "lavapipe/shared/" "winograd_weight",
];

/// What the line begins with.
const MARK: &[u8] = b"// needs: ";
/// What the line says instead of names where a shader takes nothing.
const NOTHING: &[u8] = b"nothing";

/// Whether `text` has `part` at `at`.
const fn has(text: &[u8], at: usize, part: &[u8]) -> bool {
    if at + part.len() > text.len() {
        return false;
    }
    let mut i = 0;
    while i < part.len() {
        if text[at + i] != part[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// The first `byte` of `text` from `at` on, or its end.
const fn find(text: &[u8], at: usize, byte: u8) -> usize {
    let mut at = at;
    while at < text.len() && text[at] != byte {
        at += 1;
    }
    at
}

/// Where the names of the line begin and end.
const fn names(text: &[u8]) -> (usize, usize) {
    let mut at = 0;
    while has(text, at, b"//") {
        if has(text, at, MARK) {
            return (at + MARK.len(), find(text, at, b'\n'));
        }
        at = find(text, at, b'\n') + 1;
    }
    panic!("a shader has no line `// needs: ...` in its head")
}

/// The file whose name begins at `from` and ends at `to`.
const fn shared(text: &[u8], from: usize, to: usize) -> &'static str {
    let mut i = 0;
    while i < SHARED.len() {
        let (name, file) = SHARED[i];
        if name.len() == to - from && has(text, from, name.as_bytes()) {
            return file;
        }
        i += 1;
    }
    panic!("a shader needs a shared file that does not exist or is not listed above")
}

/// The end of the name that begins at `at`: the comma behind it, or the line's end.
const fn end_of_name(text: &[u8], at: usize, end: usize) -> usize {
    let comma = find(text, at, b',');
    if comma < end { comma } else { end }
}

/// Bytes of the text that [`assemble`] makes.
pub const fn length(text: &str) -> usize {
    let text = text.as_bytes();
    let (mut at, end) = names(text);
    let mut length = text.len();
    while at < end && !has(text, at, NOTHING) {
        let to = end_of_name(text, at, end);
        length += shared(text, at, to).len();
        at = to + 2;
    }
    length
}

/// A shader's text behind that of the files that it names, in the line's order.
pub const fn assemble<const N: usize>(text: &str) -> [u8; N] {
    let text = text.as_bytes();
    let mut whole = [0; N];
    let mut rest: &mut [u8] = &mut whole;
    let (mut at, end) = names(text);
    while at < end && !has(text, at, NOTHING) {
        let to = end_of_name(text, at, end);
        let file = shared(text, at, to).as_bytes();
        let (own, others) = rest.split_at_mut(file.len());
        own.copy_from_slice(file);
        rest = others;
        at = to + 2;
    }
    rest.copy_from_slice(text);
    whole
}

/// The text of `shaders/<path>.wgsl` and of what it needs.
macro_rules! shader {
    ($path:expr) => {{
        const TEXT: &str = include_str!(concat!("../../shaders/", $path, ".wgsl"));
        const WHOLE: [u8; source::length(TEXT)] = source::assemble(TEXT);
        match std::str::from_utf8(&WHOLE) {
            Ok(text) => text,
            Err(_) => panic!("shaders are UTF-8"),
        }
    }};
}
pub(crate) use shader;
