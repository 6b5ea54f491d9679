// Shared by the forms of matrix_product for subgroups of eight: their tensors, and where a sum begins and ends. Stores are two of
// four values, as making 64-bit integers of sums costs more than it saves.

@group(0) @binding(1) var<storage, read_write> left: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> right: array<vec4<u64>>;
@group(0) @binding(3) var<storage, read_write> product: array<vec4<f32>>;

override ACCUMULATE: u32 = 0u;

// What a sum begins with.
fn before(at: u32) -> Eight {
    if (ACCUMULATE == 1u) {
        return Eight(product[at], product[at + 1u]);
    }
    return Eight();
}

fn store(at: u32, sum: Eight) {
    product[at] = sum.low;
    product[at + 1u] = sum.high;
}
