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

fn add_row(sum: Eight, value: f32, row: Eight) -> Eight {
    return Eight(sum.low + value * row.low, sum.high + value * row.high);
}

// Adds the products of a row's eight values with eight rows.
fn add_rows(sum: Eight, values: Eight, rows: Rows) -> Eight {
    var result = sum;
    result = add_row(result, values.low.x, rows.row0);
    result = add_row(result, values.low.y, rows.row1);
    result = add_row(result, values.low.z, rows.row2);
    result = add_row(result, values.low.w, rows.row3);
    result = add_row(result, values.high.x, rows.row4);
    result = add_row(result, values.high.y, rows.row5);
    result = add_row(result, values.high.z, rows.row6);
    result = add_row(result, values.high.w, rows.row7);
    return result;
}
