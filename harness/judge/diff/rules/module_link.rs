//! How the two builds link their modules.

use std::collections::BTreeSet;

use super::{Found, Pair, WHICH};
use crate::model::cell::LtoMode;
use crate::model::finding::{Rule, Severity};

pub const MODULE_LINK: Rule = Rule {
    key: "diff.module-link",
    severity: Severity::Error,
    invariant: "the linker has the same options for each module in both builds, except for those that the kernel gives to one LTO mode only",
    broken: "files are linked with other options",
    why: "an option that one mode loses changes what is loaded: an executable stack, a missing build ID, other code of the LTO back end",
    fix: "compare .foo.ko.cmd and .foo.o.cmd of both trees with KBUILD_LDFLAGS in Makefile and ld_ko_o in scripts/Makefile.modfinal",
};

pub(super) fn module_link(pair: &Pair) -> Result<Vec<Found>, String> {
    let (a, b) = (&pair.a.linked.module_links, &pair.b.linked.module_links);
    let modes = [pair.a, pair.b].map(|side| side.identity.lto);
    let in_both: Vec<_> = a
        .iter()
        .filter_map(|(file, one)| Some((file, one, b.get(file)?)))
        .collect();
    if in_both.is_empty() {
        let why = match (a.is_empty(), b.is_empty()) {
            (true, true) => "neither tree has linked modules",
            (true, false) => "the first tree has no linked modules",
            (false, true) => "the second tree has no linked modules",
            (false, false) => "the two trees have no module in common",
        };
        return Err(why.to_owned());
    }
    let differs = |one: &BTreeSet<Box<str>>, other: &BTreeSet<Box<str>>| {
        let only = [(one, other, WHICH[0]), (other, one, WHICH[1])];
        let parts = only.into_iter().filter_map(|(these, those, which)| {
            let more = these.difference(those).map(|option| &**option);
            let more: Vec<&str> = more.filter(|option| !is_of_mode(option, modes)).collect();
            (!more.is_empty()).then(|| format!("{} only in the {which} tree", more.join(" ")))
        });
        let parts: Vec<String> = parts.collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    };
    let found = in_both
        .into_iter()
        .filter_map(|(file, one, other)| Some(Found::new(file.to_string(), differs(one, other)?)));
    Ok(found.collect())
}

/// Whether the kernel gives an option to one of two modes only.
fn is_of_mode(option: &str, [a, b]: [LtoMode; 2]) -> bool {
    /// What only LTO reads.
    const OF_LTO: [&str; 6] = [
        "-mllvm",
        "--mllvm",
        "--lto",
        "-plugin-opt",
        "--plugin-opt",
        "--thinlto",
    ];
    /// Those of in-process ThinLTO, from LLVM 23 on.
    const IN_PROCESS: [&str; 2] = [
        "--lto-whole-program-visibility",
        "-mllvm -always-rename-promoted-locals=false",
    ];

    let is_without_lto = [a, b].contains(&LtoMode::None);
    let is_of_lto = || OF_LTO.iter().any(|start| option.starts_with(start));
    a != b && (IN_PROCESS.contains(&option) || is_without_lto && is_of_lto())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("--lto-whole-program-visibility", [LtoMode::Thin, LtoMode::ThinDist], true)]
    #[case("--lto-whole-program-visibility", [LtoMode::Thin, LtoMode::Thin], false)]
    #[case("-mllvm -import-instr-limit=5", [LtoMode::Thin, LtoMode::ThinDist], false)]
    #[case("-mllvm -import-instr-limit=5", [LtoMode::None, LtoMode::ThinDist], true)]
    #[case("-mllvm -import-instr-limit=5", [LtoMode::None, LtoMode::None], false)]
    #[case("-z noexecstack", [LtoMode::None, LtoMode::ThinDist], false)]
    fn some_options_are_of_a_mode(
        #[case] option: &str,
        #[case] modes: [LtoMode; 2],
        #[case] expected: bool,
    ) {
        assert_eq!(is_of_mode(option, modes), expected);
        assert_eq!(is_of_mode(option, [modes[1], modes[0]]), expected);
    }
}
