//! Groups element-wise calls (and sums over rows) that share values into one call each, so that a value is computed in
//! registers instead of through memory, and a tensor that several of them read is read once.
//!
//! Groups grow from the first call to the last, and this repeats until nothing changes. A call first joins the groups that compute its
//! operands, then the groups that read the same tensors. Two conditions must hold: one call can do all of it (`assemble`), and no
//! path of dependencies leads out of the group and back into it. Dependencies follow from the pieces of memory that calls read
//! and write. So an assignment to a state stays after all reads of the old value and before all reads of the new one.

use super::assemble::{Span, assemble, count};
use super::lower::Lowered;
use super::{Call, RootKind};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// The same calculation in fewer calls.
pub fn fuse(lowered: Lowered) -> Lowered {
    let mut groups = Groups::new(&lowered);
    for made in [true, false] {
        // A merge may free the binding that an earlier one lacked.
        while groups.grow(made) {}
    }
    let calls = groups.emit();
    let mut fused = Lowered { calls, ..lowered };
    forget_unused(&mut fused);
    fused
}

struct Groups<'a> {
    lowered: &'a Lowered,
    /// Per call: the earlier calls that must come before it.
    after: Vec<Vec<usize>>,
    /// Per root: the calls that use it.
    users: Vec<Vec<usize>>,
    /// Per root: its value, if it is a constant that no call writes.
    literals: Vec<Option<f32>>,
    /// Per call: values of its result, if it can be fused.
    counts: Vec<Option<u32>>,
    /// Per call: its group.
    group: Vec<usize>,
    /// Per group: its calls in order, and what they become; empty once merged into another.
    members: Vec<Vec<usize>>,
    fused: Vec<Option<Call>>,
    /// Per call: the groups that have calls up to it and calls after it.
    spanning: Vec<usize>,
}

impl<'a> Groups<'a> {
    fn new(lowered: &'a Lowered) -> Self {
        let calls = &lowered.calls;
        let mut literals: Vec<Option<f32>> = lowered.roots.iter().map(literal).collect();
        let mut users = vec![Vec::new(); lowered.roots.len()];
        for (at, call) in calls.iter().enumerate() {
            for id in &call.writes {
                literals[lowered.tensors[id.0].root] = None;
            }
            for id in call.reads.iter().chain(&call.writes) {
                users[lowered.tensors[id.0].root].push(at);
            }
        }
        Self {
            lowered,
            after: dependencies(lowered),
            users,
            literals,
            counts: calls.iter().map(count).collect(),
            group: (0..calls.len()).collect(),
            members: (0..calls.len()).map(|at| vec![at]).collect(),
            fused: vec![None; calls.len()],
            spanning: vec![0; calls.len()],
        }
    }

    /// Merges groups along values that one makes and the other reads, or that both read. Returns whether any were merged.
    fn grow(&mut self, made: bool) -> bool {
        let mut grown = false;
        for call in 0..self.lowered.calls.len() {
            for neighbour in self.neighbours(call, made) {
                grown |= self.try_merge(call, neighbour);
            }
        }
        grown
    }

    /// Earlier calls whose groups `call` may join, the nearest first: those that make what it reads, or those that read it.
    fn neighbours(&self, call: usize, made: bool) -> Vec<usize> {
        let Some(own) = self.counts[call] else { return Vec::new() };
        let spans: Vec<Span> =
            self.lowered.calls[call].reads.iter().map(|&id| Span::of(self.lowered, id)).collect();
        let whole = |span: &Span| span.len() == own as usize && spans.contains(span);
        let uses = |at: usize| {
            let earlier = &self.lowered.calls[at];
            let ids = if made { &earlier.writes } else { &earlier.reads };
            ids.iter().any(|&id| whole(&Span::of(self.lowered, id)))
        };
        let users: BTreeSet<usize> = spans.iter().flat_map(|s| &self.users[s.root()]).copied().collect();
        let candidates = users.iter().rev().copied().filter(|&at| at < call && self.counts[at] == Some(own));
        candidates.filter(|&at| self.group[at] != self.group[call] && uses(at)).collect()
    }

    /// Merges the groups of two calls, if possible.
    fn try_merge(&mut self, a: usize, b: usize) -> bool {
        let (a, b) = (self.group[a], self.group[b]);
        if a == b {
            return false;
        }
        let mut members: Vec<usize> = self.members[a].iter().chain(&self.members[b]).copied().collect();
        members.sort_unstable();
        if self.leads_back(&members) {
            return false;
        }
        let calls: Vec<&Call> = members.iter().map(|&at| &self.lowered.calls[at]).collect();
        let outside = |root: usize| self.users[root].iter().any(|at| members.binary_search(at).is_err());
        let Some(call) = assemble(self.lowered, &self.literals, &calls, outside) else { return false };
        for &at in &members {
            self.group[at] = b;
        }
        let span = |calls: &[usize]| calls[0]..calls[calls.len() - 1];
        let [one, other] = [a, b].map(|group| span(&self.members[group]));
        one.chain(other).for_each(|at| self.spanning[at] -= 1);
        span(&members).for_each(|at| self.spanning[at] += 1);
        self.members[a].clear();
        self.members[b] = members;
        self.fused[b] = Some(call);
        true
    }

    /// Whether an operand of `members` depends on one of them.
    fn leads_back(&self, members: &[usize]) -> bool {
        let inside = |at: usize| members.binary_search(&at).is_ok();
        // Calls before this one need nothing from it on, for no group has calls on either side.
        let closed = (0..members[0]).rev().find(|&at| self.spanning[at] == 0).map_or(0, |at| at + 1);
        let mut seen = BTreeSet::new();
        let mut open: Vec<usize> =
            members.iter().flat_map(|&m| &self.after[m]).copied().filter(|&at| !inside(at)).collect();
        while let Some(at) = open.pop() {
            let group = self.group[at];
            // A group that ends before the first member may yet need one that goes on after it.
            if self.members[group].last() < Some(&closed) || !seen.insert(group) {
                continue;
            }
            for &earlier in self.members[group].iter().flat_map(|&m| &self.after[m]) {
                if inside(earlier) {
                    return true;
                }
                open.push(earlier);
            }
        }
        false
    }

    /// All calls in an order that keeps every dependency, and else their original order.
    fn emit(mut self) -> Vec<Call> {
        let calls = self.lowered.calls.len();
        let mut waits_for: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); calls];
        let mut followers: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); calls];
        for (at, earlier) in self.after.iter().enumerate() {
            for &earlier in earlier {
                let (group, first) = (self.group[at], self.group[earlier]);
                if group != first {
                    waits_for[group].insert(first);
                    followers[first].insert(group);
                }
            }
        }
        let last = |members: &[usize], group: usize| Reverse((members.last().copied(), group));
        let ready = (0..calls).filter(|&g| !self.members[g].is_empty() && waits_for[g].is_empty());
        let mut ready: BinaryHeap<_> = ready.map(|g| last(&self.members[g], g)).collect();
        let mut ordered = Vec::new();
        while let Some(Reverse((_, group))) = ready.pop() {
            let single = || self.lowered.calls[self.members[group][0]].clone();
            ordered.push(self.fused[group].take().unwrap_or_else(single));
            for &next in &followers[group] {
                waits_for[next].remove(&group);
                if waits_for[next].is_empty() {
                    ready.push(last(&self.members[next], next));
                }
            }
        }
        let groups = self.members.iter().filter(|members| !members.is_empty()).count();
        assert_eq!(ordered.len(), groups, "groups that wait for each other");
        ordered
    }
}

fn literal(root: &super::Root) -> Option<f32> {
    match root.kind {
        RootKind::Constant(value) if value == 0.0 || value.is_normal() => Some(value),
        _ => None,
    }
}

/// For every call, the earlier ones that must come before it: those that write what it reads or writes, and those that
/// read what it writes.
fn dependencies(lowered: &Lowered) -> Vec<Vec<usize>> {
    let mut uses: Vec<Vec<(usize, Span, bool)>> = vec![Vec::new(); lowered.roots.len()];
    let mut after = vec![Vec::new(); lowered.calls.len()];
    for (at, call) in lowered.calls.iter().enumerate() {
        let reads = call.reads.iter().map(|&id| (Span::of(lowered, id), false));
        let writes = call.writes.iter().map(|&id| (Span::of(lowered, id), true));
        let own: Vec<(Span, bool)> = reads.chain(writes).collect();
        for (span, writes) in &own {
            let earlier = uses[span.root()].iter();
            let met = earlier.filter(|(_, other, written)| (*writes || *written) && other.overlaps(span));
            after[at].extend(met.map(|(earlier, ..)| *earlier));
        }
        for (span, writes) in own {
            uses[span.root()].push((at, span, writes));
        }
        after[at].sort_unstable();
        after[at].dedup();
    }
    after
}

/// Computed roots that only existed between fused calls take no memory.
fn forget_unused(lowered: &mut Lowered) {
    let mut used = vec![false; lowered.roots.len()];
    let calls = lowered.calls.iter().flat_map(|c| c.reads.iter().chain(&c.writes));
    for id in calls.chain(lowered.outputs.iter().map(|(_, id)| id)) {
        used[lowered.tensors[id.0].root] = true;
    }
    for (root, used) in lowered.roots.iter_mut().zip(used) {
        if !used && root.kind == RootKind::Computed {
            root.len = 0;
        }
    }
}
