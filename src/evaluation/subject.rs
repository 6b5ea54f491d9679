//! What is attacked: a run folder or a model file, and the images that go with it.
//!
//! A run's `config.toml` says which data set it was trained on and how that was split, so a test image is never one
//! that the run has seen. A model file on its own says only the data set's name. The images of a folder get the size and
//! the channels that the model takes. The classes of model and data are compared by name: a model answers with numbers,
//! and numbers of other classes would be judged without a sign.

use super::EvaluationError;
use crate::data::{self, DataOptions, Dataset, DatasetKind, Images, Resize, Size, classes};
use crate::models::file::{Facts, Model, UNKNOWN};
use crate::models::pixels::PixelChoice;
use crate::nn::Problem;
#[cfg(feature = "command-line")]
use crate::numbers::number;
use crate::training::run::{CHECKPOINTS, RunFolder};
use crate::training::run_data::problem_of;
use crate::training::{TrainConfig, TrainError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A part of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
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
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "command-line", derive(clap::Args))]
pub struct ImageChoice {
    /// The data set [default: the model's]
    #[cfg_attr(feature = "command-line", arg(long))]
    pub dataset: Option<DatasetKind>,
    /// Folder (or .tar.gz) of the data set [default: the run's]
    #[cfg_attr(feature = "command-line", arg(long, value_name = "DIR"))]
    pub data: Option<PathBuf>,
    /// Resize the images of a folder: their shorter side to SIDE, or both sides to a height and a width; then the model's size is
    /// cut out of their middle [default: so that they just cover that]
    #[cfg_attr(feature = "command-line", arg(long, value_name = "SIDE|HxW", allow_negative_numbers = true))]
    pub resize: Option<Resize>,
    /// Cut this size, which must be the model's, out of the middle of a folder's images, after --resize
    #[cfg_attr(feature = "command-line", arg(long, value_name = "SIDE|HxW", allow_negative_numbers = true))]
    pub crop: Option<Size>,
    /// File that names the classes in their order and says which folder is which: a class index in JSON, or lines of a folder
    /// and a name
    #[cfg_attr(feature = "command-line", arg(long, value_name = "FILE"))]
    pub class_index: Option<PathBuf>,
    /// Which of its images
    #[cfg_attr(feature = "command-line", arg(long, value_enum, default_value_t))]
    pub split: Split,
    /// Only this many of them, of every class its share; fewer are always among more
    #[cfg_attr(feature = "command-line", arg(long, value_name = "IMAGES", allow_negative_numbers = true, value_parser = number(1_usize..)))]
    pub limit: Option<usize>,
    /// Seed of the choice of those images
    #[cfg_attr(feature = "command-line", arg(long, value_name = "SEED", default_value_t = 0, requires = "limit", value_parser = number(0_u64..)))]
    pub limit_seed: u64,
}

/// Whether this program wrote the model file.
fn is_ours(path: &Path) -> bool {
    Facts::of_header(path).is_some()
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
    /// What is put in front of the model.
    pixels: PixelChoice,
}

impl Place {
    /// A run folder, a file in one (or in its `checkpoints`), or a model file anywhere.
    pub fn find(path: &Path) -> Result<Self, EvaluationError> {
        let pixels = PixelChoice::default();
        if path.is_dir() {
            let (folder, config) = RunFolder::open(path)?;
            let (name, file) = (last_part(path), folder.model());
            return Ok(Self { name, file, home: path.to_path_buf(), run: Some((folder, config)), pixels });
        }
        let stem = path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy());
        let folder = folder_of(path);
        let run = match folder.file_name().is_some_and(|name| name == CHECKPOINTS) {
            true => folder_of(&folder),
            // The path `.` does not show that the working folder is called `checkpoints`.
            false if folder == Path::new(".") && last_part(&folder) == CHECKPOINTS => PathBuf::from(".."),
            false => folder.clone(),
        };
        let opened = run.join("config.toml").is_file().then(|| RunFolder::open(&run));
        let found = match opened {
            // A configuration beside another program's model is of no run.
            Some(Err(_)) if !is_ours(path) => None,
            opened => opened.transpose()?,
        };
        if let Some(found) = found {
            let name = match stem.as_ref() {
                "model" => last_part(&run),
                other => format!("{}/{other}", last_part(&run)),
            };
            let file = folder.join(path.file_name().unwrap_or_default());
            return Ok(Self { name, file, home: run, run: Some(found), pixels });
        }
        let home = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Ok(Self { name: stem.into_owned(), file: path.to_path_buf(), home, run: None, pixels })
    }

    /// The same place, with what `pixels` asks for in front of its model. Loading that fails if it cannot be.
    #[must_use]
    pub fn with_pixels(self, pixels: &PixelChoice) -> Self {
        Self { pixels: pixels.clone(), ..self }
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
        self.check_model()?;
        // A file without metadata may be understood only with its data at hand, so an error can wait.
        let known = Model::load(&self.file, None);
        let tells_size = known.as_ref().is_ok_and(|model| model.tells_size(&self.file));
        let facts = match known.map(|model| model.facts) {
            Err(error) if error.is_of_the_file_alone() => return Err(error.into()),
            Err(error) if choice.dataset.is_none() && self.run.is_none() => return Err(error.into()),
            known => known.ok(),
        };
        let options = self.data_options(choice, facts.as_ref(), tells_size)?;
        let dataset = data::open(&options)?;
        let (images, indices) = choose(&dataset, choice)?;
        let mut notes = dataset.notes.clone();
        if let Some(facts) = facts.as_ref().filter(|_| !tells_size && options.folder.size.is_some()) {
            notes.push(Model::size_is_a_guess(facts.problem));
        }
        if let Some(facts) = &facts {
            notes.extend(self.compare_classes(facts, &dataset)?);
        }
        let model = self.model(Some(problem_of(&dataset)))?;
        notes.extend(model.notes.iter().cloned());
        let training_images = dataset.train.len();
        let Dataset { name, class_names, .. } = dataset;
        let place = self;
        Ok(Subject { place, model, data_set: name, class_names, images, indices, training_images, notes })
    }

    /// Reads the model, for images that look like `problem` if that is known. A model in a run folder is one of that run.
    pub fn model(&self, problem: Option<Problem>) -> Result<Model, EvaluationError> {
        self.check_model()?;
        let model = Model::load(&self.file, problem)?;
        if let Some((folder, config)) = &self.run {
            folder.check_own(&self.file, &model, config)?;
        }
        let mut model = self.pixels.apply(model, &self.file)?;
        model.notes.extend(self.half_trained());
        Ok(model)
    }

    /// A note if this is the final model of a run whose training has not come to its end, or if the file is older than the last checkpoint.
    pub fn half_trained(&self) -> Option<String> {
        let (folder, config) = self.run.as_ref().filter(|(folder, _)| self.file == folder.model())?;
        let done = folder.progress().ok()??;
        let (file, run) = (self.file.display(), folder.path().display());
        let other = folder.other_step_of_model(&done);
        if done.is_end_of(config) {
            let step = other?;
            return Some(format!(
                "{file} has the networks after {step} steps, and the training has come to its end after {}; \
                 `pgn-wgpu train --resume {run}` writes the final ones",
                done.step
            ));
        }
        let steps = match config.max_steps {
            Some(most) => format!("{} of at most {most} steps", done.step),
            None => format!("{} steps", done.step),
        };
        let older =
            other.map_or(String::new(), |step| format!(", and the file has the networks after {step} steps"));
        Some(format!(
            "{file}: its training has not come to its end, {} of {} epochs ({steps}) are done{older}; \
             `pgn-wgpu train --resume {run}` goes on",
            done.epoch, config.epochs
        ))
    }

    /// Refuses a run folder that has no final model yet, and names what it has instead.
    pub fn check_model(&self) -> Result<(), EvaluationError> {
        let Some((folder, _)) = &self.run else { return Ok(()) };
        if self.file != folder.model() || self.file.exists() {
            return Ok(());
        }
        let best = folder.best_model();
        let problem = match best.is_file() {
            true => format!(
                "has no model.safetensors, because its training has not come to its end; for its best model so far, give \
                 {0} in its place (as in `model` {0})",
                best.display()
            ),
            false => "has no model yet; wait for the end of its training, or continue it with `pgn-wgpu train --resume`"
                .to_string(),
        };
        Err(TrainError::Run { path: folder.path().to_path_buf(), problem }.into())
    }

    /// A note if the classes could not be compared; an error if they are not the model's.
    fn compare_classes(&self, facts: &Facts, dataset: &Dataset) -> Result<Option<String>, EvaluationError> {
        match classes::compare(&facts.class_names, &dataset.class_names) {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some(classes::not_compared(&self.file))),
            Err(source) => Err(EvaluationError::Classes { path: self.file.clone(), source }),
        }
    }

    fn data_options(
        &self,
        choice: &ImageChoice,
        facts: Option<&Facts>,
        tells_size: bool,
    ) -> Result<DataOptions, EvaluationError> {
        let mut options = match self.config() {
            Some(config) if choice.dataset.is_none_or(|kind| kind == config.dataset) => DataOptions {
                kind: config.dataset,
                dir: choice.data.clone().or_else(|| config.data.clone()),
                ..config.data_options()
            },
            _ => {
                let told = facts.map(|facts| facts.dataset.as_str()).filter(|name| *name != UNKNOWN);
                let Some(kind) = choice.dataset.or_else(|| told.map(DatasetKind::of_data_set)) else {
                    return Err(EvaluationError::UnknownData { path: self.file.clone() });
                };
                DataOptions { kind, dir: choice.data.clone(), ..DataOptions::default() }
            }
        };
        options.class_index = choice.class_index.clone().or(options.class_index.take());
        let folder = &mut options.folder;
        folder.resize = choice.resize.or(folder.resize);
        folder.crop = choice.crop.or(folder.crop);
        if let (DatasetKind::Folder, Some(facts)) = (options.kind, facts) {
            // Weights alone do not tell the size of images; flags or the run do, if they say it.
            let Problem { height, width, channels, .. } = facts.problem;
            let asked = folder.resize.is_some() || folder.crop.is_some();
            folder.size = (tells_size || !asked).then_some(Size { height, width });
            folder.channels = Some(channels);
        }
        if let (DatasetKind::Npy, Some(facts)) = (options.kind, facts) {
            options.class_names = Some(facts.classes());
        }
        Ok(options)
    }
}

/// The folder that a path lies in; of a name alone the working folder.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// The last part of a path, also of `.` and `..`.
fn last_part(path: &Path) -> String {
    let full = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    full.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The images asked for, and their places in their split.
fn choose(dataset: &Dataset, choice: &ImageChoice) -> Result<(Arc<Images>, Vec<u32>), EvaluationError> {
    let images = match choice.split {
        Split::Train => &dataset.train,
        Split::Validation => &dataset.validation,
        Split::Test => &dataset.test,
    };
    if images.is_empty() {
        return Err(EvaluationError::NoImages { data_set: dataset.name.clone(), split: choice.split.name() });
    }
    if choice.limit == Some(0) {
        return Err(EvaluationError::NothingAsked);
    }
    Ok(choice.of(images))
}

impl ImageChoice {
    /// As many of `images` as are asked for, and their places among them.
    pub fn of(&self, images: &Arc<Images>) -> (Arc<Images>, Vec<u32>) {
        match self.limit {
            Some(limit) if limit < images.len() => {
                let indices = data::stratified(images.labels(), limit, self.limit_seed);
                (Arc::new(images.subset(&indices)), indices)
            }
            _ => (images.clone(), (0..images.len() as u32).collect()),
        }
    }
}

/// What a data set is called that has none of its own name: images that a program has in memory.
const GIVEN: &str = "images of the caller";

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
    /// The images asked for. Only some of them are in an order whose every beginning has of every class its share.
    pub images: Arc<Images>,
    /// The place of each image in its split.
    pub indices: Vec<u32>,
    /// Images that an epoch goes over.
    pub training_images: usize,
    /// What a user should know about how the data were read, a line each.
    pub notes: Vec<String>,
}

impl Subject {
    /// A model that was read from `place`, with images that are in memory already. Their labels are numbers of the model's
    /// classes.
    pub fn given(place: Place, model: Model, images: Images) -> Self {
        Self {
            place,
            data_set: GIVEN.to_string(),
            class_names: model.facts.classes(),
            indices: (0..images.len() as u32).collect(),
            images: Arc::new(images),
            training_images: 0,
            notes: Vec::new(),
            model,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::file::Facts;
    use crate::nn::{Init, Network, Plan};
    use crate::pgn::Recipe;
    use crate::training::Preset;
    use crate::training::checkpoint::{Checkpoint, Head, Progress, TrainingData};

    fn model(side: usize, dataset: &str) -> Model {
        let problem = Problem::square(side, 1, 10);
        let classifier = Network::default().build(Plan::new(problem, 0.0625)).unwrap();
        let live = classifier.initial(Init::He, 1);
        let facts = Facts {
            version: "0".into(),
            problem,
            network: Network::default(),
            width: 0.0625,
            dataset: dataset.into(),
            class_names: vec![],
            method: "natural".into(),
            generator: Recipe::default(),
            run: None,
            step: None,
        };
        Model { facts, classifier, average: live.clone(), live, generator: None, notes: Vec::new() }
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
    fn the_model_of_an_interrupted_run_says_how_far_it_is_and_that_of_one_that_is_over_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine");
        let preset = TrainConfig::preset(Preset::Small, DatasetKind::Digits);
        let config = TrainConfig { epochs: 3, max_steps: Some(29), ..preset };
        let run = RunFolder::create(&path, &config).unwrap();
        model(8, "UCI optical digits").save(&run.model()).unwrap();
        model(8, "UCI optical digits").save(&run.best_model()).unwrap();
        let of_end = |notes: Vec<String>| -> Vec<String> {
            notes.into_iter().filter(|note| note.contains("has not come to its end")).collect()
        };
        let notes = |file: &Path, step, epoch| {
            let progress = Progress { step, epoch, index: 5, ..Progress::default() };
            let head =
                Head { progress, config: config.clone(), data: TrainingData::default(), started_from: None };
            run.save_checkpoint(Checkpoint { head, states: vec![("a".to_string(), vec![0.0])] }).unwrap();
            let place = Place::find(file).unwrap();
            let alone = of_end(place.model(None).unwrap().notes);
            assert_eq!(of_end(place.open(&ImageChoice::default()).unwrap().notes), alone);
            alone
        };
        for file in [&path, &run.model()] {
            let said = notes(file, 17, 1);
            assert_eq!(said.len(), 1, "{said:?}");
            for part in ["1 of 3 epochs", "17 of at most 29 steps", "--resume"] {
                assert!(said[0].contains(part), "{part:?} is not in {said:?}");
            }
            assert!(!said[0].contains("the file has"), "it is unknown which networks the file has: {said:?}");
            // As `max-steps` wants it, within an epoch.
            assert!(notes(file, 29, 2).is_empty());
        }
        assert!(notes(&run.best_model(), 17, 1).is_empty(), "it was chosen");
    }

    #[test]
    fn only_some_images_are_of_all_classes_the_same_for_every_model_and_tell_their_places() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.safetensors");
        model(8, "UCI optical digits").save(&path).unwrap();
        let open = |limit, limit_seed| {
            Place::find(&path)
                .unwrap()
                .open(&ImageChoice { limit, limit_seed, ..Default::default() })
                .unwrap()
        };
        let (all, few, more, other) =
            (open(None, 0), open(Some(20), 0), open(Some(30), 0), open(Some(20), 1));
        let of = |class| few.images.labels().iter().filter(|&&label| label == class).count();
        assert!((0..10).all(|class| of(class) == 2), "{:?}", few.images.labels());
        assert_eq!(few.indices, more.indices[..20]);
        assert_ne!(few.indices, other.indices);
        assert_eq!(all.indices, (0..400).collect::<Vec<_>>());
        for (i, &index) in few.indices.iter().enumerate() {
            assert_eq!(few.images.image(i), all.images.image(index as usize));
        }
    }

    #[test]
    fn classes_are_compared_where_the_model_knows_them_and_a_note_says_where_it_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.safetensors");
        let mut model = model(8, "UCI optical digits");
        let with = |model: &Model| {
            model.save(&path).unwrap();
            Place::find(&path).unwrap().open(&ImageChoice::default())
        };
        let notes = with(&model).map(|subject| subject.notes).unwrap();
        assert!(notes.len() == 1 && notes[0].contains("not compared"), "{notes:?}");
        model.facts.class_names = (0..10).map(|digit| digit.to_string()).collect();
        assert!(with(&model).map(|subject| subject.notes).unwrap().is_empty());
        model.facts.class_names.swap(3, 5);
        let text = with(&model).err().expect("another order").to_string();
        assert!(
            text.contains("mine.safetensors") && text.contains("class 3 is \"5\" in the model"),
            "{text}"
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.safetensors");
        model(12, "UCI optical digits").save(&path).unwrap();
        let text = sentence(&path, &ImageChoice::default());
        assert!(text.contains("12x12") && text.contains("8x8"), "{text}");
        model(8, "unknown").save(&path).unwrap();
        assert!(sentence(&path, &ImageChoice::default()).contains("`dataset`"));
        model(8, "MNIST").save(&path).unwrap();
        assert!(sentence(&path, &ImageChoice::default()).contains("`data` "));
        model(8, "UCI optical digits").save(&path).unwrap();
        let nothing = ImageChoice { limit: Some(0), ..Default::default() };
        assert!(sentence(&path, &nothing).contains("`limit` 0"));
    }
}
