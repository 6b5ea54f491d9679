//! Who is harder to fool at equal benign accuracy: the table under a figure of robustness curves.

use crate::evaluation::statistics::Reading;
use crate::report::{Cell, Table};
use crate::reproduce::curve::{MATCHED, Reached, SeedCurve, matched_accuracies};

/// What a column of the table is about.
pub struct Contender {
    /// As the figure calls it.
    pub name: String,
    /// Its curves.
    pub seeds: Vec<SeedCurve>,
}

/// Per contender the distance at accuracies that all of them reach; every number is a mean over the seeds' own curves.
pub fn table(figure: &str, contenders: &[Contender], reading: Reading) -> Table {
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
    Table {
        id: format!("{figure}-{}-at-equal-accuracy", reading.name().to_lowercase()),
        title: format!("C&W mean L2, {}, at equal benign accuracy", reading.name()),
        caption,
        head,
        rows,
    }
}

/// Mean and spread of the seeds that reach the accuracy, with their names if they are not all.
fn cell(reached: &Reached) -> Cell {
    let others = match &reached.others[..] {
        [seed] => format!("the curve of seed {seed} does not reach this accuracy"),
        several => format!("the curves of {} do not reach this accuracy", seeds(several)),
    };
    match &reached.distance {
        None if reached.others.is_empty() => Cell::missing("no run is there"),
        None => Cell::missing(others),
        Some(spread) if reached.others.is_empty() => {
            Cell { text: spread.text(4), value: Some(spread.mean), note: None }
        }
        Some(spread) => {
            let text = format!("{} ({} only)", spread.text(4), seeds(&reached.seeds));
            Cell { text, value: Some(spread.mean), note: Some(others) }
        }
    }
}

/// `seed 1` or `seeds 0, 2`.
fn seeds(numbers: &[u64]) -> String {
    let names: Vec<String> = numbers.iter().map(u64::to_string).collect();
    format!("{} {}", if names.len() == 1 { "seed" } else { "seeds" }, names.join(", "))
}

/// What the table says about the last contender, PGN, in one sentence.
pub fn verdict(table: &Table, reading: Reading) -> Option<String> {
    let rows: Vec<(f64, f64)> = table
        .rows
        .iter()
        .filter_map(|row| {
            let own = row.last()?.value?;
            let others = row[1..row.len() - 1].iter().map(|cell| cell.value).collect::<Option<Vec<_>>>()?;
            Some((own, others.into_iter().fold(f64::NEG_INFINITY, f64::max)))
        })
        .collect();
    let ahead = rows.iter().filter(|(own, others)| own > others).count();
    (!rows.is_empty()).then(|| {
        format!(
            "In {}, PGN's curve lies outside those of FGM and PGD at {ahead} of {} matched benign accuracies.",
            reading.name(),
            rows.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::curve::Standing;

    fn contender(name: &str, curves: &[&[(f64, f64)]]) -> Contender {
        let points = |points: &[(f64, f64)]| {
            points.iter().map(|&(accuracy, distance)| Standing { accuracy, distance }).collect()
        };
        let seeds = (0..).zip(curves).map(|(seed, own)| SeedCurve { seed, points: points(own) }).collect();
        Contender { name: name.into(), seeds }
    }

    #[test]
    fn a_cell_says_which_seeds_it_is_about_if_not_all() {
        let fgm = contender("FGM", &[&[(0.5, 1.0), (0.6, 1.0)], &[(0.7, 3.0), (0.8, 3.0)]]);
        let pgn = contender("PGN", &[&[(0.5, 2.0), (0.8, 2.0)], &[(0.5, 4.0), (0.8, 4.0)]]);
        let table = table("figure5", &[fgm, pgn], Reading::R2);
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
        assert!(verdict(&table, Reading::R2).unwrap().contains("at 1 of 2"));
    }

    #[test]
    fn curves_that_have_nothing_in_common_leave_a_row_that_says_so() {
        let (a, b) = (contender("FGM", &[&[(0.5, 1.0)]]), contender("PGN", &[&[(0.6, 1.0)]]));
        let table = table("figure7", &[a, b], Reading::R2);
        assert!(table.rows[0].iter().all(|cell| cell.note.as_ref().unwrap().contains("no benign accuracy")));
        assert_eq!((table.rows[0].len(), verdict(&table, Reading::R2)), (3, None));
    }
}
