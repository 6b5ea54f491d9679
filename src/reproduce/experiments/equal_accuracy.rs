//! Who is harder to fool at equal benign accuracy: the table under a figure of robustness curves.

use crate::evaluation::statistics::Reading;
use crate::report::{Cell, Table};
use crate::reproduce::curve::{MATCHED, Reached, SeedCurve, Spread, leads, matched_accuracies};
use crate::training::effects::listed;

/// What a column of the table is about.
pub struct NamedCurves {
    /// As the figure calls it.
    pub name: String,
    /// Its curves.
    pub seeds: Vec<SeedCurve>,
}

/// Per contender what its curves have, such as a distance, at accuracies that all of them reach; every number is a mean over the seeds' own curves.
pub fn table(id: String, what: &str, contenders: &[NamedCurves]) -> Table {
    let curves: Vec<Vec<SeedCurve>> = contenders.iter().map(|c| c.seeds.clone()).collect();
    let matched = matched_accuracies(&curves, MATCHED);
    let mut head = vec!["benign accuracy".to_string()];
    head.extend(contenders.iter().map(|contender| contender.name.clone()));
    let row = |&accuracy: &f64| {
        let mut row = vec![Cell::number(accuracy, 4)];
        row.extend(curves.iter().map(|seeds| cell(&Reached::new(seeds, accuracy))));
        row
    };
    let mut rows: Vec<Vec<Cell>> = matched.accuracies.iter().map(row).collect();
    if rows.is_empty() {
        let reason = "there is no benign accuracy that lies within all of these curves";
        rows.push(head.iter().map(|_| Cell::missing(reason)).collect());
    }
    let mut caption =
        "On the straight lines between the points of each seed's own curve: the mean over the seeds, in \
                       brackets the lowest and the highest."
            .to_string();
    if !matched.accuracies.is_empty() && !matched.by_every_seed {
        caption += " No accuracy is reached by every seed's curve, so some numbers are of fewer seeds; they say which.";
    }
    Table { id, title: format!("{what}, at equal benign accuracy"), caption, head, rows }
}

/// Mean and spread of the seeds that reach the accuracy, with their names if they are not all.
pub fn cell(reached: &Reached) -> Cell {
    let others = match &reached.others[..] {
        [seed] => format!("the curve of seed {seed} does not reach this accuracy"),
        several => format!("the curves of {} do not reach this accuracy", seeds(several)),
    };
    match &reached.robustness {
        None if reached.others.is_empty() => Cell::missing("no run is there"),
        None => Cell::missing(others),
        Some(spread) if reached.others.is_empty() => {
            Cell { text: spread.text(4), value: Some(spread.mean), note: None }
        }
        Some(spread) => {
            let own: Vec<u64> = reached.by_seed.iter().map(|(seed, _)| *seed).collect();
            let text = format!("{} ({} only)", spread.text(4), seeds(&own));
            Cell { text, value: Some(spread.mean), note: Some(others) }
        }
    }
}

/// `seed 1` or `seeds 0, 2`.
fn seeds(numbers: &[u64]) -> String {
    let names: Vec<String> = numbers.iter().map(u64::to_string).collect();
    format!("{} {}", if names.len() == 1 { "seed" } else { "seeds" }, names.join(", "))
}

/// What the curves say about the last contender, in one sentence. Only seeds that all contenders have in common are
/// compared. Where there are fewer than two of them no spread is known, and so there is no verdict.
pub fn verdict(contenders: &[NamedCurves], reading: Reading) -> String {
    let curves: Vec<Vec<SeedCurve>> = contenders.iter().map(|c| c.seeds.clone()).collect();
    let names: Vec<&str> = contenders.iter().map(|contender| contender.name.as_str()).collect();
    let (all, reading) = (listed(&names), reading.name());
    let accuracies = matched_accuracies(&curves, MATCHED).accuracies;
    if accuracies.is_empty() {
        return format!(
            "In {reading} there is no verdict: no benign accuracy lies within the curves of {all}."
        );
    }
    let at: Vec<Vec<f64>> = accuracies.iter().map(|&accuracy| leads(&curves, accuracy)).collect();
    let compared: Vec<&Vec<f64>> = at.iter().filter(|leads| leads.len() >= 2).collect();
    let every: Vec<f64> = compared.iter().flat_map(|leads| leads.iter().copied()).collect();
    let Some(spread) = Spread::of(&every) else {
        return format!(
            "In {reading} there is no verdict: at no matched benign accuracy have the curves of {all} two seeds in common, so \
             no spread is known."
        );
    };
    let count = |holds: fn(&f64) -> bool| compared.iter().filter(|leads| leads.iter().all(holds)).count();
    let (outside, inside) = (count(|lead| *lead > 0.0), count(|lead| *lead < 0.0));
    let own = names.last().copied().unwrap_or_default();
    let left_out = match at.len() - compared.len() {
        0 => String::new(),
        n => format!(" {n} more are left out, where fewer than two seeds are in common."),
    };
    format!(
        "In {reading}, over the seeds that {all} have in common: of {} matched benign accuracies, {own}'s curve lies outside \
         the others with every seed at {outside}, inside the best of them with every seed at {inside}, and at {} it depends on \
         the seed; its lead over the best of the others is {} (mean and range over seeds and accuracies).{left_out}",
        compared.len(),
        compared.len() - outside - inside,
        spread.text(4)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::curve::Standing;

    fn contender(name: &str, curves: &[&[(f64, f64)]]) -> NamedCurves {
        let points = |points: &[(f64, f64)]| {
            points.iter().map(|&(accuracy, robustness)| Standing { accuracy, robustness }).collect()
        };
        let seeds = (0..).zip(curves).map(|(seed, own)| SeedCurve { seed, points: points(own) }).collect();
        NamedCurves { name: name.into(), seeds }
    }

    #[test]
    fn a_cell_says_which_seeds_it_is_about_if_not_all() {
        let fgm = contender("FGM", &[&[(0.5, 1.0), (0.6, 1.0)], &[(0.7, 3.0), (0.8, 3.0)]]);
        let pgn = contender("PGN", &[&[(0.5, 2.0), (0.8, 2.0)], &[(0.5, 4.0), (0.8, 4.0)]]);
        let both_methods = [fgm, pgn];
        let table = table("figure5".into(), "C&W", &both_methods);
        let texts: Vec<Vec<&str>> =
            table.rows.iter().map(|row| row.iter().map(|cell| cell.text.as_str()).collect()).collect();
        let both = "3.0000 [2.0000, 4.0000]";
        assert_eq!(texts[0], ["0.5500", "1.0000 (seed 0 only)", both]);
        assert_eq!(texts[1], ["0.6500", "", both]);
        assert_eq!(texts[2], ["0.7500", "3.0000 (seed 1 only)", both]);
        let note = |row: usize| table.rows[row][1].note.as_deref().unwrap();
        assert_eq!(note(0), "the curve of seed 1 does not reach this accuracy");
        assert_eq!(note(1), "the curves of seeds 0, 1 do not reach this accuracy");
        assert!(table.caption.contains("No accuracy is reached by every seed's curve"));
        // The means of two accuracies are of one seed of FGM's against two of PGN's: they say nothing.
        let verdict = verdict(&both_methods, Reading::R2);
        assert!(verdict.contains("no verdict") && verdict.contains("two seeds in common"), "{verdict}");
    }

    #[test]
    fn a_verdict_compares_common_seeds_and_states_the_spread() {
        let flat = |distance: f64| [(0.5, distance), (0.8, distance)];
        let fgm = || contender("FGM", &[&flat(1.0), &flat(2.0)]);
        let ahead = verdict(&[fgm(), contender("PGN", &[&flat(1.5), &flat(2.25)])], Reading::R2);
        assert!(ahead.contains("of 3 matched") && ahead.contains("with every seed at 3, inside"), "{ahead}");
        assert!(ahead.contains("0.3750 [0.2500, 0.5000]"), "{ahead}");
        let open = verdict(&[fgm(), contender("PGN", &[&flat(9.0), &flat(1.75)])], Reading::R2);
        assert!(
            open.contains("every seed at 0, inside") && open.contains("at 3 it depends on the seed"),
            "{open}"
        );
        let one_seed = verdict(&[fgm(), contender("PGN", &[&flat(9.0)])], Reading::R2);
        assert!(one_seed.contains("no verdict"), "{one_seed}");
    }

    #[test]
    fn curves_that_have_nothing_in_common_leave_a_row_that_says_so() {
        let (a, b) = (contender("FGM", &[&[(0.5, 1.0)]]), contender("PGN", &[&[(0.6, 1.0)]]));
        let verdict = verdict(&[a, b], Reading::R2);
        let (a, b) = (contender("FGM", &[&[(0.5, 1.0)]]), contender("PGN", &[&[(0.6, 1.0)]]));
        let table = table("figure7".into(), "C&W", &[a, b]);
        assert!(table.rows[0].iter().all(|cell| cell.note.as_ref().unwrap().contains("no benign accuracy")));
        assert_eq!(table.rows[0].len(), 3);
        assert!(verdict.contains("no verdict: no benign accuracy lies within"), "{verdict}");
    }
}
