// Shared by max_pool and max_unpool: where a window's largest key is. They declare `keys`.

// Whether a key takes the place of the largest one so far: NaN does, as in PyTorch. By its bits, for compilers may take
// it that there is no NaN.
fn wins(key: f32, largest: f32) -> bool {
    return key > largest || (bitcast<u32>(key) & 0x7fffffffu) > 0x7f800000u;
}

// The cell of the window with the largest key, the first one of equals, counted over one image.
fn winner(image: u32, row: u32, column: u32, channel: u32) -> u32 {
    let over = rows_of(row);
    let across = columns_of(column);
    let origin = (image % params.keys) * params.height * params.width;
    var best = over.x * params.width + across.x;
    var largest = keys[(origin + best) * params.channels + channel];
    for (var y = over.x; y < over.y; y++) {
        for (var x = across.x; x < across.y; x++) {
            let cell = y * params.width + x;
            let key = keys[(origin + cell) * params.channels + channel];
            if wins(key, largest) {
                largest = key;
                best = cell;
            }
        }
    }
    return best;
}
