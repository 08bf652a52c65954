//! Says what this machine can build: which tools are there, and what to install
//! for those that are not.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::arch;
use crate::cell::Cell;
use crate::kbuild::{llvm_tool, variables};
use crate::process::{Cancel, Command, capture};

/// A program that a build needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// The name it is called by.
    pub program: String,
    /// The Debian package that has it.
    pub package: String,
}

/// A tool, and the first line of what it says of its version; `None` where it
/// cannot be run.
#[derive(Debug)]
pub struct Examined {
    pub tool: Tool,
    pub version: Option<String>,
}

/// What every kernel build needs besides its toolchain.
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

/// What a cell needs and the machine has not, as one sentence.
#[must_use]
pub fn missing_for(cell: &Cell, ccache: bool) -> Option<String> {
    let variables = variables(cell);
    let mut tools = build_tools();
    if let Some(llvm) = variables.get("LLVM") {
        tools.extend(llvm_tools(Some(llvm)));
    }
    if ccache {
        tools.push(Tool {
            program: "ccache".to_owned(),
            package: "ccache".to_owned(),
        });
    }
    let missing: Vec<Tool> = tools
        .into_iter()
        .filter(|tool| find(&tool.program).is_none())
        .collect();
    (!missing.is_empty()).then(|| {
        let mut packages: Vec<&str> = missing.iter().map(|t| t.package.as_str()).collect();
        packages.dedup();
        let programs: Vec<&str> = missing.iter().map(|t| t.program.as_str()).collect();
        format!(
            "not installed: {}; on Debian: apt-get install {}",
            programs.join(", "),
            packages.join(" ")
        )
    })
}

/// Looks for a program as a shell does.
fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Asks each tool for its version.
#[must_use]
pub fn examine() -> Vec<Examined> {
    let llvm = ["-22", "-21", "-20", "-19", ""]
        .into_iter()
        .find(|suffix| find(&format!("clang{suffix}")).is_some())
        .unwrap_or("-22");
    let optional = Tool {
        program: "ccache".to_owned(),
        package: "ccache".to_owned(),
    };
    build_tools()
        .into_iter()
        .chain(llvm_tools(Some(llvm)))
        .chain([optional])
        .map(|tool| Examined {
            version: version(&tool.program),
            tool,
        })
        .collect()
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
        .or(Some("of unknown version".to_owned()))
}

/// The report of `klto doctor`.
#[must_use]
pub fn report(examined: &[Examined]) -> String {
    let mut out = String::new();
    for Examined { tool, version } in examined {
        let said = version.as_deref().unwrap_or("missing");
        let _ = writeln!(out, "{:16} {said}", tool.program);
    }
    let mut missing: Vec<&str> = examined
        .iter()
        .filter(|e| e.version.is_none())
        .map(|e| e.tool.package.as_str())
        .collect();
    missing.dedup();
    let _ = match &missing[..] {
        [] => writeln!(
            out,
            "\ncan build: {}",
            arch::names().unwrap_or_default().join(", ")
        ),
        ["ccache"] => writeln!(
            out,
            "\ncan build: {}; ccache would make repeated builds faster",
            arch::names().unwrap_or_default().join(", ")
        ),
        _ => writeln!(
            out,
            "\ncannot build a kernel yet; on Debian: apt-get install {}",
            missing.join(" ")
        ),
    };
    out.push_str("booting is not part of klto yet\n");
    out
}
