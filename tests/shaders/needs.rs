//! A shader's head names the shared files that it takes. The registry builds the shader from that line, so the line must be
//! right: no name that the shader does not use, and no use of a file that is not named.

use super::files;
use std::collections::{BTreeMap, BTreeSet};

/// What a file declares and which names it uses.
struct File {
    /// Names of its functions, structs, constants and variables.
    declared: BTreeSet<String>,
    /// The same and the names of its local values and fields.
    own: BTreeSet<String>,
    /// Every name in it.
    words: BTreeSet<String>,
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The names in a line of code, without fields behind a dot and attributes.
fn words(code: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find(is_word) {
        let end = rest[start..].find(|c| !is_word(c)).map_or(rest.len(), |n| start + n);
        if !rest[..start].ends_with(['.', '@']) {
            words.push(&rest[start..end]);
        }
        rest = &rest[end..];
    }
    words
}

/// Words that the next name follows where it is declared.
const DECLARES: [&str; 7] = ["fn", "const", "override", "struct", "alias", "var", "let"];

impl File {
    fn of(text: &str) -> Self {
        let (mut declared, mut own, mut all) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut depth = 0;
        for line in text.lines().map(|line| line.split("//").next().unwrap_or_default()) {
            // `var<storage, read_write> name`: the name is what stands before the colon.
            let found = words(line);
            all.extend(found.iter().map(ToString::to_string));
            for (at, word) in found.iter().enumerate().filter(|(_, word)| DECLARES.contains(word)) {
                let plain = !line.contains("var<");
                let name = if plain { found.get(at + 1).copied() } else { before_colon(line) };
                own.extend(name.map(ToString::to_string));
                if depth == 0 && *word != "let" {
                    declared.extend(name.map(ToString::to_string));
                }
            }
            // Parameters of functions and fields of structs.
            own.extend(line.split(',').filter_map(before_colon).map(ToString::to_string));
            depth += line.matches('{').count();
            depth -= line.matches('}').count();
        }
        Self { declared, own, words: all }
    }

    /// Whether a name that this file declares is used in `other`, or the other way round, as in a shared `main` that works with
    /// the constants of its shader.
    fn meets(&self, other: &Self) -> bool {
        self.declared.iter().any(|name| other.words.contains(name))
            || other.declared.iter().any(|name| self.words.contains(name))
    }
}

/// The last name before the first colon.
fn before_colon(part: &str) -> Option<&str> {
    part.split_once(':').and_then(|(before, _)| words(before).last().copied())
}

/// The shared files by the name that a head gives them.
fn shared() -> BTreeMap<String, File> {
    let read = |path| File::of(&std::fs::read_to_string(path).unwrap());
    super::SHARED
        .iter()
        .flat_map(|&(prefix, folder)| {
            files(folder).into_iter().map(move |(name, path)| (format!("{prefix}{name}"), read(path)))
        })
        .collect()
}

/// What is wrong with a shader's line.
fn complaints(text: &str, shared: &BTreeMap<String, File>) -> Vec<String> {
    let mut head = text.lines().take_while(|line| line.starts_with("//"));
    let Some(line) = head.find_map(|line| line.strip_prefix("// needs: ")) else {
        return vec!["its head has no line `// needs: ...`".to_string()];
    };
    let named: Vec<&str> = line.split(", ").filter(|&name| name != "nothing").collect();
    let own = File::of(text);
    let mut complaints = Vec::new();
    for &name in &named {
        let Some(file) = shared.get(name) else {
            complaints.push(format!("it names {name}, which does not exist"));
            continue;
        };
        let others = named.iter().filter(|&&other| other != name).filter_map(|&other| shared.get(other));
        if !file.meets(&own)
            && !others.into_iter().any(|other| file.declared.iter().any(|n| other.words.contains(n)))
        {
            complaints.push(format!("it names {name} and uses nothing of it"));
        }
    }
    let known = |word: &String| {
        own.own.contains(word)
            || named.iter().filter_map(|&name| shared.get(name)).any(|file| file.declared.contains(word))
    };
    for word in own.words.iter().filter(|word| !known(word)) {
        let homes: Vec<&String> =
            shared.iter().filter(|(_, file)| file.declared.contains(word)).map(|(name, _)| name).collect();
        if !homes.is_empty() {
            complaints.push(format!("it uses {word} and does not name any of {homes:?}"));
        }
    }
    complaints
}

/// What the compiler of programs writes into these two uses the functions of the files that they name.
const GENERATED: [&str; 2] = ["elementwise", "elementwise_columns"];

#[test]
fn a_shader_names_what_it_uses_of_the_shared_files_and_nothing_else() {
    let shared = shared();
    let mut all = Vec::new();
    for (name, path) in super::FOLDERS.into_iter().flat_map(files) {
        let text = std::fs::read_to_string(path).unwrap();
        let found = complaints(&text, &shared).into_iter();
        let generated = GENERATED.contains(&name.as_str());
        let found = found.filter(|complaint| !(generated && complaint.ends_with("uses nothing of it")));
        all.extend(found.map(|complaint| format!("{name}: {complaint}")));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn every_shared_file_is_named_by_a_shader() {
    let heads: Vec<String> = super::FOLDERS
        .into_iter()
        .flat_map(files)
        .map(|(_, path)| std::fs::read_to_string(path).unwrap())
        .collect();
    let named: BTreeSet<&str> = heads
        .iter()
        .filter_map(|text| text.lines().find_map(|line| line.strip_prefix("// needs: ")))
        .flat_map(|line| line.split(", "))
        .collect();
    for name in shared().keys() {
        assert!(named.contains(name.as_str()), "no shader needs {name}");
    }
}

#[test]
fn a_line_that_names_too_much_or_too_little_is_refused() {
    let shared = shared();
    let shader = |needs: &str| {
        format!(
            "// Text.\n{needs}\nfn main(i: u32) -> u32 {{\n    return small_divide(i, params.columns) + GROUP;\n}}\n"
        )
    };
    let said = |needs: &str| complaints(&shader(needs), &shared).join("; ");
    assert_eq!(said("// needs: grid, rows_params"), "");
    assert!(
        said("// needs: rows_params").contains("uses GROUP and does not name any of [\"grid\"]"),
        "{}",
        said("// needs: rows_params")
    );
    assert!(said("// needs: grid, rows_params, blocks").contains("names blocks and uses nothing of it"));
    assert!(said("// needs: grid, rows_params, blobs").contains("names blobs, which does not exist"));
    assert!(said("// Nothing.").contains("no line"));
}
