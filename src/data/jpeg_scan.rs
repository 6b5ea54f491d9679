//! Whether the compressed data of a JPEG file hold all blocks of its image. A file that was cut and closed again, or
//! damaged in its middle, has its end marker; decoders fill the rest with grey.
//!
//! Sequential files with Huffman codes are gone through code by code, without computing pixels. Of other ones
//! (progressive: fewer scans are a coarser but whole image) nothing is said.

use super::jpeg::next_marker;

/// Sequential frames with Huffman codes.
const SEQUENTIAL: [u8; 2] = [0xc0, 0xc1];
const FRAMES: std::ops::RangeInclusive<u8> = 0xc0..=0xcf;
const HUFFMAN_TABLES: u8 = 0xc4;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;
const RESTART_INTERVAL: u8 = 0xdd;
const RESTARTS: std::ops::RangeInclusive<u8> = 0xd0..=0xd7;
/// Coefficients of a block.
const BLOCK: usize = 64;

/// Whether a scan ends before its last block, or has a code that does not exist.
pub(super) fn ends_early(bytes: &[u8]) -> bool {
    let (mut file, mut at) = (File::default(), 0);
    while let Some(marker) = next_marker(bytes, &mut at) {
        if marker == END_OF_IMAGE {
            return false;
        }
        if matches!(marker, 0x00 | 0x01 | 0xd0..=0xd8) {
            continue;
        }
        let length = bytes.get(at..at + 2).map_or(0, |two| usize::from(two[0]) << 8 | usize::from(two[1]));
        let Some(body) = bytes.get(at + 2..at + length) else { return true };
        at += length;
        match marker {
            HUFFMAN_TABLES => file.read_tables(body),
            RESTART_INTERVAL => {
                file.restart = body.get(..2).map_or(0, |two| usize::from(two[0]) << 8 | usize::from(two[1]));
            }
            START_OF_SCAN => {
                // What is not understood here is left to the decoder.
                let Some(scan) = file.scan(body) else { return false };
                let mut bits = Bits { bytes, at, held: 0, count: 0, ended: false };
                if file.walk(&scan, &mut bits).is_none() {
                    return true;
                }
                at = bits.at;
            }
            _ if SEQUENTIAL.contains(&marker) => file.read_frame(body),
            _ if FRAMES.contains(&marker) => return false,
            _ => {}
        }
    }
    true
}

/// What the segments before a scan tell.
#[derive(Default)]
struct File {
    width: usize,
    height: usize,
    components: Vec<Component>,
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
    /// Units between two restarts, or 0.
    restart: usize,
}

#[derive(Clone, Copy)]
struct Component {
    id: u8,
    across: usize,
    down: usize,
}

/// The components of a scan with their tables, and how many units it has.
struct Scan {
    parts: Vec<(usize, usize, usize)>,
    units: usize,
}

impl File {
    fn read_frame(&mut self, body: &[u8]) {
        let &[8, h1, h0, w1, w0, _, ref rest @ ..] = body else { return };
        self.height = usize::from(h1) << 8 | usize::from(h0);
        self.width = usize::from(w1) << 8 | usize::from(w0);
        let component = |three: &[u8]| Component {
            id: three[0],
            across: usize::from(three[1] >> 4),
            down: usize::from(three[1] & 15),
        };
        self.components = rest.chunks_exact(3).map(component).collect();
    }

    fn read_tables(&mut self, mut body: &[u8]) {
        while let Some((&place, rest)) = body.split_first() {
            let Some((table, rest)) = Table::read(rest) else { return };
            let tables = if place >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            if let Some(slot) = tables.get_mut(usize::from(place & 15)) {
                *slot = Some(table);
            }
            body = rest;
        }
    }

    /// `None` for what is not sequential, or has sizes or tables that are not here.
    fn scan(&self, body: &[u8]) -> Option<Scan> {
        let (&count, rest) = body.split_first()?;
        let sampled =
            self.components.iter().all(|c| (1..=4).contains(&c.across) && (1..=4).contains(&c.down));
        if self.width == 0 || self.height == 0 || !sampled {
            return None;
        }
        let mut chosen = Vec::new();
        for two in rest.chunks_exact(2).take(usize::from(count)) {
            let component = self.components.iter().find(|component| component.id == two[0])?;
            let (dc, ac) = (usize::from(two[1] >> 4), usize::from(two[1] & 15));
            self.dc.get(dc)?.as_ref()?;
            self.ac.get(ac)?.as_ref()?;
            chosen.push((*component, dc, ac));
        }
        let most_across = self.components.iter().map(|c| c.across).max()?;
        let most_down = self.components.iter().map(|c| c.down).max()?;
        if let [(component, dc, ac)] = chosen[..] {
            // Alone, a component has only the blocks that its own pixels need.
            let across = (self.width * component.across).div_ceil(most_across).div_ceil(8);
            let down = (self.height * component.down).div_ceil(most_down).div_ceil(8);
            return Some(Scan { parts: vec![(1, dc, ac)], units: across * down });
        }
        let units = self.width.div_ceil(8 * most_across) * self.height.div_ceil(8 * most_down);
        let parts =
            chosen.iter().map(|(component, dc, ac)| (component.across * component.down, *dc, *ac)).collect();
        Some(Scan { parts, units })
    }

    /// Goes through all blocks of a scan.
    fn walk(&self, scan: &Scan, bits: &mut Bits) -> Option<()> {
        for unit in 0..scan.units {
            if self.restart > 0 && unit > 0 && unit % self.restart == 0 {
                bits.restart()?;
            }
            for &(blocks, dc, ac) in &scan.parts {
                let (dc, ac) = (self.dc[dc].as_ref()?, self.ac[ac].as_ref()?);
                for _ in 0..blocks {
                    block(bits, dc, ac)?;
                }
            }
        }
        Some(())
    }
}

fn block(bits: &mut Bits, dc: &Table, ac: &Table) -> Option<()> {
    let length = bits.symbol(dc)?;
    bits.skip(length)?;
    let mut coefficient = 1;
    while coefficient < BLOCK {
        let symbol = bits.symbol(ac)?;
        match (symbol >> 4, symbol & 15) {
            (15, 0) => coefficient += 16,
            (_, 0) => break,
            (zeros, length) => {
                bits.skip(length)?;
                coefficient += usize::from(zeros) + 1;
            }
        }
    }
    Some(())
}

/// A table of Huffman codes.
struct Table {
    /// Length and symbol of the code that a byte begins with; length 0 for longer codes.
    quick: [(u8, u8); 256],
    /// For each length the number behind the last code, and what to add to a code to find its symbol.
    longer: [(i32, i32); 17],
    symbols: Vec<u8>,
}

impl Table {
    /// The table at the beginning of `body`, and what follows it.
    fn read(body: &[u8]) -> Option<(Self, &[u8])> {
        let (counts, rest) = body.split_at_checked(16)?;
        let (symbols, rest) = rest.split_at_checked(counts.iter().map(|&count| usize::from(count)).sum())?;
        let mut table = Self { quick: [(0, 0); 256], longer: [(0, 0); 17], symbols: symbols.to_vec() };
        let (mut code, mut next) = (0i32, 0i32);
        for (length, &count) in (1u8..).zip(counts) {
            for symbol in &symbols[next as usize..][..usize::from(count)] {
                if length <= 8 {
                    let first = (code as usize) << (8 - length);
                    table.quick.get_mut(first..first + (1 << (8 - length)))?.fill((length, *symbol));
                }
                code += 1;
                next += 1;
            }
            table.longer[usize::from(length)] = (code, next - code);
            code <<= 1;
        }
        Some((table, rest))
    }
}

/// The bits of a scan, without stuffed bytes, up to a marker.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u64,
    /// How many of the lowest bits are held.
    count: u32,
    /// Whether there is a marker or nothing at `at`.
    ended: bool,
}

impl Bits<'_> {
    fn fill(&mut self) {
        while !self.ended && self.count <= 56 {
            let (byte, width) = match self.bytes.get(self.at..) {
                Some(&[0xff, 0, ..]) => (0xff, 2),
                Some(&[0xff, ..] | &[]) | None => {
                    self.ended = true;
                    return;
                }
                Some(&[byte, ..]) => (byte, 1),
            };
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
            self.at += width;
        }
    }

    /// The next `length` bits, zeros where there are no more.
    fn peek(&self, length: u32) -> usize {
        let bits = match self.count >= length {
            true => self.held >> (self.count - length),
            false => self.held << (length - self.count),
        };
        (bits & ((1 << length) - 1)) as usize
    }

    fn skip(&mut self, length: u8) -> Option<()> {
        if self.count < u32::from(length) {
            self.fill();
        }
        self.count = self.count.checked_sub(u32::from(length))?;
        Some(())
    }

    fn symbol(&mut self, table: &Table) -> Option<u8> {
        if self.count < 16 {
            self.fill();
        }
        let (length, symbol) = table.quick[self.peek(8)];
        if length > 0 {
            self.skip(length)?;
            return Some(symbol);
        }
        for length in 9..=16u8 {
            let (code, (behind, offset)) =
                (self.peek(u32::from(length)) as i32, table.longer[usize::from(length)]);
            if code < behind {
                self.skip(length)?;
                return table.symbols.get(usize::try_from(code + offset).ok()?).copied();
            }
        }
        None
    }

    /// Goes behind the restart marker that has to be next; the bits before it fill a byte.
    fn restart(&mut self) -> Option<()> {
        (self.held, self.count) = (0, 0);
        let mut at = self.at;
        let marker = next_marker(self.bytes, &mut at)?;
        (self.at, self.ended) = (at, false);
        RESTARTS.contains(&marker).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
    use std::io::Cursor;

    fn encode(image: &DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Jpeg).expect("encoded");
        bytes.into_inner()
    }

    /// Noise, in colour and in grey, of sides that are no multiples of eight.
    fn files() -> Vec<Vec<u8>> {
        let noise = |x: u32, y: u32| ((x * 7919 + y * 104_729 + x * y * 31) % 251) as u8;
        let mut all = Vec::new();
        for (width, height) in [(1, 1), (8, 8), (33, 17), (200, 40), (64, 100)] {
            all.push(encode(
                &RgbImage::from_fn(width, height, |x, y| Rgb([noise(x, y), noise(y, x), 90])).into(),
            ));
            all.push(encode(&GrayImage::from_fn(width, height, |x, y| Luma([noise(x, y)])).into()));
        }
        all
    }

    fn data_of(bytes: &[u8]) -> std::ops::Range<usize> {
        let scan = bytes.windows(2).position(|two| two == [0xff, START_OF_SCAN]).expect("has a scan");
        let length = usize::from(bytes[scan + 2]) << 8 | usize::from(bytes[scan + 3]);
        scan + 2 + length..bytes.len() - 2
    }

    #[test]
    fn whole_files_are_whole() {
        for (i, bytes) in files().iter().enumerate() {
            assert!(!ends_early(bytes), "file {i}");
        }
    }

    #[test]
    fn a_file_that_lacks_a_piece_of_its_data_but_has_an_end_is_not_whole() {
        for (i, bytes) in files().iter().enumerate().skip(4) {
            let data = data_of(bytes);
            for part in 1..8 {
                let cut = data.start + data.len() * part / 8;
                let closed = [&bytes[..cut], &[0xff, 0xd9]].concat();
                assert!(ends_early(&closed), "file {i} with {part}/8 of its data");
            }
        }
    }

    /// Joins files of one row of units each to one file with a restart between them.
    #[test]
    fn restarts_are_counted_and_a_missing_stretch_is_seen() {
        let row = encode(&GrayImage::from_fn(32, 8, |x, y| Luma([(x * 8 + y) as u8])).into());
        let (data, frame) =
            (data_of(&row), row.windows(2).position(|two| two == [0xff, 0xc0]).expect("has a frame"));
        let with_rows = |rows: usize| {
            let mut bytes = row[..data.start].to_vec();
            bytes[frame + 5..frame + 7].copy_from_slice(&24u16.to_be_bytes());
            bytes.splice(frame..frame, [0xff, RESTART_INTERVAL, 0, 4, 0, 4]);
            for i in 0..rows {
                bytes.extend(&row[data.clone()]);
                bytes.extend([0xff, if i + 1 == rows { 0xd9 } else { 0xd0 + i as u8 }]);
            }
            bytes
        };
        assert!(!ends_early(&with_rows(3)));
        assert!(ends_early(&with_rows(2)));
    }
}
