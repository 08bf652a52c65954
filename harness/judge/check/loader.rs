//! `loader.*`: the kernel's module loader finds in `vmlinux` and in each module what modpost
//! wrote for it. Modules that it would refuse are found where they are built.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::{Context, Family, Found, Unit, row};
use crate::model::facts::{Built, Export, Exported, Facts, Module, Name, ObjectFile};
use crate::model::finding::{Rule, Severity};

pub const FAMILY: Family = Family {
    name: "loader",
    rows: &[
        row(&EXPORTS, Unit::Symbols, exports),
        row(&LICENCE, Unit::Symbols, licence),
        row(&UNDEFINED, Unit::References, undefined),
        row(&NAMESPACE, Unit::References, namespace),
        row(&VERMAGIC, Unit::Files, vermagic),
    ],
    applies: |_| true,
};

const EXPORTS: Rule = Rule {
    key: "loader.exports",
    severity: Severity::Error,
    invariant: "__ksymtab of vmlinux and of each module holds the symbols that vmlinux.symvers or Module.symvers lists for it, each once, sorted by name",
    broken: "files have a table of exports that is not the listed one",
    why: "the module loader searches that table by bisection: it does not find the symbol, or finds another one, and refuses the module that uses it",
    fix: "delete the file that has the table and run make again; if the finding stays, check how ___ksymtab+* sections are sorted in the linker script, and what compiles .vmlinux.export.c and .mod.c files",
};

const LICENCE: Rule = Rule {
    key: "loader.licence",
    severity: Severity::Error,
    invariant: "each symbol is exported under the licence that vmlinux.symvers or Module.symvers lists, and modules that use GPL-only symbols are GPL-compatible",
    broken: "symbols have another licence than the module loader sees",
    why: "the module loader finds the licence by the symbol's place in the table of exports: modules that may use it are refused, or others are not",
    fix: "delete the file that has the table and run make again; if the finding stays, compare the order of __ksymtab and __kflagstab in the linker script",
};

const UNDEFINED: Rule = Rule {
    key: "loader.undefined",
    severity: Severity::Error,
    invariant: "each symbol that a module takes from elsewhere is exported by vmlinux or by a module of Module.symvers",
    broken: "modules use symbols that nothing exports",
    why: "the module loader says 'Unknown symbol' and refuses the module",
    fix: "delete the .ko file and run make again; if the finding stays, modpost ran with KBUILD_MODPOST_WARN, or something changes the module after modpost",
};

const NAMESPACE: Rule = Rule {
    key: "loader.namespace",
    severity: Severity::Error,
    invariant: "a module that uses a symbol of a namespace imports the namespace",
    broken: "modules use symbols of a namespace without importing it",
    why: "the module loader refuses the module",
    fix: "add MODULE_IMPORT_NS to the module, or delete its .ko file and run make again if it is there",
};

const VERMAGIC: Rule = Rule {
    key: "loader.vermagic",
    severity: Severity::Error,
    invariant: "each module names this kernel's release in its vermagic, and all modules have the same vermagic",
    broken: "modules have another vermagic",
    why: "the module loader refuses a module whose vermagic is not its own",
    fix: "delete the .ko and .mod.o files and run make again; if the finding stays, check whether the release changes during the build",
};

/// The file that lists exports, and what it lists.
type Listed<'a> = (&'static str, Vec<&'a Export>);

/// vmlinux and each module, with the exports that are listed for it and its own table of them.
fn tables(facts: &Facts) -> impl Iterator<Item = (String, Listed<'_>, &[Exported])> {
    let vmlinux = facts
        .vmlinux
        .as_ref()
        .filter(|vmlinux| facts.modpost_ran() && facts.reached("vmlinux") && vmlinux.symbols > 0);
    let vmlinux = vmlinux
        .zip(facts.exports.as_ref())
        .map(|(vmlinux, exports)| {
            let listed = (facts.exports_from, exports.iter().collect());
            ("vmlinux".to_owned(), listed, &vmlinux.exports[..])
        });
    let mut of_modules: FxHashMap<Name, Vec<&Export>> = FxHashMap::default();
    for export in facts.module_exports.iter().flatten() {
        of_modules.entry(export.module).or_default().push(export);
    }
    let modules = modules(facts).map(move |module| {
        let exports = of_modules.get(&module.name).cloned().unwrap_or_default();
        let listed = ("Module.symvers", exports);
        (ko(facts, module), listed, &module.tables.exports[..])
    });
    vmlinux.into_iter().chain(modules)
}

/// The modules that were linked with this vmlinux.
fn modules(facts: &Facts) -> impl Iterator<Item = &Module> {
    let built = facts.built_modules().iter();
    let built = built.filter(|_| facts.modpost_ran());
    built.filter(|module| matches!(module.file, ObjectFile::Elf(_)))
}

fn ko(facts: &Facts, module: &Module) -> String {
    format!("{}.ko", facts.text(module.name))
}

fn exports(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let mut looked_at = 0;
    for (file, (list, listed), table) in tables(facts) {
        looked_at += listed.len();
        let names: Vec<&str> = table.iter().map(|entry| facts.text(entry.symbol)).collect();
        let in_table: BTreeSet<&str> = names.iter().copied().collect();
        let in_list: BTreeSet<&str> = listed.iter().map(|e| facts.text(e.symbol)).collect();
        let lost: Vec<&str> = in_list.difference(&in_table).copied().collect();
        let extra: Vec<&str> = in_table.difference(&in_list).copied().collect();
        let unsorted = names.windows(2).find(|pair| pair[0] >= pair[1]);
        let evidence = match (lost.first(), extra.first(), unsorted) {
            (Some(first), ..) => {
                format!("lacks {} symbols of {list}, '{first}' first", lost.len())
            }
            (None, Some(first), _) => {
                format!(
                    "has {} symbols that {list} lacks, '{first}' first",
                    extra.len()
                )
            }
            (None, None, Some([one, next])) => format!("'{next}' comes after '{one}'"),
            (None, None, _) => continue,
        };
        found.add(file, format!("__ksymtab {evidence}"));
    }
    looked_at
}

fn licence(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let mut looked_at = 0;
    for (file, (list, listed), table) in tables(facts) {
        let listed: FxHashMap<Name, Name> = listed.iter().map(|e| (e.symbol, e.licence)).collect();
        let both = table
            .iter()
            .filter_map(|entry| Some((entry, *listed.get(&entry.symbol)?)));
        looked_at += found.each(both, |found, (entry, licence)| {
            let licence = facts.text(licence);
            let there = match entry.gpl_only {
                Some(gpl_only) if gpl_only == is_gpl_only(licence) => return,
                Some(true) => "is only for GPL-compatible modules",
                Some(false) => "is for all modules",
                None => "has no licence",
            };
            let symbol = facts.text(entry.symbol);
            found.add(&file, format!("'{symbol}' {there}, {list} has {licence}"));
        });
    }
    looked_at + of_users(facts, found)
}

fn is_gpl_only(licence: &str) -> bool {
    licence.ends_with("_GPL")
}

/// `license_is_gpl_compatible` of `include/linux/license.h`.
const GPL_COMPATIBLE: [&str; 6] = [
    "GPL",
    "GPL v2",
    "GPL and additional rights",
    "Dual BSD/GPL",
    "Dual MIT/GPL",
    "Dual MPL/GPL",
];

/// Modules that use what only GPL-compatible ones may use.
fn of_users(facts: &Facts, found: &mut Found) -> usize {
    let restricted = uses(facts).filter(|(_, export)| is_gpl_only(facts.text(export.licence)));
    found.each(restricted, |found, (module, export)| {
        let licence = modinfo(facts, module, "license").next();
        if !licence.is_some_and(|licence| GPL_COMPATIBLE.contains(&licence)) {
            let (symbol, licence) = (facts.text(export.symbol), licence.unwrap_or("none"));
            let evidence = format!("uses '{symbol}', which is GPL-only; its licence is {licence}");
            found.add(ko(facts, module), evidence);
        }
    })
}

/// Each exported symbol that a module uses.
fn uses(facts: &Facts) -> impl Iterator<Item = (&Module, &Export)> {
    let exported = all_exports(facts);
    modules(facts).flat_map(move |module| {
        let imports = module.tables.imports.iter();
        let used: Vec<_> = imports
            .filter_map(|import| Some((module, *exported.get(&import.symbol)?)))
            .collect();
        used
    })
}

/// Everything that is exported, by its symbol.
fn all_exports(facts: &Facts) -> FxHashMap<Name, &Export> {
    let of_vmlinux = facts.exports.iter().flatten();
    let all = of_vmlinux.chain(facts.module_exports.iter().flatten());
    all.map(|export| (export.symbol, export)).collect()
}

/// The values that a module's `.modinfo` has for a tag.
fn modinfo<'a>(facts: &'a Facts, module: &'a Module, tag: &str) -> impl Iterator<Item = &'a str> {
    let entries = module.tables.modinfo.iter();
    let of_tag = entries.filter(move |(name, _)| facts.text(*name) == tag);
    of_tag.map(|(_, value)| facts.text(*value))
}

fn undefined(context: &Context, found: &mut Found) -> usize {
    /// The linker makes it, and the loader passes over it (`ignore_undef_symbol`).
    const NOT_TAKEN: &str = "_GLOBAL_OFFSET_TABLE_";

    let facts = context.facts();
    let exported = all_exports(facts);
    let judged = with_known_exports(facts);
    let imports = judged.flat_map(|module| {
        let imports = module.tables.imports.iter();
        imports.map(move |import| (module, import))
    });
    let needed =
        imports.filter(|(_, import)| !import.weak && facts.text(import.symbol) != NOT_TAKEN);
    found.each(needed, |found, (module, import)| {
        if !exported.contains_key(&import.symbol) {
            let symbol = facts.text(import.symbol);
            let evidence = format!("uses '{symbol}', which Module.symvers does not list");
            found.add(ko(facts, module), evidence);
        }
    })
}

/// The modules of whose imports the lists tell. An external module may need others, of which modpost
/// knew from `KBUILD_EXTRA_SYMBOLS`.
fn with_known_exports(facts: &Facts) -> impl Iterator<Item = &Module> {
    let listed = facts.module_exports.iter().flatten();
    let listed: BTreeSet<String> = listed.map(|e| module_name(facts.text(e.module))).collect();
    modules(facts).filter(move |module| {
        let needed = modinfo(facts, module, "depends").flat_map(|needed| needed.split(','));
        let mut needed = needed.filter(|name| !name.is_empty());
        facts.built == Built::Kernel || needed.all(|name| listed.contains(&module_name(name)))
    })
}

/// The name by which the kernel knows a module, out of its path.
fn module_name(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.replace('-', "_")
}

fn namespace(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    if facts.config("CONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS") == "y" {
        return 0;
    }
    let in_namespaces = uses(facts).filter(|(_, export)| !facts.text(export.namespace).is_empty());
    found.each(in_namespaces, |found, (module, export)| {
        let namespace = facts.text(export.namespace);
        let is_imported = modinfo(facts, module, "import_ns").any(|import| import == namespace);
        if !is_imported && !is_meant(namespace, facts.text(module.name)) {
            let symbol = facts.text(export.symbol);
            let evidence =
                format!("uses '{symbol}' of the namespace {namespace} without importing it");
            found.add(ko(facts, module), evidence);
        }
    })
}

/// Whether a namespace is for certain modules, and `module` (with its path) is one of them:
/// `module:kvm,kvm-*` (`verify_module_namespace` in `kernel/module/main.c`).
fn is_meant(namespace: &str, module: &str) -> bool {
    let name = module_name(module);
    let Some(patterns) = namespace.strip_prefix("module:") else {
        return false;
    };
    patterns.split(',').any(|pattern| {
        let pattern = pattern.replace('-', "_");
        match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        }
    })
}

fn vermagic(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let of = |module| modinfo(facts, module, "vermagic").next();
    let first = modules(facts).find_map(of);
    found.each(modules(facts), |found, module| {
        let Some(vermagic) = of(module) else {
            return found.add(ko(facts, module), "it has none");
        };
        if vermagic.split(' ').next() != Some(&facts.kernel) {
            let evidence = format!("'{vermagic}', the kernel is {}", facts.kernel);
            found.add(ko(facts, module), evidence);
        } else if Some(vermagic) != first {
            let evidence = format!(
                "'{vermagic}', another module has '{}'",
                first.unwrap_or_default()
            );
            found.add(ko(facts, module), evidence);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::named("module:kvm-intel", "arch/x86/kvm/kvm-intel", true)]
    #[case::dash_is_underscore("module:kvm_intel", "arch/x86/kvm/kvm-intel", true)]
    #[case::second("module:a,kvm*", "arch/x86/kvm/kvm-intel", true)]
    #[case::part("module:kvm", "arch/x86/kvm/kvm-intel", false)]
    #[case::plain("kvm-intel", "arch/x86/kvm/kvm-intel", false)]
    fn a_namespace_may_be_for_certain_modules(
        #[case] namespace: &str,
        #[case] module: &str,
        #[case] expected: bool,
    ) {
        assert_eq!(is_meant(namespace, module), expected);
    }
}
