//! The crate for programs that only call it: without the feature `command-line` nothing of the command line is built. Whoever gets
//! it, as a crate, a wheel or a container, gets one version.

use std::path::Path;
use std::process::Command;

/// The names of the crates that are built with these arguments.
fn crates(features: &[&str]) -> Vec<String> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let output = tree.args(features).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| line.split(' ').next()).map(str::to_string).collect()
}

#[test]
fn the_library_alone_needs_no_crate_of_the_command_line() {
    let of_commands = ["clap", "clap_complete", "clap_mangen", "indicatif", "signal-hook", "ctrlc"];
    let is_of_commands = |name: &String| of_commands.contains(&name.as_str());
    let alone = crates(&["--no-default-features"]);
    assert!(alone.iter().any(|name| name == "wgpu"), "{alone:?}");
    assert_eq!(alone.into_iter().filter(is_of_commands).collect::<Vec<_>>(), [""; 0]);
    assert!(crates(&[]).iter().any(is_of_commands), "what is looked for is there with the program");
}

#[test]
fn every_file_that_names_the_version_names_this_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join("python").is_dir() {
        return super::skipped("the versions, because a packed crate has no folder python");
    }
    let version = env!("CARGO_PKG_VERSION");
    let image = format!("image: pgn-wgpu:{version}");
    for (file, line) in [
        ("python/Cargo.toml", &format!("version = \"{version}\"")),
        ("CITATION.cff", &format!("version: {version}")),
        ("examples/cluster/kubernetes-merge.yaml", &image),
        ("examples/cluster/kubernetes-sweep.yaml", &image),
        ("examples/cluster/kubernetes-verdict.yaml", &image),
    ] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        assert!(text.lines().any(|own| own.trim() == line), "{file} has no line {line:?}");
    }
}
