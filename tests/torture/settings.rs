//! What is tortured, how often, and from which seed; and the numbers that follow from a seed.

use std::path::PathBuf;

/// The command line of the campaign.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Decides every random choice.
    pub seed: u64,
    /// Names of tries to which this is confined, or beginnings of names; all if empty.
    only: Vec<String>,
    /// Runs killed at random moments.
    pub kills: usize,
    /// System calls at which a run is killed, and as many at which the call fails.
    pub calls: usize,
    /// Bits flipped in each file, read back by `verify`.
    pub flips: usize,
    /// Of these, how many are read back by the file's own command too.
    pub reads: usize,
    /// Tries at a time.
    pub jobs: usize,
    /// Whether every deviation is printed, not only the first of each kind in a group.
    pub all: bool,
    /// Where runs and files are made, and stay; a temporary folder if absent.
    pub keep: Option<PathBuf>,
    /// Where seeds for `make fuzz` go; then nothing is tortured.
    pub seeds: Option<PathBuf>,
}

impl Settings {
    /// Reads the flags.
    ///
    /// # Errors
    /// A flag that there is not, or a value that is no number.
    pub fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let mut all = Self {
            seed: 1,
            only: Vec::new(),
            kills: 40,
            calls: 40,
            flips: 300,
            reads: 30,
            jobs,
            all: false,
            keep: None,
            seeds: None,
        };
        while let Some(flag) = arguments.next() {
            match flag.as_str() {
                "--run" => continue,
                "--all" => {
                    all.all = true;
                    continue;
                }
                _ => {}
            }
            let value = arguments.next().ok_or(format!("{flag} needs a value"))?;
            let number =
                || value.parse::<u64>().map_err(|_| format!("{flag} {value}: a whole number is needed"));
            match flag.as_str() {
                "--seed" => all.seed = number()?,
                "--only" => all.only.push(value),
                "--kills" => all.kills = number()? as usize,
                "--calls" => all.calls = number()? as usize,
                "--flips" => all.flips = number()? as usize,
                "--reads" => all.reads = number()? as usize,
                "--jobs" => all.jobs = number()?.max(1) as usize,
                "--seeds" => all.seeds = Some(PathBuf::from(value)),
                "--keep" => all.keep = Some(PathBuf::from(value)),
                _ => {
                    let flags = "--seed, --only, --all, --kills, --calls, --flips, --reads, --jobs, --keep and --seeds";
                    return Err(format!("there is no flag {flag}; there are {flags}"));
                }
            }
        }
        Ok(all)
    }

    /// Whether a try of this name is wanted, or, of a campaign's or group's name, any below it.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.starts_with(only) || only.starts_with(name))
    }
}

/// Numbers that follow from the seed and a name alone, so that a try can be repeated without those before it.
pub struct Random(u64);

impl Random {
    /// The numbers of the try `name`.
    pub fn new(seed: u64, name: &str) -> Self {
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, fold))
    }

    /// The next number, by the generator `SplitMix64`.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}
