// Shared by the portable forms of winograd_s1_gradient and winograd_s2_gradient: M m M' for a pair of channels, with the MATRIX of
// 3 x COLUMNS that each declares.

@group(0) @binding(1) var<storage, read_write> product: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;

fn taps_of_pair(output: u32, input: u32) -> array<f32, 9> {
    let own = first_element(COLUMNS * COLUMNS, params.inputs, output, input);
    var elements: array<f32, COLUMNS * COLUMNS>;
    for (var k = 0u; k < COLUMNS * COLUMNS; k++) {
        elements[k] = product[own + k * 8u * params.inputs];
    }
    return both(elements);
}
