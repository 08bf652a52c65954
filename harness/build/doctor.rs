//! Reports what this machine can build and boot: which tools are installed, and what to
//! install for those that are not.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::build::process::{Cancel, Command, Exit, capture};
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

/// A tool and its version line; `None` if it cannot be run.
#[derive(Debug)]
pub struct Examined {
    pub tool: Tool,
    pub version: Option<String>,
}

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

/// What a cell needs and the machine lacks, as one sentence.
#[must_use]
pub fn missing_for(cell: &Cell) -> Option<String> {
    let variables = variables(cell);
    let mut tools = build_tools();
    match variables.get("LLVM") {
        Some(llvm) => tools.extend(llvm_tools(Some(llvm))),
        None => tools.extend(gnu_tools(variables.get("CROSS_COMPILE"))),
    }
    let missing: Vec<Tool> = tools
        .into_iter()
        .filter(|tool| find(&tool.program).is_none())
        .collect();
    let programs: Vec<&str> = missing.iter().map(|t| t.program.as_str()).collect();
    let boots = cell.scenarios.iter().any(|name| name == BOOT);
    install_hint(missing.iter())
        .map(|hint| format!("not installed: {}; on Debian: {hint}", programs.join(", ")))
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
    let needed: Vec<Examined> = build_tools()
        .into_iter()
        .chain(llvm_tools(Some(llvm)))
        .map(examine)
        .collect();
    let missing = install_hint(
        needed
            .iter()
            .filter(|e| e.version.is_none())
            .map(|e| &e.tool),
    );
    let clang = llvm_tool("clang", Some(llvm));
    let abilities = arch_table::all()?
        .values()
        .map(|arch| Ability {
            arch: arch.name.clone(),
            cannot_build: missing.clone().or_else(|| cannot_compile(&clang, arch)),
            cannot_boot: cannot_boot(arch),
        })
        .collect();
    let ccache = examine(Tool {
        program: "ccache".to_owned(),
        package: "ccache".to_owned(),
    });
    Ok(Diagnosis {
        tools: needed.into_iter().chain([ccache]).collect(),
        abilities,
    })
}

fn version(program: &str) -> Option<String> {
    find(program)?;
    let captured = capture(
        &Command::new(program).arg("--version"),
        None,
        &Cancel::new(),
    )
    .ok()?;
    let said = format!("{}\n{}", captured.stdout, captured.stderr);
    said.lines()
        .map(str::trim)
        .find(|line| line.chars().any(|c| c.is_ascii_digit()))
        .map(str::to_owned)
        .or(Some("unknown version".to_owned()))
}

/// Compiles an empty file for the target: a clang may be built without it.
fn cannot_compile(clang: &str, arch: &Arch) -> Option<String> {
    let compile = Command::new(clang)
        .arg(format!("--target={}", arch.target))
        .args(["-x", "c", "-c", "/dev/null", "-o", "/dev/null"]);
    let captured = capture(&compile, None, &Cancel::new()).ok()?;
    (captured.status != Exit::Success).then(|| {
        let said = captured.stderr.lines().next().unwrap_or_default();
        format!("{clang} --target={} failed: {said}", arch.target)
    })
}

/// Why kernels of the architecture cannot be booted, if they cannot.
#[must_use]
pub fn cannot_boot(arch: &Arch) -> Option<String> {
    let Some(emulator) = &arch.emulator else {
        return Some("klto has no emulator for it".to_owned());
    };
    let Some(said) = version(&emulator.program) else {
        return Some(format!("apt-get install {}", emulator.package));
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
        let said = version.as_deref().unwrap_or("missing");
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
            "{:16} build: {}; boot in an emulator: {}",
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
    fn the_major_version_of_an_emulator_is_read() {
        assert_eq!(
            major_version("QEMU emulator version 7.2.22 (Debian 1:7.2)"),
            Some(7)
        );
        assert_eq!(major_version("QEMU emulator version 10.0.2"), Some(10));
        assert_eq!(major_version("unknown version"), None);
    }
}
