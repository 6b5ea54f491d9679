//! How an operand of element-wise work is read: a block of values at a time, in place where it has a value for every result, else
//! as a copy of what is repeated. An index per value, with its division, took longer than the work itself.

use crate::graph::Broadcast;

/// One operand of a call.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    /// Its values.
    pub values: &'a [f32],
    /// How they belong to results: a [`Broadcast`].
    pub how: u32,
    /// Values that are repeated, of one that is tiled.
    pub length: u32,
    /// Results per value, of one that is stretched.
    pub stretch: u32,
}

impl<'a> Operand<'a> {
    const TILE: u32 = Broadcast::Tile as u32;
    const STRETCH: u32 = Broadcast::Stretch as u32;
    const SCALAR: u32 = Broadcast::Scalar as u32;

    /// The values for the results from `first` on, as many as `room` holds; copies are made there.
    pub fn block(self, first: usize, room: &'a mut [f32]) -> &'a [f32] {
        let (values, len) = (self.values, room.len());
        match self.how {
            Self::TILE => tile(values, first % self.length as usize, self.length as usize, room),
            Self::STRETCH => stretch(values, first, self.stretch as usize, room),
            Self::SCALAR => room.fill(values[0]),
            _ => return &values[first..first + len],
        }
        room
    }
}

/// The first `length` values over and over, from the one at `at` on.
pub fn tile(values: &[f32], at: usize, length: usize, room: &mut [f32]) {
    let once = length.min(room.len());
    let front = once.min(length - at);
    room[..front].copy_from_slice(&values[at..at + front]);
    room[front..once].copy_from_slice(&values[..once - front]);
    // What is there ends with a whole repetition, so it can follow itself.
    let mut done = once;
    while done < room.len() {
        let more = done.min(room.len() - done);
        room.copy_within(..more, done);
        done += more;
    }
}

/// Every value `times` times, from the result `first` on.
pub fn stretch(values: &[f32], first: usize, times: usize, mut room: &mut [f32]) {
    let (mut value, mut left) = (first / times, times - first % times);
    while !room.is_empty() {
        let (own, others) = room.split_at_mut(left.min(room.len()));
        own.fill(values[value]);
        (room, value, left) = (others, value + 1, times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::source_index;

    #[test]
    fn blocks_hold_the_values_of_single_indices_wherever_they_begin() {
        let values: Vec<f32> = (0..60).map(|i| i as f32).collect();
        for (how, length, times) in
            [(0, 1, 1), (1, 7, 1), (1, 1, 1), (1, 16, 1), (2, 1, 1), (2, 1, 5), (3, 1, 1)]
        {
            for (first, len) in [(0, 60), (0, 5), (3, 40), (14, 46), (59, 1), (9, 0)] {
                let operand = Operand { values: &values, how, length, stretch: times };
                let mut room = vec![f32::NAN; len];
                let found = operand.block(first, &mut room);
                let wanted = (first..first + len).map(|i| values[source_index(how, i, length, times)]);
                assert!(
                    found.iter().copied().eq(wanted),
                    "{how} of {length}, {times}, from {first}: {found:?}"
                );
            }
        }
    }
}
