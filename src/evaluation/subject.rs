//! What is attacked: a run folder or a model file, and the images that go with it.
//!
//! A run's `config.toml` says which data set it was trained on and how that was split, so a test image is never one
//! that the run has seen. A model file on its own says only the data set's name.

use super::EvaluationError;
use crate::data::{self, DataOptions, Dataset, DatasetKind, Images};
use crate::models::Problem;
use crate::models::file::{Model, UNKNOWN};
use crate::training::TrainConfig;
use crate::training::fit::problem_of;
use crate::training::run::RunFolder;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A part of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What was trained on
    Train,
    /// What chose the best epoch
    Validation,
    /// What nothing was fitted to
    #[default]
    Test,
}

impl Split {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// Which images.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ImageChoice {
    /// The data set [default: the model's]
    #[arg(long)]
    pub dataset: Option<DatasetKind>,
    /// Folder (or .tar.gz) of the data set [default: the run's]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Which of its images
    #[arg(long, value_enum, default_value_t)]
    pub split: Split,
    /// Only the first so many
    #[arg(long, value_name = "IMAGES", allow_negative_numbers = true, value_parser = crate::numbers::number(1_usize..))]
    pub limit: Option<usize>,
}

/// A run folder or a model file, found but not read.
#[derive(Clone, Debug)]
pub struct Place {
    /// Short, for tables.
    pub name: String,
    /// The model file.
    pub file: PathBuf,
    /// The folder that results are kept in: the run's, or the file's.
    pub home: PathBuf,
    run: Option<(RunFolder, TrainConfig)>,
}

impl Place {
    /// A run folder, a file in one (or in its `checkpoints`), or a model file anywhere.
    pub fn find(path: &Path) -> Result<Self, EvaluationError> {
        if path.is_dir() {
            let (folder, config) = RunFolder::open(path)?;
            let (name, file) = (last_part(path), folder.model());
            return Ok(Self { name, file, home: path.to_path_buf(), run: Some((folder, config)) });
        }
        let parent = path.parent().unwrap_or(Path::new(""));
        let run = match parent.file_name().is_some_and(|name| name == "checkpoints") {
            true => parent.parent().unwrap_or(Path::new("")),
            false => parent,
        };
        let stem = path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy());
        let file = path.to_path_buf();
        if run.join("config.toml").is_file() {
            let found = RunFolder::open(run)?;
            let name = match stem.as_ref() {
                "model" => last_part(run),
                other => format!("{}/{other}", last_part(run)),
            };
            return Ok(Self { name, file, home: run.to_path_buf(), run: Some(found) });
        }
        Ok(Self { name: stem.into_owned(), file, home: parent.to_path_buf(), run: None })
    }

    /// The configuration of the run, if this is one.
    pub fn config(&self) -> Option<&TrainConfig> {
        self.run.as_ref().map(|(_, config)| config)
    }

    /// The run folder, if this is one.
    pub fn run_folder(&self) -> Option<&RunFolder> {
        self.run.as_ref().map(|(folder, _)| folder)
    }

    /// Reads the model and the data set that it goes with, and takes the images asked for.
    pub fn open(self, choice: &ImageChoice) -> Result<Subject, EvaluationError> {
        let dataset = data::open(&self.data_options(choice)?)?;
        let images = choose(&dataset, choice)?;
        let model = self.model(problem_of(&dataset))?;
        let training_images = dataset.train.len();
        let Dataset { name, class_names, .. } = dataset;
        Ok(Subject { place: self, model, data_set: name, class_names, images, training_images })
    }

    /// Reads the model for images that look like `problem`.
    pub fn model(&self, problem: Problem) -> Result<Model, EvaluationError> {
        Ok(Model::load(&self.file, Some(problem))?)
    }

    fn data_options(&self, choice: &ImageChoice) -> Result<DataOptions, EvaluationError> {
        if let Some(config) = self.config()
            && choice.dataset.is_none_or(|kind| kind == config.dataset)
        {
            return Ok(DataOptions {
                kind: config.dataset,
                dir: choice.data.clone().or_else(|| config.data.clone()),
                validation_share: config.validation_share,
                seed: config.seed,
                folder_side: config.side,
            });
        }
        let (kind, side) = match choice.dataset {
            Some(kind) => (kind, None),
            None => {
                let facts = Model::load(&self.file, None)?.facts;
                if facts.dataset == UNKNOWN {
                    return Err(EvaluationError::UnknownData { path: self.file.clone() });
                }
                (DatasetKind::of_data_set(&facts.dataset), Some(facts.problem.side))
            }
        };
        let folder_side = side.filter(|_| kind == DatasetKind::Folder);
        Ok(DataOptions { kind, dir: choice.data.clone(), folder_side, ..DataOptions::default() })
    }
}

/// The last part of a path, also of `.` and `..`.
fn last_part(path: &Path) -> String {
    let full = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    full.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn choose(dataset: &Dataset, choice: &ImageChoice) -> Result<Arc<Images>, EvaluationError> {
    let images = match choice.split {
        Split::Train => &dataset.train,
        Split::Validation => &dataset.validation,
        Split::Test => &dataset.test,
    };
    if images.is_empty() {
        return Err(EvaluationError::NoImages { data_set: dataset.name.clone(), split: choice.split.name() });
    }
    match choice.limit {
        Some(0) => Err(EvaluationError::NothingAsked),
        Some(limit) if limit < images.len() => {
            Ok(Arc::new(images.subset(&(0..limit as u32).collect::<Vec<_>>())))
        }
        _ => Ok(images.clone()),
    }
}

/// A model with the images that it is attacked on.
pub struct Subject {
    /// Where it was.
    pub place: Place,
    /// The model.
    pub model: Model,
    /// Name of the data set.
    pub data_set: String,
    /// Its classes.
    pub class_names: Vec<String>,
    /// The images asked for.
    pub images: Arc<Images>,
    /// Images that an epoch goes over.
    pub training_images: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::file::Facts;
    use crate::models::{Classifier, GradientInput, Init};
    use crate::training::Preset;

    fn model(side: usize, dataset: &str) -> Model {
        let problem = Problem { side, channels: 1, classes: 10 };
        let classifier = Classifier::new(problem, 0.0625).unwrap();
        let weights = classifier.initial(Init::He, 1);
        let facts = Facts {
            version: "0".into(),
            problem,
            width: 0.0625,
            dataset: dataset.into(),
            class_names: vec![],
            method: "natural".into(),
            gradient_input: GradientInput::Log,
            without: Vec::new(),
        };
        Model { facts, classifier, average: weights.clone(), weights, generator: None }
    }

    fn sentence(path: &Path, choice: &ImageChoice) -> String {
        Place::find(path).unwrap().open(choice).err().expect("an error").to_string()
    }

    #[test]
    fn a_model_file_says_which_data_it_is_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.safetensors");
        model(8, "UCI optical digits").save(&path).unwrap();
        let choice = ImageChoice { limit: Some(7), ..Default::default() };
        let subject = Place::find(&path).unwrap().open(&choice).unwrap();
        assert_eq!((subject.images.len(), subject.place.name.as_str()), (7, "mine"));
        assert_eq!(subject.place.home, folder.path());
    }

    #[test]
    fn a_run_folder_stands_for_its_final_model_and_its_own_split() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine");
        let mut config = TrainConfig::preset(Preset::Small, DatasetKind::Digits);
        config.validation_share = Some(0.5);
        let run = RunFolder::create(&path, &config).unwrap();
        model(8, "UCI optical digits").save(&run.model()).unwrap();
        model(8, "UCI optical digits").save(&run.best_model()).unwrap();
        let choice = ImageChoice { split: Split::Validation, ..Default::default() };
        for (path, name) in [(path.clone(), "mine"), (run.model(), "mine"), (run.best_model(), "mine/best")] {
            let subject = Place::find(&path).unwrap().open(&choice).unwrap();
            assert_eq!((subject.place.name.as_str(), subject.images.len() > 600), (name, true));
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.safetensors");
        model(12, "UCI optical digits").save(&path).unwrap();
        let text = sentence(&path, &ImageChoice::default());
        assert!(text.contains("12x12") && text.contains("8x8"), "{text}");
        model(8, "unknown").save(&path).unwrap();
        assert!(sentence(&path, &ImageChoice::default()).contains("--dataset"));
        model(8, "MNIST").save(&path).unwrap();
        assert!(sentence(&path, &ImageChoice::default()).contains("--data "));
        model(8, "UCI optical digits").save(&path).unwrap();
        let nothing = ImageChoice { limit: Some(0), ..Default::default() };
        assert!(sentence(&path, &nothing).contains("--limit 0"));
    }
}
