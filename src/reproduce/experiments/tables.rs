//! Tables 2 and 3: naive, FGM, PGD and PGN training at matched benign accuracy, under every attack.

use super::curves::strength_name;
use super::matched::validation_accuracies;
use super::{cell, notes, seconds};
use crate::attacks::AttackKind;
use crate::data::{Dataset, DatasetKind};
use crate::evaluation::doubts::doubts;
use crate::evaluation::measures::{Unit, measures, smallest_measures};
use crate::evaluation::published::{Paper, Published, SECONDS_PER_EPOCH};
use crate::evaluation::record::Record;
use crate::evaluation::report::paper_name;
use crate::evaluation::suite::{Findings, Source, Suite};
use crate::evaluation::{Measure, Subject, Warning};
use crate::report::{Block, Cell, Note, Section, Table, budget};
use crate::reproduce::Experiment;
use crate::reproduce::curve::{Spread, nearest};
use crate::reproduce::lab::{Found, Lab, Missing};
use crate::reproduce::plan::{self, Run};
use crate::reproduce::settings::{METHODS, TABLE_EPSILON};
use crate::threat::Radius;
use crate::training::Method;

/// The measures shown, by their keys.
const ROWS: [&str; 17] = [
    "benign-accuracy",
    "fgm-accuracy",
    "mim-accuracy",
    "deepfool-mean-l2-r2",
    "deepfool-mean-l2-r3",
    "deepfool-failures",
    "cw-mean-l2-r2",
    "cw-mean-l2-r3",
    "cw-failures",
    "smallest-mean-l2-r2",
    "smallest-mean-l2-r3",
    "source-fgm-accuracy",
    "source-mim-accuracy",
    "twin-fgm-accuracy",
    "twin-mim-accuracy",
    "worst-case-accuracy",
    "worst-case-mean-l2-r2",
];
/// The attacks of the table.
const ATTACKS: [AttackKind; 4] = [AttackKind::FGM, AttackKind::MIM, AttackKind::DEEPFOOL, AttackKind::CW];

/// A method with the setting that matches the naive nets' accuracy.
struct Column {
    method: Method,
    strength: Option<f32>,
    runs: Vec<Run>,
    /// What was measured of each run that is there.
    measured: Vec<Measured>,
}

/// One run: its name, its numbers, and reasons to doubt them.
type Measured = (String, Vec<Measure>, Vec<Warning>);

/// Table 2 or 3.
pub fn table(experiment: Experiment, lab: &Lab, dataset: &Dataset) -> Section {
    let mut missing = Vec::new();
    let mut columns = matched(lab, &mut missing);
    for column in &mut columns {
        match evaluate(lab, column) {
            Ok(measured) => column.measured = measured,
            Err(reason) => missing.push(reason),
        }
    }
    let kind = lab.settings.base.dataset;
    let published = published(kind);
    let mut head = vec![format!("{}, {} test images", dataset.name, lab.settings.attack_images)];
    head.extend(columns.iter().map(|c| paper_name(c.method.name())));
    head.extend(published.iter().map(|p| format!("paper: {}", paper_name(p.method))));
    let mut rows = match_rows(lab, &columns);
    rows.extend(ROWS.iter().map(|key| measure_row(key, &columns)));
    let runs: Vec<&Run> = columns.iter().map(|column| &column.runs[0]).collect();
    rows.extend(seconds::rows(lab, &runs, dataset));
    for row in &mut rows {
        let key = row.0;
        row.1.extend(published.iter().map(|p| published_cell(kind, p, key)));
    }
    let name = experiment.name();
    let table = Table {
        id: name.into(),
        title: format!("{} at matched benign accuracy", dataset.name),
        caption: caption(lab),
        head,
        rows: rows.into_iter().map(|(_, row)| row).collect(),
    };
    let mut section = Section {
        id: name.into(),
        title: format!("White box, black box and time on {}", dataset.name),
        text: vec![
            "For every defense, the setting of its grid whose accuracy on the validation images is nearest to that of \
             naive training; all grids have the same size, and all runs the same epochs and seeds. The match achieved \
             stands in the first rows."
                .into(),
        ],
        blocks: vec![Block::Table(table)],
    };
    section.blocks.extend(warnings(&columns));
    notes(&mut section, &missing);
    section
}

/// What the numbers of the table are.
fn caption(lab: &Lab) -> String {
    format!(
        "Mean over {} seeds, in brackets the lowest and the highest. FGM and MIM at epsilon {TABLE_EPSILON}; L2 over the whole \
         image, pixels in [0, 1]. R2: the images that were fooled; R3: the same and, as 0, those that were wrong from the \
         start. The paper does not say over which images its distances are means; they stand at R3. Smallest: of each image \
         the nearest that DeepFool, C&W or FMN found, FMN also led to runner-up classes (its budget: {}); C&W and DeepFool \
         alone are often longer.",
        lab.settings.seeds.len(),
        budget::text(&lab.settings.attack(AttackKind::FMN))
    )
}

/// For each method the runs at the strength that matches.
fn matched(lab: &Lab, missing: &mut Vec<Missing>) -> Vec<Column> {
    let naive: Vec<f64> =
        validation_accuracies(lab, Method::NATURAL, missing).iter().map(|(_, accuracy)| *accuracy).collect();
    let mut columns = Vec::new();
    for method in METHODS {
        let settings = validation_accuracies(lab, method, missing);
        let values: Vec<f64> = settings.iter().map(|(_, accuracy)| *accuracy).collect();
        let Some(chosen) = naive.first().and_then(|&target| nearest(&values, target)) else {
            missing.push(Missing(format!(
                "{} training has no validation accuracy to be matched by",
                paper_name(method.name())
            )));
            continue;
        };
        let strength = settings[chosen].0;
        let runs = lab.settings.seeds.iter().map(|&seed| Run::new(lab.settings, method, strength, seed));
        columns.push(Column { method, strength, runs: runs.collect(), measured: Vec::new() });
    }
    columns
}

/// Evaluates the runs of a column; each one's twin is the same setting with the next seed.
fn evaluate(lab: &Lab, column: &Column) -> Found<Vec<Measured>> {
    let names: Vec<String> = column.runs.iter().map(|run| run.name(lab.settings)).collect();
    let subjects: Vec<Subject> = names
        .iter()
        .map(|name| lab.subject(name, Some(lab.settings.attack_images)))
        .collect::<Result<_, _>>()?;
    let mut sources = Vec::new();
    let place = lab.place(&plan::source(lab.settings).name(lab.settings))?;
    sources.push(Source { flag: "source", place, runs: (0..subjects.len()).collect() });
    for run in 0..if names.len() > 1 { names.len() } else { 0 } {
        let twin = &names[(run + 1) % names.len()];
        sources.push(Source { flag: "twin", place: lab.place(twin)?, runs: vec![run] });
    }
    let attacks = ATTACKS.map(|kind| lab.settings.attack(kind)).into();
    let suite = Suite { device: lab.device.clone(), attacks, radius: Radius::l2(TABLE_EPSILON) };
    let findings: Vec<Findings> = lab.evaluate(|watch| suite.run(&subjects, &sources, watch))?;
    let measured = subjects.iter().zip(&findings).zip(&names).map(|((subject, findings), name)| {
        let classes = subject.model.facts.problem.classes;
        let mut measures = measures(subject, findings, suite.radius, lab.settings.seeds[0]);
        measures.extend(smallest(lab, name, findings)?);
        Ok((subject.place.name.clone(), measures, doubts(findings, suite.radius, classes)))
    });
    measured.collect()
}

/// The smallest distances that the table's searches and more of them find.
fn smallest(lab: &Lab, name: &str, findings: &Findings) -> Found<Vec<Measure>> {
    let more = lab.settings.searches().into_iter();
    let more: Vec<Record> = more
        .map(|options| lab.record(name, &options, Some(lab.settings.attack_images)))
        .collect::<Result<_, _>>()?;
    let own = findings.white_box.iter().filter(|record| record.kind().is_smallest());
    Ok(smallest_measures(&own.chain(&more).collect::<Vec<_>>(), lab.settings.seeds[0]))
}

/// A row with the key that the paper's columns go by.
pub type Row<'a> = (&'a str, Vec<Cell>);

/// How well the settings match.
fn match_rows(lab: &Lab, columns: &[Column]) -> Vec<Row<'static>> {
    let mut strength = vec![Cell::text("setting chosen")];
    let mut validation = vec![Cell::text("validation accuracy")];
    let mut distance = vec![Cell::text("its distance from naive training's")];
    let accuracy = |column: &Column| {
        let runs = column.runs.iter().map(|run| lab.validation_accuracy(&run.name(lab.settings)));
        cell(runs, 4)
    };
    let naive = columns.first().and_then(|column| accuracy(column).value);
    let mut benign = vec![Cell::text("benign accuracy, all test images")];
    for column in columns {
        strength.push(match column.strength {
            Some(value) => {
                let text = format!("{} {value}", strength_name(column.method));
                Cell { text, value: Some(f64::from(value)), note: None }
            }
            None => Cell { text: "-".into(), ..Cell::missing("naive training has nothing to choose") },
        });
        let own = accuracy(column);
        distance.push(match (own.value, naive) {
            (Some(own), Some(naive)) => {
                Cell { text: format!("{:+.4}", own - naive), value: Some(own - naive), note: None }
            }
            _ => Cell::missing("there is no validation accuracy to compare"),
        });
        validation.push(own);
        benign.push(cell(column.runs.iter().map(|run| lab.benign_accuracy(&run.name(lab.settings))), 4));
    }
    vec![("setting", strength), ("validation", validation), ("distance", distance), ("all-images", benign)]
}

fn measure_row<'a>(key: &'a str, columns: &[Column]) -> Row<'a> {
    let of = |column: &Column| -> Vec<Measure> {
        let measures = column.measured.iter().flat_map(|(_, measures, _)| measures);
        measures.filter(|m| m.key == key).cloned().collect()
    };
    let name = columns.iter().flat_map(of).next().map_or_else(|| key.to_string(), |m| m.name);
    let mut row = vec![Cell::text(name)];
    row.extend(columns.iter().map(|column| {
        let found = of(column);
        let decimals = found.first().map_or(4, |m| if m.unit == Unit::Images { 1 } else { 4 });
        let values: Vec<f64> = found.iter().filter_map(|m| m.value).collect();
        let runs = column.runs.len();
        match Spread::of(&values) {
            Some(spread) => Cell {
                text: spread.text(decimals),
                value: Some(spread.mean),
                note: (spread.count < runs).then(|| {
                    format!(
                        "of {} of {runs} seeds; the others have no value, or their run is missing",
                        spread.count
                    )
                }),
            },
            None => Cell::missing("no image has a value, or a run for it is missing"),
        }
    }));
    (key, row)
}

fn published(dataset: DatasetKind) -> Vec<Published> {
    match dataset {
        DatasetKind::Cifar10 => Paper::Cifar10.rows().into(),
        DatasetKind::Cifar100 => Paper::Cifar100.rows().into(),
        _ => Vec::new(),
    }
}

fn published_cell(dataset: DatasetKind, row: &Published, key: &str) -> Cell {
    let seconds = METHODS.iter().position(|m| m.name() == row.method).map(|i| SECONDS_PER_EPOCH[i]);
    let (value, decimals) = match key {
        "all-images" => (Some(row.benign_accuracy), 4),
        "fgm-accuracy" => (Some(row.fgm), 4),
        "mim-accuracy" => (Some(row.mim), 4),
        "deepfool-mean-l2-r3" => (Some(row.deepfool), 4),
        "cw-mean-l2-r3" => (Some(row.cw), 4),
        // Table 2 has times, and is about CIFAR-100.
        "seconds" if dataset == DatasetKind::Cifar100 => (seconds, 2),
        _ => (None, 0),
    };
    value.map_or_else(|| Cell::missing("the paper has no number for this"), |v| Cell::number(v, decimals))
}

fn warnings(columns: &[Column]) -> Option<Block> {
    let all = columns.iter().flat_map(|column| &column.measured);
    let notes: Vec<Note> = all
        .flat_map(|(run, _, warnings)| {
            warnings.iter().map(|warning| Note {
                about: run.clone(),
                figure: warning.figure.clone(),
                explanation: warning.explanation.clone(),
            })
        })
        .collect();
    (!notes.is_empty()).then_some(Block::Notes(notes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Images, Size};
    use crate::evaluation::Place;
    use crate::evaluation::record::tests::record;
    use crate::evaluation::suite::BlackBox;
    use crate::models::file::Model;
    use crate::nn::{Init, Network, Plan, Problem};
    use std::path::Path;

    /// A run without images: measures are made of records.
    fn subject() -> Subject {
        let net = Network::default().build(Plan::new(Problem::square(8, 1, 3), 0.0625)).unwrap();
        let values = net.initial(Init::He, 0);
        let place = Place::find(Path::new("nowhere/model.safetensors")).unwrap();
        let images = Images::new(Size::square(8), 1, Vec::new(), Vec::new());
        Subject::given(place, Model::new(net, values), images)
    }

    /// What is measured of a run by the table's attacks, each of which fools one of three images and is withstood by one.
    fn measured() -> Vec<Measure> {
        let made = |flag: &'static str| {
            let of = move |kind| BlackBox {
                flag,
                made_on: flag.to_string(),
                same_seed: None,
                record: record(kind),
            };
            [AttackKind::FGM, AttackKind::MIM].map(of)
        };
        let findings = Findings {
            white_box: Vec::from(ATTACKS.map(record)),
            black_box: ["source", "twin"].into_iter().flat_map(made).collect(),
            sweep: Vec::new(),
            huge: None,
            few: Vec::new(),
        };
        let searches: Vec<&Record> =
            findings.white_box.iter().filter(|record| record.kind().is_smallest()).collect();
        let mut all = measures(&subject(), &findings, Radius::l2(TABLE_EPSILON), 0);
        all.extend(smallest_measures(&searches, 0));
        all
    }

    #[test]
    fn every_row_is_a_measure_of_the_tables_attacks() {
        let of_run = ("run".to_string(), measured(), Vec::new());
        let columns =
            [Column { method: Method::NATURAL, strength: None, runs: Vec::new(), measured: vec![of_run] }];
        for key in ROWS {
            let (_, cells) = measure_row(key, &columns);
            assert!(cells[0].text != key, "no measure has the key {key}");
            assert!(cells[1].value.is_some(), "{key}: {cells:?}");
        }
    }

    /// The paper's number for a method in the row with this key.
    fn in_paper(dataset: DatasetKind, method: Method, key: &str) -> Option<f64> {
        let rows = published(dataset);
        let row = rows.iter().find(|row| row.method == method.name()).expect("the paper has the method");
        published_cell(dataset, row, key).value
    }

    #[test]
    fn the_papers_numbers_stand_in_the_rows_that_they_are_about() {
        let (cifar10, cifar100) = (DatasetKind::Cifar10, DatasetKind::Cifar100);
        let rows = ["all-images", "fgm-accuracy", "mim-accuracy", "deepfool-mean-l2-r3", "cw-mean-l2-r3"];
        let of_pgn = rows.map(|key| in_paper(cifar10, Method::PGN, key));
        assert_eq!(of_pgn, [0.9186, 0.6534, 0.5958, 0.5102, 0.4365].map(Some));
        let of_fgm = rows.map(|key| in_paper(cifar100, Method::FGM, key));
        assert_eq!(of_fgm, [0.6993, 0.2213, 0.1068, 0.1669, 0.1334].map(Some));
        // Seconds of an epoch are in the table of CIFAR-100 alone.
        let methods = [Method::NATURAL, Method::FGM, Method::PGD, Method::PGN];
        let seconds = methods.map(|method| in_paper(cifar100, method, "seconds"));
        assert_eq!(seconds, [8.18, 25.12, 175.86, 51.77].map(Some));
        assert_eq!(in_paper(cifar10, Method::PGN, "seconds"), None);
        assert_eq!(in_paper(cifar100, Method::PGN, "cw-mean-l2-r2"), None);
    }
}
