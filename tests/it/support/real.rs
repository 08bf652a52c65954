//! What the tests on a real kernel source share: where it is, and klto itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use klto::judge::inspect::InspectRequest;
use klto::model::facts::Goal;

/// The kernel source, or `None` where the caller wants these tests left out.
pub fn kernel() -> Option<PathBuf> {
    if std::env::var_os("KLTO_SKIP_REAL_KERNEL").is_some() {
        eprintln!("left out: KLTO_SKIP_REAL_KERNEL is set");
        return None;
    }
    let dir = std::env::var_os("KLTO_KERNEL")
        .expect("KLTO_KERNEL must name a kernel source: run ci/test, or KLTO_KERNEL=$(ci/kernel-source) cargo test");
    Some(PathBuf::from(dir))
}

/// What `klto check` asks of a finished build tree.
pub fn request<'a>(build: &'a Path, nothing: &'a BTreeMap<String, String>) -> InspectRequest<'a> {
    InspectRequest {
        build,
        external: None,
        source: None,
        log: None,
        goal: Goal::Vmlinux,
        arch: None,
        mode: None,
        requested: nothing,
        only: &[],
    }
}

pub fn klto(args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_klto"))
        .args(args)
        .env_remove("KLTO_STORE")
        .env(
            "XDG_DATA_HOME",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("data"),
        )
        .output()
        .expect("klto starts");
    eprintln!(
        "klto {}\n{}{}",
        args.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
