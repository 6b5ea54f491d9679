// winograd_product for adapters whose subgroups are exactly eight invocations wide (the software adapter lavapipe). The
// contract is that of winograd_product.wgsl:
//
//   product[p, t, o] = sum over i of image[p, t, i] * weight[p, i, o]
//
// Reads     image [16, tiles / 4, input_places] of vec4 over four tiles,
//           weight [16, input_places / 4, output_places] of vec4 over four input channels.
// Writes    product [16, tiles / 4, output_places] of vec4 over four tiles, every element once.
// Dispatch  x = output_places / 16, y = tiles / 32, z = 16.
// Longest loop  input_places / 8.
//
// Why this shape: conv2d.subgroup8.wgsl says it. One subgroup keeps 32 tiles x 16 output channels; lanes run
// along the output channels, and a fetched vector of eight input channels is handed to all of them by broadcasts. The
// layouts let every fetch and store be a vec4, which costs less than four single ones.

@group(0) @binding(1) var<storage, read_write> image: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> product: array<vec4<f32>>;

// Four tiles, sixteen output channels.
struct Pair {
    first: vec4<f32>,
    second: vec4<f32>,
}

// Eight input channels of one output channel.
struct Weights {
    low: vec4<f32>,
    high: vec4<f32>,
}

fn add(sum: Pair, values: vec4<f32>, first: f32, second: f32) -> Pair {
    return Pair(sum.first + values * first, sum.second + values * second);
}

fn accumulate(sum: Pair, values: vec4<f32>, first: Weights, second: Weights) -> Pair {
    var result = sum;
    result = add(result, subgroupBroadcast(values, 0u), first.low.x, second.low.x);
    result = add(result, subgroupBroadcast(values, 1u), first.low.y, second.low.y);
    result = add(result, subgroupBroadcast(values, 2u), first.low.z, second.low.z);
    result = add(result, subgroupBroadcast(values, 3u), first.low.w, second.low.w);
    result = add(result, subgroupBroadcast(values, 4u), first.high.x, second.high.x);
    result = add(result, subgroupBroadcast(values, 5u), first.high.y, second.high.y);
    result = add(result, subgroupBroadcast(values, 6u), first.high.z, second.high.z);
    result = add(result, subgroupBroadcast(values, 7u), first.high.w, second.high.w);
    return result;
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let channel = group.x * 16u + lane;
    let pitch = params.input_places;
    let first_group = group.z * (params.tiles / 4u) + 8u * group.y;
    var at = first_group * pitch + lane;
    var weight_at = group.z * (params.input_places / 4u) * params.output_places + channel;

    var sum0 = Pair();
    var sum1 = Pair();
    var sum2 = Pair();
    var sum3 = Pair();
    var sum4 = Pair();
    var sum5 = Pair();
    var sum6 = Pair();
    var sum7 = Pair();
    for (var first = 0u; first < params.input_places; first += 8u) {
        let weights = Weights(weight[weight_at], weight[weight_at + params.output_places]);
        let more = Weights(weight[weight_at + 8u], weight[weight_at + params.output_places + 8u]);
        sum0 = accumulate(sum0, image[at], weights, more);
        sum1 = accumulate(sum1, image[at + pitch], weights, more);
        sum2 = accumulate(sum2, image[at + 2u * pitch], weights, more);
        sum3 = accumulate(sum3, image[at + 3u * pitch], weights, more);
        sum4 = accumulate(sum4, image[at + 4u * pitch], weights, more);
        sum5 = accumulate(sum5, image[at + 5u * pitch], weights, more);
        sum6 = accumulate(sum6, image[at + 6u * pitch], weights, more);
        sum7 = accumulate(sum7, image[at + 7u * pitch], weights, more);
        at += 8u;
        weight_at += 2u * params.output_places;
    }

    // A bound known only at run time keeps the compiler from unrolling this: it is slow at stores.
    var to = first_group * params.output_places + channel;
    for (var stored = 0u; stored < min(8u, params.tiles); stored++) {
        product[to] = sum0.first;
        product[to + 8u] = sum0.second;
        to += params.output_places;
        sum0 = sum1;
        sum1 = sum2;
        sum2 = sum3;
        sum3 = sum4;
        sum4 = sum5;
        sum5 = sum6;
        sum6 = sum7;
    }
}
