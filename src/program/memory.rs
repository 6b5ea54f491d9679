//! The memory plan: the place of every root, known before anything runs.
//!
//! The largest roots are placed first, each at the lowest offset that is free during its whole life. On training steps this stays
//! within a few per cent of the live bytes. A pool with a buffer per tensor would only reuse exact sizes and need more bind
//! groups; first fit in the order of time leaves gaps. Computed roots, inputs and constants lie in a few arenas of at most the
//! adapter's largest buffer. States have buffers of their own, because other programs share them.

use super::{Call, Root, RootKind, TensorId, TensorInfo};

/// Values at whose multiples a tensor may start: 256 bytes, the largest binding alignment of any backend.
pub const ALIGNMENT: usize = 64;

/// Place of one root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which arena.
    pub arena: usize,
    /// First byte.
    pub offset: u64,
}

/// The places of all roots, and the sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryPlan {
    /// One place per root; `None` for states.
    pub places: Vec<Option<Place>>,
    /// Bytes of each arena.
    pub arenas: Vec<u64>,
    /// Bytes of the states.
    pub state_bytes: u64,
    /// The largest sum of roots alive at one call. No plan can need less.
    pub live_bytes: u64,
}

impl MemoryPlan {
    /// Bytes on the device while the program is prepared.
    pub fn bytes(&self) -> u64 {
        self.arenas.iter().sum::<u64>() + self.state_bytes
    }

    /// Places `roots`, largest first, in arenas of at most `largest` bytes.
    pub fn new(roots: &[Root], largest: u64) -> Self {
        let mut order: Vec<usize> = (0..roots.len()).filter(|&i| !is_state(&roots[i])).collect();
        order.sort_by_key(|&i| (std::cmp::Reverse(roots[i].len), roots[i].first));
        let mut places: Vec<Option<Place>> = vec![None; roots.len()];
        let mut arenas: Vec<u64> = Vec::new();
        for &i in &order {
            let place = (0..=arenas.len())
                .find_map(|arena| fit(i, arena, roots, &places, largest))
                .expect("a new arena has room");
            if place.arena == arenas.len() {
                arenas.push(0);
            }
            arenas[place.arena] = arenas[place.arena].max(place.offset + bytes(&roots[i]));
            places[i] = Some(place);
        }
        let state_bytes = roots.iter().filter(|r| is_state(r)).map(bytes).sum();
        Self { places, arenas, state_bytes, live_bytes: live_bytes(roots) }
    }
}

fn is_state(root: &Root) -> bool {
    matches!(root.kind, RootKind::State(_))
}

/// Bytes of a root, padded to the alignment.
pub fn bytes(root: &Root) -> u64 {
    let size = if root.half { 2 } else { 4 };
    (size * root.len).next_multiple_of(4 * ALIGNMENT) as u64
}

/// The lowest free place of root `i` in `arena`, unless the arena would grow beyond `largest`.
fn fit(i: usize, arena: usize, roots: &[Root], places: &[Option<Place>], largest: u64) -> Option<Place> {
    let mut taken: Vec<(u64, u64)> = places
        .iter()
        .enumerate()
        .filter_map(|(j, place)| place.map(|p| (j, p)))
        .filter(|(j, p)| {
            p.arena == arena && roots[*j].first <= roots[i].last && roots[i].first <= roots[*j].last
        })
        .map(|(j, p)| (p.offset, p.offset + bytes(&roots[j])))
        .collect();
    taken.sort_unstable();
    let empty = taken.is_empty();
    let mut offset = 0;
    for (start, end) in taken {
        if start >= offset + bytes(&roots[i]) {
            break;
        }
        offset = offset.max(end);
    }
    (empty || offset + bytes(&roots[i]) <= largest).then_some(Place { arena, offset })
}

fn live_bytes(roots: &[Root]) -> u64 {
    let calls = roots.iter().map(|r| r.last).max().unwrap_or(0);
    let alive = |call| roots.iter().filter(move |r| r.first <= call && call <= r.last);
    (0..=calls).map(|call| alive(call).map(bytes).sum()).max().unwrap_or(0)
}

/// Sets the span of calls during which each root is alive.
pub fn lifetimes(tensors: &[TensorInfo], roots: &mut [Root], calls: &[Call], outputs: &[(String, TensorId)]) {
    let end = calls.len().saturating_sub(1);
    for root in roots.iter_mut() {
        (root.first, root.last) = match root.kind {
            RootKind::Computed => (usize::MAX, 0),
            RootKind::Input(_) => (0, 0),
            RootKind::State(_) | RootKind::Constant(_) => (0, end),
        };
    }
    for (at, call) in calls.iter().enumerate() {
        for id in call.reads.iter().chain(&call.writes) {
            let root = &mut roots[tensors[id.0].root];
            root.first = root.first.min(at);
            root.last = root.last.max(at);
        }
    }
    for (_, id) in outputs {
        roots[tensors[id.0].root].last = end;
    }
    // A root that is written in part keeps its zeros only if no other root ever uses its memory.
    for root in roots.iter_mut().filter(|r| r.first == usize::MAX) {
        root.first = 0;
    }
}
