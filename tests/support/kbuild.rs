//! Builds the synthetic kernel as kbuild builds a real one: the same steps in the same
//! order, the same file names and `.cmd` lines, by the same tools. The steps are those
//! of `scripts/Makefile.build`, `Makefile.vmlinux_a`, `Makefile.thinlto`,
//! `Makefile.vmlinux_o`, `Makefile.modpost` and `Makefile.vmlinux`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use klto::cell::LtoMode;

use super::layout::{Language, MODULE, Place, SOURCES, Target, Unit, units};
use super::recipes::{
    Back, Front, Recipes, dot_cmd, escape_for_make, escape_single_quotes, native,
};
use super::toolchain::{AR, CLANG, LLD, Ran, clang_version, run, shell, version_number};

/// A step of the build, named after what it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The objects: bitcode in the LTO modes.
    Objects,
    /// `built-in-fixup.a`.
    Fixup,
    /// `builtin.order`; distributed mode alone, like the next two.
    Order,
    /// `vmlinux.thinlto-index` and the `.thinlto.bc` files.
    Index,
    /// The native objects.
    Natives,
    /// `vmlinux.a`.
    VmlinuxA,
    /// `vmlinux.o`.
    VmlinuxO,
    /// `.vmlinux.objs`, `vmlinux.symvers`, `.vmlinux.export.c`, `Module.symvers`.
    Modpost,
    /// `vmlinux`.
    Vmlinux,
}

impl Step {
    pub const ALL: [Step; 9] = [
        Step::Objects,
        Step::Fixup,
        Step::Order,
        Step::Index,
        Step::Natives,
        Step::VmlinuxA,
        Step::VmlinuxO,
        Step::Modpost,
        Step::Vmlinux,
    ];
}

/// A step that failed, where make stops.
#[derive(Debug, Clone)]
pub struct Stopped {
    pub step: Step,
    pub stderr: String,
}

/// A build, about to be made or made.
#[derive(Clone)]
pub struct Kbuild {
    pub target: &'static Target,
    pub mode: LtoMode,
    /// The build tree.
    pub out: PathBuf,
    /// The way from there to the source tree.
    pub srctree: &'static str,
    pub recipes: Recipes,
    pub units: Vec<Unit>,
}

impl Kbuild {
    /// The synthetic kernel with its build tree in `source/build`.
    pub fn new(target: &'static Target, mode: LtoMode, source: &Path) -> Kbuild {
        Kbuild {
            target,
            mode,
            out: source.join("build"),
            srctree: "..",
            recipes: Recipes::default(),
            units: units(target),
        }
    }

    pub fn source(&self) -> PathBuf {
        self.out.join(self.srctree)
    }

    /// The build log lies in the source tree.
    pub fn log(&self) -> PathBuf {
        self.source().join("build.log")
    }

    /// Writes the sources, and the configuration as `make olddefconfig prepare` does.
    pub fn configure(&self) {
        let out = &self.out;
        std::fs::create_dir_all(out).unwrap();
        for (path, text) in SOURCES {
            let path = path.replace("ARCH", self.target.src);
            write(&self.source().join(path), text);
        }
        if self.srctree != "source" {
            std::os::unix::fs::symlink(self.srctree, out.join("source")).unwrap();
        }
        let version = clang_version();
        let number = version_number(&version);
        let mut config = vec![
            ("CC_VERSION_TEXT".to_owned(), version),
            ("CC_IS_CLANG".to_owned(), "y".to_owned()),
            ("CLANG_VERSION".to_owned(), number.to_string()),
            ("LLD_VERSION".to_owned(), number.to_string()),
            ("MODULES".to_owned(), "y".to_owned()),
            ("MODVERSIONS".to_owned(), "y".to_owned()),
            (self.mode.config_symbol().to_owned(), "y".to_owned()),
        ];
        if self.lto() {
            config.push(("LTO_CLANG".to_owned(), "y".to_owned()));
            config.push(("LTO".to_owned(), "y".to_owned()));
        }
        for symbol in self.target.config {
            config.push(((*symbol).to_owned(), "y".to_owned()));
        }
        let lines: String = config
            .iter()
            .map(|(symbol, value)| format!("CONFIG_{symbol}={value}\n"))
            .collect();
        let title = format!("# Linux/{} 7.2.0 Kernel Configuration", self.target.name);
        write(
            &out.join(".config"),
            &format!("#\n# Automatically generated file; DO NOT EDIT.\n{title}\n#\n{lines}"),
        );
        write(
            &out.join("include/config/auto.conf"),
            &format!("#\n# Automatically generated file; DO NOT EDIT.\n#\n{lines}"),
        );
        write(&out.join("include/config/kernel.release"), "7.2.0\n");
        self.say("make[1]: Entering directory 'build'");
    }

    /// Takes the steps from `from` on. Objects whose commands did not change and that are
    /// newer than what they are made from stay.
    pub fn make(&self, from: Step) -> Result<(), Stopped> {
        for step in Step::ALL.into_iter().filter(|step| *step >= from) {
            self.take(step).map_err(|stderr| Stopped { step, stderr })?;
        }
        Ok(())
    }

    /// Takes one step; the mode may have nothing to do in it.
    pub fn take(&self, step: Step) -> Result<(), String> {
        match step {
            Step::Objects => self.objects(),
            Step::Fixup => self.fixup(),
            Step::Order if self.distributed() => self.order(),
            Step::Index if self.distributed() => self.index(),
            Step::Natives if self.distributed() => self.natives(),
            Step::Order | Step::Index | Step::Natives => Ok(()),
            Step::VmlinuxA => self.vmlinux_a(),
            Step::VmlinuxO => self.vmlinux_o(),
            Step::Modpost => self.modpost(),
            Step::Vmlinux => self.vmlinux(),
        }
    }

    /// The objects of vmlinux.
    pub fn builtin(&self) -> impl Iterator<Item = &Unit> {
        self.units.iter().filter(|unit| unit.place != Place::Module)
    }

    fn lto(&self) -> bool {
        self.mode != LtoMode::None
    }

    fn distributed(&self) -> bool {
        self.mode == LtoMode::ThinDist
    }

    /// Adds a line to the build log.
    fn say(&self, line: &str) {
        let log = self.log();
        let mut text = match std::fs::read_to_string(&log) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => panic!("{}: {e}", log.display()),
        };
        let _ = writeln!(text, "{}", line.trim_end());
        std::fs::write(&log, text).unwrap();
    }

    /// What a tool wrote goes to the log; its failure stops the build.
    fn done(&self, ran: Ran) -> Result<String, String> {
        if !ran.stderr.is_empty() {
            self.say(&ran.stderr);
        }
        match ran.ok {
            true => Ok(ran.stdout),
            false => Err(ran.stderr),
        }
    }

    fn objects(&self) -> Result<(), String> {
        for unit in &self.units {
            let folder = Path::new(&unit.spelled).parent().unwrap();
            std::fs::create_dir_all(self.out.join(&unit.object).parent().unwrap()).unwrap();
            // A path through `../` needs its first part to exist, on both sides.
            for side in [self.out.clone(), self.source()] {
                if let Some((before, _)) = folder.to_str().unwrap().split_once("/..") {
                    std::fs::create_dir_all(side.join(before)).unwrap();
                }
            }
            self.front_end(unit)?;
        }
        self.module()
    }

    /// The recipe of one object's front end.
    pub fn front(&self, unit: &Unit) -> Front {
        let target = self.target;
        let name = Path::new(&unit.object)
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap();
        let stem = unit.spelled.strip_suffix(".o").unwrap();
        let mut own = format!(
            "-D__KERNEL__ --target={} -fintegrated-as -Werror=unknown-warning-option \
             -Werror=unused-command-line-argument -fmacro-prefix-map={}/= ",
            target.clang, self.srctree
        );
        match unit.language {
            Language::Assembly => {
                let _ = write!(own, "-D__ASSEMBLY__ -fno-PIE {}", target.aflags);
            }
            Language::C | Language::CWithoutLto => {
                let lto = match self.lto() && unit.language == Language::C {
                    true => "-flto=thin -fsplit-lto-unit -fvisibility=hidden",
                    false => "-fvisibility=hidden",
                };
                let _ = write!(
                    own,
                    "-fshort-wchar -funsigned-char -fno-common -fno-PIE -fno-strict-aliasing -std=gnu11 \
                     {} -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-delete-null-pointer-checks \
                     -Os -fno-stack-protector -fomit-frame-pointer -fno-lto {lto} -Wall -Werror=return-type \
                     -I{}/include -Iinclude",
                    target.cflags, self.srctree
                );
            }
        }
        if !unit.flags.is_empty() {
            let _ = write!(own, " {}", unit.flags);
        }
        let modkern = match (unit.place, unit.language) {
            (Place::Module, _) => "-DMODULE".to_owned(),
            (_, Language::Assembly) => format!(r#"-DKBUILD_MODFILE='"{stem}"'"#),
            _ => format!(r#"{} -DKBUILD_MODFILE='"{stem}"'"#, target.kernel_cflags),
        };
        let mut front = Front {
            cc: CLANG.to_owned(),
            includes: format!("-nostdinc -I{}/include -I./include", self.srctree),
            own,
            modkern,
            names: format!(
                r#"-DKBUILD_BASENAME='"{name}"' -DKBUILD_MODNAME='"{name}"' -D__KBUILD_MODNAME={name}"#
            ),
            saved: Front::saved_flags,
            saved_for: unit.spelled.clone(),
            saved_lines: 1,
            escsq: escape_single_quotes,
            symvers: str::to_owned,
        };
        (self.recipes.front)(unit, &mut front);
        front
    }

    /// `cmd_cc_o_c`.
    pub fn front_command(&self, unit: &Unit, front: &Front) -> String {
        let spelled = &unit.spelled;
        format!(
            "{} -Wp,-MMD,{} {} {} {} {} -c -o {spelled} {}/{}",
            front.cc,
            dot_cmd(spelled).replace(".cmd", ".d"),
            front.includes,
            front.own,
            front.modkern,
            front.names,
            self.srctree,
            unit.source
        )
    }

    /// What `scripts/basic/fixdep.c` writes into the `.cmd` file.
    pub fn fixdep(&self, unit: &Unit, command: &str, dependencies: &str) -> String {
        let spelled = &unit.spelled;
        format!(
            "savedcmd_{spelled} := {}\n\nsource_{spelled} := {}/{}\n\n\
             deps_{spelled} := \\\n{dependencies}\n\
             {spelled}: $(deps_{spelled})\n\n$(deps_{spelled}):\n",
            escape_for_make(command),
            self.srctree,
            unit.source,
        )
    }

    fn front_end(&self, unit: &Unit) -> Result<(), String> {
        let front = self.front(unit);
        let spelled = &unit.spelled;
        let command = self.front_command(unit, &front);
        let mut cmd = self.fixdep(unit, &command, DEPENDENCIES);
        if self.distributed() && unit.language != Language::Assembly {
            let flags = (front.escsq)(&(front.saved)(&front));
            let printf = format!(
                r"printf '\n%s\n' 'saved_c_flags_{} := {flags}'",
                front.saved_for
            );
            for _ in 0..front.saved_lines {
                let line = self.done(shell(&self.out, &printf))?;
                cmd.push_str(&line);
            }
        }
        cmd.push_str(&(front.symvers)(&genksyms(unit)));

        let object = self.out.join(&unit.object);
        let cmd_file = self.out.join(dot_cmd(&unit.object));
        if is_newer(&object, &[self.source().join(&unit.source)]) && holds(&cmd_file, &cmd) {
            return Ok(());
        }
        self.say(&match unit.language {
            Language::Assembly => format!("  AS      {spelled}"),
            Language::C | Language::CWithoutLto => format!("  CC      {spelled}"),
        });
        self.done(shell(&self.out, &command))?;
        write(&cmd_file, &cmd);
        Ok(())
    }

    fn module(&self) -> Result<(), String> {
        let objects: Vec<String> = self
            .units
            .iter()
            .filter(|unit| unit.place == Place::Module)
            .map(|unit| unit.object.clone())
            .collect();
        let out = &self.out;
        write(
            &out.join(format!("{MODULE}.mod")),
            &(objects.join("\n") + "\n"),
        );
        let mut args = self.ldflags();
        args.extend(["-r", "-o"].map(str::to_owned));
        args.push(format!("{MODULE}.o"));
        args.extend(objects);
        self.say(&format!("  LD [M]  {MODULE}.o"));
        self.done(run(out, LLD, &args))?;
        write(&out.join("modules.order"), &format!("{MODULE}.o\n"));
        Ok(())
    }

    fn ldflags(&self) -> Vec<String> {
        let mut flags: Vec<String> = self
            .target
            .ldflags
            .iter()
            .map(|f| (*f).to_owned())
            .collect();
        flags.extend(["-mllvm", "-import-instr-limit=5", "-z", "noexecstack"].map(str::to_owned));
        flags
    }

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

    fn fixup(&self) -> Result<(), String> {
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

    fn order(&self) -> Result<(), String> {
        self.say("  GEN     builtin.order");
        let order = (self.recipes.order)(self.members("built-in-fixup.a")?);
        write(&self.out.join("builtin.order"), &(order.join("\n") + "\n"));
        Ok(())
    }

    fn index(&self) -> Result<(), String> {
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

    fn natives(&self) -> Result<(), String> {
        for object in self.listed("vmlinux.thinlto-index") {
            let Some(unit) = self.units.iter().find(|unit| unit.object == object) else {
                continue;
            };
            self.back_end(unit)?;
        }
        Ok(())
    }

    fn listed(&self, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.out.join(file)).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The recipe of one object's back end, given the flags that its front end saved.
    pub fn back(&self, unit: &Unit, saved: String) -> Back {
        let object = &unit.object;
        let mut back = Back {
            cc: CLANG.to_owned(),
            saved,
            options: "-x ir -fno-lto -Wno-unused-command-line-argument".to_owned(),
            index: format!("{object}.thinlto.bc"),
            native: native(object),
            object: object.clone(),
            recorded: true,
        };
        (self.recipes.back)(unit, &mut back);
        back
    }

    fn back_end(&self, unit: &Unit) -> Result<(), String> {
        let out = &self.out;
        let object = &unit.object;
        let saved = match std::fs::read_to_string(out.join(dot_cmd(object))) {
            Ok(text) => text,
            Err(e) => return Err(format!("sed: can't read {}: {e}", dot_cmd(object))),
        };
        // `sed -n '/saved_c_flags_/s/.*:= //p'`, each line's end turned into a blank.
        let saved: Vec<&str> = saved
            .lines()
            .filter(|line| line.contains("saved_c_flags_"))
            .filter_map(|line| line.rsplit_once(":= ").map(|(_, flags)| flags))
            .collect();
        let back = self.back(unit, saved.join(" "));
        let command = back.command();
        let made = out.join(&back.native);
        let cmd_file = out.join(dot_cmd(&back.native));
        let cmd = back.cmd_file();
        let from = [out.join(object), out.join(&back.index)];
        if is_newer(&made, &from) && holds(&cmd_file, &cmd) && back.recorded {
            return Ok(());
        }
        self.say(&format!("  CC      {}", back.native));
        if let Err(stderr) = self.done(shell(out, &command)) {
            // `.DELETE_ON_ERROR` of `scripts/Kbuild.include`.
            remove(&made);
            return Err(stderr);
        }
        match back.recorded {
            true => write(&cmd_file, &cmd),
            false => remove(&cmd_file),
        }
        Ok(())
    }

    fn vmlinux_a(&self) -> Result<(), String> {
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

    fn vmlinux_o(&self) -> Result<(), String> {
        let mut args = self.ldflags();
        args.extend(
            [
                "-r",
                "-o",
                "vmlinux.o",
                "--whole-archive",
                "vmlinux.a",
                "--no-whole-archive",
            ]
            .map(str::to_owned),
        );
        self.say("  LD      vmlinux.o");
        self.done(run(&self.out, LLD, &args)).map(|_| ())
    }

    /// What `scripts/mod/modpost.c` does about exported symbols.
    fn modpost(&self) -> Result<(), String> {
        let out = &self.out;
        self.say("  GEN     .vmlinux.objs");
        let objs = self.members(self.recipes.objs_from)?;
        write(&out.join(".vmlinux.objs"), &(objs.join("\n") + "\n"));
        self.say("  MODPOST vmlinux.symvers");
        let in_vmlinux = self.read_crcs(&objs)?;
        let in_module = self.read_crcs(&self.listed(&format!("{MODULE}.mod")))?;

        let mut symvers = String::new();
        let mut module_symvers = String::new();
        let mut export_c = "#include <linux/export-internal.h>\n\n".to_owned();
        let mut crcs_c = "\n".to_owned();
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
                    let _ = write!(
                        export_c,
                        "KSYMTAB_DATA({symbol}, \"{}\");\nSYMBOL_FLAGS({symbol}, 0x00);\n",
                        export.namespace
                    );
                    let _ = writeln!(crcs_c, "SYMBOL_CRC({symbol}, {crc:#010x});");
                }
            }
        }
        write(&out.join("vmlinux.symvers"), &symvers);
        write(&out.join("Module.symvers"), &module_symvers);
        write(
            &out.join(".vmlinux.export.c"),
            &format!("{export_c}{crcs_c}#include <linux/module.h>\n"),
        );
        Ok(())
    }

    /// The `#SYMVER` lines beside the objects.
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

    fn vmlinux(&self) -> Result<(), String> {
        let out = &self.out;
        self.say("  CC      .vmlinux.export.o");
        let target = format!("--target={}", self.target.clang);
        let include = format!("-I{}/include", self.srctree);
        let mut args = vec![target.as_str()];
        args.extend(self.target.aflags.split(' '));
        args.extend([
            "-nostdinc",
            &include,
            "-fno-PIE",
            "-c",
            "-o",
            ".vmlinux.export.o",
            ".vmlinux.export.c",
        ]);
        self.done(run(out, CLANG, &args))?;
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

/// A few of what a front end reads, for `fixdep`.
const DEPENDENCIES: &str = "    $(wildcard include/config/MODVERSIONS) \\\n  ../include/linux/synthetic.h \\\n  ../include/linux/export.h \\\n";

/// What `gen_symversions` appends to the `.cmd` file.
pub fn genksyms(unit: &Unit) -> String {
    unit.exports
        .iter()
        .map(|export| format!("#SYMVER {} {:#010x}\n", export.symbol, crc(&export.symbol)))
        .collect()
}

/// What genksyms would compute; here any number that depends on the symbol alone.
pub fn crc(symbol: &str) -> u32 {
    let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    symbol.bytes().fold(0x811c_9dc5, hash)
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => panic!("{}: {e}", path.display()),
        _ => {}
    }
}

fn is_newer(made: &Path, from: &[PathBuf]) -> bool {
    let modified = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified());
    modified(made).is_ok_and(|made| {
        from.iter()
            .all(|from| modified(from).is_ok_and(|from| from <= made))
    })
}

fn holds(path: &Path, text: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|found| found == text)
}
