//! Booting: an init that real compilers make for each architecture, and what an emulator
//! (here a script) shows on the console. That real kernels boot is in `real_kernel.rs`.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use klto::build::boot::Boot;
use klto::build::process::Cancel;
use klto::input::arch_table;
use klto::model::arch::Arch;
use klto::model::cell::{Base, Cell, LtoMode};
use klto::model::error::Error;
use object::{Architecture, Object as _, ObjectSection as _};
use rstest::rstest;

/// A build tree with a boot image, and an emulator that is this script; or a kernel that is it, where
/// kernels are programs.
struct Machine {
    dir: tempfile::TempDir,
    cell: Cell,
    cancel: Cancel,
    limit: Duration,
    deadline: Option<Instant>,
}

impl Machine {
    fn new(arch_name: &str, script: &str) -> Machine {
        let dir = tempfile::Builder::new().prefix("klto-").tempdir().unwrap();
        let emulator = dir.path().join("emulator");
        let version = "[ \"$1\" != --version ] || { echo 'emulator version 9.1'; exit; }";
        std::fs::write(&emulator, format!("#!/bin/sh\n{version}\n{script}\n")).unwrap();
        std::fs::set_permissions(&emulator, PermissionsExt::from_mode(0o755)).unwrap();
        let mut arch: Arch = Arch::clone(arch_table::by_name(arch_name).unwrap());
        let boot = arch.boot.as_mut().unwrap();
        let image = dir.path().join("build").join(&boot.kernel);
        std::fs::create_dir_all(image.parent().unwrap()).unwrap();
        match &mut boot.emulator {
            Some(machine) => {
                emulator.to_str().unwrap().clone_into(&mut machine.program);
                std::fs::write(image, "a kernel").unwrap();
            }
            None => drop(std::fs::copy(emulator, image).unwrap()),
        }
        std::fs::create_dir(dir.path().join("scratch")).unwrap();
        Machine {
            dir,
            cell: Cell {
                arch: Arc::new(arch),
                config_name: "tiny".to_owned(),
                base: Base::Goal("tinyconfig".to_owned()),
                fragments: Vec::new(),
                enable: Vec::new(),
                disable: Vec::new(),
                set: BTreeMap::new(),
                lto: LtoMode::Thin,
                toolchain_name: "llvm-22".to_owned(),
                make: BTreeMap::from([("LLVM".to_owned(), "-22".to_owned())]),
                goals: Vec::new(),
                scenarios: Vec::new(),
                timeout: Duration::from_mins(1),
            },
            cancel: Cancel::new(),
            limit: Duration::from_mins(1),
            deadline: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The keys of what is wrong, with the evidence.
    fn boot(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let boot = Boot {
            cell: &self.cell,
            build: &self.path("build"),
            release: "7.2",
            scratch: &self.path("scratch"),
            console: &self.path("scratch/console.log"),
            limit: self.limit,
            deadline: self.deadline,
            cancel: &self.cancel,
        };
        let wrong = boot.run()?;
        Ok(wrong
            .into_iter()
            .map(|(rule, evidence)| (rule.key, evidence))
            .collect())
    }

    fn keys(&self) -> Vec<&'static str> {
        self.boot()
            .unwrap()
            .into_iter()
            .map(|(key, _)| key)
            .collect()
    }
}

const LINE: &str = "printf 'booting\\r\\n\\nklto: init runs on Linux 7.2\\r\\n'";

#[rstest]
#[case::x86_64("x86_64", Architecture::X86_64)]
#[case::arm64("arm64", Architecture::Aarch64)]
#[case::riscv("riscv", Architecture::Riscv64)]
#[case::loongarch("loongarch", Architecture::LoongArch64)]
#[cfg_attr(target_arch = "x86_64", case::user_mode("um", Architecture::X86_64))]
fn the_init_is_a_static_program_of_the_architecture(
    #[case] name: &str,
    #[case] architecture: Architecture,
) {
    let machine = Machine::new(name, LINE);
    assert_eq!(machine.keys(), [""; 0]);
    let init = std::fs::read(machine.path("scratch/init")).unwrap();
    let file = object::File::parse(&*init).unwrap();
    assert_eq!(file.architecture(), architecture);
    assert_ne!(file.entry(), 0);
    assert!(file.section_by_name(".interp").is_none());
    let text = file.section_by_name(".text").unwrap();
    assert!(text.size() < 1000, "{} bytes", text.size());
    assert_eq!(file.imports().unwrap().count(), 0);

    // A console, and the init, for the kernel to open and to run.
    let archive = std::fs::read(machine.path("scratch/init.cpio")).unwrap();
    let mut rest = &archive[..];
    let mut found = Vec::new();
    loop {
        let mut reader = cpio::newc::Reader::new(rest).unwrap();
        let entry = reader.entry();
        if entry.is_trailer() {
            break;
        }
        found.push((
            entry.name().to_owned(),
            entry.mode(),
            (entry.rdev_major(), entry.rdev_minor()),
        ));
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut content).unwrap();
        assert!(found.len() < 3 || content == init);
        rest = reader.finish().unwrap();
    }
    let expected = [
        ("dev", 0o040_755, (0, 0)),
        ("dev/console", 0o020_600, (5, 1)),
        ("init", 0o100_755, (0, 0)),
    ];
    assert_eq!(
        found,
        expected.map(|(name, mode, device)| (name.to_owned(), mode, device))
    );
}

#[test]
fn the_emulator_gets_the_kernel_the_init_and_the_console() {
    let machine = Machine::new("arm64", &format!("printf '%s\\n' \"$@\"; {LINE}"));
    assert_eq!(machine.keys(), [""; 0]);
    let console = std::fs::read_to_string(machine.path("scratch/console.log")).unwrap();
    let scratch = machine.path("scratch").display().to_string();
    for part in [
        format!("\n-kernel\n{scratch}/kernel\n"),
        format!("\n-initrd\n{scratch}/init.cpio\n"),
        "\n-append\nconsole=ttyAMA0 earlycon panic=-1\n".to_owned(),
        "\n-M\nvirt,gic-version=max\n".to_owned(),
        "\n-accel\ntcg\n-cpu\nmax,pauth-impdef=true\n".to_owned(),
        "\n-no-reboot\n".to_owned(),
    ] {
        assert!(console.contains(&part), "{part} in {console}");
    }
    // What was run can be run again.
    assert!(console.starts_with(&format!("+ {}/emulator -M ", machine.dir.path().display())));
    assert_eq!(
        std::fs::read(machine.path("scratch/kernel")).unwrap(),
        b"a kernel"
    );
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_kernel_that_is_a_program_gets_the_init_the_console_and_folders_of_its_own() {
    let script = format!("printf '%s\\n' \"$@\" \"$HOME\" \"$TMPDIR\"; {LINE}");
    let machine = Machine::new("um", &script);
    assert_eq!(machine.keys(), [""; 0]);
    let console = std::fs::read_to_string(machine.path("scratch/console.log")).unwrap();
    let scratch = machine.path("scratch").display().to_string();
    let (command, said) = console.split_once('\n').unwrap();
    assert!(
        command.contains(&format!("{scratch}/kernel mem=256M")),
        "{command}"
    );
    let expected = format!(
        "mem=256M\ninitrd={scratch}/init.cpio\ncon=null\ncon0=null,fd:1\npanic=-1\n{scratch}\n{scratch}\n"
    );
    assert!(said.starts_with(&expected), "{said}");
}

/// How the program ends is the kernel's doing.
#[rstest]
#[cfg(target_arch = "x86_64")]
#[case::panics("echo 'Kernel panic - not syncing: VFS'; kill -ABRT $$", &["boot.panic", "boot.no-init"])]
#[case::crashes("kill -SEGV $$", &["boot.no-init"])]
#[case::fails("echo booting; exit 1", &["boot.no-init"])]
fn a_program_that_ends_early_is_reported(#[case] script: &str, #[case] expected: &[&str]) {
    assert_eq!(Machine::new("um", script).keys(), expected);
}

#[rstest]
#[case::ends_early("echo booting", &["boot.no-init"])]
#[case::another_kernel("echo 'klto: init runs on Linux 7.1'", &["boot.other-kernel"])]
#[case::warns("echo 'WARNING: at a.c:1'; echo 'klto: init runs on Linux 7.2'", &["boot.warning"])]
fn what_the_console_shows_is_reported(#[case] script: &str, #[case] expected: &[&str]) {
    assert_eq!(Machine::new("riscv", script).keys(), expected);
}

#[test]
fn a_kernel_that_hangs_is_ended_and_reported() {
    let mut machine = Machine::new("riscv", "echo early; exec sleep 600");
    machine.limit = Duration::from_secs(1);
    let wrong = machine.boot().unwrap();
    let keys: Vec<&str> = wrong.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, ["boot.hang", "boot.no-init"]);
    assert_eq!(wrong[0].1, "no end within 1 s; the last line is 'early'");
}

#[test]
fn a_kernel_that_floods_the_console_is_ended_and_reported() {
    let machine = Machine::new("riscv", "exec yes 'a line of many'");
    assert_eq!(machine.keys(), ["boot.flood", "boot.no-init"]);
    let console = std::fs::metadata(machine.path("scratch/console.log")).unwrap();
    assert_eq!(console.len(), 4 << 20, "the rest is dropped");
}

#[test]
fn an_emulator_that_fails_says_nothing_of_the_kernel() {
    let error = Machine::new("riscv", "echo 'no such machine' >&2; exit 1")
        .boot()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("failed: exit code 1: no such machine; see "),
        "{error}"
    );
    assert_eq!(error.exit().code(), 125);
}

#[test]
fn the_time_of_the_cell_says_nothing_of_the_kernel() {
    let mut machine = Machine::new("riscv", "exec sleep 600");
    machine.deadline = Instant::now().checked_add(Duration::from_secs(1));
    let error = machine.boot().unwrap_err();
    assert!(error.to_string().contains("failed: timed out"), "{error}");
}

#[test]
fn an_interrupt_ends_the_emulator() {
    let machine = Machine::new("riscv", "exec sleep 600");
    machine.cancel.cancel();
    assert!(matches!(machine.boot().unwrap_err(), Error::Cancelled));
}

/// The emulator of an architecture whose kernels boot in one.
fn emulator(arch: &mut Arch) -> &mut klto::model::arch::Emulator {
    let boot = arch.boot.as_mut().unwrap();
    boot.emulator.as_mut().unwrap()
}

#[test]
fn an_emulator_that_is_too_old_or_missing_is_named_with_what_to_install() {
    let mut machine = Machine::new("loongarch", LINE);
    let arch = Arc::get_mut(&mut machine.cell.arch).unwrap();
    emulator(arch).since = Some(10);
    let error = machine.boot().unwrap_err().to_string();
    assert!(
        error.contains("is too old; it needs 10 or later: apt-get install"),
        "{error}"
    );
    let arch = Arc::get_mut(&mut machine.cell.arch).unwrap();
    emulator(arch).program = "klto-no-such-emulator".to_owned();
    let error = machine.boot().unwrap_err().to_string();
    assert!(
        error.contains("apt-get install qemu-system-misc"),
        "{error}"
    );
    let arch = Arc::get_mut(&mut machine.cell.arch).unwrap();
    arch.boot = None;
    let error = machine.boot().unwrap_err().to_string();
    assert!(error.contains("klto has no emulator for it"), "{error}");
}

#[test]
fn an_init_that_cannot_be_built_says_nothing_of_the_kernel() {
    let mut machine = Machine::new("riscv", LINE);
    let arch = Arc::get_mut(&mut machine.cell.arch).unwrap();
    let call = &mut arch.boot.as_mut().unwrap().system_call;
    call.instruction = "no-such-instruction".to_owned();
    let error = machine.boot().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the init cannot be built: 'clang-22 "),
        "{error}"
    );
    assert_eq!(error.exit().code(), 125);
}
