// Measures arithmetic: sixteen independent chains of multiply-adds per invocation, in registers.
// Reads values[0] (factor), values[1] (summand); writes one sum per invocation from values[2] on.
// With factor 1 and summand 1 each chain counts its steps, so the result says whether all were done.
// Dispatch: any number of workgroups of 64. Longest loop: 256 (eight multiply-adds in each chain, so that the loop itself
// does not count).

@group(0) @binding(0) var<storage, read_write> values: array<f32>;

const STEPS: u32 = 256u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let factor = vec4(values[0]);
    let summand = vec4(values[1]);
    var a = vec4(0.0);
    var b = vec4(0.0);
    var c = vec4(0.0);
    var d = vec4(0.0);
    for (var i = 0u; i < STEPS; i++) {
        a = a * factor + summand;
        b = b * factor + summand;
        c = c * factor + summand;
        d = d * factor + summand;
        a = a * factor + summand;
        b = b * factor + summand;
        c = c * factor + summand;
        d = d * factor + summand;
        a = a * factor + summand;
        b = b * factor + summand;
        c = c * factor + summand;
        d = d * factor + summand;
        a = a * factor + summand;
        b = b * factor + summand;
        c = c * factor + summand;
        d = d * factor + summand;
        a = a * factor + summand;
        b = b * factor + summand;
        c = c * factor + summand;
        d = d * factor + summand;
        a = a * factor + summand;
        b = b * factor + summand;
        c = c * factor + summand;
        d = d * factor + summand;
        a = a * factor + summand;
        b = b * factor + summand;
        c = c * factor + summand;
        d = d * factor + summand;
        a = a * factor + summand;
        b = b * factor + summand;
        c = c * factor + summand;
        d = d * factor + summand;
    }
    let sum = a + b + c + d;
    values[2u + id.x] = sum.x + sum.y + sum.z + sum.w;
}
