// Shared by the forms for images of three channels that take one position per lane, on adapters with 64-bit integers: what a 3x3
// kernel at stride 1 meets there. The image is `fine`, [batch, height, width, 3] in units of four values.
//
// What the taps meet in a row of the image are nine values in a row, which begin anywhere: three fetches of four values have
// them, and are shifted by up to three.

// Nine values: what three taps meet in a row.
struct Row {
    left: vec3<f32>,
    middle: vec3<f32>,
    right: vec3<f32>,
}

// Where a lane's position is.
struct Place {
    image: u32,
    y: u32,
    x: u32,
    // In units of four values.
    last: i32,
}

fn four(place: Place, at: i32) -> vec4<f32> {
    return unpack_four(fine[clamp(at, 0, place.last)]);
}

fn load_row(place: Place, tap: u32) -> Row {
    // Rows before the first wrap around to large numbers; what is fetched for a row outside is left out.
    let y = place.y + tap - 1u;
    let inside = y < params.height;
    let line = (place.image * params.height + select(0u, y, inside)) * params.width;
    let first = 3 * (i32(line + place.x) - 1);
    let at = first >> 2u;
    let a = four(place, at);
    let b = four(place, at + 1);
    let c = four(place, at + 2);
    let by_one = (first & 1) != 0;
    let d = select(a, vec4<f32>(a.yzw, b.x), by_one);
    let e = select(b, vec4<f32>(b.yzw, c.x), by_one);
    let f = select(c, vec4<f32>(c.yzw, 0.0), by_one);
    let by_two = (first & 2) != 0;
    let g = select(d, vec4<f32>(d.zw, e.xy), by_two);
    let h = select(e, vec4<f32>(e.zw, f.xy), by_two);
    let i = select(f.x, f.z, by_two);
    let nothing = vec3<f32>();
    return Row(
        select(nothing, g.xyz, inside && place.x > 0u),
        select(nothing, vec3<f32>(g.w, h.xy), inside),
        select(nothing, vec3<f32>(h.zw, i), inside && place.x < params.width - 1u),
    );
}

// What a position's 27 taps and channels meet, in the order of the weight's rows.
struct Taps {
    first: Eight,
    second: Eight,
    third: Eight,
    fourth: vec3<f32>,
}

fn taps_at(pixel: u32) -> Taps {
    let line = small_divide(pixel, params.width);
    let image = small_divide(line, params.height);
    let values = 3u * params.batch * params.height * params.width;
    let place = Place(image, line - image * params.height, pixel - line * params.width, i32(values / 4u) - 1);
    let a = load_row(place, 0u);
    let b = load_row(place, 1u);
    let c = load_row(place, 2u);
    return Taps(
        Eight(vec4<f32>(a.left, a.middle.x), vec4<f32>(a.middle.yz, a.right.xy)),
        Eight(vec4<f32>(a.right.z, b.left), vec4<f32>(b.middle, b.right.x)),
        Eight(vec4<f32>(b.right.yz, c.left.xy), vec4<f32>(c.left.z, c.middle)),
        c.right,
    );
}
