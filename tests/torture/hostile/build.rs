//! What hostile files are made of: bombs in deflate, tar headers, PNG chunks, sparse files, named pipes.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// One part of a bomb.
const PART: usize = 1 << 20;
/// Of a tar file.
pub const BLOCK: usize = 512;

/// A raw deflate stream of `head`, then `part` so many times, each part compressed once and repeated.
fn deflate(head: &[u8], part: &[u8], times: u64, zlib: bool, out: &mut impl Write) -> io::Result<()> {
    let mut packer = Compress::new(Compression::best(), zlib);
    let mut pack = |bytes: &[u8], flush: FlushCompress| -> io::Result<Vec<u8>> {
        let mut packed = Vec::with_capacity(bytes.len() + 1024);
        let before = packer.total_in();
        while packer.total_in() - before < bytes.len() as u64 || packed.is_empty() {
            let rest = &bytes[(packer.total_in() - before) as usize..];
            if let Status::StreamEnd =
                packer.compress_vec(rest, &mut packed, flush).map_err(io::Error::other)?
            {
                break;
            }
            packed.reserve(1024);
        }
        Ok(packed)
    };
    // After a full flush the next part does not look back, so that it can be repeated.
    out.write_all(&pack(head, FlushCompress::Full)?)?;
    let repeated = pack(part, FlushCompress::Full)?;
    for _ in 0..times {
        out.write_all(&repeated)?;
    }
    // An empty last block.
    out.write_all(&[0x03, 0x00])
}

/// A gzip file of one member with right checksum and length: `head`, `times` parts, in a few bytes a part.
pub fn gzip(path: &Path, head: &[u8], part: &[u8], times: u64) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])?;
    deflate(head, part, times, false, &mut out)?;
    let mut crc = Crc::new();
    crc.update(head);
    // Doubling: the checksum of two, four, eight parts.
    let mut power = Crc::new();
    power.update(part);
    let mut left = times;
    while left > 0 {
        if left & 1 == 1 {
            crc.combine(&power);
        }
        let same = {
            let mut copy = Crc::new();
            copy.combine(&power);
            copy
        };
        power.combine(&same);
        left >>= 1;
    }
    let length = head.len() as u64 + times * part.len() as u64;
    out.write_all(&crc.sum().to_le_bytes())?;
    out.write_all(&(length as u32).to_le_bytes())?;
    out.flush()
}

/// A gzip file of `head` and so many mebibytes of zeros.
pub fn gzip_bomb(path: &Path, head: &[u8], mebibytes: u64) -> io::Result<()> {
    gzip(path, head, &vec![0; PART], mebibytes)
}

/// The zlib form of so many mebibytes of zeros, without the checksum at the end, which no reader gets to.
pub fn zlib_bomb(mebibytes: u64) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    deflate(&[0], &vec![0; PART], mebibytes, true, &mut out)?;
    Ok(out)
}

/// The header of a tar entry.
pub fn tar_header(name: &str, size: u64, kind: u8) -> Vec<u8> {
    let mut header = vec![0; BLOCK];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[124..136].copy_from_slice(format!("{size:011o} ").as_bytes());
    header[136..148].copy_from_slice(b"00000000000 ");
    header[156] = kind;
    header[257..263].copy_from_slice(b"ustar\0");
    header[263..265].copy_from_slice(b"00");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// A chunk of a PNG file with its checksum.
fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(&kind);
    crc.update(data);
    let length = (data.len() as u32).to_be_bytes();
    [&length[..], &kind, data, &crc.sum().to_be_bytes()].concat()
}

/// A PNG file of this header and these further chunks, with right checksums throughout.
pub fn png(width: u32, height: u32, depth: u8, colour: u8, chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, colour, 0, 0, 0]].concat();
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    bytes.extend(chunk(*b"IHDR", &header));
    for (kind, data) in chunks {
        bytes.extend(chunk(**kind, data));
    }
    bytes.extend(chunk(*b"IEND", &[]));
    bytes
}

/// An IDX file.
pub fn idx(magic: u32, sizes: &[u32], data: &[u8]) -> Vec<u8> {
    let header = std::iter::once(&magic).chain(sizes).flat_map(|word| word.to_be_bytes());
    header.chain(data.iter().copied()).collect()
}

/// A safetensors file of this header; `claimed` is the header's length if it lies about that.
pub fn safetensors(header: &str, claimed: Option<u64>, data: &[u8]) -> Vec<u8> {
    let length = claimed.unwrap_or(header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), data].concat()
}

/// A file that starts with `head` and is full of holes up to its length.
pub fn sparse(path: &Path, head: &[u8], length: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(head)?;
    file.set_len(length)
}

/// A file of `head`, so many copies of `part`, and `tail`.
pub fn repeated(path: &Path, head: &[u8], part: &[u8], times: usize, tail: &[u8]) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(head)?;
    for _ in 0..times {
        file.write_all(part)?;
    }
    file.write_all(tail)?;
    file.flush()
}

/// Writes `bytes` over what is at `offset`.
pub fn overwrite(path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

/// A named pipe, which nobody ever writes to.
#[expect(unsafe_code, reason = "the standard library makes no named pipes")]
pub fn fifo(path: &Path) -> io::Result<()> {
    let name = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a terminated string that outlives the call.
    match unsafe { libc::mkfifo(name.as_ptr(), 0o600) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
