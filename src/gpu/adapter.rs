//! The list of adapters, and the choice among them.

use super::GpuError;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use wgpu::{Adapter, AdapterInfo, Backends, DeviceType, Features, Instance, InstanceDescriptor};

/// A `--adapter` value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdapterChoice {
    /// The fastest: a discrete, integrated or virtual GPU, else the CPU path. The CPU path is faster than software drivers.
    Auto,
    /// A discrete GPU or nothing.
    Discrete,
    /// An integrated GPU or nothing.
    Integrated,
    /// A software driver or nothing.
    Software,
    /// The CPU path, without any driver.
    Cpu,
    /// The number in the list, or part of a name if the list has no such number.
    Index(usize),
    /// Part of the name, in any case.
    Name(String),
}

impl FromStr for AdapterChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "" => return Err("an adapter choice may not be empty".to_string()),
            "auto" => Self::Auto,
            "discrete" => Self::Discrete,
            "integrated" => Self::Integrated,
            "software" => Self::Software,
            "cpu" => Self::Cpu,
            _ => text.parse().map_or_else(|_| Self::Name(text.to_string()), Self::Index),
        })
    }
}

impl fmt::Display for AdapterChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Discrete => f.write_str("discrete"),
            Self::Integrated => f.write_str("integrated"),
            Self::Software => f.write_str("software"),
            Self::Cpu => f.write_str("cpu"),
            Self::Index(index) => write!(f, "{index}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The features that kernels use if an adapter has them.
pub const USED_FEATURES: Features =
    Features::SUBGROUP.union(Features::SHADER_INT64).union(Features::TIMESTAMP_QUERY);

/// An adapter with its facts.
pub struct Listed {
    /// Its number in the list.
    pub index: usize,
    /// The wgpu handle.
    pub adapter: Adapter,
    /// Name, kind, driver.
    pub info: AdapterInfo,
}

impl Listed {
    /// `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub fn kind(&self) -> &'static str {
        kind(self.info.device_type)
    }
}

/// The kind of a driver that computes on the CPU.
const SOFTWARE: &str = "software";

fn kind(device_type: DeviceType) -> &'static str {
    match device_type {
        DeviceType::DiscreteGpu => "discrete",
        DeviceType::IntegratedGpu => "integrated",
        DeviceType::VirtualGpu => "virtual",
        DeviceType::Cpu => SOFTWARE,
        DeviceType::Other => "other",
    }
}

/// All adapters of Vulkan, Metal and DX12, the best kind first. OpenGL would list the same devices again with fewer features, so it
/// is left out.
pub fn list() -> Vec<Listed> {
    let mut descriptor = InstanceDescriptor::new_without_display_handle();
    descriptor.backends = Backends::VULKAN | Backends::METAL | Backends::DX12;
    let instance = Instance::new(descriptor);
    let mut adapters: Vec<(AdapterInfo, Adapter)> =
        pollster::block_on(instance.enumerate_adapters(Backends::all()))
            .into_iter()
            .map(|adapter| (adapter.get_info(), adapter))
            .collect();
    adapters.sort_by_key(|(info, _)| rank(info.device_type));
    adapters.into_iter().enumerate().map(|(index, (info, adapter))| Listed { index, adapter, info }).collect()
}

fn rank(device_type: DeviceType) -> u32 {
    match device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    }
}

/// Device files of a GPU on Linux: NVIDIA's driver, AMD's compute driver, and any driver that draws.
const GPU_FILES: [&str; 3] = ["/dev/nvidiactl", "/dev/kfd", "/dev/dri/renderD128"];

/// A sentence about a GPU that has a device file and is no adapter. `None` if there is no such file, or an adapter that is no
/// software driver.
pub fn hidden_gpu() -> Option<String> {
    let kinds: Vec<&str> = list().iter().map(Listed::kind).collect();
    hidden_among(&kinds, |file| Path::new(file).exists())
}

fn hidden_among(kinds: &[&str], exists: impl Fn(&str) -> bool) -> Option<String> {
    if kinds.iter().any(|kind| *kind != "software") {
        return None;
    }
    let file = GPU_FILES.into_iter().find(|file| exists(file))?;
    Some(format!(
        "there is a GPU ({file}), but its driver offers no Vulkan here: install the driver's Vulkan part, the Vulkan \
         loader and, for NVIDIA, GLVND (libvulkan1, libegl1, libgl1)"
    ))
}

/// The reason why `auto` takes the CPU path, in a few words.
pub fn why_the_cpu_path() -> String {
    let all = list();
    reason_for_the_cpu_path(all.iter().map(|l| (l.kind(), l.info.name.as_str())))
}

fn reason_for_the_cpu_path<'a>(mut all: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    match all.find(|(kind, _)| *kind == SOFTWARE) {
        None => "no GPU".to_string(),
        Some((_, name)) => {
            let short = name.split(" (").next().unwrap_or(name);
            format!("no GPU; the CPU path is faster here than {short}, which `adapter` software chooses")
        }
    }
}

/// The adapter that `choice` means; `None` is the CPU path.
///
/// # Errors
/// If there is none; only `auto` ever falls back to another kind.
pub fn choose(choice: &AdapterChoice) -> Result<Option<Listed>, GpuError> {
    if *choice == AdapterChoice::Cpu {
        return Ok(None);
    }
    let mut all = list();
    let kinds: Vec<(usize, &str, &str)> =
        all.iter().map(|l| (l.index, kind(l.info.device_type), l.info.name.as_str())).collect();
    match pick(choice, &kinds)? {
        Some(index) => Ok(Some(all.swap_remove(index))),
        None => Ok(None),
    }
}

/// From here on, a number that the list does not have is part of a name, such as 4090. Smaller numbers stand in many names.
const LEAST_NUMBER_OF_A_NAME: usize = 100;

/// The rule behind [`choose`], over (index, kind, name).
fn pick(choice: &AdapterChoice, all: &[(usize, &str, &str)]) -> Result<Option<usize>, GpuError> {
    let first_of = |wanted: &str| all.iter().find(|(_, kind, _)| *kind == wanted).map(|(i, ..)| *i);
    let named = |part: &str| {
        let part = part.to_lowercase();
        all.iter().find(|(_, _, name)| name.to_lowercase().contains(&part)).map(|(i, ..)| *i)
    };
    let (found, wanted) = match choice {
        AdapterChoice::Auto => {
            return Ok(all.iter().find(|(_, kind, _)| *kind != SOFTWARE).map(|(i, ..)| *i));
        }
        AdapterChoice::Cpu => return Ok(None),
        AdapterChoice::Discrete => (first_of("discrete"), "there is no discrete GPU".to_string()),
        AdapterChoice::Integrated => (first_of("integrated"), "there is no integrated GPU".to_string()),
        AdapterChoice::Software => (first_of("software"), "there is no software adapter".to_string()),
        AdapterChoice::Index(index) => {
            let listed = all.get(*index).map(|(i, ..)| *i);
            match *index < LEAST_NUMBER_OF_A_NAME {
                true => (listed, format!("there is no adapter number {index}")),
                false => (
                    listed.or_else(|| named(&index.to_string())),
                    format!("there is no adapter number {index}, and none with {index} in its name"),
                ),
            }
        }
        AdapterChoice::Name(name) => (named(name), format!("no adapter's name contains \"{name}\"")),
    };
    if found.is_some() {
        return Ok(found);
    }
    let names: Vec<String> = all.iter().map(|(i, kind, name)| format!("{i}: {name} ({kind})")).collect();
    let mut instead: Vec<&str> = vec!["auto"];
    for (_, kind, _) in all {
        if ["discrete", "integrated", "software"].contains(kind) && !instead.contains(kind) {
            instead.push(kind);
        }
    }
    instead.push("cpu");
    let found = if names.is_empty() { "no adapter at all".to_string() } else { names.join(", ") };
    let instead = format!("`adapter` {}", instead.join(", "));
    Err(GpuError::NoAdapter { wanted, found, instead })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &[(usize, &str, &str)] =
        &[(0, "discrete", "Radeon RX"), (1, "integrated", "Intel UHD"), (2, "software", "llvmpipe")];

    fn picked(text: &str, all: &[(usize, &str, &str)]) -> Result<Option<usize>, String> {
        pick(&text.parse().unwrap(), all).map_err(|e| e.to_string())
    }

    #[test]
    fn a_gpu_without_vulkan_is_named_where_only_software_was_found() {
        let nvidia = |file: &str| file == "/dev/nvidiactl";
        for kinds in [&[][..], &["software"]] {
            assert!(hidden_among(kinds, nvidia).unwrap().contains("/dev/nvidiactl"));
            assert_eq!(hidden_among(kinds, |_| false), None);
        }
        assert_eq!(hidden_among(&["discrete", "software"], nvidia), None);
    }

    #[test]
    fn auto_takes_the_best_gpu_and_without_one_the_cpu_path_rather_than_software() {
        assert_eq!(picked("auto", MIXED), Ok(Some(0)));
        assert_eq!(picked("auto", &MIXED[1..]), Ok(Some(1)));
        assert_eq!(picked("auto", &[(0, "virtual", "Virtio"), (1, "software", "llvmpipe")]), Ok(Some(0)));
        assert_eq!(picked("auto", &MIXED[2..]), Ok(None));
        assert_eq!(picked("auto", &[]), Ok(None));
        assert_eq!(picked("software", &MIXED[2..]), Ok(Some(2)));
        assert_eq!(picked("cpu", MIXED), Ok(None));
    }

    #[test]
    fn the_cpu_path_is_chosen_with_a_reason() {
        let reason = |all: &[(&'static str, &'static str)]| reason_for_the_cpu_path(all.iter().copied());
        assert_eq!(reason(&[]), "no GPU");
        assert_eq!(
            reason(&[("software", "llvmpipe (LLVM 15)")]),
            "no GPU; the CPU path is faster here than llvmpipe, which `adapter` software chooses"
        );
    }

    #[test]
    fn an_adapter_is_found_by_kind_number_or_part_of_its_name() {
        assert_eq!(picked("integrated", MIXED), Ok(Some(1)));
        assert_eq!(picked("2", MIXED), Ok(Some(2)));
        assert_eq!(picked("radeon", MIXED), Ok(Some(0)));
    }

    #[test]
    fn a_number_that_the_list_does_not_have_is_part_of_a_name() {
        let all = [(0, "integrated", "Intel UHD"), (1, "discrete", "NVIDIA GeForce RTX 4090")];
        assert_eq!(picked("4090", &all), Ok(Some(1)));
        assert_eq!(picked("1", &all), Ok(Some(1)));
        let error = picked("777", &all).unwrap_err();
        assert!(error.contains("no adapter number 777, and none with 777 in its name"), "{error}");
    }

    #[test]
    fn a_small_number_that_the_list_does_not_have_is_no_part_of_a_name() {
        for (number, name) in [("8", "NVIDIA H100 80GB HBM3"), ("1", "llvmpipe (LLVM 15.0.6, 256 bits)")] {
            let error = picked(number, &[(0, "discrete", name)]).unwrap_err();
            assert!(error.starts_with(&format!("there is no adapter number {number}; found 0: ")), "{error}");
        }
    }

    #[test]
    fn discrete_never_falls_back_and_says_what_was_found() {
        let error = picked("discrete", &[(0, "software", "llvmpipe")]).unwrap_err();
        assert_eq!(
            error,
            "there is no discrete GPU; found 0: llvmpipe (software); choose `adapter` auto, software, cpu instead"
        );
        let error = picked("discrete", &[]).unwrap_err();
        assert!(error.contains("no adapter at all") && error.contains("`adapter` auto, cpu"), "{error}");
    }
}
