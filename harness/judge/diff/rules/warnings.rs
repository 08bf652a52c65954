//! What modpost and objtool warn of in only one of the two builds.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;

use super::{Found, Pair, WHICH};
use crate::judge::diff::Side;
use crate::model::cell::LtoMode;
use crate::model::facts::{Facts, PROMOTED};
use crate::model::finding::{Rule, Severity};

pub const WARNINGS: Rule = Rule {
    key: "diff.warnings",
    severity: Severity::Warning,
    invariant: "modpost gives the same warnings in both builds, and so does objtool for built-in code; offsets, promotion hashes and the file that objtool reads may differ, and the function if the two were optimised differently",
    broken: "warnings were given in only one build",
    why: "one of the two was compiled or linked differently, or modpost excuses a reference only under the name that one of them has",
    fix: "compare the function or variable in both: 'llvm-objdump -dr vmlinux.o', 'llvm-nm vmlinux.o'",
};

const OF_PROMOTED: &str = "the name is promoted in that build: modpost excuses references by patterns of names (scripts/mod/modpost.c), and *_console does not match x_console.llvm.<hash>";
const OF_SECTION: &str = "in-process LTO gives each variable a section of its own: modpost checks .data, but not .data.x";

pub(super) fn warnings(pair: &Pair) -> Result<Vec<Found>, String> {
    let have_modules = |side: &Side| !side.facts.modules.is_empty();
    let reader = Reader {
        same_modules: have_modules(pair.a) == have_modules(pair.b),
        optimised_alike: pair.optimised_alike,
    };
    let a = reader.warnings(pair.a, WHICH[0])?;
    let b = reader.warnings(pair.b, WHICH[1])?;
    let mut found = Vec::new();
    let modes = [pair.a, pair.b].map(|side| side.identity.lto);
    for (at, [one, other]) in [[&a, &b], [&b, &a]].into_iter().enumerate() {
        let only = one.iter().filter(|(item, _)| !other.contains_key(*item));
        found.extend(only.map(|(item, warning)| Found {
            item: item.clone(),
            how: format!(
                "only in the log of the {} tree, line {}: {}",
                WHICH[at], warning.line, warning.text
            ),
            cause: cause(warning.text, modes[at], modes[1 - at]).map(str::to_owned),
        }));
    }
    Ok(found)
}

/// A line of a log.
struct Warning<'a> {
    line: usize,
    text: &'a str,
}

/// What to read of the logs.
struct Reader {
    /// Whether both trees have modules, or neither has.
    same_modules: bool,
    /// As [`super::super::Compared::optimised_alike`].
    optimised_alike: bool,
}

impl Reader {
    /// The warnings of a build, by what is the same in every build that gives them. `Err` says why
    /// they are not known.
    fn warnings<'a>(
        &self,
        side: &'a Side,
        which: &str,
    ) -> Result<BTreeMap<String, Warning<'a>>, String> {
        let Some(log) = &side.facts.log else {
            return Err(format!("there is no build log of the {which} tree"));
        };
        if !side.linked.link_in_log {
            return Err(format!(
                "the log of the {which} tree does not show that vmlinux.o was linked"
            ));
        }
        if log.left_out > 0 {
            return Err(format!(
                "the log of the {which} tree has more messages than klto keeps"
            ));
        }
        let of_modules = objects_of_modules(&side.facts);
        let mut warnings = BTreeMap::new();
        for (line, text) in &log.messages {
            if let Some(item) = self.item(text, &of_modules) {
                let warning = Warning { line: *line, text };
                warnings.entry(item).or_insert(warning);
            }
        }
        Ok(warnings)
    }

    /// What a message warns of; `None` if it does not, or if not every build says so.
    fn item(&self, text: &str, of_modules: &FxHashSet<String>) -> Option<String> {
        if let Some(warning) = text.strip_prefix(MODPOST) {
            return match mismatch(warning) {
                Some(Mismatch {
                    module, from, to, ..
                }) => {
                    let (module, to) = (module.trim_end_matches(".o"), plain(to));
                    let is_compared = self.same_modules || module == "vmlinux";
                    is_compared.then(|| match self.optimised_alike {
                        true => format!("{module}: {} -> {to}", plain(from)),
                        false => format!("{module}: a reference to {to}"),
                    })
                }
                None => self.same_modules.then(|| plain(warning)),
            };
        }
        let (object, warning) = text.split_once("warning: objtool: ")?;
        // A tree that began as another's has the modules' objects from there, so that its log
        // lacks what objtool said of them.
        let is_of_module = of_modules.contains(object.trim_end_matches(": "));
        // With --backtrace, a warning has more lines.
        if is_of_module || warning.starts_with(' ') {
            return None;
        }
        let at = warning.split_once(": ");
        let at = at.filter(|(place, _)| place.contains("+0x"));
        match at {
            Some((_, what)) if !self.optimised_alike => Some(plain(what)),
            Some(_) | None => Some(plain(warning)),
        }
    }
}

const MODPOST: &str = "WARNING: modpost: ";

fn objects_of_modules(facts: &Facts) -> FxHashSet<String> {
    let modules = facts.modules.iter();
    modules
        .flat_map(|module| {
            let name = facts.text(module.name);
            let linked = [".o", ".mod.o"].map(|suffix| format!("{name}{suffix}"));
            let own = module.objects.iter();
            own.map(|object| facts.text(object.name).to_owned())
                .chain(linked)
        })
        .collect()
}

/// `vmlinux: section mismatch in reference: from+0x1 (section: .text) -> to (section: .init.text)`
struct Mismatch<'a> {
    module: &'a str,
    /// With its offset.
    from: &'a str,
    section: &'a str,
    to: &'a str,
}

fn mismatch(warning: &str) -> Option<Mismatch<'_>> {
    const SECTION: &str = " (section: ";

    let (module, reference) = warning.split_once(": section mismatch in reference: ")?;
    let (from, to) = reference.split_once(" -> ")?;
    let (from, section) = from.split_once(SECTION)?;
    Some(Mismatch {
        module,
        from,
        section: section.trim_end_matches(')'),
        to: to.split_once(SECTION)?.0,
    })
}

/// Why modpost warns in a tree of one mode, and not in one of another.
fn cause(text: &str, mode: LtoMode, other: LtoMode) -> Option<&'static str> {
    let is_in_process = |mode| matches!(mode, LtoMode::Thin | LtoMode::Full);
    let mismatch = text.strip_prefix(MODPOST).and_then(mismatch)?;
    if mismatch.from.contains(PROMOTED) {
        return Some(OF_PROMOTED);
    }
    let is_data = matches!(mismatch.section, ".data" | ".data.rel");
    (is_data && is_in_process(other) && !is_in_process(mode)).then_some(OF_SECTION)
}

/// The text without promotion hashes and offsets.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let number = [
            after(rest, PROMOTED, |c| c.is_ascii_digit()),
            after(rest, "+0x", |c| c.is_ascii_hexdigit()),
            after(rest, "0x", |c| c.is_ascii_hexdigit()),
        ];
        rest = match number.into_iter().flatten().next() {
            Some(after) => after,
            None => {
                plain.push(first);
                &rest[first.len_utf8()..]
            }
        };
    }
    plain
}

/// What follows a number with this prefix.
fn after<'a>(text: &'a str, prefix: &str, is_digit: fn(char) -> bool) -> Option<&'a str> {
    let number = text.strip_prefix(prefix)?;
    let rest = number.trim_start_matches(is_digit);
    (rest.len() < number.len()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const ALIKE: Reader = Reader {
        same_modules: true,
        optimised_alike: true,
    };

    fn item(reader: &Reader, text: &str) -> Option<String> {
        let of_modules = FxHashSet::from_iter(["drivers/m.o".to_owned()]);
        reader.item(text, &of_modules)
    }

    #[rstest]
    #[case::mismatch(
        "WARNING: modpost: vmlinux: section mismatch in reference: a+0x12 (section: .text.a) -> b (section: .init.text)",
        "WARNING: modpost: vmlinux.o: section mismatch in reference: a+0x3c (section: .text) -> b (section: .init.text)",
        "vmlinux: a -> b"
    )]
    #[case::promoted(
        "WARNING: modpost: vmlinux: section mismatch in reference: a.llvm.123+0x8 (section: .data) -> b.llvm.4 (section: .init.text)",
        "WARNING: modpost: vmlinux: section mismatch in reference: a+0x8 (section: .data) -> b (section: .init.text)",
        "vmlinux: a -> b"
    )]
    #[case::modpost("WARNING: modpost: x at 0x12", "WARNING: modpost: x at 0x34", "x at ")]
    #[case::objtool(
        "vmlinux.o: warning: objtool: f.llvm.77+0xab: call to g() leaves .noinstr.text section",
        "kernel/a.o: warning: objtool: f+0x1: call to g() leaves .noinstr.text section",
        "f: call to g() leaves .noinstr.text section"
    )]
    #[case::objtool_without_a_file(
        "warning: objtool: f+0x1: unreachable instruction",
        "vmlinux.o: warning: objtool: f+0x2: unreachable instruction",
        "f: unreachable instruction"
    )]
    fn a_warning_is_the_same_in_every_build(
        #[case] one: &str,
        #[case] other: &str,
        #[case] expected: &str,
    ) {
        assert_eq!(item(&ALIKE, one).as_deref(), Some(expected));
        assert_eq!(item(&ALIKE, other).as_deref(), Some(expected));
    }

    #[rstest]
    #[case::of_a_module("drivers/m.o: warning: objtool: f+0x1: unreachable instruction")]
    #[case::more_of_another("vmlinux.o: warning: objtool:   f+0x1: (branch)")]
    #[case::of_the_compiler("a.c:1:2: warning: unused variable 'x' [-Wunused-variable]")]
    #[case::of_make("WARNING: Unable to reopen jobserver read-side pipe")]
    fn what_not_every_build_says_is_left_out(#[case] text: &str) {
        assert_eq!(item(&ALIKE, text), None);
    }

    #[rstest]
    #[case(
        "WARNING: modpost: vmlinux: section mismatch in reference: a+0x1 (section: .text) -> b (section: .init.text)",
        Some("vmlinux: a reference to b")
    )]
    #[case(
        "WARNING: modpost: lib/m: section mismatch in reference: a+0x1 (section: .text) -> b (section: .init.text)",
        None
    )]
    #[case("WARNING: modpost: missing MODULE_LICENSE() in lib/m.o", None)]
    #[case(
        "vmlinux.o: warning: objtool: f+0x1: unreachable instruction",
        Some("unreachable instruction")
    )]
    #[case(
        "vmlinux.o: warning: objtool: f: unreachable instruction",
        Some("f: unreachable instruction")
    )]
    fn other_inlining_and_modules_in_one_tree_leave_less(
        #[case] text: &str,
        #[case] expected: Option<&str>,
    ) {
        let reader = Reader {
            same_modules: false,
            optimised_alike: false,
        };
        assert_eq!(item(&reader, text).as_deref(), expected);
    }

    #[rstest]
    #[case("a.llvm.12+0x3f b", "a b")]
    #[case("a.llvm.", "a.llvm.")]
    #[case("0x", "0x")]
    #[case("0x12 (ä)", " (ä)")]
    fn numbers_are_left_out(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(plain(text), expected);
    }

    proptest::proptest! {
        #[test]
        fn no_message_panics(text in "(WARNING: modpost: |.{0,9}warning: objtool: ).{0,20}(: section mismatch in reference: )?.{0,9}( \\(section: )?.{0,9}( -> )?.{0,9}( \\(section: |\\+0x1: ).{0,9}") {
            let _ = item(&ALIKE, &text);
        }
    }
}
