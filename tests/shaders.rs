//! Every form of every kernel offline: parsed, validated with exactly the capabilities that are asked of an adapter,
//! specialised to every variant that the programs use, written as SPIR-V, MSL and HLSL, and held against the limits that
//! every adapter has, its parameter struct against Rust's, and its file against the rules for shader files.

#[allow(dead_code, reason = "every test binary uses its own part of it")]
mod common;
#[path = "shaders/needs.rs"]
mod needs;

use common::tiles;
use naga::back::{PipelineConstants, hlsl, msl, pipeline_constants, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Expression, Module, ShaderStage, TypeInner};
use pgn_wgpu::attacks::{AttackKind, AttackOptions, Attacker, Norm};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::data::DatasetKind;
use pgn_wgpu::executor::Device;
use pgn_wgpu::graph::operation::codes;
use pgn_wgpu::kernels::{self, Form, Kernel, generate, grids};
use pgn_wgpu::models::file::Model;
use pgn_wgpu::nn::Problem;
use pgn_wgpu::program::{Call, Program};
use pgn_wgpu::training::defenses::awp::Gamma;
use pgn_wgpu::training::{Method, Preset, TrainConfig, Trainer};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What WebGPU promises of every adapter.
const STORAGE_BUFFERS: usize = 8;
const INVOCATIONS: u32 = 256;
const WORKGROUP_BYTES: u32 = 16 * 1024;

fn forms() -> impl Iterator<Item = (&'static Kernel, &'static Form)> {
    kernels::ALL.iter().flat_map(|&kernel| kernel.forms.iter().map(move |form| (kernel, form)))
}

/// What a form asks of an adapter.
fn capabilities(form: &Form) -> Capabilities {
    let mut capabilities = Capabilities::empty();
    capabilities.set(Capabilities::SUBGROUP, form.needs.subgroup.is_some());
    capabilities.set(Capabilities::SHADER_INT64, form.needs.int64);
    capabilities
}

fn validated(kernel: &Kernel, form: &Form) -> (Module, ModuleInfo) {
    let name = format!("{}, {} form", kernel.name, form.name);
    let module = naga::front::wgsl::parse_str(form.source)
        .unwrap_or_else(|e| panic!("{name}:\n{}", e.emit_to_string(form.source)));
    let info = Validator::new(ValidationFlags::all(), capabilities(form))
        .validate(&module)
        .unwrap_or_else(|e| panic!("{name}:\n{}", e.emit_to_string(form.source)));
    (module, info)
}

/// The values that the lowering gives an override constant.
fn values(constant: &str) -> &'static [u32] {
    match constant {
        "OPERATION" => &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        "SOURCE" | "LEFT" | "RIGHT" => &[0, 1, 2, 3],
        "KERNEL" => &[1, 3],
        "STRIDE" => &[1, 2],
        "EPILOGUE" => {
            &[codes::NOTHING, codes::BIAS, codes::BIAS_LEAKY, codes::LEAKY_MASK, codes::BORDER_BIAS_LEAKY]
        }
        "MASK" | "TRANSPOSED" | "SWAPPED" | "ACCUMULATE" | "AVERAGE" | "BIAS" => &[0, 1],
        _ => panic!("{constant}: say here which values it takes"),
    }
}

/// Every combination of override constants with which a program may ask for the form.
fn variants(kernel: &Kernel, form: &Form, module: &Module) -> Vec<PipelineConstants> {
    // Overrides that are computed from others follow by themselves.
    let computed = |o: &naga::Override| {
        o.init.is_some_and(|i| !matches!(module.global_expressions[i], Expression::Literal(_)))
    };
    let names: Vec<&str> = module
        .overrides
        .iter()
        .filter(|(_, o)| !computed(o))
        .filter_map(|(_, o)| o.name.as_deref())
        .collect();
    let mut all = Vec::new();
    for tile in tiles(kernel, form) {
        let mut some: Vec<PipelineConstants> =
            vec![tile.iter().map(|&(name, value)| (name.to_string(), f64::from(value))).collect()];
        for &name in names.iter().filter(|&&name| tile.iter().all(|(n, _)| *n != name)) {
            some = values(name).iter().flat_map(|&value| with(&some, name, value)).collect();
        }
        all.extend(some);
    }
    all
}

fn with(all: &[PipelineConstants], name: &str, value: u32) -> Vec<PipelineConstants> {
    let mut all = all.to_vec();
    for constants in &mut all {
        constants.insert(name.to_string(), f64::from(value));
    }
    all
}

#[test]
fn every_variant_of_every_form_becomes_spirv_msl_and_hlsl() {
    for (kernel, form) in forms() {
        let (module, info) = validated(kernel, form);
        for constants in variants(kernel, form, &module) {
            let name = format!("{}, {} form with {constants:?}", kernel.name, form.name);
            let entry = Some((ShaderStage::Compute, "main"));
            let (module, info) = pipeline_constants::process_overrides(&module, &info, entry, &constants)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            write_everywhere(&module, &info, form.needs.subgroup.is_some(), &name);
            within_limits(&module, kernel, &name);
        }
    }
}

/// Small colour images, and as many classes as any attack needs.
const PROBLEM: Problem = Problem { height: 8, width: 8, channels: 3, classes: 4 };

/// Every generated shader of training and of the attacks, with its kernel.
fn generated() -> BTreeMap<String, &'static str> {
    let cpu = Device::Cpu(Mode::Reference);
    let small = TrainConfig {
        width: 0.0625,
        batch_size: 4,
        ..TrainConfig::preset(Preset::Small, DatasetKind::Digits)
    };
    let mut programs = Vec::new();
    for method in Method::all() {
        for through_attack in [false, true] {
            for norm in [Norm::L2, Norm::Linf] {
                // A second pass with moved weights, where the gradient does not flow through the attack.
                let awp = (!through_attack).then_some(Gamma::Usual);
                let config = TrainConfig { method, through_attack, norm, awp, ..small.clone() };
                programs.extend(Trainer::new(cpu.clone(), &config, PROBLEM, None, None).unwrap().programs());
            }
        }
    }
    // Batch normalisation adds up columns.
    let resnet = TrainConfig { network: "resnet18".parse().unwrap(), ..small.clone() };
    programs.extend(Trainer::new(cpu.clone(), &resnet, PROBLEM, None, None).unwrap().programs());
    programs.extend(of_attacks(&cpu, &TrainConfig { method: Method::PGN, ..small }));
    let calls = programs.iter().flat_map(|p| &p.calls);
    let shader = |call: &Call| {
        let text = generate::shader(call.kernel.forms[0].source, call.expression.as_deref()?);
        Some((text, call.kernel.name))
    };
    calls.filter_map(shader).collect()
}

/// The programs of every attack, in every norm that it knows, on a new model of these settings.
fn of_attacks(cpu: &Device, pgn: &TrainConfig) -> Vec<Arc<Program>> {
    let trainer = Trainer::new(cpu.clone(), pgn, PROBLEM, None, None).unwrap();
    let (classifier, generator) = (trainer.classifier().clone(), trainer.generator().unwrap().clone());
    let live = classifier.initial(pgn.init, 0);
    let values = generator.initial(pgn.init, 0);
    let model = Model { generator: Some((generator, values)), ..Model::new(classifier, live) };
    let mut programs = Vec::new();
    for kind in AttackKind::all() {
        for norm in Norm::ALL.into_iter().filter(|&norm| kind.knows(norm)) {
            let options =
                AttackOptions { candidates: 3, random_start: true, norm, ..AttackOptions::new(kind) };
            programs.extend(Attacker::new(cpu, &model, options, 64).unwrap().programs());
        }
    }
    programs
}

#[test]
fn every_generated_shader_of_training_and_attacks_is_valid_everywhere() {
    let shaders = generated();
    assert!(shaders.len() > 10, "{} generated shaders", shaders.len());
    let found: BTreeSet<&str> = shaders.values().copied().collect();
    assert_eq!(found, BTreeSet::from(["elementwise", "elementwise_columns"]));
    for text in shaders.into_keys() {
        let module =
            naga::front::wgsl::parse_str(&text).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&text)));
        let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module);
        let info = info.unwrap_or_else(|e| panic!("{}", e.emit_to_string(&text)));
        write_everywhere(&module, &info, false, &text);
        let storage =
            module.global_variables.iter().filter(|(_, g)| matches!(g.space, AddressSpace::Storage { .. }));
        assert!(storage.count() <= STORAGE_BUFFERS, "{text}");
    }
}

/// Metal 2.1 and shader model 6.0 are the first with subgroups; portable forms do with less.
fn write_everywhere(module: &Module, info: &ModuleInfo, subgroups: bool, name: &str) {
    let options = spv::Options { lang_version: (1, 3), ..spv::Options::default() };
    spv::write_vec(module, info, &options, None).unwrap_or_else(|e| panic!("{name}, SPIR-V: {e}"));

    let lang_version = if subgroups { (2, 1) } else { (1, 2) };
    let options = msl::Options { lang_version, ..msl::Options::default() };
    let written = msl::write_string(module, info, &options, &msl::PipelineOptions::default());
    let (_, written) = written.unwrap_or_else(|e| panic!("{name}, MSL: {e}"));
    assert!(
        written.entry_point_names.iter().all(Result::is_ok),
        "{name}, MSL: {:?}",
        written.entry_point_names
    );

    let shader_model = if subgroups { hlsl::ShaderModel::V6_0 } else { hlsl::ShaderModel::V5_1 };
    let options = hlsl::Options { shader_model, ..hlsl::Options::default() };
    let (mut text, pipeline) = (String::new(), hlsl::PipelineOptions::default());
    let written = hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None);
    let written = written.unwrap_or_else(|e| panic!("{name}, HLSL: {e}"));
    assert!(
        written.entry_point_names.iter().all(Result::is_ok),
        "{name}, HLSL: {:?}",
        written.entry_point_names
    );
}

fn within_limits(module: &Module, kernel: &Kernel, name: &str) {
    let [entry] = module.entry_points.as_slice() else { panic!("{name}: one entry point") };
    assert_eq!(entry.name, "main", "{name}");
    let invocations: u32 = entry.workgroup_size.iter().product();
    assert!(invocations <= INVOCATIONS, "{name}: {invocations} invocations");
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    let workgroup = module.global_variables.iter().filter(|(_, g)| g.space == AddressSpace::WorkGroup);
    let bytes: u32 = workgroup.map(|(_, g)| layouter[g.ty].size).sum();
    assert!(bytes <= WORKGROUP_BYTES, "{name}: {bytes} bytes of workgroup memory");
    assert!(kernel.reads + kernel.writes <= STORAGE_BUFFERS, "{name}: too many tensors");
}

#[test]
fn a_form_asks_for_subgroups_only_if_it_needs_them() {
    for (kernel, form) in forms().filter(|(_, form)| form.needs.subgroup.is_some()) {
        let module = naga::front::wgsl::parse_str(form.source).unwrap();
        let without = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module);
        assert!(without.is_err(), "{}, {} form runs without subgroups", kernel.name, form.name);
    }
}

#[test]
fn bindings_are_the_parameters_then_the_tensors_that_the_registry_counts() {
    for (kernel, form) in forms() {
        let (module, _) = validated(kernel, form);
        let name = format!("{}, {} form", kernel.name, form.name);
        let mut bindings = Vec::new();
        for (_, global) in module.global_variables.iter() {
            let Some(at) = global.binding else { continue };
            assert_eq!(at.group, 0, "{name}: {:?}", global.name);
            match global.space {
                AddressSpace::Uniform => assert_eq!(at.binding, 0, "{name}: {:?}", global.name),
                AddressSpace::Storage { .. } => assert_ne!(at.binding, 0, "{name}: {:?}", global.name),
                _ => panic!("{name}: {:?} is neither parameters nor a tensor", global.name),
            }
            bindings.push(at.binding);
        }
        bindings.sort_unstable();
        let expected: Vec<u32> = (0..=(kernel.reads + kernel.writes) as u32).collect();
        assert_eq!(bindings, expected, "{name}");
    }
}

#[test]
fn parameter_structs_are_the_same_in_wgsl_and_in_rust() {
    for (kernel, form) in forms() {
        let (module, _) = validated(kernel, form);
        let name = format!("{}, {} form", kernel.name, form.name);
        let mut uniforms = module.global_variables.iter().filter(|(_, g)| g.space == AddressSpace::Uniform);
        let ty = uniforms.next().unwrap_or_else(|| panic!("{name} has no parameters")).1.ty;
        let TypeInner::Struct { members, span } = &module.types[ty].inner else {
            panic!("{name}: no struct")
        };
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        assert_eq!(module.types[ty].name.as_deref(), Some(kernel.layout.name), "{name}");
        assert_eq!(*span as usize, kernel.layout.size, "{name}: size");
        let wgsl: Vec<_> = members
            .iter()
            .map(|m| (m.name.as_deref().unwrap_or_default(), m.offset as usize, layouter[m.ty].size as usize))
            .collect();
        let ends = kernel.layout.fields.iter().skip(1).map(|f| f.offset).chain([kernel.layout.size]);
        let rust: Vec<_> = kernel
            .layout
            .fields
            .iter()
            .zip(ends)
            .map(|(f, end)| (f.name, f.offset, end - f.offset))
            .collect();
        assert_eq!(wgsl, rust, "{name}: name, offset and size of the fields");
    }
}

/// The value of a constant of a shader.
fn number(module: &Module, name: &str) -> u32 {
    let (_, constant) = module
        .constants
        .iter()
        .find(|(_, c)| c.name.as_deref() == Some(name))
        .unwrap_or_else(|| panic!("there is no {name}"));
    match module.global_expressions[constant.init] {
        Expression::Literal(naga::Literal::U32(value)) => value,
        ref other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn epilogues_have_the_same_numbers_in_wgsl_and_in_rust() {
    let with_epilogue = |form: &Form| form.source.contains("override EPILOGUE");
    let mut compared = 0;
    for (kernel, form) in forms().filter(|(_, form)| with_epilogue(form)) {
        let (module, _) = validated(kernel, form);
        for (code, name) in codes::NAMES.iter().enumerate() {
            assert_eq!(number(&module, name) as usize, code, "{}, {} form: {name}", kernel.name, form.name);
        }
        compared += 1;
    }
    assert!(compared > 5, "{compared} forms");
    let all: Vec<&str> = values("EPILOGUE").iter().map(|&code| codes::name(code)).collect();
    assert_eq!(all, codes::NAMES);
    let file =
        std::fs::read_to_string(&files("shared").iter().find(|(name, _)| name == "epilogue").unwrap().1);
    let declared = file.unwrap().lines().filter(|line| line.starts_with("const ")).count();
    assert_eq!(declared, codes::NAMES.len(), "constants of shared/epilogue.wgsl");
}

#[test]
fn grids_are_as_wide_in_wgsl_as_in_rust() {
    let (kernel, form) = forms().find(|(_, form)| form.source.contains("const GRID_WIDTH")).unwrap();
    let (module, _) = validated(kernel, form);
    let value = |name: &str| number(&module, name);
    assert_eq!(value("GROUP"), grids::GROUP);
    assert_eq!(value("GRID_WIDTH"), grids::GRID_WIDTH);
    assert_eq!(value("GROUP") * value("VALUES"), grids::BLOCK);
}

/// The folders of shaders that the registry knows.
const FOLDERS: [&str; 4] = ["", "any", "gpu", "lavapipe"];
/// The folders of shared files, with what a head writes before their names.
const SHARED: [(&str, &str); 3] = [("", "shared"), ("gpu/", "gpu/shared"), ("lavapipe/", "lavapipe/shared")];

/// The WGSL files of `folder`, by name without ending.
fn files(folder: &str) -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let shaders = entries.filter(|path| path.extension().is_some_and(|e| e == "wgsl"));
    shaders.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_string(), path)).collect()
}

#[test]
fn every_shader_is_registered_and_every_kernel_has_its_shader_and_its_twin() {
    let portable: BTreeSet<String> = files("").into_iter().map(|(name, _)| name).collect();
    let registered: BTreeSet<String> = kernels::ALL.iter().map(|k| k.name.to_string()).collect();
    assert_eq!(portable, registered);
    // A form may be made of the file of another one of its kernel, with constants of its own.
    let texts: Vec<(String, String)> = FOLDERS[1..]
        .iter()
        .flat_map(|folder| {
            files(folder).into_iter().map(move |(name, path)| (format!("{folder}/{name}"), path))
        })
        .map(|(name, path)| (name, std::fs::read_to_string(path).unwrap()))
        .collect();
    let further: BTreeSet<String> = texts.iter().map(|(name, _)| name.clone()).collect();
    let file_of = |(kernel, form): (&Kernel, &Form)| {
        let (need, _) = form.name.split_once('.').expect("a form is <need>.<niche>");
        let own = |name: &str| name.starts_with(&format!("{need}/{}.", kernel.name));
        let file = texts.iter().find(|(name, text)| own(name) && form.source.ends_with(text.as_str()));
        file.unwrap_or_else(|| panic!("{} of {} is no file", form.name, kernel.name)).0.clone()
    };
    let registered: BTreeSet<String> =
        forms().filter(|(_, form)| form.name != "portable").map(file_of).collect();
    assert_eq!(further, registered);
    for kernel in kernels::ALL {
        let twin = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/cpu/{}.rs", kernel.name));
        assert!(twin.is_file(), "{} has no twin at {}", kernel.name, twin.display());
        assert_eq!(kernel.forms[0].name, "portable", "{}: the portable form comes first", kernel.name);
        assert_eq!(
            kernel.forms[0].needs.subgroup, None,
            "{}: the portable form runs everywhere",
            kernel.name
        );
    }
}

#[test]
fn the_shaders_that_measure_are_valid_everywhere_too() {
    for (name, path) in files("bench") {
        let text = std::fs::read_to_string(&path).unwrap();
        let module = naga::front::wgsl::parse_str(&text)
            .unwrap_or_else(|e| panic!("{name}:\n{}", e.emit_to_string(&text)));
        let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module);
        let info = info.unwrap_or_else(|e| panic!("{name}:\n{}", e.emit_to_string(&text)));
        write_everywhere(&module, &info, false, &name);
    }
}

#[test]
fn every_shader_opens_with_its_contract() {
    for (name, path) in FOLDERS.into_iter().chain(["bench"]).flat_map(files) {
        let text = std::fs::read_to_string(&path).unwrap();
        let contract: String =
            text.lines().take_while(|l| l.starts_with("//")).collect::<Vec<_>>().join("\n");
        let contract = contract.to_lowercase();
        let words: [&[&str]; 4] = [&["reads"], &["writes", "updates"], &["dispatch"], &["loop"]];
        for one_of in words {
            assert!(
                one_of.iter().any(|word| contract.contains(word)),
                "{name}: the contract says nothing of {one_of:?}"
            );
        }
    }
}
