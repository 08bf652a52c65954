//! What must be equal in two build trees, one function a rule, all in one [`TABLE`].

mod module_link;
mod warnings;

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use similar::{Algorithm, ChangeTag, capture_diff_slices};

use super::cause::Causes;
use super::{Side, SizeChange, Sizes};
use crate::judge::snapshot::is_host_symbol;
use crate::model::cell::LtoMode;
use crate::model::facts::linked::{Initcall, Linked, SectionKind, Symbol};
use crate::model::facts::{Export, Facts};
use crate::model::finding::{Rule, Severity};
use crate::model::tolerances::Tolerances;

pub const EXPORTS: Rule = Rule {
    key: "diff.exports",
    severity: Severity::Error,
    invariant: "both kernels export the same symbols, each with the same CRC, licence and namespace",
    broken: "symbols are exported differently",
    why: "modules built for one kernel do not load into the other",
    fix: "if the CRC differs, compare the types that the symbol's declaration uses; if the symbol is missing, check whether its object is linked",
};

pub const SYMBOLS: Rule = Rule {
    key: "diff.symbols",
    severity: Severity::Error,
    invariant: "both kernels define the same global symbols, except for promoted names and for the stubs that the kernel makes for LTO",
    broken: "symbols are defined in only one kernel",
    why: "an object is missing, or the link dropped what it must keep",
    fix: "find the archive member that defines the symbol; 'klto check' compares members and index",
};

pub const INITCALLS: Rule = Rule {
    key: "diff.initcalls",
    severity: Severity::Error,
    invariant: "both kernels run the same initcalls at each level, in the same order",
    broken: "initcalls are missing or in another place",
    why: "drivers and subsystems of one level rely on the link order",
    fix: "compare vmlinux.a and .tmp_initcalls.lds: the order is that of the archive",
};

pub const SECTIONS: Rule = Rule {
    key: "diff.sections",
    severity: Severity::Error,
    invariant: "vmlinux has the same sections in both kernels, each with the same access",
    broken: "sections differ in presence or access",
    why: "the linker puts a section that its script does not name at an arbitrary place",
    fix: "find the input section that it comes from: 'llvm-readelf -S vmlinux.o'",
};

pub const RELOCATIONS: Rule = Rule {
    key: "diff.relocations",
    severity: Severity::Error,
    invariant: "each function has absolute and GOT relocations of the same types in both kernels; if the two were optimised differently, this is compared only over all functions together",
    broken: "functions have other types of relocations",
    why: "one of the two was compiled for another code model: it may run at one address only, or use a table that no kernel has",
    fix: "compare the back-end command with the front-end command of the function's object: -mcmodel, -fPIE, -fno-PIE",
};

pub const ENTRY: Rule = Rule {
    key: "diff.entry",
    severity: Severity::Error,
    invariant: "both kernels are entered at the same symbol",
    broken: "kernels are entered at another symbol",
    why: "other boot code than intended would run first",
    fix: "check ENTRY() in the linker script, and the head objects in vmlinux.a",
};

pub const MODINFO: Rule = Rule {
    key: "diff.modinfo",
    severity: Severity::Error,
    invariant: "built-in modules have the same parameters, aliases and other information",
    broken: "entries are missing from one kernel's module information",
    why: "the kernel silently ignores a parameter on its command line that is missing",
    fix: "check whether the object's .modinfo section is linked: modules.builtin.modinfo",
};

pub const SIZES: Rule = Rule {
    key: "diff.size",
    severity: Severity::Warning,
    invariant: "the total size of all functions and of all variables is about the same in both kernels; if the two were optimised alike, so is the size of each function",
    broken: "sizes differ by more than the tolerance",
    why: "nothing else shows an option that only one of the two has (-O2, loop alignment, inlining limits)",
    fix: "compare the commands of the function's object in both trees; allow for a known change with 'tolerances:' in the matrix",
};

/// A rule's function: the differences, or why there was nothing to compare.
type Find = fn(&Pair) -> Result<Vec<Found>, String>;

/// Every rule, in the order of reporting.
pub(super) const TABLE: [(&Rule, Find); 10] = [
    (&EXPORTS, |pair| Ok(exports(pair))),
    (&SYMBOLS, |pair| Ok(symbols(pair))),
    (&INITCALLS, |pair| Ok(initcalls(pair))),
    (&SECTIONS, |pair| Ok(sections(pair))),
    (&RELOCATIONS, |pair| Ok(relocations(pair))),
    (&ENTRY, |pair| Ok(entry(pair))),
    (&MODINFO, |pair| Ok(modinfo(pair))),
    (&SIZES, |pair| Ok(size(pair))),
    (&warnings::WARNINGS, warnings::warnings),
    (&module_link::MODULE_LINK, module_link::module_link),
];

/// Every rule.
pub fn rules() -> impl ExactSizeIterator<Item = &'static Rule> {
    TABLE.iter().map(|(rule, _)| *rule)
}

/// The two trees, and what was found out of both.
pub(super) struct Pair<'a> {
    pub a: &'a Side,
    pub b: &'a Side,
    /// As [`super::Compared::optimised_alike`].
    pub optimised_alike: bool,
    pub causes: &'a Causes<'a>,
    pub sizes: &'a Sizes,
    pub tolerances: &'a Tolerances,
}

/// A difference.
pub(super) struct Found {
    pub item: String,
    pub how: String,
    pub cause: Option<String>,
}

impl Found {
    fn new(item: impl Into<String>, how: impl Into<String>) -> Found {
        Found {
            item: item.into(),
            how: how.into(),
            cause: None,
        }
    }
}

const WHICH: [&str; 2] = ["first", "second"];
const ONLY: [&str; 2] = ["is only in the first tree", "is only in the second tree"];

/// What is in only one of two sorted sets, and in which.
fn alone<'a, T: Ord>(
    a: &'a BTreeSet<T>,
    b: &'a BTreeSet<T>,
) -> impl Iterator<Item = (&'a T, &'static str)> {
    let first = a.difference(b).map(|item| (item, ONLY[0]));
    first.chain(b.difference(a).map(|item| (item, ONLY[1])))
}

fn exports(pair: &Pair) -> Vec<Found> {
    let (Some(a), Some(b)) = (&pair.a.facts.exports, &pair.b.facts.exports) else {
        let which = match (&pair.a.facts.exports, &pair.b.facts.exports) {
            (None, Some(_)) => ONLY[1],
            (Some(_), None) => ONLY[0],
            // Kernels without CONFIG_MODULES have none.
            (None, None) | (Some(_), Some(_)) => return Vec::new(),
        };
        return vec![Found::new("vmlinux.symvers", which)];
    };
    let by_name = |facts, exports: &[Export]| -> BTreeMap<String, [String; 3]> {
        exports
            .iter()
            .map(|export| exported(facts, export))
            .collect()
    };
    let (a, b) = (by_name(&pair.a.facts, a), by_name(&pair.b.facts, b));
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differs = |name: &String| match (a.get(name), b.get(name)) {
        (Some(_), None) => Some(ONLY[0].to_owned()),
        (None, _) => Some(ONLY[1].to_owned()),
        (Some(one), Some(other)) => one
            .iter()
            .zip(other)
            .zip(["CRC", "licence", "namespace"])
            .find(|((one, other), _)| one != other)
            .map(|((one, other), what)| format!("{what} '{one}' against '{other}'")),
    };
    names
        .into_iter()
        .filter_map(|name| {
            Some(Found {
                how: differs(name)?,
                cause: pair.causes.of_symbol(name, None),
                item: name.clone(),
            })
        })
        .collect()
}

fn exported(facts: &Facts, export: &Export) -> (String, [String; 3]) {
    let text = |name| facts.text(name).to_owned();
    let of = [
        format!("{:#010x}", export.crc),
        text(export.licence),
        text(export.namespace),
    ];
    (text(export.symbol), of)
}

/// How the names of functions begin that the kernel makes only for Clang's LTO: for the
/// calls at start (`include/linux/init.h`) and PCI's fixups (`include/linux/pci.h`).
const LTO_STUBS: [&str; 2] = ["__initstub__", "__UNIQUE_ID_"];

fn symbols(pair: &Pair) -> Vec<Found> {
    let [a_lto, b_lto] = [pair.a, pair.b].map(|side| side.identity.lto != LtoMode::None);
    let is_stub =
        |name: &str| a_lto != b_lto && LTO_STUBS.iter().any(|start| name.starts_with(start));
    let globals = |side: &'_ Side| -> BTreeSet<Box<str>> {
        let all = side.linked.functions.iter().chain(&side.linked.variables);
        let global = all.filter(|(_, symbol)| symbol.global);
        let global = global.map(|(name, _)| name);
        global.chain(&side.linked.labels).cloned().collect()
    };
    let (a, b) = (globals(pair.a), globals(pair.b));
    alone(&a, &b)
        .filter(|(name, _)| !is_stub(name))
        .map(|(name, how)| Found {
            item: name.to_string(),
            how: how.to_owned(),
            cause: pair.causes.of_symbol(name, None),
        })
        .collect()
}

fn initcalls(pair: &Pair) -> Vec<Found> {
    let (a, b) = (&pair.a.linked.initcalls, &pair.b.linked.initcalls);
    let sets = [a, b].map(|calls| calls.iter().collect::<BTreeSet<&Initcall>>());
    let name = |call: &Initcall| format!("level {}: {}", call.level, call.call);
    let mut found: Vec<Found> = alone(&sets[0], &sets[1])
        .map(|(call, how)| Found::new(name(call), how))
        .collect();
    // The order of what both have: what had to move for them to be the same.
    let common = |calls: &'_ [Initcall]| -> Vec<String> {
        let both = calls
            .iter()
            .filter(|call| sets.iter().all(|set| set.contains(call)));
        both.map(name).collect()
    };
    let (a, b) = (common(a), common(b));
    let moved = capture_diff_slices(Algorithm::Myers, &a, &b)
        .into_iter()
        .flat_map(|op| op.iter_changes(&a, &b).collect::<Vec<_>>())
        .filter(|change| change.tag() == ChangeTag::Delete);
    found.extend(moved.map(|change| {
        let at = |calls: &[String]| {
            let place = calls.iter().position(|call| *call == change.value());
            place.map_or(0, |place| place + 1)
        };
        let how = format!(
            "is call {} in the first tree, {} in the second",
            at(&a),
            at(&b)
        );
        Found::new(change.value(), how)
    }));
    found
}

fn sections(pair: &Pair) -> Vec<Found> {
    let (a, b) = (&pair.a.linked.sections, &pair.b.linked.sections);
    let names: BTreeSet<&Box<str>> = a.keys().chain(b.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let how = match (a.get(name), b.get(name)) {
                (Some(_), None) => ONLY[0].to_owned(),
                (None, _) => ONLY[1].to_owned(),
                (Some(one), Some(other)) if one.kind == other.kind => return None,
                (Some(one), Some(other)) => {
                    format!("{} against {}", one.kind.name(), other.kind.name())
                }
            };
            Some(Found::new(name.to_string(), how))
        })
        .collect()
}

/// Functions that both trees have, as often.
fn in_both<'a>(
    a: &'a Side,
    b: &'a Side,
) -> impl Iterator<Item = (&'a str, &'a Symbol, &'a Symbol)> {
    a.linked.functions.iter().filter_map(|(name, one)| {
        let other = b.linked.functions.get(name)?;
        (one.count == other.count).then_some((&**name, one, other))
    })
}

fn relocations(pair: &Pair) -> Vec<Found> {
    let kinds = &pair.a.arch.elf.relocations;
    let names: FxHashMap<u32, &str> = kinds
        .absolute
        .iter()
        .chain(&kinds.got)
        .map(|(name, number)| (*number, name.as_str()))
        .collect();
    let told = |symbol: &Symbol| -> BTreeSet<&str> {
        let numbers = symbol.relocations.iter();
        numbers.filter_map(|n| names.get(n).copied()).collect()
    };
    if !pair.optimised_alike {
        let all = |side: &'_ Side| side.linked.functions.values().flat_map(told).collect();
        let how = other_types([all(pair.a), all(pair.b)]);
        return how
            .map(|how| Found::new("all functions", how))
            .into_iter()
            .collect();
    }
    in_both(pair.a, pair.b)
        .filter_map(|(name, one, other)| {
            Some(Found {
                how: other_types([told(one), told(other)])?,
                item: name.to_owned(),
                cause: pair.causes.of_symbol(name, one.file.as_deref()),
            })
        })
        .collect()
}

/// The types of relocations that only one of two has, if any.
fn other_types([a, b]: [BTreeSet<&str>; 2]) -> Option<String> {
    let more = |which, this: &BTreeSet<&str>, that| {
        let more: Vec<&str> = this.difference(that).copied().collect();
        (!more.is_empty()).then(|| format!("{} only in the {which} tree", more.join(", ")))
    };
    let how: Vec<String> = [more("first", &a, &b), more("second", &b, &a)]
        .into_iter()
        .flatten()
        .collect();
    (!how.is_empty()).then(|| how.join("; "))
}

fn entry(pair: &Pair) -> Vec<Found> {
    let (a, b) = (&pair.a.linked.entry, &pair.b.linked.entry);
    match a == b {
        true => Vec::new(),
        false => vec![Found::new("vmlinux", format!("'{a}' against '{b}'"))],
    }
}

fn modinfo(pair: &Pair) -> Vec<Found> {
    alone(&pair.a.linked.modinfo, &pair.b.linked.modinfo)
        .map(|(entry, how)| Found::new(entry.to_string(), how))
        .collect()
}

fn size(pair: &Pair) -> Vec<Found> {
    let tolerances = pair.tolerances;
    let grown = |of: &SizeChange| format!("{} bytes against {}", of.bytes[0], of.bytes[1]);
    let totals = pair.sizes.totals.iter();
    let totals = totals
        .filter(|total| total.exceeds(tolerances.total_percent))
        .map(|total| Found::new(&*total.name, grown(total)));
    let functions = pair.sizes.functions.iter().filter(|function| {
        pair.optimised_alike
            && function.growth().unsigned_abs() > tolerances.function_bytes
            && function.exceeds(tolerances.function_percent)
    });
    let functions = functions.map(|function| {
        let symbol = pair.a.linked.functions.get(function.name.as_str());
        let file = symbol.and_then(|symbol| symbol.file.as_deref());
        Found {
            item: function.name.clone(),
            how: grown(function),
            cause: pair.causes.of_symbol(&function.name, file),
        }
    });
    totals.chain(functions).collect()
}

/// How much there is in each tree.
pub(super) fn sizes(a: &Side, b: &Side) -> Sizes {
    let mut sizes = Sizes::default();
    for (name, one, other) in in_both(a, b) {
        sizes.compared += 1;
        sizes.promoted += usize::from(one.promoted || other.promoted);
        if one.size != other.size {
            sizes.functions.push(SizeChange {
                name: name.to_owned(),
                bytes: [one.size, other.size],
            });
        }
    }
    let by_growth = |one: &SizeChange, other: &SizeChange| {
        let order = other.growth().cmp(&one.growth());
        order.then_with(|| one.name.cmp(&other.name))
    };
    sizes.functions.sort_by(by_growth);
    let all = |table: fn(&Linked) -> &BTreeMap<Box<str>, Symbol>| {
        [a, b].map(|side| table(&side.linked).values().map(|symbol| symbol.size).sum())
    };
    let named = |name: &str, bytes| SizeChange {
        name: name.to_owned(),
        bytes,
    };
    sizes.totals = vec![
        named("all functions", all(|linked| &linked.functions)),
        named("all variables", all(|linked| &linked.variables)),
    ];
    let kinds = [
        SectionKind::Code,
        SectionKind::ReadOnly,
        SectionKind::Data,
        SectionKind::Zeroed,
    ];
    let total = |side: &Side, kind| {
        let sections = side.linked.sections.values();
        sections.filter(|s| s.kind == kind).map(|s| s.size).sum()
    };
    let section = |kind: SectionKind| {
        let name = format!("sections of {}", kind.name());
        named(&name, [total(a, kind), total(b, kind)])
    };
    sizes.sections = kinds.map(section).into();
    sizes
}

/// Symbols of the configuration that differ, other than by the LTO mode and the machine.
pub(super) fn config(a: &Side, b: &Side) -> Vec<String> {
    let (one, other) = (&a.facts, &b.facts);
    let is_mode = |symbol: &str| {
        let bare = symbol.strip_prefix("CONFIG_").unwrap_or(symbol);
        bare == "LTO_CLANG"
            || bare == "LTO"
            || LtoMode::ALL.iter().any(|mode| mode.config_symbol() == bare)
    };
    let symbols: BTreeSet<&String> = one.config.keys().chain(other.config.keys()).collect();
    symbols
        .into_iter()
        .filter(|symbol| !is_host_symbol(symbol) && !is_mode(symbol))
        .filter(|symbol| one.config(symbol) != other.config(symbol))
        .map(|symbol| {
            let (one, other) = (one.config(symbol), other.config(symbol));
            format!("{symbol}: {one} against {other}")
        })
        .collect()
}
