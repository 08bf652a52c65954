//! What the words of a clang command mean: which ones only the preprocessor reads, and which
//! one reverses another. `check::flags` and `snapshot` use it.

use crate::model::facts::{Facts, Name};

/// The words before the first option: `clang-22`, or `ccache clang-22`.
pub fn program<'a>(facts: &Facts, command: &'a [Name]) -> &'a [Name] {
    let end = command
        .iter()
        .position(|word| facts.text(*word).starts_with('-'))
        .unwrap_or(command.len());
    &command[..end]
}

/// The options that may change code: without those that only the preprocessor reads (their
/// effect is in the bitcode), and without the names of input and output.
pub fn code_options(facts: &Facts, options: &[Name]) -> Vec<Name> {
    const ALONE: [&str; 4] = ["-Wp,", "-I", "-D", "-U"];

    let mut code = Vec::with_capacity(options.len());
    let mut words = options.iter();
    while let Some(word) = words.next() {
        let text = facts.text(*word);
        if takes_file_or_macro(text) {
            words.next();
        } else if text == "-nostdinc"
            || text == "-c"
            || !text.starts_with('-')
                && !matches!(code.last(), Some(last) if takes_value(facts.text(*last)))
            || ALONE.iter().any(|prefix| text.starts_with(prefix))
            || TAKES_FILE
                .iter()
                .any(|prefix| prefix.len() > 2 && text.starts_with(prefix))
        {
        } else {
            code.push(*word);
        }
    }
    code
}

/// The files that a compiler reads as sources: the words that are neither options nor the
/// values of options.
pub fn inputs<'a>(facts: &'a Facts, options: &[Name]) -> Vec<&'a str> {
    let mut inputs = Vec::new();
    let mut words = options.iter().map(|word| facts.text(*word));
    while let Some(word) = words.next() {
        if takes_file_or_macro(word) || takes_value(word) {
            words.next();
        } else if !word.starts_with('-') {
            inputs.push(word);
        }
    }
    inputs
}

/// Options whose value is the next word, or the rest of their own: a file that is not compiled.
const TAKES_FILE: [&str; 5] = ["-include", "-isystem", "-iquote", "-o", "-idirafter"];

fn takes_file_or_macro(option: &str) -> bool {
    TAKES_FILE.contains(&option) || matches!(option, "-I" | "-D" | "-U")
}

/// Options whose value is the next word.
fn takes_value(option: &str) -> bool {
    matches!(
        option,
        "-mllvm" | "-Xclang" | "-Xassembler" | "-target" | "-x" | "--param"
    )
}

/// The first option in `after` that reverses a flag in `saved`, and that flag. Options that
/// turn LTO off do not count: the back end must have them.
pub fn contradiction<'a>(
    facts: &'a Facts,
    saved: &[Name],
    after: &[Name],
) -> Option<(&'a str, &'a str)> {
    after.iter().find_map(|option| {
        let text = facts.text(*option);
        let (key, value) = setting(text)?;
        if key == "-flto" || key == "-fthinlto-index" {
            return None;
        }
        // The last of the saved flags with that key takes effect.
        let in_force = saved
            .iter()
            .rev()
            .map(|flag| facts.text(*flag))
            .find(|flag| setting(flag).is_some_and(|(k, _)| k == key))?;
        let (_, old) = setting(in_force)?;
        (old != value).then_some((text, in_force))
    })
}

/// Splits an option that sets something into what it sets, and to what.
fn setting(option: &str) -> Option<(String, &str)> {
    if let Some(level) = option.strip_prefix("-O") {
        return Some(("-O".to_owned(), level));
    }
    if let Some(rest) = option.strip_prefix("--target=") {
        return Some(("--target".to_owned(), rest));
    }
    for group in ["-f", "-m"] {
        let Some(rest) = option.strip_prefix(group).filter(|rest| !rest.is_empty()) else {
            continue;
        };
        let (name, value) = match rest.strip_prefix("no-") {
            Some(name) => (name, "off"),
            None => rest.split_once('=').unwrap_or((rest, "on")),
        };
        // -fPIC, -fpic, -fPIE and -fpie set the same thing.
        let name = match name {
            "PIC" | "pic" | "PIE" | "pie" => "pic",
            name => name,
        };
        let value = match value {
            "on" if name == "pic" => rest,
            value => value,
        };
        return Some((format!("{group}{name}"), value));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("-O2", Some(("-O", "2")))]
    #[case("-fno-PIE", Some(("-fpic", "off")))]
    #[case("-fPIE", Some(("-fpic", "PIE")))]
    #[case("-mcmodel=kernel", Some(("-mcmodel", "kernel")))]
    #[case("-mno-red-zone", Some(("-mred-zone", "off")))]
    #[case("-ffunction-sections", Some(("-ffunction-sections", "on")))]
    #[case("--target=x86_64-linux-gnu", Some(("--target", "x86_64-linux-gnu")))]
    #[case("-Wall", None)]
    #[case("init/main.o", None)]
    fn an_option_sets_one_thing(#[case] option: &str, #[case] expected: Option<(&str, &str)>) {
        let set = setting(option);
        assert_eq!(set.as_ref().map(|(k, v)| (k.as_str(), *v)), expected);
    }
}
