//! ONNX files put together byte by byte, for what no exporter would write.

/// A field of a message.
pub fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut all = vec![number << 3 | 2];
    let mut len = bytes.len();
    while len >= 128 {
        all.push((len & 127) as u8 | 128);
        len >>= 7;
    }
    all.push(len as u8);
    all.extend(bytes);
    all
}

/// A field that is a number below 128.
pub fn number(field: u8, value: u8) -> Vec<u8> {
    vec![field << 3, value]
}

/// A node with these inputs and outputs.
pub fn node(operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut all: Vec<u8> = inputs.iter().flat_map(|name| field(1, name.as_bytes())).collect();
    all.extend(outputs.iter().flat_map(|name| field(2, name.as_bytes())));
    all.extend(field(4, operator.as_bytes()));
    all.extend(attributes.iter().flat_map(|attribute| field(5, attribute)));
    field(1, &all)
}

/// A model of these nodes and weights over images `[n, 3, 8, 8]`, whose output is `out`.
pub fn model(parts: &[Vec<u8>]) -> Vec<u8> {
    let extent = |value: u8| field(1, &number(1, value));
    let shape = [field(1, &field(2, b"n")), extent(3), extent(8), extent(8)].concat();
    let tensor = [number(1, 1), field(2, &shape)].concat();
    let input = field(11, &[field(1, b"images"), field(2, &field(1, &tensor))].concat());
    let graph = [parts.concat(), input, field(12, &field(1, b"out"))].concat();
    [number(1, 8), field(7, &graph), field(8, &number(2, 17))].concat()
}

/// A weight of f32 with these extents and bytes.
pub fn weight(name: &str, extents: &[u8], bytes: &[u8]) -> Vec<u8> {
    let extents: Vec<u8> = extents.iter().flat_map(|&extent| number(1, extent)).collect();
    field(5, &[extents, number(2, 1), field(8, name.as_bytes()), field(9, bytes)].concat())
}

/// The same of these numbers.
pub fn floats(name: &str, extents: &[u8], values: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    weight(name, extents, &bytes)
}

/// A weight of whole numbers of 64 bits.
pub fn whole(name: &str, values: &[i64]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    // Two bytes of seven bits each.
    let extents = vec![1 << 3, values.len() as u8 | 128, (values.len() >> 7) as u8];
    field(5, &[extents, number(2, 7), field(8, name.as_bytes()), field(9, &bytes)].concat())
}
