use super::*;
use crate::nn::Problem;

const PROBLEM: Problem = Problem { height: 6, width: 9, channels: 1, classes: 2 };
const PIXELS: usize = 54;

fn search() -> Search {
    let image = vec![0.5; PIXELS];
    Search {
        place: 3,
        label: 0.0,
        original: image.clone(),
        best: image,
        margin: f32::INFINITY,
        round: 0,
        query: 0,
        over: false,
    }
}

#[test]
fn a_candidate_with_a_larger_margin_is_never_taken() {
    for norm in Norm::ALL {
        let candidates = Candidates::new(PROBLEM, norm, 0.3);
        // A margin without any slope: whatever comes is as good as another.
        let margin_of = |image: &[f32]| {
            2.0 + image.iter().enumerate().map(|(i, x)| (37.0 * x + i as f32).sin()).sum::<f32>() / 54.0
        };
        let (mut search, mut out, mut taken) = (search(), vec![0.0; PIXELS], 0);
        for query in 0..400 {
            let before = (search.margin, search.best.clone());
            search.propose(&candidates, 1, &mut out);
            let margin = margin_of(&out);
            search.judge(&out, margin, (1000, 1));
            assert_eq!(search.margin, margin_of(&search.best), "{norm:?} query {query}");
            match margin < before.0 {
                true => assert_eq!((search.margin, &search.best), (margin, &out), "{norm:?} query {query}"),
                false => assert_eq!((search.margin, &search.best), (before.0, &before.1)),
            }
            taken += usize::from(search.best != before.1);
        }
        assert!((5..300).contains(&taken), "{norm:?}: {taken} of 400 were taken");
    }
}

#[test]
fn an_image_leaves_when_it_is_fooled_and_else_after_all_queries_of_all_rounds() {
    let (limits, out) = ((5, 2), vec![0.25; PIXELS]);
    let mut fooled = search();
    fooled.judge(&out, 1.0, limits);
    assert!(!fooled.over);
    fooled.judge(&out, 0.0, limits);
    assert!(fooled.over && fooled.best == out);
    let mut stands = search();
    // The start and five queries, twice.
    for _ in 0..11 {
        stands.judge(&out, 1.0, limits);
        assert!(!stands.over);
    }
    stands.judge(&out, 1.0, limits);
    assert!(stands.over);
}

#[test]
fn a_margin_that_is_no_number_is_larger_than_every_other() {
    let (mut search, out) = (search(), vec![0.25; PIXELS]);
    search.judge(&out, f32::NAN, (5, 1));
    assert!(!search.over);
    search.judge(&[0.75; PIXELS], 3.0, (5, 1));
    assert_eq!((search.margin, search.best[0]), (3.0, 0.75));
    search.judge(&out, f32::NAN, (5, 1));
    assert_eq!((search.margin, search.best[0]), (3.0, 0.75));
}
