// Shared by most kernels: the index of an invocation in the grids of src/kernels/grids.rs, and a division of small integers that is
// fast on software adapters.

const GROUP: u32 = 64u;
const GRID_WIDTH: u32 = 32768u;

// Index of an invocation in a two-dimensional grid of one-dimensional workgroups.
fn flat_index(group: vec3<u32>, local: u32) -> u32 {
    return (group.y * GRID_WIDTH + group.x) * GROUP + local;
}

// Values of one invocation of an element-wise kernel. They are GROUP apart, so that neighbouring invocations read neighbouring values. To
// start a workgroup costs a software adapter as much as some values.
const VALUES: u32 = 8u;

// Index of an invocation's first value in such a grid.
fn first_value(group: vec3<u32>, local: u32) -> u32 {
    return (group.y * GRID_WIDTH + group.x) * GROUP * VALUES + local;
}

// i / d for i < 2^22: integer division is emulated per lane on software adapters, this is not. An adapter may round a quotient of floats
// by 2.5 units in the last place, so the whole part may be one off.
fn small_divide(i: u32, d: u32) -> u32 {
    let near = u32((f32(i) + 0.5) / f32(d));
    let product = near * d;
    return select(near + u32(i - product >= d), near - 1u, product > i);
}

