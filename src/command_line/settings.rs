//! One name for a setting in the library, in files, on the command line and in other languages.
//!
//! Sentences of the library name a setting as `config.toml` does, between backticks and without dashes: "`batch-size` 0 is not
//! possible". Whoever calls the library has no flags. Where a sentence is shown, the word gets the name that its reader
//! knows: [`with_flags`] writes `--batch-size` where it is a flag of the command that runs, [`by_name`] writes `batch_size`
//! for programs in other languages. The sentences of the commands go the same way.
//!
//! All other words keep their backticks: flags of other commands, commands (`train-generator`), and whole command lines
//! (`pgn-wgpu train --resume RUN`), which are more than one word. Fields of files of which a parser speaks stand in
//! quotation marks, so none of them becomes a flag. Files that are written, such as `evaluation.json` and reports, keep the
//! library's names, because nobody knows which command their reader will use.

use super::program;
use clap::{Arg, Command};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// The flags of the command that runs in this process.
static FLAGS: OnceLock<BTreeSet<String>> = OnceLock::new();

/// Names the command that runs; its flags are those that [`with_flags`] writes.
pub(super) fn runs(command: &Command) {
    let _ = FLAGS.set(flags(command));
}

/// A sentence as the command that runs says it.
pub(crate) fn with_flags(sentence: &str) -> String {
    match FLAGS.get() {
        Some(flags) => in_place(sentence, |word| as_flag(word, flags)),
        None => sentence.to_string(),
    }
}

/// A sentence with options by their names: `step_size` for the setting `step-size` of any command.
pub fn by_name(sentence: &str) -> String {
    static ALL: OnceLock<BTreeSet<String>> = OnceLock::new();
    let all = ALL.get_or_init(|| program().get_subcommands().flat_map(flags).collect());
    in_place(sentence, |word| all.contains(word).then(|| word.replace('-', "_")))
}

/// A sentence in which all settings are flags, for help.
pub(super) fn for_help(sentence: &str) -> String {
    in_place(sentence, |word| Some(format!("--{word}")))
}

/// The same sentence with settings for flags, for a parser's words: `--step-size` becomes the setting `step-size`.
pub(super) fn without_flags(sentence: &str) -> String {
    let mut parts = sentence.split("--");
    let mut plain = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let end = part.find(|c: char| !(c.is_ascii_lowercase() || c == '-')).unwrap_or(part.len());
        let (flag, rest) = part.split_at(end);
        let spaced = !plain.ends_with(|c: char| c.is_alphanumeric());
        match flag.starts_with(|c: char| c.is_ascii_lowercase()) && spaced {
            true => plain += &format!("`{flag}`{rest}"),
            false => plain += &format!("--{part}"),
        }
    }
    plain
}

/// The flags of a command, without dashes, under all names that they have.
fn flags(command: &Command) -> BTreeSet<String> {
    let names = command.get_arguments().filter_map(Arg::get_long_and_visible_aliases);
    names.flatten().map(str::to_string).collect()
}

fn as_flag(word: &str, flags: &BTreeSet<String>) -> Option<String> {
    flags.contains(word).then(|| format!("--{word}"))
}

/// The sentence with what `name` says for words between backticks; those for which it says nothing stay as they are.
fn in_place(sentence: &str, name: impl Fn(&str) -> Option<String>) -> String {
    let (mut text, mut rest) = (String::new(), sentence);
    while let Some((before, word, after)) = first_between_backticks(rest) {
        text += before;
        text += &name(word).unwrap_or_else(|| format!("`{word}`"));
        rest = after;
    }
    text + rest
}

/// The first words between backticks, with what stands before and after them.
fn first_between_backticks(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('`')?;
    let (word, after) = rest.split_once('`')?;
    Some((before, word, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sentence as a command says it.
    fn said(command: &str, sentence: &str) -> String {
        let program = program();
        let flags = flags(program.find_subcommand(command).unwrap());
        in_place(sentence, |word| as_flag(word, &flags))
    }

    #[test]
    fn a_setting_is_a_flag_where_the_command_has_it() {
        let sentence = "`batch-size` 0 is not possible; give `limit` too, or `batch-size` 1";
        let flags = "--batch-size 0 is not possible; give --limit too, or --batch-size 1";
        assert_eq!(said("attack", sentence), flags);
        assert_eq!(said("train", "`defense` pgn is an alias"), "--defense pgn is an alias");
    }

    #[test]
    fn a_flag_of_another_command_and_an_unknown_word_keep_their_backticks() {
        let sentence = "`epochs` 0 (which `train-generator` sets) in `module.` and `wdith`";
        assert_eq!(said("verify", sentence), sentence);
        assert_eq!(said("train", sentence), sentence.replace("`epochs`", "--epochs"));
    }

    #[test]
    fn command_lines_and_single_backticks_stay_as_they_are() {
        for sentence in ["go on with `pgn-wgpu train --resume RUN`", "it`s `", "``", "", "a -- b"] {
            assert_eq!(said("train", sentence), sentence);
        }
        assert_eq!(said("train", "it's `lr` and `"), "it's --lr and `");
    }

    #[test]
    fn other_languages_have_underscores_for_the_flags_of_all_commands() {
        let sentence = "raise `generator-lr`, or lower `c-l`; `sheet-images`, `wdith` and `train-generator`";
        let named = "raise generator_lr, or lower c_l; sheet_images, `wdith` and `train-generator`";
        assert_eq!(by_name(sentence), named);
        assert_eq!(by_name("`pgn-wgpu train --resume RUN`"), "`pgn-wgpu train --resume RUN`");
    }

    #[test]
    fn a_parsers_sentence_becomes_one_with_settings_and_other_dashes_stay() {
        let sentences = [
            ("--step-size 2 is not possible", "`step-size` 2 is not possible"),
            ("raise --generator-lr, or lower --c-l", "raise `generator-lr`, or lower `c-l`"),
            ("a -- b, x--y and ---", "a -- b, x--y and ---"),
        ];
        for (sentence, expected) in sentences {
            assert_eq!(without_flags(sentence), expected);
        }
    }
}
