//! Model files of other programs: recognised by their first bytes, so that the refusal says which program wrote the file
//! and how its weights become a safetensors file.

use crate::files;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// First bytes of a file that are looked at: as far as the name of a zip archive's first member.
pub(super) const BEGINNING: u64 = 4096;

/// What a file that begins so is instead of a safetensors file, and what to do; `None` if nothing known begins so.
pub(super) fn recognise(beginning: &[u8], path: &Path) -> Option<String> {
    let has = |text: &[u8]| beginning.windows(text.len()).any(|part| part == text);
    let starts = |text: &[u8]| beginning.starts_with(text);
    // A pickle begins with its protocol; both are also the first bytes of a header's length, after which zeros follow.
    let pickle = matches!(beginning, [0x80, 2..=5, rest @ ..] if !rest.starts_with(&[0; 6]));
    Some(match beginning {
        _ if starts(b"PK\x03\x04")
            && (has(b"data.pkl") || has(b"/byteorder") || has(b"/.format_version")) =>
        {
            pytorch(path)
        }
        _ if pickle => pytorch(path),
        _ if starts(b"PK\x03\x04") && has(b".npy") => other("a NumPy archive (.npz)", "from numpy arrays"),
        _ if starts(b"PK\x03\x04") => {
            "this is a zip archive and no safetensors file; unpack it first".to_string()
        }
        _ if starts(b"\x89HDF\r\n\x1a\n") => other("an HDF5 file, as Keras writes it", "from its arrays"),
        _ if starts(b"\x93NUMPY") => other("a NumPy array (.npy)", "from numpy arrays by name"),
        _ if starts(b"GGUF") => other("a GGUF file", "from the PyTorch model that it was made of"),
        _ if beginning.get(4..8) == Some(b"TFL3") => {
            other("a TensorFlow Lite file", "from the model that it was made of")
        }
        _ if starts(b"\x1f\x8b") => {
            "this is a gzip archive and no safetensors file; unpack it first".to_string()
        }
        _ if starts(b"version https://git-lfs") => {
            "this is only a pointer to the file; get the file itself with `git lfs pull`".to_string()
        }
        _ if starts(b"<!DOCTYPE") || starts(b"<!doctype") || starts(b"<html") => {
            "this is a web page, which a download may give instead of a file; download the file itself"
                .to_string()
        }
        _ => return None,
    })
}

/// Whether `path` is an ONNX model: by its ending, or as a regular file by its first bytes.
pub(crate) fn is_onnx(path: &Path) -> bool {
    if files::has_ending(path, "onnx") {
        return true;
    }
    let mut beginning = Vec::new();
    let read = |beginning: &mut Vec<u8>| File::open(path)?.take(BEGINNING).read_to_end(beginning);
    // Opening a pipe waits for its other end.
    path.is_file() && read(&mut beginning).is_ok() && onnx(&beginning)
}

/// An ONNX model is a protocol buffer: a version in its first field, then a name or the graph.
fn onnx(beginning: &[u8]) -> bool {
    matches!(beginning, [0x08, 1..=32, 0x12 | 0x1a | 0x22 | 0x32 | 0x3a | 0x42, ..])
}

fn pytorch(path: &Path) -> String {
    let target = path.with_extension("safetensors");
    format!(
        "this is a PyTorch file, which can run code when it is read; write its weights as a safetensors file with Python: \
         `import torch; from safetensors.torch import save_file; \
         weights = torch.load({:?}, map_location=\"cpu\", weights_only=True); \
         weights = weights.get(\"state_dict\", weights.get(\"net\", weights)); \
         save_file({{name: tensor.contiguous() for name, tensor in weights.items()}}, {:?})`",
        path.display().to_string(),
        target.display().to_string()
    )
}

fn other(format: &str, source: &str) -> String {
    format!(
        "this is {format}, and pgn-wgpu reads safetensors files; write one {source} with save_file of Python's package safetensors"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(beginning: &[u8]) -> Option<String> {
        recognise(beginning, Path::new("nets/a.pt"))
    }

    #[test]
    fn both_formats_of_pytorch_are_told_how_to_convert() {
        for beginning in
            [&b"PK\x03\x04....\x08\0\0archive/data.pkl"[..], b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."]
        {
            let text = said(beginning).unwrap();
            assert!(text.contains("torch.load(\"nets/a.pt\", map_location"), "{text}");
            assert!(text.contains("from safetensors.torch import save_file"), "{text}");
            assert!(text.contains("\"nets/a.safetensors\")`"), "{text}");
        }
    }

    #[test]
    fn formats_of_other_programs_are_named() {
        let cases: [(&[u8], &str); 9] = [
            (b"PK\x03\x04....weights.npy", ".npz"),
            (b"PK\x03\x04....letter.txt", "zip archive"),
            (b"\x89HDF\r\n\x1a\n\0", "Keras"),
            (b"\x93NUMPY\x01\0", ".npy"),
            (b"GGUF\x03\0\0\0", "GGUF"),
            (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
            (b"<!DOCTYPE html><html>", "web page"),
        ];
        for (beginning, expected) in cases {
            let text = said(beginning).unwrap();
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn a_header_whose_length_looks_like_a_pickle_is_none() {
        assert_eq!(said(b"\x80\x02\0\0\0\0\0\0{\"a\":"), None);
        assert_eq!(said(b""), None);
    }
}
