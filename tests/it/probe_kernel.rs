//! The probe on a real kernel source: its makefiles are clean on every architecture, harmless
//! edits of them too, and the defects of history are caught, by their keys. Needs `KLTO_KERNEL`, as
//! `tests/real_kernel.rs` does.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use klto::input::arch_table;
use klto::input::mutation::{self, Mutation};
use klto::model::cell::LtoMode;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::real::{kernel, klto};

/// Runs one probe; returns its exit code and its cells.
fn probe(kernel: &Path, work: &TempDir, args: &[&str]) -> (Option<i32>, Vec<Value>) {
    let (kernel, work) = (kernel.to_str().unwrap(), work.path().to_str().unwrap());
    let mut all = vec![
        "probe", "--kernel", kernel, "--work", work, "--format", "json",
    ];
    all.extend(args);
    let output = klto(&all);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    (
        output.status.code(),
        report["cells"].as_array().unwrap().clone(),
    )
}

/// The keys of what is found and not allowed, in the build and in every scenario.
fn keys(cell: &Value) -> BTreeSet<String> {
    let scenarios = cell["scenarios"].as_array().unwrap();
    let lists = scenarios
        .iter()
        .map(|s| &s["findings"])
        .chain([&cell["inspection"]["findings"]]);
    let open = lists
        .filter_map(Value::as_array)
        .flatten()
        .filter(|finding| finding["allowed"].is_null())
        .map(|finding| finding["key"].as_str().unwrap().to_owned());
    open.collect()
}

/// Harmless edits, each line in one probe: names that change in several files, and options and
/// tools that are written otherwise.
const TELLING: [&[&str]; 2] = [
    &[
        "all-renamed",
        "thinlto-output-moved",
        "vmlinux-o-archive-with-a-dot",
    ],
    &[
        "thinlto-options-reordered",
        "thinlto-awk",
        "vmlinux-a-seven-at-a-time",
        "order-not-kept",
    ],
];

#[test]
fn the_makefiles_are_clean_and_the_defects_of_history_are_caught() {
    let Some(kernel) = kernel() else { return };
    let work = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();

    let (code, cells) = probe(&kernel, &work, &["--scenario", "build,noop,clean"]);

    assert_eq!(code, Some(0));
    assert_eq!(cells.len(), 2 * arch_table::names_with_lto().unwrap().len());
    for cell in &cells {
        assert_eq!(keys(cell), BTreeSet::new(), "{cell:#}");
        let played = cell["scenarios"].as_array().unwrap().iter();
        let played: Vec<&Value> = played.map(|s| &s["name"]).collect();
        assert_eq!(played, ["noop", "clean"], "{cell:#}");
        assert!(
            cell["inspection"]["counts"]["objects"].as_u64() > Some(50),
            "{cell:#}"
        );
        assert!(
            cell["inspection"]["counts"]["exported_symbols"].as_u64() > Some(10),
            "{cell:#}"
        );
    }

    let table = mutation::all().unwrap();
    for mutation in table
        .iter()
        .filter(|m| m.history.is_some() && m.unseen.is_none())
    {
        for arch in arches(mutation) {
            is_caught(&kernel, &work, mutation, &arch);
        }
    }

    for names in TELLING {
        let edits: Vec<Mutation> = names.iter().map(|n| mutation::load(n).unwrap()).collect();
        let edits: Vec<&Mutation> = edits.iter().collect();
        assert_eq!(shows_nothing(&kernel, &work, &edits, "x86_64"), Ok(()));
    }

    let (code, again) = probe(&kernel, &work, &[]);
    assert_eq!(code, Some(0), "no mutation stays");
    assert_eq!(again.len(), cells.len());
}

/// How often ccache had to start a compiler in that work directory.
fn misses(work: &TempDir) -> u64 {
    let cache = work.path().join("ccache");
    if !cache.exists() {
        return 0;
    }
    let statistics = Command::new("ccache")
        .arg("--print-stats")
        .env("CCACHE_CONFIGPATH", "/dev/null")
        .env("CCACHE_DIR", cache)
        .output()
        .unwrap();
    let statistics = String::from_utf8(statistics.stdout).unwrap();
    let mut lines = statistics.lines();
    let misses = lines.find_map(|line| line.strip_prefix("cache_miss\t"));
    misses
        .unwrap_or_else(|| panic!("{statistics}"))
        .parse()
        .unwrap()
}

#[test]
fn modes_share_objects_unless_some_code_tells_them_apart() {
    let Some(kernel) = kernel() else { return };
    let work = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let elsewhere = TempDir::new().unwrap();
    let mutation = elsewhere.path().join("tells-apart.yaml");
    let edit = "name: tells-apart\n\
        about: A header that all code includes tells the modes of LTO apart.\n\
        edits:\n\
        - file: include/linux/kconfig.h\n  \
          match: '#define __LINUX_KCONFIG_H'\n  \
          replace: \"#define __LINUX_KCONFIG_H\\n#ifdef CONFIG_LTO_CLANG_THIN\\n#define KLTO_THIN 1\\n#endif\"\n\
        unseen: No rule is broken.\n";
    std::fs::write(&mutation, edit).unwrap();
    let mutation = mutation.to_str().unwrap();
    let missed_by_the_second_mode = |more: &[&str]| {
        let missed = |mode: &str| {
            let before = misses(&work);
            let args = ["--arch", "riscv", "--lto", mode];
            let (code, _) = probe(&kernel, &work, &[&args, more].concat());
            assert_eq!(code, Some(0));
            misses(&work) - before
        };
        let (first, second) = (missed("thin-dist"), missed("thin"));
        assert!(first > 50, "{first}");
        second
    };
    // What only the second mode compiles, such as the list of a module's symbols.
    let shared = missed_by_the_second_mode(&[]);
    assert!(shared < 20, "{shared}");
    let apart = missed_by_the_second_mode(&["--mutate", mutation]);
    assert!(apart > 50, "{apart}");
}

/// Where a mutation is tried: v11's on every architecture, since that is what it is about.
fn arches(mutation: &Mutation) -> Vec<String> {
    let known = || {
        arch_table::names_with_lto()
            .unwrap()
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    let mut arches: Vec<String> = mutation.arch.clone().unwrap_or_else(known);
    if mutation.history.as_deref() != Some("v11") {
        arches.drain(..arches.len() - 1);
    }
    arches
}

fn is_caught(kernel: &Path, work: &TempDir, mutation: &Mutation, arch: &str) {
    if let Err(how) = shows_as_expected(kernel, work, mutation, arch) {
        panic!("{} on {arch}: {how}", mutation.name);
    }
}

/// Whether a mutation is reported under the keys that its file names, and no other.
fn shows_as_expected(
    kernel: &Path,
    work: &TempDir,
    mutation: &Mutation,
    arch: &str,
) -> Result<(), String> {
    let modes = [LtoMode::ThinDist, LtoMode::Thin, LtoMode::None];
    let lto = modes
        .into_iter()
        .find(|lto| mutation.lto.contains(lto))
        .unwrap();
    let args = [
        "--arch",
        arch,
        "--lto",
        lto.name(),
        "--scenario",
        &mutation.scenario,
        "--mutate",
        &mutation.name,
    ];

    let (code, cells) = probe(kernel, work, &args);

    let wanted = Some(i32::from(mutation.unseen.is_none()));
    let found = keys(&cells[0]);
    if code != wanted {
        return Err(format!("exit {code:?}, expected {wanted:?}: {found:?}"));
    }
    if let Some(key) = mutation.expect.iter().find(|key| !found.contains(*key)) {
        return Err(format!("{key} is not in {found:?}"));
    }
    let foretold = |key: &&String| mutation.expect.contains(key) || mutation.also.contains(key);
    match found.iter().find(|key| !foretold(key)) {
        Some(key) => Err(format!("{key} is not foretold")),
        None => Ok(()),
    }
}

/// Whether nothing is reported of a kernel with these harmless edits in it, in the modes in
/// which they can be seen.
fn shows_nothing(
    kernel: &Path,
    work: &TempDir,
    edits: &[&Mutation],
    arch: &str,
) -> Result<(), String> {
    let modes = [LtoMode::ThinDist, LtoMode::Thin].into_iter();
    let modes = modes.filter(|mode| edits.iter().any(|edit| edit.lto.contains(mode)));
    let modes: Vec<&str> = modes.map(LtoMode::name).collect();
    let modes = modes.join(",");
    let mut args = vec!["--arch", arch, "--lto", &modes, "--scenario", "build"];
    args.extend(edits.iter().flat_map(|edit| ["--mutate", &edit.name]));

    let (code, cells) = probe(kernel, work, &args);

    let found: Vec<BTreeSet<String>> = cells.iter().map(keys).collect();
    match code == Some(0) && found.iter().all(BTreeSet::is_empty) {
        true => Ok(()),
        false => Err(format!("exit {code:?}: {found:?}")),
    }
}

/// Tries the entries of a table that can be seen on the architecture; gives what is wrong.
fn try_all(
    table: Vec<Mutation>,
    arch: &String,
    try_one: impl Fn(&Path, &TempDir, &Mutation) -> Result<(), String>,
) -> Vec<String> {
    let kernel = kernel().expect("KLTO_KERNEL names the kernel");
    let work = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut wrong = Vec::new();
    for mutation in table {
        if mutation
            .arch
            .as_ref()
            .is_some_and(|known| !known.contains(arch))
        {
            continue;
        }
        let shown = try_one(&kernel, &work, &mutation);
        eprintln!("{}: {shown:?}", mutation.name);
        wrong.extend(shown.err().map(|how| format!("{}: {how}", mutation.name)));
    }
    wrong
}

/// Half an hour for one architecture: `KLTO_MUTATIONS=x86_64` asks for it.
#[test]
fn the_whole_table_of_mutations_shows_what_it_says() {
    let Ok(arch) = std::env::var("KLTO_MUTATIONS") else {
        return;
    };
    let wrong = try_all(mutation::all().unwrap(), &arch, |kernel, work, mutation| {
        shows_as_expected(kernel, work, mutation, &arch)
    });
    assert_eq!(wrong, Vec::<String>::new());
}

/// As long again: `KLTO_HARMLESS=x86_64` asks for it.
#[test]
fn the_whole_table_of_harmless_edits_shows_nothing() {
    let Ok(arch) = std::env::var("KLTO_HARMLESS") else {
        return;
    };
    let wrong = try_all(
        mutation::harmless().unwrap(),
        &arch,
        |kernel, work, edit| shows_nothing(kernel, work, &[edit], &arch),
    );
    assert_eq!(wrong, Vec::<String>::new());
}
