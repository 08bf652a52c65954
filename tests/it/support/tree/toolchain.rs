//! Starts the real compiler, linker and archiver for the tests that need objects as
//! kbuild makes them. A tool that is missing fails the test, with what to do about it.

use std::path::Path;
use std::process::{Command, Stdio};

pub const CLANG: &str = "clang-22";
pub const LLD: &str = "ld.lld-22";
pub const AR: &str = "llvm-ar-22";

/// What to do about a tool that is missing.
const REMEDY: &str = "these tests work on real objects: run ci/setup, which installs LLVM 22";

/// Gives clang a target of its own, for commands that name none: on any machine, and with
/// any vendor's clang, it is that of a native build for `x86_64`. A later `--target=` wins.
const OWN_TARGET: &str = "#^--target=x86_64-linux-gnu";

/// How a tool ended, and what it said.
#[derive(Debug, Clone)]
pub struct Ran {
    pub ok: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Fails the test where the tool did not do its work.
    #[track_caller]
    pub fn expect_ok(self) -> Ran {
        assert!(self.ok, "the tool failed:\n{}", self.stderr);
        self
    }
}

/// Runs a tool in a directory.
pub fn run<A: AsRef<std::ffi::OsStr>>(
    dir: &Path,
    program: &str,
    args: impl IntoIterator<Item = A>,
) -> Ran {
    let output = Command::new(program)
        .args(args)
        .current_dir(dir)
        .env("LC_ALL", "C")
        .env("CCC_OVERRIDE_OPTIONS", OWN_TARGET)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program} does not start: {e}\n  {REMEDY}"));
    Ran {
        ok: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a recipe as make does: through the shell.
pub fn shell(dir: &Path, recipe: &str) -> Ran {
    run(dir, "/bin/sh", ["-c", recipe])
}

/// What distinguishes installed compilers, without the time it takes to start it.
pub fn clang_identity() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let clang = std::env::split_paths(&path)
        .map(|folder| folder.join(CLANG))
        .find_map(|file| file.canonicalize().ok())
        .unwrap_or_else(|| panic!("{CLANG} is not in PATH\n  {REMEDY}"));
    let metadata = std::fs::metadata(&clang).unwrap();
    let modified = metadata.modified().unwrap();
    format!("{} {} {modified:?}", clang.display(), metadata.len())
}

/// The first line of `clang --version`, which is `CONFIG_CC_VERSION_TEXT`.
pub fn clang_version() -> String {
    let ran = run(Path::new("/"), CLANG, ["--version"]).expect_ok();
    let line = ran.stdout.lines().next();
    line.expect("clang --version prints a line").to_owned()
}

/// `22.1.8` as `scripts/cc-version.sh` writes it: `220108`.
pub fn version_number(version_text: &str) -> u32 {
    let parts = version_text
        .split_whitespace()
        .find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or_else(|| panic!("no version in '{version_text}'"));
    parts
        .split('.')
        .take(3)
        .map(|part| part.parse::<u32>().unwrap())
        .fold(0, |number, part| number * 100 + part)
}
