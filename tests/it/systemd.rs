//! The units in `ci/systemd` are what systemd accepts, and call klto with options that it has.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::program::{finish, klto};

fn unit(name: &str) -> (PathBuf, String) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("ci/systemd")
        .join(name);
    let text = fs::read_to_string(&file).unwrap();
    (file, text)
}

#[test]
fn the_service_calls_klto_with_options_that_it_has() {
    let (_, text) = unit("klto-night.service");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))
        .unwrap();
    let (_, args) = line.split_once("/klto ").unwrap();
    let values = [
        ("${NIGHT_MATRIX}", "matrices/quick.yaml"),
        ("${NIGHT_REF}", "HEAD"),
        ("${NIGHT_BUDGET}", "8h"),
        ("${NIGHT_WORK}", "work"),
    ];
    let args = values.iter().fold(args.to_owned(), |args, (name, value)| {
        args.replace(name, value)
    });
    assert!(!args.contains('$'), "{args}");
    let folder = tempfile::tempdir().unwrap();
    let mut command = klto(args.split(' '));
    command
        .current_dir(folder.path())
        .env("KLTO_KERNEL", folder.path());
    let ended = finish(&mut command);
    // The options are read; then the matrix is not there.
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("matrices/quick.yaml: No such file"),
        "{}",
        ended.stderr
    );
}

#[test]
fn systemd_accepts_the_units() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["klto-night.service", "klto-night.timer"] {
        let (_, text) = unit(name);
        // A program that is there.
        fs::write(
            folder.path().join(name),
            text.replace("%h/.cargo/bin/klto", "/bin/true"),
        )
        .unwrap();
    }
    let mut verify = Command::new("systemd-analyze");
    verify
        .args([
            "verify",
            "--user",
            "--man=no",
            "klto-night.timer",
            "klto-night.service",
        ])
        .env("XDG_RUNTIME_DIR", folder.path())
        .current_dir(folder.path());
    let ended = finish(&mut verify);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("klto-night"), "{}", ended.stderr);
}
