// Shared by the forms for subgroups of eight that multiply what every lane has by what one lane has: eight rows of a matrix,
// fetched a row per lane, in all lanes.

// Eight rows of eight values, the same in every lane.
struct Rows {
    row0: Eight,
    row1: Eight,
    row2: Eight,
    row3: Eight,
    row4: Eight,
    row5: Eight,
    row6: Eight,
    row7: Eight,
}

fn rows_of_lanes(values: Eight) -> Rows {
    return Rows(
        Eight(subgroupBroadcast(values.low, 0u), subgroupBroadcast(values.high, 0u)),
        Eight(subgroupBroadcast(values.low, 1u), subgroupBroadcast(values.high, 1u)),
        Eight(subgroupBroadcast(values.low, 2u), subgroupBroadcast(values.high, 2u)),
        Eight(subgroupBroadcast(values.low, 3u), subgroupBroadcast(values.high, 3u)),
        Eight(subgroupBroadcast(values.low, 4u), subgroupBroadcast(values.high, 4u)),
        Eight(subgroupBroadcast(values.low, 5u), subgroupBroadcast(values.high, 5u)),
        Eight(subgroupBroadcast(values.low, 6u), subgroupBroadcast(values.high, 6u)),
        Eight(subgroupBroadcast(values.low, 7u), subgroupBroadcast(values.high, 7u)),
    );
}
