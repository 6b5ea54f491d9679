// Shared by the forms of border_sum that take one value at a time: its sum.

// The sum over a class, of value `i` of every place.
fn sum_of(class_places: Class, i: u32) -> f32 {
    var at = class_places.first + i;
    var sum = 0.0;
    for (var place = 0u; place < class_places.places; place++) {
        sum += x[at];
        at += params.stride * params.inner;
    }
    return sum;
}
