//! Reports what this machine can build and boot: which tools are installed, and what to
//! install for those that are not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::build::process::{Cancel, Captured, Command, Exit, capture};
use crate::build::toolchain::{llvm_tool, variables};
use crate::input::arch_table::{self, ArchError};
use crate::model::arch::Arch;
use crate::model::cell::{BOOT, Cell};

/// A program that a build needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// The name it is called by.
    pub program: String,
    /// The Debian package that has it.
    pub package: String,
}

/// A tool, and what it is.
#[derive(Debug)]
pub struct Examined {
    pub tool: Tool,
    pub version: Version,
}

/// What a tool says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// Its version line.
    Said(String),
    /// It cannot be run.
    Missing,
    /// It does not answer.
    Hangs,
}

/// How long a tool may take for an answer.
const ANSWER: Duration = Duration::from_secs(20);

/// What the machine can do with one architecture.
#[derive(Debug)]
pub struct Ability {
    pub arch: String,
    /// Why kernels cannot be built, if they cannot.
    pub cannot_build: Option<String>,
    /// Why kernels cannot be booted, if they cannot.
    pub cannot_boot: Option<String>,
}

/// What `klto doctor` found.
#[derive(Debug)]
pub struct Diagnosis {
    pub tools: Vec<Examined>,
    pub abilities: Vec<Ability>,
}

impl Diagnosis {
    /// Whether kernels of all architectures can be built.
    #[must_use]
    pub fn can_build(&self) -> bool {
        self.abilities
            .iter()
            .all(|ability| ability.cannot_build.is_none())
    }
}

/// The tools that every kernel build needs besides its toolchain.
fn build_tools() -> Vec<Tool> {
    [
        ("make", "make"),
        ("flex", "flex"),
        ("bison", "bison"),
        ("bc", "bc"),
        ("gcc", "gcc"),
        ("perl", "perl"),
        ("python3", "python3"),
        ("cpio", "cpio"),
        ("rsync", "rsync"),
        ("xz", "xz-utils"),
        ("git", "git"),
    ]
    .into_iter()
    .map(|(program, package)| Tool {
        program: program.to_owned(),
        package: package.to_owned(),
    })
    .collect()
}

/// The tools of an LLVM toolchain, as `LLVM=` names them.
fn llvm_tools(llvm: Option<&str>) -> Vec<Tool> {
    let suffix = llvm
        .filter(|suffix| suffix.starts_with('-'))
        .unwrap_or_default();
    [
        ("clang", "clang"),
        ("ld.lld", "lld"),
        ("llvm-ar", "llvm"),
        ("llvm-nm", "llvm"),
        ("llvm-objcopy", "llvm"),
        ("llvm-readelf", "llvm"),
        ("llvm-strip", "llvm"),
    ]
    .into_iter()
    .map(|(tool, package)| Tool {
        program: llvm_tool(tool, llvm),
        package: format!("{package}{suffix}"),
    })
    .collect()
}

/// The tools of a GNU toolchain, as `CROSS_COMPILE=` names them.
fn gnu_tools(prefix: Option<&String>) -> Vec<Tool> {
    let prefix = prefix.map_or("", String::as_str);
    // Debian's packages: gcc-powerpc64le-linux-gnu has powerpc64le-linux-gnu-gcc.
    let of = |package: &str| match prefix.trim_end_matches('-') {
        "" => package.to_owned(),
        machine => format!("{package}-{}", machine.replace('_', "-")),
    };
    [
        ("gcc", "gcc"),
        ("ld", "binutils"),
        ("ar", "binutils"),
        ("nm", "binutils"),
    ]
    .map(|(tool, package)| Tool {
        program: format!("{prefix}{tool}"),
        package: of(package),
    })
    .into()
}

/// Configuration symbols that Kconfig leaves out if a tool is not there: the symbol, the make variable
/// that names the tool, the tool, and the Debian package that has it.
const NEEDED_BY_SYMBOLS: [(&str, &str, &str, &str); 3] = [
    ("CONFIG_DEBUG_INFO_BTF", "PAHOLE", "pahole", "pahole"),
    ("CONFIG_RUST", "RUSTC", "rustc", "rustc"),
    ("CONFIG_RUST", "BINDGEN", "bindgen", "bindgen"),
];

/// The tools that the configuration of a cell needs.
fn tools_of_symbols(cell: &Cell, variables: &BTreeMap<String, String>) -> Vec<Tool> {
    let requested = cell.requested();
    let is_set = |symbol: &str| requested.get(symbol).is_some_and(|value| value == "y");
    let needed = NEEDED_BY_SYMBOLS.iter();
    let needed = needed.filter(|(symbol, ..)| is_set(symbol));
    needed
        .map(|(_, variable, program, package)| Tool {
            program: variables
                .get(*variable)
                .map_or(*program, String::as_str)
                .to_owned(),
            package: (*package).to_owned(),
        })
        .collect()
}

/// What a cell needs and the machine lacks, as one sentence.
#[must_use]
pub fn missing_for(cell: &Cell) -> Option<String> {
    let variables = variables(cell);
    let mut tools = build_tools();
    match variables.get("LLVM") {
        Some(llvm) => tools.extend(llvm_tools(Some(llvm))),
        None => tools.extend(gnu_tools(variables.get("CROSS_COMPILE"))),
    }
    tools.extend(tools_of_symbols(cell, &variables));
    let missing: Vec<Tool> = tools
        .into_iter()
        .filter(|tool| find(&tool.program).is_none())
        .collect();
    let programs: Vec<&str> = missing.iter().map(|t| t.program.as_str()).collect();
    let boots = cell.scenarios.iter().any(|name| name == BOOT);
    install_hint(missing.iter())
        .map(|hint| format!("not installed: {}; on Debian: {hint}", programs.join(", ")))
        .or_else(|| {
            let why = foreign_program(&cell.arch)?;
            Some(format!(
                "this machine cannot build {} kernels: {why}",
                cell.arch.name
            ))
        })
        .or_else(|| {
            let why = boots.then(|| cannot_boot(&cell.arch)).flatten()?;
            Some(cannot_boot_message(&cell.arch, &why))
        })
}

/// The message that kernels of an architecture cannot be booted, and why.
#[must_use]
pub fn cannot_boot_message(arch: &Arch, why: &str) -> String {
    format!("this machine cannot boot {} kernels: {why}", arch.name)
}

/// Whether a shell would find a program.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    find(program).is_some()
}

/// Finds a program as a shell does.
fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Asks each tool for its version, and checks what the machine can do for each
/// architecture.
///
/// # Errors
/// When the architecture table cannot be read.
pub fn examine() -> Result<Diagnosis, ArchError> {
    let llvm = ["-22", "-21", "-20", "-19", ""]
        .into_iter()
        .find(|suffix| find(&format!("clang{suffix}")).is_some())
        .unwrap_or("-22");
    let examine = |tool: Tool| Examined {
        version: version(&tool.program),
        tool,
    };
    let mut needed = build_tools();
    needed.extend(llvm_tools(Some(llvm)));
    // Side by side, so that several that do not answer take no longer than one.
    let mut tools: Vec<Examined> = needed.into_par_iter().map(examine).collect();
    let trouble = trouble_with(&tools);
    let clang = llvm_tool("clang", Some(llvm));
    let arches: Vec<_> = arch_table::all()?.values().collect();
    let abilities = arches.into_par_iter().map(|arch| Ability {
        arch: arch.name.clone(),
        cannot_build: trouble
            .clone()
            .or_else(|| foreign_program(arch))
            .or_else(|| cannot_compile(&clang, arch)),
        cannot_boot: cannot_boot(arch),
    });
    let abilities = abilities.collect();
    tools.push(examine(Tool {
        program: "ccache".to_owned(),
        package: "ccache".to_owned(),
    }));
    Ok(Diagnosis { tools, abilities })
}

/// What is wrong with the tools that every build needs, if something is.
fn trouble_with(tools: &[Examined]) -> Option<String> {
    let are = |what: Version| tools.iter().filter(move |e| e.version == what);
    if let Some(hanging) = are(Version::Hangs).next() {
        return Some(hangs(&hanging.tool.program, "--version"));
    }
    install_hint(are(Version::Missing).map(|examined| &examined.tool))
}

/// What a tool says when it is asked, if it can be run.
fn ask(command: &Command) -> Option<Captured> {
    let until = Instant::now().checked_add(ANSWER);
    capture(command, until, &Cancel::new()).ok()
}

fn hangs(program: &str, asked: &str) -> String {
    let seconds = ANSWER.as_secs();
    format!(
        "'{program} {asked}' does not end within {seconds} seconds: run it, and see what it waits for"
    )
}

fn version(program: &str) -> Version {
    let asked = Command::new(program).arg("--version");
    let Some(captured) = find(program).and_then(|_| ask(&asked)) else {
        return Version::Missing;
    };
    if captured.status == Exit::TimedOut {
        return Version::Hangs;
    }
    let said = format!("{}\n{}", captured.stdout, captured.stderr);
    let mut lines = said.lines().map(str::trim);
    let line = lines.find(|line| line.chars().any(|c| c.is_ascii_digit()));
    Version::Said(line.unwrap_or("unknown version").to_owned())
}

/// Compiles an empty file for the target: a clang may be built without it.
fn cannot_compile(clang: &str, arch: &Arch) -> Option<String> {
    let compile = Command::new(clang)
        .arg(format!("--target={}", arch.target))
        .args(["-x", "c", "-c", "/dev/null", "-o", "/dev/null"]);
    let asked = format!("--target={}", arch.target);
    let captured = ask(&compile)?;
    match captured.status {
        Exit::Success => None,
        Exit::TimedOut => Some(hangs(clang, &asked)),
        _ => {
            let said = captured.stderr.lines().next().unwrap_or_default();
            Some(format!("{clang} {asked} failed: {said}"))
        }
    }
}

/// Why kernels of the architecture cannot be booted, if they cannot.
#[must_use]
pub fn cannot_boot(arch: &Arch) -> Option<String> {
    let Some(boot) = &arch.boot else {
        return Some("klto has no emulator for it".to_owned());
    };
    let Some(emulator) = &boot.emulator else {
        return foreign_program(arch);
    };
    let said = match version(&emulator.program) {
        Version::Said(said) => said,
        Version::Missing => return Some(format!("apt-get install {}", emulator.package)),
        Version::Hangs => return Some(hangs(&emulator.program, "--version")),
    };
    let since = emulator.since?;
    let major = major_version(&said)?;
    (major < since).then(|| {
        format!(
            "{} {major} is too old; it needs {since} or later: apt-get install -t bookworm-backports {}",
            emulator.program, emulator.package
        )
    })
}

/// Why this machine cannot run the kernels of an architecture, where they are programs.
fn foreign_program(arch: &Arch) -> Option<String> {
    let own = std::env::consts::ARCH;
    let (machine, _) = arch.triple.split_once('-')?;
    (arch.is_program() && machine != own)
        .then(|| format!("its kernels are programs for {machine}, and this machine is {own}"))
}

/// The first number of `QEMU emulator version 7.2.22 (…)`.
fn major_version(said: &str) -> Option<u32> {
    let (_, version) = said.split_once("version ")?;
    version.split('.').next()?.parse().ok()
}

fn install_hint<'a>(missing: impl Iterator<Item = &'a Tool>) -> Option<String> {
    let mut packages: Vec<&str> = missing.map(|tool| tool.package.as_str()).collect();
    packages.dedup();
    (!packages.is_empty()).then(|| format!("apt-get install {}", packages.join(" ")))
}

/// The report of `klto doctor`.
#[must_use]
pub fn report(diagnosis: &Diagnosis) -> String {
    let mut out = String::new();
    for Examined { tool, version } in &diagnosis.tools {
        let said = match version {
            Version::Said(said) => said,
            Version::Missing => "missing",
            Version::Hangs => "does not answer",
        };
        let _ = writeln!(out, "{:16} {said}", tool.program);
    }
    out.push('\n');
    for ability in &diagnosis.abilities {
        let can = |cannot: &Option<String>| match cannot {
            None => "yes".to_owned(),
            Some(why) => format!("no ({why})"),
        };
        let _ = writeln!(
            out,
            "{:16} build: {}; boot: {}",
            ability.arch,
            can(&ability.cannot_build),
            can(&ability.cannot_boot)
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_is_a_program_runs_on_its_own_machine_only() {
        let mut arch = Arch::clone(arch_table::by_name("um").unwrap());
        arch.triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        assert_eq!(cannot_boot(&arch), None);
        arch.triple = "vax-unknown-linux-gnu".to_owned();
        let why = cannot_boot(&arch).unwrap();
        assert!(
            why.starts_with("its kernels are programs for vax, "),
            "{why}"
        );
    }

    #[test]
    fn the_major_version_of_an_emulator_is_read() {
        assert_eq!(
            major_version("QEMU emulator version 7.2.22 (Debian 1:7.2)"),
            Some(7)
        );
        assert_eq!(major_version("QEMU emulator version 10.0.2"), Some(10));
        assert_eq!(major_version("unknown version"), None);
    }
}
