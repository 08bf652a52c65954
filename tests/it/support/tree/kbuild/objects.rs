//! The objects: what `scripts/Makefile.build` makes of sources, and
//! `scripts/Makefile.thinlto` of bitcode.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::super::layout::{Language, MODULE, Place, Unit};
use super::super::recipes::{Back, Front, dot_cmd, escape_for_make, escape_single_quotes, native};
use super::super::toolchain::{CLANG, shell};
use super::{Kbuild, remove, write};

impl Kbuild {
    pub(super) fn objects(&self) -> Result<(), String> {
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
        self.link(&format!("{MODULE}.o"), &args)?;
        write(&out.join("modules.order"), &format!("{MODULE}.o\n"));
        Ok(())
    }

    pub(super) fn natives(&self) -> Result<(), String> {
        for object in self.listed("vmlinux.thinlto-index") {
            let Some(unit) = self.units.iter().find(|unit| unit.object == object) else {
                continue;
            };
            self.back_end(unit)?;
        }
        Ok(())
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

/// What genksyms would compute; here any number that depends only on the symbol.
pub fn crc(symbol: &str) -> u32 {
    let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    symbol.bytes().fold(0x811c_9dc5, hash)
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
