//! Builds the synthetic kernel as kbuild builds a real one: the same steps in the same
//! order, the same file names and `.cmd` lines, by the same tools.

#[path = "kbuild/compile_commands.rs"]
mod compile_commands;
#[path = "kbuild/objects.rs"]
pub mod objects;
#[path = "kbuild/vmlinux.rs"]
mod vmlinux;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use klto::model::cell::LtoMode;

use super::layout::{SOURCES, Target, Unit, units};
use super::recipes::Recipes;
use super::toolchain::{Ran, clang_version, version_number};

/// A step of the build, named after what it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The objects: bitcode in the LTO modes.
    Objects,
    /// `built-in-fixup.a`.
    Fixup,
    /// `builtin.order`; only in distributed mode, like the next two.
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
    /// The module's `.ko` file.
    Modules,
}

impl Step {
    pub const ALL: [Step; 10] = [
        Step::Objects,
        Step::Fixup,
        Step::Order,
        Step::Index,
        Step::Natives,
        Step::VmlinuxA,
        Step::VmlinuxO,
        Step::Modpost,
        Step::Vmlinux,
        Step::Modules,
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

    /// The build log is in the source tree.
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
            Step::Modules => self.modules(),
        }
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

    fn listed(&self, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.out.join(file)).unwrap();
        text.lines().map(str::to_owned).collect()
    }
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
