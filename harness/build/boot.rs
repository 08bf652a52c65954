//! Boots a kernel, in an emulator or as a program, to klto's init, which prints one line and ends the machine,
//! and reads the result from the console ([`console`]).

pub mod console;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cpio::newc;

use crate::build::doctor;
use crate::build::process::{self, Cancel, Command, Exit};
use crate::build::toolchain::{compiler, llvm_tool, variables};
use crate::model::arch::{Booting, Emulator, MachineEnd, SystemCall};
use crate::model::cell::Cell;
use crate::model::error::Error;
use crate::model::finding::Rule;
use console::End;

/// The init prints this, followed by the kernel's release.
const LINE: &str = "klto: init runs on Linux ";

/// How long a kernel may take until its init has run. In emulation the smallest kernels take
/// seconds; the limit allows for a busy machine.
pub const LIMIT: Duration = Duration::from_mins(3);

/// The limit with KVM, which a virtual machine may advertise although it does not work.
const VIRTUAL_LIMIT: Duration = Duration::from_secs(10);

/// Whether KVM was tried and no kernel booted.
static VIRTUAL_FAILS: AtomicBool = AtomicBool::new(false);

/// The most that a console may show, in bytes: a kernel that prints more never stops.
const FLOOD: u64 = 4 << 20;

/// The name and the text of the init's source.
const INIT: (&str, &str) = ("init.c", include_str!("boot/init.c"));

/// A kernel to boot.
#[derive(Debug)]
pub struct Boot<'a> {
    pub cell: &'a Cell,
    /// The build tree; its boot image has been built.
    pub build: &'a Path,
    /// The release that the kernel must report: `kernel.release`.
    pub release: &'a str,
    /// A folder for the init and its archive; nothing else uses it.
    pub scratch: &'a Path,
    /// The file for everything that the console shows.
    pub console: &'a Path,
    /// How long it may take, such as [`LIMIT`].
    pub limit: Duration,
    /// When the cell's time limit is reached.
    pub deadline: Option<Instant>,
    pub cancel: &'a Cancel,
}

impl Boot<'_> {
    /// Boots the kernel and returns the rules it breaks, each with the evidence.
    ///
    /// # Errors
    /// When the machine is to blame: there is no emulator or it is too old, the init cannot
    /// be built, or the cell's time limit is reached. Never for what the kernel does.
    pub fn run(&self) -> Result<Vec<(&'static Rule, String)>, Error> {
        let arch = &self.cell.arch;
        let boot = match (doctor::cannot_boot(arch), &arch.boot) {
            (None, Some(boot)) => boot,
            (why, _) => {
                let why = why.unwrap_or_default();
                let message = doctor::cannot_boot_message(arch, &why);
                return Err(Error::Machine(message));
            }
        };
        let initrd = self.initrd(boot)?;
        // Kept with the console: the image in the build tree is removed after the scenario.
        let (image, kernel) = (self.build.join(&boot.kernel), self.scratch.join("kernel"));
        std::fs::copy(&image, &kernel).map_err(Error::io(&image, "read"))?;
        let Some(emulator) = &boot.emulator else {
            return self.attempt(&self.program(boot, &kernel, &initrd), self.limit);
        };
        let command = |virtual_cpu| emulated(emulator, boot, &kernel, &initrd, virtual_cpu);
        if can_virtualise(emulator) {
            let seen = self.attempt(&command(true), VIRTUAL_LIMIT.min(self.limit));
            match seen {
                Ok(wrong) if wrong.is_empty() => return Ok(wrong),
                Err(Error::Cancelled) => return seen,
                // KVM that is advertised but does not work is not the kernel's fault.
                Ok(_) | Err(_) => VIRTUAL_FAILS.store(true, Ordering::Relaxed),
            }
        }
        self.attempt(&command(false), self.limit)
    }

    /// The command that runs a kernel which is a program. What it writes for itself goes into the scratch
    /// folder: its memory, and the folder of its management console.
    fn program(&self, boot: &Booting, kernel: &Path, initrd: &Path) -> Command {
        let initrd = initrd.display();
        Command::new(kernel)
            .arg(format!("mem={}", boot.memory))
            .arg(format!("initrd={initrd}"))
            .args(boot.console.split(' '))
            .arg("panic=-1")
            .env("HOME", self.scratch)
            .env("TMPDIR", self.scratch)
    }

    fn attempt(
        &self,
        command: &Command,
        limit: Duration,
    ) -> Result<Vec<(&'static Rule, String)>, Error> {
        let line = format!("+ {}\n", command.shell_words());
        std::fs::write(self.console, line).map_err(Error::io(self.console, "write"))?;
        let until = Instant::now().checked_add(limit);
        let deadline = [self.deadline, until].into_iter().flatten().min();
        let mut written = 0_u64;
        let ended =
            process::run_logged(command, self.console, deadline, self.cancel, &mut |tail| {
                let lines = tail.lines.iter().map(|line| line.len() as u64 + 1);
                written += tail.skipped + lines.sum::<u64>();
                match written > FLOOD {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            })?;
        let text = self.read_console()?;
        let is_over = |deadline: Instant| Instant::now() >= deadline;
        let exit = ended.exit;
        let end = match exit {
            Exit::Success => End::Itself,
            Exit::Stopped => End::Flood(FLOOD),
            // The end of the program is that of the machine, whatever its status.
            Exit::Code(_) | Exit::Signal(_) if self.cell.arch.is_program() => End::Itself,
            Exit::TimedOut if !self.deadline.is_some_and(is_over) => End::Hang(limit),
            Exit::Cancelled => return Err(Error::Cancelled),
            Exit::TimedOut | Exit::Code(_) | Exit::Signal(_) => {
                let said = String::from_utf8_lossy(&text);
                return Err(Error::Machine(format!(
                    "{} failed: {exit}: {}; see {}",
                    command.program().display(),
                    said.lines().last().unwrap_or("without a message"),
                    self.console.display()
                )));
            }
        };
        Ok(console::scan(&text, end, LINE, self.release))
    }

    /// What the console showed; more than [`FLOOD`] bytes are dropped.
    fn read_console(&self) -> Result<Vec<u8>, Error> {
        let file = std::fs::File::options().write(true).open(self.console);
        file.and_then(|file| match file.metadata()?.len() {
            0..=FLOOD => Ok(()),
            _ => file.set_len(FLOOD),
        })
        .and_then(|()| std::fs::read(self.console))
        .map_err(Error::io(self.console, "read"))
    }

    /// Builds the init and packs it into the archive that the kernel unpacks.
    fn initrd(&self, boot: &Booting) -> Result<PathBuf, Error> {
        let source = self.scratch.join(INIT.0);
        std::fs::write(&source, INIT.1).map_err(Error::io(&source, "write"))?;
        let init = self.scratch.join("init");
        let compile = compile(self.cell, &boot.system_call, &source, &init);
        let done = process::capture(&compile, self.deadline, self.cancel)?;
        match done.status {
            Exit::Success => {}
            Exit::Cancelled => return Err(Error::Cancelled),
            Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut | Exit::Stopped => {
                return Err(Error::Machine(format!(
                    "the init cannot be built: '{}': {}",
                    compile.shell_words(),
                    done.stderr.lines().next().unwrap_or("no message")
                )));
            }
        }
        let archive = self.scratch.join("init.cpio");
        let program = std::fs::read(&init).map_err(Error::io(&init, "read"))?;
        std::fs::write(
            &archive,
            pack(&program).map_err(Error::io(&archive, "write"))?,
        )
        .map_err(Error::io(&archive, "write"))?;
        Ok(archive)
    }
}

/// Whether the emulator can use KVM: for this machine's own architecture, and if it has not
/// failed before.
fn can_virtualise(emulator: &Emulator) -> bool {
    emulator.program.ends_with(std::env::consts::ARCH)
        && !VIRTUAL_FAILS.load(Ordering::Relaxed)
        && std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_ok()
}

fn emulated(
    emulator: &Emulator,
    boot: &Booting,
    kernel: &Path,
    initrd: &Path,
    virtual_cpu: bool,
) -> Command {
    let (accelerator, cpu) = match virtual_cpu {
        true => ("kvm", Some("host")),
        false => ("tcg", emulator.cpu.as_deref()),
    };
    let mut command = Command::new(emulator.program.as_str())
        .args(["-M", emulator.machine.as_str()])
        .args(["-m", boot.memory.as_str()])
        .args(["-accel", accelerator]);
    if let Some(cpu) = cpu {
        command = command.args(["-cpu", cpu]);
    }
    command
        .args(["-display", "none", "-nodefaults", "-no-reboot"])
        .args(["-monitor", "none", "-serial", "stdio"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initrd)
        .arg("-append")
        .arg(format!("{} panic=-1", boot.console))
}

fn compile(cell: &Cell, call: &SystemCall, source: &Path, init: &Path) -> Command {
    let quoted = |text: &str| format!("\"{text}\"");
    let clobbers: Vec<String> = call.clobbers.iter().map(|name| quoted(name)).collect();
    let end = match call.end {
        MachineEnd::PowerOff => "0x4321fedcL",
        MachineEnd::Restart => "0x1234567L",
    };
    let result = match call.result_in_number {
        true => "number",
        false => "first",
    };
    let [first, second, third] = &call.arguments;
    let macros = [
        ("LINE", quoted(LINE)),
        ("INSTRUCTION", quoted(&call.instruction)),
        ("NUMBER", quoted(&call.number)),
        ("FIRST", quoted(first)),
        ("SECOND", quoted(second)),
        ("THIRD", quoted(third)),
        ("CLOBBERS", clobbers.join(",")),
        ("RESULT", result.to_owned()),
        ("WRITE", call.write.to_string()),
        ("UNAME", call.uname.to_string()),
        ("REBOOT", call.reboot.to_string()),
        ("END", end.to_owned()),
    ];
    let variables = variables(cell);
    let mut command = Command::new(compiler(&variables));
    if let Some(llvm) = variables.get("LLVM") {
        command = command
            .arg(format!("--target={}", cell.arch.target))
            .arg(format!("--ld-path={}", llvm_tool("ld.lld", Some(llvm))));
    }
    command
        .args(["-O1", "-static", "-nostdlib", "-ffreestanding", "-fno-pie"])
        .args(["-fno-stack-protector", "-fno-asynchronous-unwind-tables"])
        .args(macros.map(|(name, value)| format!("-DKLTO_{name}={value}")))
        .arg("-o")
        .arg(init)
        .arg(source)
}

/// An initramfs archive: the init, and the console that the kernel opens for it.
fn pack(init: &[u8]) -> std::io::Result<Vec<u8>> {
    use newc::{Builder, ModeFileType as Kind};

    let mut archive = Vec::new();
    let mut add = |entry: Builder, content: &[u8]| {
        let length = u32::try_from(content.len()).map_err(std::io::Error::other)?;
        let mut writer = entry.write(&mut archive, length);
        std::io::Write::write_all(&mut writer, content)?;
        writer.finish().map(|_| ())
    };
    let entry = |name, mode, kind| Builder::new(name).mode(mode).set_mode_file_type(kind);
    add(entry("dev", 0o755, Kind::Directory), &[])?;
    let console = entry("dev/console", 0o600, Kind::Char);
    add(console.rdev_major(5).rdev_minor(1), &[])?;
    add(entry("init", 0o755, Kind::Regular), init)?;
    newc::trailer(archive)
}
