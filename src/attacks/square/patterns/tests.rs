//! Expected numbers were computed with the public code (fra31/auto-attack, a392200).

use super::*;

/// An image that is neither square nor grey.
const PROBLEM: Problem = Problem { height: 20, width: 34, channels: 3, classes: 2 };
const PIXELS: usize = 20 * 34 * 3;

/// Some of whose values are black or white.
fn image() -> Vec<f32> {
    let random = Random::new(4, Stream::Augment);
    (0..PIXELS as u32).map(|i| (random.uniform(0, i) * 2.0 - 0.5).clamp(0.0, 1.0)).collect()
}

#[test]
fn windows_shrink_as_in_the_public_code() {
    let iterations = [0, 10, 11, 50, 51, 200, 201, 501, 1001, 2001, 4001, 4999, 6001, 8001];
    let shares =
        [0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0.1, 0.05, 0.025, 0.0125, 0.00625, 0.00625, 0.003_125, 0.001_562_5];
    assert_eq!(iterations.map(share), shares);
    let linf = |size| iterations.map(|iteration| side(iteration, size, Norm::Linf));
    let l2 = |size| iterations.map(|iteration| side(iteration, size, Norm::L2));
    assert_eq!(linf((32, 32)), [29, 29, 20, 20, 14, 14, 10, 7, 5, 4, 3, 3, 2, 1]);
    assert_eq!(l2((32, 32)), [29, 29, 21, 21, 15, 15, 11, 7, 5, 5, 3, 3, 3, 3]);
    assert_eq!(linf((28, 28)), [25, 25, 18, 18, 13, 13, 9, 6, 4, 3, 2, 2, 2, 1]);
    assert_eq!(l2((8, 8)), [7, 7, 5, 5, 5, 5, 3, 3, 3, 3, 3, 3, 3, 3]);
    assert_eq!(linf((20, 40)), [20, 20, 18, 18, 13, 13, 9, 6, 4, 3, 2, 2, 2, 1]);
    assert_eq!(l2((2, 9)), [2; 14]);
    assert_eq!(linf((224, 224)), [200, 200, 142, 142, 100, 100, 71, 50, 35, 25, 18, 18, 13, 9]);
}

#[test]
fn pyramids_are_those_of_the_public_code() {
    assert_eq!(pyramids(1), [-1.0]);
    let row = |values: &[f64], times: f64| values.iter().map(|v| v * times).collect::<Vec<f64>>();
    let (wide, low) =
        ([0.049_401_5, 0.160_555, 0.160_555, 0.160_555], [0.049_401_5, 0.160_555, 0.605_168_9, 0.160_555]);
    let four = [row(&wide, 1.0), row(&low, 1.0), row(&wide, -1.0), row(&low, -1.0)].concat();
    let three = vec![
        0.136_082_8,
        0.680_413_8,
        0.136_082_8,
        -0.129_099_4,
        -0.129_099_4,
        -0.129_099_4,
        -0.129_099_4,
        -0.645_497_2,
        -0.129_099_4,
    ];
    for (side, expected) in [(3, three), (4, four)] {
        let found = pyramids(side);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "side {side}: {found} for {expected}");
        }
    }
}

#[test]
fn every_candidate_lies_in_the_ball_and_in_the_box() {
    let original = image();
    for norm in Norm::ALL {
        for epsilon in [0.0, 1e-3, 0.05, 0.8] {
            let candidates = Candidates::new(PROBLEM, norm, epsilon);
            let (mut best, mut next) = (vec![0.0; PIXELS], vec![f32::NAN; PIXELS]);
            for place in 0..3 {
                candidates.start(&original, &mut Draws::new(1, 0, place, 0), &mut best);
                for iteration in (0..5000).step_by(37) {
                    let mut draws = Draws::new(1, 0, place, iteration + 1);
                    candidates.next(iteration, (&original, &best), &mut draws, &mut next);
                    assert!(next.iter().all(|value| (0.0..=1.0).contains(value)), "{norm:?} {epsilon}");
                    let distance = norm.distance(&original, &next);
                    assert!(distance <= f64::from(epsilon) + 3e-6, "{norm:?} {epsilon}: {distance}");
                    // Clipped by the box alone, so it is not far inside either.
                    assert!(distance >= 0.2 * f64::from(epsilon), "{norm:?} {epsilon}: {distance}");
                    std::mem::swap(&mut best, &mut next);
                }
            }
        }
    }
}

#[test]
fn the_start_in_linf_has_vertical_stripes_of_one_sign_per_channel() {
    let (original, candidates) = (vec![0.5; PIXELS], Candidates::new(PROBLEM, Norm::Linf, 0.25));
    let mut start = vec![0.0; PIXELS];
    candidates.start(&original, &mut Draws::new(1, 0, 0, 0), &mut start);
    let row = 34 * 3;
    assert!(start.chunks(row).all(|other| other == &start[..row]));
    for channel in 0..3 {
        let up = (0..34).filter(|column| start[column * 3 + channel] == 0.75).count();
        let down = (0..34).filter(|column| start[column * 3 + channel] == 0.25).count();
        assert!(up + down == 34 && up > 5 && down > 5, "channel {channel}: {up} up, {down} down");
    }
}

#[test]
fn the_start_in_l2_has_a_tile_of_either_orientation_and_sign_in_every_cell() {
    let (original, candidates) = (vec![0.5; PIXELS], Candidates::new(PROBLEM, Norm::L2, 0.5));
    let mut start = vec![0.0; PIXELS];
    candidates.start(&original, &mut Draws::new(1, 0, 0, 0), &mut start);
    assert!((Norm::L2.distance(&original, &start) - 0.5).abs() < 1e-6);
    // 20 by 34 in tiles of 4: five rows, eight columns, a column over on either side.
    let moved = |row: usize, column: usize| f64::from(start[(row * 34 + column) * 3] - 0.5);
    assert!((0..20).all(|row| moved(row, 0) == 0.0 && moved(row, 33) == 0.0));
    let pattern = pyramids(4);
    let scale = 0.5 / f64::from(5 * 8 * 3).sqrt();
    let mut seen = std::collections::BTreeSet::new();
    for tile in 0..40 {
        let (row, column) = (tile / 8 * 4, 1 + tile % 8 * 4);
        let fits = |turned: bool, sign: f64| {
            (0..16).all(|i| {
                let expected = sign * scale * pattern[turn(i, 4, turned)];
                (moved(row + i / 4, column + i % 4) - expected).abs() < 1e-6
            })
        };
        let kinds = [(false, 1), (false, -1), (true, 1), (true, -1)];
        let kind = kinds.into_iter().find(|&(turned, sign)| fits(turned, f64::from(sign)));
        seen.insert(kind.expect("every cell has a tile"));
    }
    assert_eq!(seen.len(), 4);
}

#[test]
fn a_candidate_in_linf_differs_within_one_window_where_it_is_as_far_as_the_ball_reaches() {
    let (original, candidates) = (vec![0.5; PIXELS], Candidates::new(PROBLEM, Norm::Linf, 0.25));
    let mut next = vec![0.0; PIXELS];
    candidates.next(300, (&original, &original), &mut Draws::new(1, 0, 0, 301), &mut next);
    let side = side(300, (20, 34), Norm::Linf);
    let changed: Vec<usize> = (0..PIXELS).filter(|&i| next[i] != 0.5).collect();
    assert_eq!(changed.len(), side * side * 3);
    let (rows, columns): (Vec<usize>, Vec<usize>) = changed.iter().map(|i| (i / 102, i / 3 % 34)).unzip();
    let span = |all: &[usize]| all.iter().max().unwrap() - all.iter().min().unwrap() + 1;
    assert_eq!((span(&rows), span(&columns)), (side, side));
    // One sign per channel; the first three changed values are the channels of one position.
    assert!(changed.iter().all(|&i| (next[i] - 0.5).abs() == 0.25 && next[i] == next[changed[i % 3]]));
}

#[test]
fn a_candidate_in_l2_takes_the_norm_of_its_second_window_and_what_is_unused() {
    // Half of ε is used, by the same amount everywhere.
    let (used, epsilon) = (0.25, 0.5);
    let original = vec![0.5; PIXELS];
    let each = used / (PIXELS as f32).sqrt();
    let best: Vec<f32> = original.iter().map(|x| x + each).collect();
    let candidates = Candidates::new(PROBLEM, Norm::L2, epsilon);
    let mut next = vec![0.0; PIXELS];
    candidates.next(300, (&original, &best), &mut Draws::new(1, 0, 0, 301), &mut next);
    let moved: Vec<f32> = next.iter().map(|x| x - 0.5).collect();
    // All of ε is used now.
    assert!((square(&moved).sqrt() - 0.5).abs() < 1e-6);
    // The second window is cleared but for what the first takes; elsewhere nothing has changed.
    let side = side(300, (20, 34), Norm::L2);
    let cleared = moved.iter().filter(|value| **value == 0.0).count() / 3;
    let same = moved.iter().filter(|value| (**value - each).abs() < 1e-6).count() / 3;
    assert!(cleared > 0 && cleared <= side * side, "{cleared}");
    assert!(same >= 20 * 34 - side * side - cleared, "{same} of {}", 20 * 34);
}

#[test]
fn a_window_mixes_pyramids_with_the_direction_of_what_stands_there() {
    // Three by three positions: both windows are the whole image.
    let problem = Problem { height: 3, width: 3, channels: 1, classes: 2 };
    let candidates = Candidates::new(problem, Norm::L2, 0.3);
    let old: Vec<f64> = (0..9).map(|i| 0.01 * f64::from(i) - 0.02).collect();
    let best: Vec<f32> = old.iter().map(|value| 0.5 + *value as f32).collect();
    let (old, pattern) = (scaled_to_one(old), pyramids(3));
    let mut seen = std::collections::BTreeSet::new();
    for query in 0..20 {
        let mut next = vec![0.0; 9];
        candidates.next(query, (&[0.5; 9], &best), &mut Draws::new(1, 0, 0, query), &mut next);
        let fits = |turned: bool, sign: f64| {
            let mixed = (0..9).map(|i| sign.mul_add(pattern[turn(i, 3, turned)], old[i]));
            let expected = scaled_to_one(mixed.collect());
            next.iter().zip(expected).all(|(x, value)| (f64::from(x - 0.5) - 0.3 * value).abs() < 1e-6)
        };
        let kinds = [(false, 1), (false, -1), (true, 1), (true, -1)];
        let kind = kinds.into_iter().find(|&(turned, sign)| fits(turned, f64::from(sign)));
        seen.insert(kind.expect("the candidate is a mixture"));
    }
    assert_eq!(seen.len(), 4);
}

#[test]
fn windows_lie_at_every_place_but_the_last_of_a_row_and_of_a_column() {
    let candidates = Candidates::new(PROBLEM, Norm::Linf, 0.25);
    let windows = (0..2000).map(|query| candidates.window(14, &mut Draws::new(1, 0, 0, query)));
    let found: std::collections::BTreeSet<_> = windows.map(|window| (window.row, window.column)).collect();
    let all = (0..20 - 14).flat_map(|row| (0..34 - 14).map(move |column| (row, column)));
    assert!(found.into_iter().eq(all));
    let whole = candidates.window(20, &mut Draws::new(1, 0, 0, 0));
    assert_eq!((whole.row, whole.side), (0, 20));
}

#[test]
fn candidates_depend_on_seed_round_place_and_query_alone() {
    let original = image();
    let candidates = Candidates::new(PROBLEM, Norm::L2, 0.5);
    let made = |seed, round, place, query| {
        let mut out = vec![0.0; PIXELS];
        candidates.start(&original, &mut Draws::new(seed, round, place, query), &mut out);
        out
    };
    let first = made(1, 2, 3, 4);
    assert_eq!(first, made(1, 2, 3, 4));
    for other in [made(2, 2, 3, 4), made(1, 3, 3, 4), made(1, 2, 4, 4), made(1, 2, 3, 5)] {
        assert_ne!(first, other);
    }
}
