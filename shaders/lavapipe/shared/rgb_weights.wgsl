// Shared by the forms of convolutions from and to images of three channels, for subgroups of eight: the weight,
// [3, 3, 3, coarse_channels] in units of eight values, eight channels at a time. Four fetches have them, one row of eight in each
// lane, and they reach all lanes by broadcasts.

// Rows of the weight: taps times channels.
const WEIGHTS: u32 = 27u;

// The weights of eight channels, and of the last row five times more.
struct Weights {
    first: Rows,
    second: Rows,
    third: Rows,
    fourth: Rows,
}

fn load_weights(lane: u32, block: u32, pitch: u32) -> Weights {
    return Weights(
        rows_of_lanes(unpack(weight[lane * pitch + block])),
        rows_of_lanes(unpack(weight[(lane + 8u) * pitch + block])),
        rows_of_lanes(unpack(weight[(lane + 16u) * pitch + block])),
        rows_of_lanes(unpack(weight[min(lane + 24u, WEIGHTS - 1u) * pitch + block])),
    );
}
