//! `crc.*`: the CRC of each exported symbol is the one that was computed from
//! its declaration, everywhere on its way from the `.cmd` file into `vmlinux`.

use rustc_hash::FxHashMap;

use super::{Family, Findings, Subject};
use crate::model::facts::{Cmd, CmdFile, Export, Facts, Module, Name};
use crate::model::finding::{Rule, Severity};
use crate::tree::path::{cmd_file, ir_object};

pub const FAMILY: Family = Family {
    name: "crc",
    rules: &[&CMD_MISSING, &SYNTAX, &MISSING, &ZERO, &DIFFERS],
    applies: |subject| subject.facts.config("CONFIG_MODVERSIONS") == "y",
    check,
};

const CMD_MISSING: Rule = Rule {
    key: "crc.cmd-missing",
    severity: Severity::Error,
    invariant: "for each object of .vmlinux.objs, the .cmd file that modpost derives from its name exists",
    broken: "objects break it",
    why: "modpost reads the CRCs there; without the file it fails, and with another file the symbols get no CRC",
    fix: "compare how the object is named with how extract_crcs_for_object (scripts/mod/modpost.c) takes its suffix off",
};

const SYNTAX: Rule = Rule {
    key: "crc.syntax",
    severity: Severity::Error,
    invariant: "each #SYMVER line is a symbol, a space and a hexadecimal CRC, and each line of a .symvers file has its five fields",
    broken: "objects break it",
    why: "modpost skips any other #SYMVER line without a word, and the symbol has no CRC",
    fix: "look at what writes into the .cmd file (genksyms, save_c_flags), and at the order in which; a damaged .symvers file is made again by make",
};

const MISSING: Rule = Rule {
    key: "crc.missing",
    severity: Severity::Error,
    invariant: "each exported symbol has a CRC in the .cmd file of an object that is linked",
    broken: "objects break it",
    why: "modpost says «version generation failed» and exports the symbol unversioned; a module built for another kernel then loads",
    fix: "look for the object that defines the symbol, and whether its .cmd file is the one that modpost reads",
};

const ZERO: Rule = Rule {
    key: "crc.zero",
    severity: Severity::Error,
    invariant: "no exported symbol has the CRC 0",
    broken: "objects break it",
    why: "0 stands for «not computed», but is later read as a valid CRC: every module built so matches every kernel built so",
    fix: "look for the object's #SYMVER line, and for modpost's warnings in the build log",
};

const DIFFERS: Rule = Rule {
    key: "crc.differs",
    severity: Severity::Error,
    invariant: "a symbol's CRC is the same in the .cmd file, vmlinux.symvers (Module.symvers), .vmlinux.export.c, __kcrctab of vmlinux, and the table of versions of each module that uses it",
    broken: "objects break it",
    why: "modules are built against the one and checked against the other: they do not load, or load when they must not",
    fix: "the later file is stale or was made from other objects: delete it and run make again",
};

fn check(subject: &Subject, findings: &mut Findings) {
    let facts = subject.facts;
    if !facts.modpost_ran() || !facts.objects_complete() {
        return;
    }
    let mut symvers_damaged = false;
    for (file, why) in facts
        .damaged
        .iter()
        .filter(|(file, _)| file.ends_with(".symvers"))
    {
        symvers_damaged = true;
        findings.add(&SYNTAX, *file, why);
    }
    let (Some(objs), Some(exports)) = (&facts.vmlinux_objs, &facts.exports) else {
        if facts.reached("vmlinux") && !symvers_damaged {
            let file = match facts.vmlinux_objs {
                None => ".vmlinux.objs",
                Some(_) => facts.exports_from,
            };
            findings.add(&MISSING, file, "is not there, though vmlinux is");
        }
        return;
    };
    let cmds: FxHashMap<Name, &CmdFile> = facts
        .objects
        .iter()
        .flat_map(|object| {
            let native = object.backend.as_deref().map(|b| (b.native, &object.cmd));
            [Some((object.name, &object.cmd)), native]
        })
        .flatten()
        .collect();

    let mut computed = Computed::default();
    for name in objs {
        match cmds.get(name) {
            Some(CmdFile::Read(cmd)) => computed.take(facts, *name, cmd, findings),
            Some(CmdFile::Missing) => findings.add(
                &CMD_MISSING,
                facts.text(*name),
                format!("{} does not exist", cmd_file(&ir_object(facts.text(*name)))),
            ),
            Some(CmdFile::Unreadable(why)) => findings.add(
                &CMD_MISSING,
                facts.text(*name),
                format!("{}: {why}", cmd_file(&ir_object(facts.text(*name)))),
            ),
            // Objects of KBUILD_VMLINUX_LIBS stand outside of built-in-fixup.a.
            None => {}
        }
    }
    check_exports(facts, facts.exports_from, exports, &computed, findings);
    check_places(facts, exports, findings);
    check_modules(facts, exports, findings);
}

/// CRCs as genksyms computed them.
#[derive(Default)]
struct Computed(FxHashMap<Name, (u32, Name)>);

impl Computed {
    fn take(&mut self, facts: &Facts, object: Name, cmd: &Cmd, findings: &mut Findings) {
        let name = facts.text(object);
        for (line, text) in &cmd.bad_symvers {
            findings.add(
                &SYNTAX,
                name,
                format!(
                    "{}:{line}: «#SYMVER {}»",
                    cmd_file(&ir_object(name)),
                    text.chars().take(80).collect::<String>()
                ),
            );
        }
        for (symbol, crc) in &cmd.symvers {
            let (first, by) = *self.0.entry(*symbol).or_insert((*crc, object));
            if first != *crc {
                findings.add(
                    &DIFFERS,
                    facts.text(*symbol),
                    format!(
                        "{first:#010x} in the .cmd file of {}, {crc:#010x} in that of {name}",
                        facts.text(by)
                    ),
                );
            }
        }
    }
}

fn check_exports<'a>(
    facts: &Facts,
    file: &str,
    exports: impl IntoIterator<Item = &'a Export>,
    computed: &Computed,
    findings: &mut Findings,
) {
    for export in exports {
        let symbol = facts.text(export.symbol);
        match computed.0.get(&export.symbol) {
            None => findings.add(
                &MISSING,
                symbol,
                format!("exported, {file} has {:#010x}, but no linked object's .cmd file has a #SYMVER line for it", export.crc),
            ),
            Some((0, by)) => findings.add(
                &ZERO,
                symbol,
                format!("computed as 0 for {}", facts.text(*by)),
            ),
            Some((crc, by)) if export.crc == 0 => findings.add(
                &ZERO,
                symbol,
                format!("{file} has 0, the .cmd file of {} {crc:#010x}", facts.text(*by)),
            ),
            Some((crc, by)) if *crc != export.crc => findings.add(
                &DIFFERS,
                symbol,
                format!(
                    "{file} has {:#010x}, the .cmd file of {} {crc:#010x}",
                    export.crc,
                    facts.text(*by)
                ),
            ),
            Some(_) => {}
        }
    }
}

/// The places behind modpost's file have its CRCs, for all symbols of vmlinux.
fn check_places(facts: &Facts, exports: &[Export], findings: &mut Findings) {
    let places = [
        (".vmlinux.export.c", &facts.export_c, true),
        (
            "__kcrctab of vmlinux",
            &facts.kcrctab,
            facts.reached("vmlinux"),
        ),
    ];
    for (place, crcs, reached) in places {
        let Some(crcs) = crcs.as_ref().filter(|_| reached) else {
            continue;
        };
        let crcs: FxHashMap<Name, u32> = crcs.iter().copied().collect();
        for export in exports {
            let symbol = facts.text(export.symbol);
            match crcs.get(&export.symbol) {
                Some(crc) if *crc == export.crc => {}
                Some(crc) => findings.add(
                    &DIFFERS,
                    symbol,
                    format!(
                        "{place} has {crc:#010x}, {} {:#010x}",
                        facts.exports_from, export.crc
                    ),
                ),
                None => findings.add(
                    &DIFFERS,
                    symbol,
                    format!(
                        "{place} has no CRC, {} {:#010x}",
                        facts.exports_from, export.crc
                    ),
                ),
            }
        }
    }
}

/// Modules: their symbols have the CRCs of their objects, and `Module.symvers`
/// repeats `vmlinux.symvers`.
fn check_modules(facts: &Facts, exports: &[Export], findings: &mut Findings) {
    let Some(all) = &facts.module_exports else {
        return;
    };
    let in_vmlinux: FxHashMap<Name, u32> = exports.iter().map(|e| (e.symbol, e.crc)).collect();
    for export in all.iter().filter(|e| facts.text(e.module) == "vmlinux") {
        if let Some(crc) = in_vmlinux.get(&export.symbol)
            && *crc != export.crc
        {
            findings.add(
                &DIFFERS,
                facts.text(export.symbol),
                format!(
                    "Module.symvers has {:#010x}, vmlinux.symvers {crc:#010x}",
                    export.crc
                ),
            );
        }
    }
    let exported = exports.iter().chain(all).map(|e| (e.symbol, e.crc));
    let exported: FxHashMap<Name, u32> = exported.collect();
    for module in &facts.modules {
        let mut computed = Computed::default();
        for (object, cmd) in &module.objects {
            match cmd {
                CmdFile::Read(cmd) => computed.take(facts, *object, cmd, findings),
                CmdFile::Missing | CmdFile::Unreadable(_) => findings.add(
                    &CMD_MISSING,
                    facts.text(*object),
                    format!("an object of the module {}", facts.text(module.name)),
                ),
            }
        }
        let own = all.iter().filter(|e| e.module == module.name);
        check_exports(facts, "Module.symvers", own, &computed, findings);
        check_imports(facts, module, &exported, findings);
    }
}

/// A module asks for each symbol by the CRC that it is exported with.
fn check_imports(
    facts: &Facts,
    module: &Module,
    exported: &FxHashMap<Name, u32>,
    findings: &mut Findings,
) {
    for import in &module.imports {
        let evidence = match (exported.get(&import.symbol), import.crc) {
            (Some(crc), Some(asked)) if *crc == asked => continue,
            // What is exported by nothing, modpost tells where it matters; what is exported
            // without a CRC is told as such.
            (None | Some(0), _) => continue,
            (Some(crc), Some(asked)) => {
                format!("its table of versions has {asked:#010x}, Module.symvers {crc:#010x}")
            }
            (Some(crc), None) => {
                format!("its table of versions has no CRC, Module.symvers {crc:#010x}")
            }
        };
        let (symbol, module) = (facts.text(import.symbol), facts.text(module.name));
        findings.add(
            &DIFFERS,
            format!("{module}.ko"),
            format!("{symbol}: {evidence}"),
        );
    }
}
