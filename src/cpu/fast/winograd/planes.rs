//! How the evaluated tiles of a unit lie in memory.

use super::super::direct::{MOST_LANES, Machine};
use crate::cpu::winograd_s1::ELEMENTS;
use pulp::Simd;

/// Tiles that are multiplied at a time, at most: so many rows there are at least, the last ones zero.
pub const MOST_TILES: usize = 16;

/// For each of the 36 points a plane. A plane has blocks of channels, a block has a row for every tile, filled up to whole
/// vectors.
pub struct Planes {
    channels: usize,
    tiles: usize,
    lanes: usize,
    /// Values from one plane to the next. A cache line more than a plane has, because lines at distances of powers of two
    /// displace each other in the cache.
    pub apart: usize,
    machine: Machine,
}

/// A block of channels of a plane.
#[derive(Clone, Copy)]
pub struct Block {
    /// Its first channel.
    pub channel: usize,
    /// Vectors of a row.
    pub vectors: usize,
    /// Where it begins in the plane.
    pub at: usize,
}

impl Planes {
    /// For so many tiles and channels.
    #[inline(always)]
    pub fn new<S: Simd>(tiles: usize, channels: usize) -> Self {
        let rows = tiles.next_multiple_of(MOST_TILES);
        let apart = rows * channels.next_multiple_of(S::F32_LANES) + MOST_LANES;
        Self { channels, tiles, lanes: S::F32_LANES, apart, machine: Machine::of::<S>() }
    }

    /// Values of all planes.
    pub fn len(&self) -> usize {
        ELEMENTS * self.apart
    }

    /// Rows of a block.
    pub fn rows(&self) -> usize {
        self.tiles.next_multiple_of(MOST_TILES)
    }

    /// Rows of a block that belong to a tile.
    pub fn tiles(&self) -> usize {
        self.tiles
    }

    /// The blocks of a plane.
    pub fn blocks(&self) -> impl Iterator<Item = Block> {
        let rows = self.rows();
        self.machine.blocks(self.channels).map(move |(channel, vectors)| Block {
            channel,
            vectors,
            at: rows * channel,
        })
    }

    /// Where the vector of a tile lies in a plane that begins with this channel.
    #[inline(always)]
    pub fn place(&self, tile: usize, channel: usize) -> usize {
        let width = self.machine.width();
        let first = channel / width * width;
        let row = (self.channels - first).next_multiple_of(self.lanes).min(width);
        self.rows() * first + tile * row + channel - first
    }

    /// Fills the rows that belong to no tile with zeros.
    pub fn clear_rest(&self, planes: &mut [f32]) {
        for plane in planes.chunks_exact_mut(self.apart) {
            for block in self.blocks() {
                let row = block.vectors * self.lanes;
                plane[block.at + self.tiles * row..block.at + self.rows() * row].fill(0.0);
            }
        }
    }
}
