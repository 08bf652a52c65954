//! From the objects to `vmlinux`: `scripts/Makefile.vmlinux_a`, `Makefile.vmlinux_o`,
//! `Makefile.modpost` and `Makefile.vmlinux`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::layout::{Export, INITCALLS, MODULE, Place};
use super::super::recipes::{dot_cmd, native};
use super::super::toolchain::{AR, CLANG, LLD, run};
use super::{Kbuild, remove, write};

impl Kbuild {
    fn archive(&self, args: &[&str], archive: &str, members: &[String]) -> Result<String, String> {
        /// Where `xargs` would run the archiver again, a file of names keeps it at once.
        const MANY: usize = 1000;
        let mut words: Vec<&str> = args.to_vec();
        words.push(archive);
        if members.len() <= MANY {
            words.extend(members.iter().map(String::as_str));
            return self.done(run(&self.out, AR, words));
        }
        let list = self.out.join("members");
        write(&list, &(members.join("\n") + "\n"));
        words.push("@members");
        let ran = run(&self.out, AR, words);
        remove(&list);
        self.done(ran)
    }

    /// `ar t`.
    pub fn members(&self, archive: &str) -> Result<Vec<String>, String> {
        let listed = self.archive(&["t"], archive, &[])?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    pub(super) fn fixup(&self) -> Result<(), String> {
        let spelled = |place| -> Vec<String> {
            let units = self.units.iter();
            units
                .filter(|unit| unit.place == place)
                .map(|unit| unit.spelled.clone())
                .collect()
        };
        for archive in ["built-in.a", "lib/lib.a", "built-in-fixup.a"] {
            remove(&self.out.join(archive));
        }
        self.archive(&["cDPrST"], "built-in.a", &spelled(Place::Builtin))?;
        self.archive(&["cDPrST"], "lib/lib.a", &spelled(Place::Library))?;
        self.say("  AR      built-in-fixup.a");
        let from = ["built-in.a", "lib/lib.a"].map(str::to_owned);
        self.archive(&[self.recipes.fixup_letters], "built-in-fixup.a", &from)?;
        if self.recipes.heads_first {
            let members = self.members("built-in-fixup.a")?;
            let heads: Vec<String> = members
                .iter()
                .filter(|m| m.ends_with("/kernel/head.o"))
                .cloned()
                .collect();
            self.archive(&["mPi", &members[0]], "built-in-fixup.a", &heads)?;
        }
        Ok(())
    }

    pub(super) fn order(&self) -> Result<(), String> {
        self.say("  GEN     builtin.order");
        let order = (self.recipes.order)(self.members("built-in-fixup.a")?);
        write(&self.out.join("builtin.order"), &(order.join("\n") + "\n"));
        Ok(())
    }

    pub(super) fn index(&self) -> Result<(), String> {
        let mut args = self.ldflags();
        args.extend(
            [
                "-r",
                "--thinlto-index-only=vmlinux.thinlto-index",
                "@builtin.order",
            ]
            .map(str::to_owned),
        );
        (self.recipes.thin_link)(&mut args);
        self.say("  LD      vmlinux.thinlto-index");
        self.done(run(&self.out, LLD, &args)).map(|_| ())
    }

    pub(super) fn vmlinux_a(&self) -> Result<(), String> {
        let out = &self.out;
        remove(&out.join("vmlinux.a"));
        if !self.distributed() {
            self.say("  COPY    vmlinux.a");
            std::fs::copy(out.join("built-in-fixup.a"), out.join("vmlinux.a")).unwrap();
            return Ok(());
        }
        let index = self.listed("vmlinux.thinlto-index");
        let members: Vec<String> = self
            .listed("builtin.order")
            .into_iter()
            .map(|object| match (self.recipes.listed)(&object, &index) {
                true => native(&object),
                false => object,
            })
            .collect();
        self.say("  GEN     vmlinux.a");
        self.archive(self.recipes.vmlinux_a, "vmlinux.a", &members)?;
        Ok(())
    }

    pub(super) fn vmlinux_o(&self) -> Result<(), String> {
        const SCRIPT: &str = ".tmp_initcalls.lds";
        let mut args = self.ldflags();
        args.extend(["-r", "-o", "vmlinux.o"].map(str::to_owned));
        let calls = (self.recipes.initcalls)(INITCALLS.to_vec());
        let lines = calls
            .iter()
            .map(|call| format!("\t\t*(.initcall6.init..{call}) ;\n"));
        let lines: String = lines.collect();
        let script = format!("SECTIONS {{\n\t.initcall6.init : {{\n{lines}\t}}\n}}\n");
        write(&self.out.join(SCRIPT), &script);
        args.extend(["-T", SCRIPT].map(str::to_owned));
        args.extend(
            ["--whole-archive", self.recipes.linked, "--no-whole-archive"].map(str::to_owned),
        );
        self.say("  LD      vmlinux.o");
        self.link("vmlinux.o", &args)
    }

    /// Links a file, whose command is recorded.
    pub(super) fn link(&self, file: &str, args: &[String]) -> Result<(), String> {
        let command = format!("savedcmd_{file} := {LLD} {}\n", args.join(" "));
        write(&self.out.join(dot_cmd(file)), &command);
        self.done(run(&self.out, LLD, args)).map(|_| ())
    }

    /// What `scripts/mod/modpost.c` does about exported symbols.
    pub(super) fn modpost(&self) -> Result<(), String> {
        let out = &self.out;
        self.say("  GEN     .vmlinux.objs");
        let objs = self.members(self.recipes.objs_from)?;
        write(&out.join(".vmlinux.objs"), &(objs.join("\n") + "\n"));
        self.say("  MODPOST vmlinux.symvers");
        let in_vmlinux = self.read_crcs(&objs)?;
        let in_module = self.read_crcs(&self.listed(&format!("{MODULE}.mod")))?;

        let mut symvers = String::new();
        let mut module_symvers = String::new();
        let mut of_vmlinux = Vec::new();
        for unit in &self.units {
            for export in &unit.exports {
                let (crcs, module) = match unit.place {
                    Place::Module => (&in_module, MODULE),
                    Place::Builtin | Place::Library => (&in_vmlinux, "vmlinux"),
                };
                let symbol = &export.symbol;
                let crc = crcs.get(symbol.as_ref()).copied().unwrap_or_else(|| {
                    self.say(&format!(
                        "WARNING: modpost: EXPORT symbol \"{symbol}\" [{module}] version generation failed, symbol will not be versioned.\n\
                         Is \"{symbol}\" prototyped in <asm/asm-prototypes.h>?"
                    ));
                    0
                });
                let line = format!(
                    "{crc:#010x}\t{symbol}\t{module}\t{}\t{}\n",
                    export.licence, export.namespace
                );
                module_symvers.push_str(&line);
                if unit.place != Place::Module {
                    symvers.push_str(&line);
                    of_vmlinux.push((export, crc));
                }
            }
        }
        write(&out.join("vmlinux.symvers"), &symvers);
        write(&out.join("Module.symvers"), &module_symvers);
        write(&out.join(".vmlinux.export.c"), &export_tables(of_vmlinux));
        Ok(())
    }

    /// The `#SYMVER` lines in the objects' `.cmd` files.
    fn read_crcs(&self, objects: &[String]) -> Result<BTreeMap<String, u32>, String> {
        let mut crcs = BTreeMap::new();
        for object in objects {
            let cmd = (self.recipes.crcs_of)(object);
            let text = std::fs::read_to_string(self.out.join(&cmd))
                .map_err(|e| format!("modpost: {cmd}: {e}"))?;
            let lines = text.lines().filter_map(|l| l.strip_prefix("#SYMVER "));
            for (symbol, crc) in lines.filter_map(|line| line.split_once(" 0x")) {
                if let Ok(crc) = u32::from_str_radix(crc, 16) {
                    crcs.insert(symbol.to_owned(), crc);
                }
            }
        }
        Ok(crcs)
    }

    /// Compiles what modpost wrote, without LTO.
    fn compile_generated(&self, stem: &str) -> Result<(), String> {
        let target = format!("--target={}", self.target.clang);
        let include = format!("-I{}/include", self.srctree);
        let (source, object) = (format!("{stem}.c"), format!("{stem}.o"));
        self.say(&format!("  CC      {object}"));
        let mut args = vec![target.as_str()];
        args.extend(self.target.aflags.split(' '));
        args.extend(["-nostdinc", &include, "-fno-PIE", "-c", "-o"]);
        args.extend([object.as_str(), source.as_str()]);
        self.done(run(&self.out, CLANG, &args)).map(|_| ())
    }

    /// What `scripts/Makefile.modfinal` does, after modpost's version table.
    pub(super) fn modules(&self) -> Result<(), String> {
        let out = &self.out;
        let mut versions = String::new();
        let crcs = self.read_crcs(&self.listed(&format!("{MODULE}.mod")))?;
        for line in self.listed("Module.symvers") {
            let fields: Vec<&str> = line.split('\t').collect();
            if let [crc, symbol, "vmlinux", ..] = fields[..] {
                let _ = writeln!(versions, "\t{{ {crc}, \"{symbol}\" }},");
            }
        }
        let own = self.units.iter().filter(|unit| unit.place == Place::Module);
        let own = own.flat_map(|unit| &unit.exports);
        let own = own.map(|export| (export, crcs.get(&*export.symbol).copied().unwrap_or(0)));
        let tables = export_tables(own.collect());
        let modinfo = (self.recipes.modinfo)(MODINFO.to_vec()).join("\\0");
        let mod_c = format!(
            "{tables}\
             static const char modinfo[]\n\
             __attribute__((used, section(\".modinfo\"))) = \"{modinfo}\";\n\
             struct version {{ unsigned long crc; char name[64 - sizeof(long)]; }};\n\
             static const struct version versions[]\n\
             __attribute__((used, section(\"__versions\"))) = {{\n{versions}}};\n"
        );
        write(&out.join(format!("{MODULE}.mod.c")), &mod_c);
        self.compile_generated(&format!("{MODULE}.mod"))?;
        self.say(&format!("  LD [M]  {MODULE}.ko"));
        let (ko, own, generated) = (
            format!("{MODULE}.ko"),
            format!("{MODULE}.o"),
            format!("{MODULE}.mod.o"),
        );
        let mut args = self.ldflags();
        args.extend(["-r", "-o"].map(str::to_owned));
        args.extend([ko.clone(), own, generated]);
        self.link(&ko, &args)
    }

    pub(super) fn vmlinux(&self) -> Result<(), String> {
        let out = &self.out;
        self.compile_generated(".vmlinux.export")?;
        self.say("  LD      vmlinux");
        let mut args = self.ldflags();
        args.extend(
            [
                "-e",
                "_start",
                "-o",
                "vmlinux",
                "vmlinux.o",
                ".vmlinux.export.o",
            ]
            .map(str::to_owned),
        );
        self.done(run(out, LLD, &args))?;
        self.say("make[1]: Leaving directory 'build'");
        Ok(())
    }
}

/// What the module says of itself.
const MODINFO: [&str; 3] = [
    "license=GPL",
    "import_ns=RINGS",
    "vermagic=7.2.0 SMP mod_unload modversions ",
];

/// What modpost writes for the table of exports, sorted as the linker script of the kernel does.
fn export_tables(mut exports: Vec<(&Export, u32)>) -> String {
    exports.sort_by(|a, b| a.0.symbol.cmp(&b.0.symbol));
    let mut entries = String::new();
    let mut crcs = String::new();
    for (export, crc) in exports {
        let (symbol, namespace) = (&export.symbol, export.namespace);
        let flags = u8::from(export.licence == "EXPORT_SYMBOL_GPL");
        let _ = write!(
            entries,
            "KSYMTAB_DATA({symbol}, \"{namespace}\");\nSYMBOL_FLAGS({symbol}, {flags:#04x});\n"
        );
        let _ = writeln!(crcs, "SYMBOL_CRC({symbol}, {crc:#010x});");
    }
    format!("#include <linux/export-internal.h>\n\n{entries}\n{crcs}#include <linux/module.h>\n")
}
