//! What a run needs beside its folder: the data, and the model that it starts from. Whether that model's classes, its networks and
//! its normalisation are the run's.

use super::TrainError;
use super::config::TrainConfig;
use super::run::RunFolder;
use super::run_data::{data_of, limited_by_data, open_data, problem_of};
use crate::data::Dataset;
use crate::data::classes::{self, ClassMismatch};
use crate::models::file::Model;
use crate::nn::{ModelError, Normalisation};
use std::path::Path;

/// What a run needs beside its folder.
pub struct Material {
    /// The data.
    pub dataset: Dataset,
    /// The model that gives the networks, if the configuration does not describe them all.
    pub from: Option<Model>,
    /// Why the run goes on without the file that it started from, if it does.
    pub note: Option<String>,
    /// The micro-batch with which a run that goes on has computed so far.
    pub micro_batch: Option<usize>,
}

impl Material {
    /// What the user should know before the run with `config`, a sentence each: how the data and the model were read, and settings
    /// that do less with these data than they say.
    pub fn notes(&self, config: &TrainConfig) -> Vec<String> {
        let of_model = self.from.iter().flat_map(|model| &model.notes);
        let read = self.dataset.notes.iter().chain(of_model).chain(&self.note).cloned();
        read.chain(limited_by_data(config, &self.dataset)).collect()
    }
}

/// Reads what a run with `config` needs. The run in `folder`, if there is one, goes on without the file that it started from if
/// that file cannot be used.
///
/// # Errors
/// If the data or the model cannot be used.
pub fn material(config: &TrainConfig, folder: Option<&RunFolder>) -> Result<Material, TrainError> {
    let dataset = open_data(config)?;
    config.check_validation(dataset.validation.len())?;
    // What cannot be read of a checkpoint is an error when the run goes on from it.
    let done = folder.and_then(|folder| folder.progress().ok().flatten());
    let micro_batch = done.and_then(|done| done.micro_batch);
    match (starting_model(config, &dataset), folder) {
        (Ok(from), _) => Ok(Material { dataset, from, note: None, micro_batch }),
        (Err(reason), None) => Err(reason),
        (Err(reason), Some(folder)) => {
            let note = Some(format!("{reason}; the checkpoint has all that the run needs, so it goes on"));
            let (dataset, from) = without_file(config, folder, reason)?;
            Ok(Material { dataset, from, note, micro_batch })
        }
    }
}

/// The model that a run starts from, if it does not start anew.
fn starting_model(config: &TrainConfig, dataset: &Dataset) -> Result<Option<Model>, TrainError> {
    let Some(path) = &config.from else { return Ok(None) };
    let mut model = Model::load(path, Some(problem_of(dataset)))?;
    let compared = classes::compare(&model.facts.class_names, &dataset.class_names);
    let refused =
        |mismatch: ClassMismatch| TrainError::Run { path: path.clone(), problem: mismatch.to_string() };
    if !compared.map_err(refused)? {
        model.notes.push(classes::not_compared(path));
    }
    without_other_generator(&mut model, config, path)?;
    let own = model.classifier.normalisation(&model.average);
    let wanted = config.normalisation(model.facts.problem.channels);
    if let Some(by) = wanted.as_ref().filter(|_| own.is_none() && model.is_foreign()) {
        let refused = |error: ModelError| TrainError::Run { path: path.clone(), problem: error.to_string() };
        model = model.normalised(by).map_err(refused)?;
    }
    if model.facts.network.is_imported() && config.network.is_imported() {
        return check_imported(&model, wanted.as_ref(), config, path).map(|()| Some(model));
    }
    if model.facts.network.is_imported() {
        let problem =
            format!("has a network of its own, the run {}; leave `network` and `width` out", config.network);
        return Err(TrainError::Run { path: path.clone(), problem });
    }
    if model.facts.width.to_bits() != config.width.to_bits() {
        let problem =
            format!("has width {}, the run {}; choose `width` {0}", model.facts.width, config.width);
        return Err(TrainError::Run { path: path.clone(), problem });
    }
    if model.facts.network != config.network {
        let problem =
            format!("has {}, the run {}; choose `network` {0}", model.facts.network, config.network);
        return Err(TrainError::Run { path: path.clone(), problem });
    }
    if model.classifier.nodes != config.classifier(problem_of(dataset))?.nodes
        || model.classifier.normalisation(&model.average) != wanted
    {
        let shown = |by: Option<Normalisation>| {
            by.map_or("nothing".to_string(), |by| format!("`mean` {:?} `std` {:?}", by.mean, by.deviation))
        };
        let problem = format!(
            "normalises pixels by {}, the run by {}; give `mean` and `std` as in the file",
            shown(model.classifier.normalisation(&model.average)),
            shown(wanted)
        );
        return Err(TrainError::Run { path: path.clone(), problem });
    }
    Ok(Some(model))
}

/// The data, and the network if no configuration describes it, with which the run in `folder` goes on although the file that it
/// started from cannot be used: its checkpoint has the weights.
///
/// # Errors
/// `reason`, which says why the file cannot be used, if there is no checkpoint, or one with a network for other images.
fn without_file(
    config: &TrainConfig,
    folder: &RunFolder,
    reason: TrainError,
) -> Result<(Dataset, Option<Model>), TrainError> {
    let Some(head) = folder.head()? else { return Err(reason) };
    let dataset = data_of(config, |_| Some(head.data.classes.clone()))?;
    if !config.network.is_imported() {
        return Ok((dataset, None));
    }
    match head.started_from.and_then(|started_from| started_from.classifier) {
        Some(net) if net.problem == problem_of(&dataset) => {
            net.check()?;
            let values = net.initial(config.init, config.seed);
            Ok((dataset, Some(Model::new(net, values))))
        }
        _ => Err(reason),
    }
}

/// Leaves out a generator whose layers are not those of the run's, and says so: the run's own starts anew.
fn without_other_generator(model: &mut Model, config: &TrainConfig, path: &Path) -> Result<(), TrainError> {
    let Some((own, _)) = &model.generator else { return Ok(()) };
    let same_width = model.facts.width.to_bits() == config.width.to_bits();
    let Some(wanted) = config.generator(model.facts.problem)?.filter(|_| same_width) else { return Ok(()) };
    if own.slots != wanted.slots {
        let note = format!(
            "the generator in {} has other layers than this run's, which starts from initial weights",
            path.display()
        );
        model.notes.push(note);
        model.generator = None;
    }
    Ok(())
}

/// Refuses an imported model whose own normalisation is not `wanted`, where the run wants one, and a generator of another
/// width.
fn check_imported(
    model: &Model,
    wanted: Option<&Normalisation>,
    config: &TrainConfig,
    path: &Path,
) -> Result<(), TrainError> {
    let refused = |problem: String| Err(TrainError::Run { path: path.to_path_buf(), problem });
    if model.generator.is_some() && model.facts.width.to_bits() != config.width.to_bits() {
        let width = model.facts.width;
        return refused(format!(
            "has a generator of width {width}, the run {}; choose `width` {width}",
            config.width
        ));
    }
    match model.classifier.normalisation(&model.average) {
        own if wanted.is_none() || own.as_ref() == wanted => Ok(()),
        Some(own) => refused(format!(
            "normalises pixels by `mean` {:?} `std` {:?} already; leave `normalise`, `mean`, `std` and `scale` out",
            own.mean, own.deviation
        )),
        None => refused(
            "was trained on pixels in [0, 1]; leave `normalise`, `mean`, `std` and `scale` out".to_string(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DataOptions, DatasetKind, open};
    use crate::nn::{Init, Network, Plan};
    use crate::training::Preset;
    use crate::training::schedule::Schedule;

    #[test]
    fn notes_are_about_the_data_the_model_and_what_the_settings_do_with_them() {
        let digits = open(&DataOptions::default()).unwrap();
        let net = Network::default().build(Plan::new(problem_of(&digits), 0.03125)).unwrap();
        let values = net.initial(Init::He, 0);
        let material = Material {
            dataset: Dataset { notes: vec!["skipped 1 of 13 files".to_string()], ..digits },
            from: Some(Model { notes: vec!["weights were rounded".to_string()], ..Model::new(net, values) }),
            note: None,
            micro_batch: None,
        };
        let config = TrainConfig {
            schedule: Schedule::Cosine,
            max_steps: Some(1),
            ..TrainConfig::preset(Preset::Small, DatasetKind::Digits)
        };
        let notes = material.notes(&config);
        assert_eq!(notes[..2], ["skipped 1 of 13 files", "weights were rounded"]);
        assert!(notes.len() == 3 && notes[2].starts_with("the schedule goes over"), "{notes:?}");
    }
}
