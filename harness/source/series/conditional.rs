//! What must be so for a line to count: the conditionals around it that name the configuration,
//! in make's, C's and Kconfig's form. Pure.

use std::ops::RangeInclusive;

/// A conditional that begins before a line and ends after it.
struct Open<'a> {
    /// Where it began, counted from 1.
    line: usize,
    text: &'a str,
    /// The line is after its `else`.
    in_else: bool,
}

/// No more needs of some lines are named.
const MOST: usize = 8;

/// What some lines of a file need: the conditionals around them from the outermost to the
/// innermost, those within them, then what the lines themselves name. Conditionals that name no
/// symbol of the configuration are left out, and so is all after the first few.
#[must_use]
pub fn needs(path: &str, text: &str, lines: &RangeInclusive<usize>) -> Vec<String> {
    let mut needs: Vec<String> = Vec::new();
    if let Some(language) = Language::of(path) {
        let mut open: Vec<Open<'_>> = Vec::new();
        let mut own = Vec::new();
        for (number, raw) in (1..=*lines.end()).zip(text.lines()) {
            if number == *lines.start() {
                needs.extend(open.iter().filter_map(|open| open.need(language)));
            }
            let is_own = lines.contains(&number);
            let keyword = language.keyword(raw.trim());
            if is_own && let Keyword::None = keyword {
                own.extend(symbol(raw).map(|symbol| format!("with {symbol}")));
            }
            let is_conditional = matches!(keyword, Keyword::Begin | Keyword::Else);
            follow(keyword, number, raw.trim(), &mut open);
            if is_own && is_conditional && number < *lines.end() {
                needs.extend(open.last().and_then(|open| open.need(language)));
            }
        }
        needs.extend(own);
    }
    needs.extend(architecture(path).map(|arch| format!("on architecture {arch}")));
    needs.dedup();
    needs.truncate(MOST);
    needs
}

/// The first symbol that a line takes the value of: `CONFIG_X` of `obj-$(CONFIG_X) += x.o`.
fn symbol(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("$(CONFIG_")?;
    let (name, _) = rest.split_once(')')?;
    Some(format!("CONFIG_{name}"))
}

impl Open<'_> {
    fn need(&self, language: Language) -> Option<String> {
        let side = if self.in_else { "the 'else' of " } else { "" };
        language
            .names_configuration(self.text)
            .then(|| format!("in {side}'{}' (line {})", self.text, self.line))
    }
}

/// Follows a line into conditionals and out of them.
fn follow<'a>(keyword: Keyword, number: usize, line: &'a str, open: &mut Vec<Open<'a>>) {
    let new = |in_else| Open {
        line: number,
        text: line,
        in_else,
    };
    match keyword {
        Keyword::Begin => open.push(new(false)),
        // `else ifdef CONFIG_X` is a condition, too.
        Keyword::Else if line.contains("CONFIG_") => {
            open.pop();
            open.push(new(false));
        }
        Keyword::Else => {
            if let Some(open) = open.last_mut() {
                open.in_else = true;
            }
        }
        Keyword::End => {
            open.pop();
        }
        Keyword::None => {}
    }
}

/// The folder below `arch/` of a path.
#[must_use]
pub fn architecture(path: &str) -> Option<&str> {
    let (arch, _) = path.strip_prefix("arch/")?.split_once('/')?;
    Some(arch)
}

/// What the conditionals of a file look like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    Make,
    Preprocessor,
    Kconfig,
}

impl Language {
    fn of(path: &str) -> Option<Language> {
        let name = path.rsplit('/').next().unwrap_or(path);
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("c" | "h" | "S") => Some(Language::Preprocessor),
            Some("sh" | "awk" | "py" | "pl") => None,
            _ if name.starts_with("Kconfig") => Some(Language::Kconfig),
            _ => Some(Language::Make),
        }
    }

    fn keyword(self, line: &str) -> Keyword {
        let line = match (self, line.strip_prefix('#')) {
            (Language::Preprocessor, Some(rest)) => rest.trim_start(),
            (Language::Make | Language::Kconfig, None) => line,
            _ => return Keyword::None,
        };
        let word = line.split([' ', '\t', '(']).next().unwrap_or_default();
        match (self, word) {
            (Language::Make | Language::Preprocessor, "ifdef" | "ifndef")
            | (Language::Make, "ifeq" | "ifneq")
            | (Language::Preprocessor | Language::Kconfig, "if") => Keyword::Begin,
            (Language::Make | Language::Preprocessor, "else")
            | (Language::Preprocessor, "elif") => Keyword::Else,
            (_, "endif") => Keyword::End,
            _ => Keyword::None,
        }
    }

    fn names_configuration(self, condition: &str) -> bool {
        let names = ["CONFIG_", "$(ARCH)", "$(SRCARCH)"];
        self == Language::Kconfig || names.iter().any(|name| condition.contains(name))
    }
}

enum Keyword {
    Begin,
    Else,
    End,
    None,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const MAKEFILE: &str = "ifdef CONFIG_A\nx := 1\nelse ifdef CONFIG_B\nx := 2\nelse\n\
        ifeq ($(ARCH),s390)\nx := 3\nendif\nx := 4\nendif\nobj-$(CONFIG_C) += c.o\nifdef V\nx := 5\n\
        endif\n";

    #[rstest]
    #[case::first_branch(2, &["in 'ifdef CONFIG_A' (line 1)"])]
    #[case::second_condition(4, &["in 'else ifdef CONFIG_B' (line 3)"])]
    #[case::nested(7, &["in the 'else' of 'else ifdef CONFIG_B' (line 3)", "in 'ifeq ($(ARCH),s390)' (line 6)"])]
    #[case::after_the_inner_end(9, &["in the 'else' of 'else ifdef CONFIG_B' (line 3)"])]
    #[case::on_the_line_itself(11, &["with CONFIG_C"])]
    #[case::not_of_the_configuration(13, &[])]
    #[case::after_the_end(99, &[])]
    #[case::the_conditional_itself(6, &["in the 'else' of 'else ifdef CONFIG_B' (line 3)"])]
    fn the_conditionals_around_a_line_are_named(#[case] line: usize, #[case] expected: &[&str]) {
        assert_eq!(
            needs("scripts/Makefile.x", MAKEFILE, &(line..=line)),
            expected
        );
    }

    #[test]
    fn a_conditional_among_the_lines_is_named_once() {
        assert_eq!(
            needs("scripts/Makefile.x", MAKEFILE, &(6..=8)),
            [
                "in the 'else' of 'else ifdef CONFIG_B' (line 3)",
                "in 'ifeq ($(ARCH),s390)' (line 6)"
            ]
        );
    }

    #[rstest]
    #[case::preprocessor(
        "arch/mips/x.c",
        "#ifdef CONFIG_A\n# define X\nif (IS_ENABLED(CONFIG_B))\nint x;\n# endif\n",
        &["in '#ifdef CONFIG_A' (line 1)", "on architecture mips"]
    )]
    #[case::kconfig("lib/Kconfig", "if KASAN\nconfig X\n\tbool\n\tdefault y\nendif\n", &["in 'if KASAN' (line 1)"])]
    #[case::shell("scripts/x.sh", "if CONFIG_A\nthen\nx\nx\nfi\n", &[])]
    fn each_kind_of_file_has_its_own_conditionals(
        #[case] path: &str,
        #[case] text: &str,
        #[case] expected: &[&str],
    ) {
        assert_eq!(needs(path, text, &(4..=4)), expected);
    }

    #[test]
    fn a_file_beside_the_architectures_is_of_none() {
        assert_eq!(architecture("arch/Kconfig"), None);
        assert_eq!(architecture("arch/x86/Kconfig"), Some("x86"));
    }
}
