//! `crc.*`: the CRC of each exported symbol is the one that was computed from
//! its declaration, everywhere on its way from the `.cmd` file into `vmlinux`.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Context, Family, Found, Unit, row};
use crate::model::facts::{Built, CmdFile, Export, Facts, Module, Name};
use crate::model::finding::{Rule, Severity};
use crate::tree::path::cmd_file;

pub const FAMILY: Family = Family {
    name: "crc",
    rows: &[
        row(&CMD_MISSING, Unit::Objects, cmd_missing),
        row(&SYNTAX, Unit::Lines, syntax),
        row(&MISSING, Unit::Symbols, missing),
        row(&NOT_LISTED, Unit::Symbols, not_listed),
        row(&ZERO, Unit::Symbols, zero),
        row(&DIFFERS, Unit::Crcs, differs),
    ],
    applies: |_| true,
};

const CMD_MISSING: Rule = Rule {
    key: "crc.cmd-missing",
    severity: Severity::Error,
    invariant: "for each object of .vmlinux.objs, the .cmd file that modpost derives from its name exists",
    broken: "objects have no readable .cmd file where modpost looks",
    why: "modpost reads the CRCs there; without the file it fails, and with another file the symbols get no CRC",
    fix: "compare the object's name with how extract_crcs_for_object (scripts/mod/modpost.c) strips its suffix",
};

const SYNTAX: Rule = Rule {
    key: "crc.syntax",
    severity: Severity::Error,
    invariant: "each #SYMVER line is a symbol, a space and a hexadecimal CRC, and each line of a .symvers file has its five fields",
    broken: "lines are malformed in a .cmd or .symvers file",
    why: "modpost silently skips any other #SYMVER line, and the symbol has no CRC",
    fix: "check what writes to the .cmd file (genksyms, save_c_flags), and in which order; delete a damaged .symvers file and run make again",
};

const MISSING: Rule = Rule {
    key: "crc.missing",
    severity: Severity::Error,
    invariant: "each exported symbol has a CRC in the .cmd file of an object that is linked",
    broken: "symbols have no computed CRC",
    why: "modpost says 'version generation failed' and exports the symbol unversioned; a module built for another kernel then loads",
    fix: "look for the object that defines the symbol, and check whether modpost reads its .cmd file",
};

const NOT_LISTED: Rule = Rule {
    key: "crc.not-listed",
    severity: Severity::Error,
    invariant: "vmlinux.symvers (Module.symvers) lists once each symbol that has a CRC in the .cmd file of a linked object or in .vmlinux.export.c",
    broken: "symbols are missing from the list of exports, or in it twice",
    why: "modules that use the symbol are refused by modpost, or built without its CRC",
    fix: "the file is cut off, stale or of another kernel: delete it and run make again",
};

const ZERO: Rule = Rule {
    key: "crc.zero",
    severity: Severity::Error,
    invariant: "no exported symbol has the CRC 0",
    broken: "symbols are exported with the CRC 0",
    why: "0 means 'not computed', but is later read as a valid CRC: every module built this way matches every kernel built this way",
    fix: "look for the object's #SYMVER line, and for modpost's warnings in the build log",
};

const DIFFERS: Rule = Rule {
    key: "crc.differs",
    severity: Severity::Error,
    invariant: "a symbol's CRC is the same in the .cmd file, vmlinux.symvers (Module.symvers), .vmlinux.export.c, __kcrctab of vmlinux or of the module, at the place that the symbol has in __ksymtab, and the version table of each module that uses it",
    broken: "CRCs differ between two places",
    why: "modules are built against one CRC and checked against the other: they do not load, or load when they must not",
    fix: "the later file is stale or was made from other objects: delete it and run make again",
};

/// Whether modpost has read what this build made.
fn is_done(facts: &Facts) -> bool {
    facts.config("CONFIG_MODVERSIONS") == "y" && facts.modpost_ran() && facts.objects_complete()
}

/// What modpost had to go by.
#[derive(Debug)]
pub struct Crcs<'a> {
    /// Those of vmlinux.
    exports: &'a [Export],
    /// vmlinux, where it was built, then each module.
    linked: Vec<Linked<'a>>,
}

/// vmlinux or a module: the objects it is linked from, and the symbols it exports.
#[derive(Debug)]
struct Linked<'a> {
    /// `None` for vmlinux.
    module: Option<&'a Module>,
    objects: Vec<(Name, &'a CmdFile)>,
    /// CRCs as genksyms computed them, each with the first object that has it.
    computed: FxHashMap<Name, (u32, Name)>,
    /// The file that lists its exports.
    exports_from: &'static str,
    exports: Vec<&'a Export>,
}

impl<'a> Linked<'a> {
    fn new(
        module: Option<&'a Module>,
        objects: Vec<(Name, &'a CmdFile)>,
        exports_from: &'static str,
        exports: Vec<&'a Export>,
    ) -> Linked<'a> {
        let mut computed = FxHashMap::default();
        for (object, cmd) in &objects {
            for (symbol, crc) in cmd.read().iter().flat_map(|cmd| &cmd.symvers) {
                computed.entry(*symbol).or_insert((*crc, *object));
            }
        }
        Linked {
            module,
            objects,
            computed,
            exports_from,
            exports,
        }
    }
}

impl<'a> Crcs<'a> {
    /// `None` where modpost has not run, or left no lists.
    fn of(facts: &'a Facts) -> Option<Crcs<'a>> {
        if !is_done(facts) {
            return None;
        }
        let exports = facts.exports.as_ref()?;
        if facts.built == Built::Modules {
            let linked = modules(facts).collect();
            return Some(Crcs { exports, linked });
        }
        let objs = facts.vmlinux_objs.as_ref()?;
        let cmds: FxHashMap<Name, &CmdFile> = facts
            .objects
            .iter()
            .flat_map(|object| {
                let native = object.backend.as_deref().map(|b| (b.native, &object.cmd));
                [Some((object.name, &object.cmd)), native]
            })
            .flatten()
            .collect();
        // Objects of KBUILD_VMLINUX_LIBS are not in built-in-fixup.a.
        let objects = objs
            .iter()
            .filter_map(|name| Some((*name, *cmds.get(name)?)))
            .collect();
        let vmlinux = Linked::new(None, objects, facts.exports_from, exports.iter().collect());
        let mut linked = vec![vmlinux];
        linked.extend(modules(facts));
        Some(Crcs { exports, linked })
    }
}

fn modules(facts: &Facts) -> impl Iterator<Item = Linked<'_>> {
    let mut exports: FxHashMap<Name, Vec<&Export>> = FxHashMap::default();
    for export in facts.module_exports.iter().flatten() {
        exports.entry(export.module).or_default().push(export);
    }
    facts.built_modules().iter().map(move |module| {
        let objects = module
            .objects
            .iter()
            .map(|object| (object.name, &object.cmd));
        let own = exports.get(&module.name).cloned().unwrap_or_default();
        Linked::new(Some(module), objects.collect(), "Module.symvers", own)
    })
}

fn crcs<'c, 'a>(context: &'c Context<'a>) -> Option<&'c Crcs<'a>> {
    let crcs = context.crcs.get_or_init(|| Crcs::of(context.facts()));
    crcs.as_ref()
}

fn linked<'c, 'a>(context: &'c Context<'a>) -> impl Iterator<Item = &'c Linked<'a>> {
    crcs(context).into_iter().flat_map(|crcs| &crcs.linked)
}

fn cmd_missing(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let objects = linked(context).flat_map(|linked| {
        let objects = linked.objects.iter();
        objects.map(move |(name, cmd)| (linked.module, *name, *cmd))
    });
    found.each(objects, |found, (module, name, cmd)| {
        let path = || cmd_file(&facts.file_names.ir_object(facts.text(name)));
        let evidence = match (cmd, module) {
            (CmdFile::Read(_), _) => return,
            (_, Some(module)) => format!("an object of the module {}", facts.text(module.name)),
            (CmdFile::Missing, None) => format!("{} does not exist", path()),
            (CmdFile::Unreadable(why), None) => format!("{}: {why}", path()),
        };
        found.add(facts.text(name), evidence);
    })
}

/// The `.symvers` files that make no sense, and why.
fn damaged_symvers(facts: &Facts) -> impl Iterator<Item = &(&'static str, String)> {
    let damaged = facts.damaged.iter();
    damaged.filter(|(file, _)| file.ends_with(".symvers"))
}

fn syntax(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    if !is_done(facts) {
        return 0;
    }
    let in_symvers = found.each(damaged_symvers(facts), |found, (file, why)| {
        found.add(*file, why);
    });
    let good = [&facts.exports, &facts.module_exports];
    let good: usize = good.into_iter().flatten().map(Vec::len).sum();
    let mut in_cmds = 0;
    for (object, cmd) in linked(context).flat_map(|linked| &linked.objects) {
        let Some(cmd) = cmd.read() else { continue };
        in_cmds += cmd.symvers.len();
        let name = facts.text(*object);
        in_cmds += found.each(&cmd.bad_symvers, |found, (line, text)| {
            let text: String = text.chars().take(80).collect();
            found.add(
                name,
                format!(
                    "{}:{line}: '#SYMVER {text}'",
                    cmd_file(&facts.file_names.ir_object(name))
                ),
            );
        });
    }
    in_symvers + good + in_cmds
}

/// Each export, with the CRC that was computed for it and by which object.
fn exports<'c>(
    context: &'c Context<'_>,
) -> impl Iterator<Item = (&'c str, &'c Export, Option<(u32, Name)>)> {
    linked(context).flat_map(|linked| {
        let exports = linked.exports.iter();
        exports.map(|export| {
            let computed = linked.computed.get(&export.symbol).copied();
            (linked.exports_from, *export, computed)
        })
    })
}

fn missing(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    if is_done(facts) && facts.reached("vmlinux") {
        let is_explained = damaged_symvers(facts).next().is_some();
        let lists = [
            (".vmlinux.objs", facts.vmlinux_objs.is_some()),
            (facts.exports_from, facts.exports.is_some() || is_explained),
            (".vmlinux.export.c", facts.export_c.is_some()),
        ];
        for (file, _) in lists.iter().filter(|(_, is_there)| !is_there) {
            found.add(*file, "does not exist, though vmlinux does");
        }
    }
    found.each(exports(context), |found, (file, export, computed)| {
        if computed.is_none() {
            found.add(
                facts.text(export.symbol),
                format!(
                    "exported, {file} has {:#010x}, but no linked object's .cmd file has a #SYMVER line for it",
                    export.crc
                ),
            );
        }
    })
}

fn not_listed(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let Some(crcs) = crcs(context) else { return 0 };
    let file = facts.exports_from;
    let mut listed = FxHashSet::default();
    for export in crcs.exports {
        if !listed.insert(export.symbol) {
            let evidence = format!("{file} lists it more than once");
            found.add(facts.text(export.symbol), evidence);
        }
    }
    // Kconfig may drop exports that no module of this build uses.
    let is_trimmed = facts.config("CONFIG_TRIM_UNUSED_KSYMS") == "y";
    let in_cmds = crcs
        .linked
        .iter()
        .filter(|linked| linked.module.is_none() && !is_trimmed);
    let in_cmds = in_cmds.flat_map(|linked| {
        let computed = linked.computed.iter();
        computed.map(move |(symbol, (_, object))| {
            (
                *symbol,
                cmd_file(&facts.file_names.ir_object(facts.text(*object))),
            )
        })
    });
    let in_export_c = facts.export_c.iter().flatten();
    let in_export_c = in_export_c.map(|(symbol, _)| (*symbol, ".vmlinux.export.c".to_owned()));
    let mut places: BTreeMap<&str, String> = BTreeMap::new();
    for (symbol, place) in in_cmds.chain(in_export_c) {
        places.entry(facts.text(symbol)).or_insert(place);
    }
    found.each(places, |found, (symbol, place)| {
        let is_listed = facts
            .names
            .get(symbol)
            .is_some_and(|name| listed.contains(&name));
        if !is_listed {
            found.add(
                symbol,
                format!("{place} has its CRC, {file} does not list it"),
            );
        }
    })
}

fn zero(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let computed = exports(context).filter_map(|(file, export, of)| Some((file, export, of?)));
    found.each(computed, |found, (file, export, (crc, by))| {
        let by = facts.text(by);
        let evidence = match (crc, export.crc) {
            (0, _) => format!("computed as 0 for {by}"),
            (crc, 0) => format!("{file} has 0, the .cmd file of {by} {crc:#010x}"),
            _ => return,
        };
        found.add(facts.text(export.symbol), evidence);
    })
}

fn differs(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let Some(crcs) = crcs(context) else { return 0 };
    between_cmds(facts, crcs, found)
        + between_cmd_and_export(context, found)
        + in_export_c(facts, crcs.exports, found)
        + in_kcrctab(facts, crcs, found)
        + in_module_symvers(facts, crcs.exports, found)
        + in_versions(facts, crcs, found)
}

/// Several objects may have a symbol's CRC; each is held against the first.
fn between_cmds(facts: &Facts, crcs: &Crcs, found: &mut Found) -> usize {
    let mut looked_at = 0;
    for linked in &crcs.linked {
        for (object, cmd) in &linked.objects {
            for (symbol, crc) in cmd.read().iter().flat_map(|cmd| &cmd.symvers) {
                let Some((first, by)) = linked.computed.get(symbol) else {
                    continue;
                };
                let is_first = by == object && first == crc;
                looked_at += usize::from(!is_first);
                if first != crc {
                    found.add(
                        facts.text(*symbol),
                        format!(
                            "{first:#010x} in the .cmd file of {}, {crc:#010x} in that of {}",
                            facts.text(*by),
                            facts.text(*object)
                        ),
                    );
                }
            }
        }
    }
    looked_at
}

fn between_cmd_and_export(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let both = exports(context).filter_map(|(file, export, of)| Some((file, export, of?)));
    let both = both.filter(|(_, export, (crc, _))| *crc != 0 && export.crc != 0);
    found.each(both, |found, (file, export, (crc, by))| {
        if crc != export.crc {
            found.add(
                facts.text(export.symbol),
                format!(
                    "{file} has {:#010x}, the .cmd file of {} {crc:#010x}",
                    export.crc,
                    facts.text(by)
                ),
            );
        }
    })
}

/// modpost writes both files.
fn in_export_c(facts: &Facts, exports: &[Export], found: &mut Found) -> usize {
    let Some(crcs) = &facts.export_c else {
        return 0;
    };
    let crcs: FxHashMap<Name, u32> = crcs.iter().copied().collect();
    found.each(exports, |found, export| {
        let crc = crcs.get(&export.symbol).copied();
        compare(
            facts,
            ".vmlinux.export.c",
            crc,
            facts.exports_from,
            export,
            found,
        );
    })
}

/// The module loader finds a CRC by the place of its symbol. `loader.exports` reports symbols
/// that a table lacks.
fn in_kcrctab(facts: &Facts, crcs: &Crcs, found: &mut Found) -> usize {
    let mut looked_at = 0;
    for linked in &crcs.linked {
        let (file, table) = match (linked.module, &facts.vmlinux) {
            (Some(module), _) => (
                format!("{}.ko", facts.text(module.name)),
                &module.tables.exports,
            ),
            (None, Some(vmlinux)) if facts.reached("vmlinux") => {
                ("vmlinux".to_owned(), &vmlinux.exports)
            }
            (None, _) => continue,
        };
        let place = format!("__kcrctab of {file}");
        let exports: FxHashMap<Name, &Export> =
            linked.exports.iter().map(|e| (e.symbol, *e)).collect();
        let both = table
            .iter()
            .filter_map(|entry| Some((entry, *exports.get(&entry.symbol)?)));
        looked_at += found.each(both, |found, (entry, export)| {
            compare(facts, &place, entry.crc, linked.exports_from, export, found);
        });
    }
    looked_at
}

/// Holds the CRC in a place against that of the list of exports.
fn compare(
    facts: &Facts,
    place: &str,
    crc: Option<u32>,
    list: &str,
    export: &Export,
    found: &mut Found,
) {
    let there = match crc {
        Some(crc) if crc == export.crc => return,
        Some(crc) => format!("{crc:#010x}"),
        None => "no CRC".to_owned(),
    };
    found.add(
        facts.text(export.symbol),
        format!("{place} has {there}, {list} {:#010x}", export.crc),
    );
}

/// `Module.symvers` repeats `vmlinux.symvers`.
fn in_module_symvers(facts: &Facts, exports: &[Export], found: &mut Found) -> usize {
    let Some(all) = &facts.module_exports else {
        return 0;
    };
    let in_vmlinux: FxHashMap<Name, u32> = exports.iter().map(|e| (e.symbol, e.crc)).collect();
    let repeated = all
        .iter()
        .filter(|e| facts.text(e.module) == "vmlinux")
        .filter_map(|e| Some((e, *in_vmlinux.get(&e.symbol)?)));
    found.each(repeated, |found, (export, crc)| {
        if crc != export.crc {
            found.add(
                facts.text(export.symbol),
                format!(
                    "Module.symvers has {:#010x}, vmlinux.symvers {crc:#010x}",
                    export.crc
                ),
            );
        }
    })
}

/// A module asks for each symbol by the CRC that it is exported with.
fn in_versions(facts: &Facts, crcs: &Crcs, found: &mut Found) -> usize {
    let exported = crcs
        .exports
        .iter()
        .chain(facts.module_exports.iter().flatten());
    // Other rules report what nothing exports, and an export without a CRC.
    let exported: FxHashMap<Name, u32> = exported
        .filter(|export| export.crc != 0)
        .map(|export| (export.symbol, export.crc))
        .collect();
    let modules = crcs.linked.iter().filter_map(|linked| linked.module);
    let mut looked_at = 0;
    for module in modules {
        let tables = &module.tables;
        let asked: FxHashSet<Name> = tables.versions.iter().map(|(symbol, _)| *symbol).collect();
        let not_asked = tables.imports.iter().map(|import| import.symbol);
        let not_asked = not_asked.filter(|symbol| !asked.contains(symbol));
        let versions = tables
            .versions
            .iter()
            .map(|(symbol, crc)| (*symbol, Some(*crc)));
        let all = versions.chain(not_asked.map(|symbol| (symbol, None)));
        let known = all.filter_map(|(symbol, crc)| Some((symbol, crc, *exported.get(&symbol)?)));
        looked_at += found.each(known, |found, (symbol, asked, crc)| {
            let asked = match asked {
                Some(asked) if asked == crc => return,
                Some(asked) => format!("{asked:#010x}"),
                None => "no CRC".to_owned(),
            };
            let symbol = facts.text(symbol);
            found.add(
                format!("{}.ko", facts.text(module.name)),
                format!("{symbol}: its version table has {asked}, Module.symvers {crc:#010x}"),
            );
        });
    }
    looked_at
}
