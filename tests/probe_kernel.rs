//! The probe on a real kernel source: its makefiles are clean on every architecture, and
//! the defects of history are caught, by their keys. Needs `KLTO_KERNEL`, as
//! `tests/real_kernel.rs` does.

#[path = "support/real.rs"]
mod real;

use std::collections::BTreeSet;
use std::path::Path;

use klto::arch;
use klto::cell::LtoMode;
use klto::mutation::{self, Mutation};
use serde_json::Value;
use tempfile::TempDir;

use real::{kernel, klto};

/// One probe; gives its exit code and its cells.
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
        .chain([&cell["checked"]["findings"]]);
    let open = lists
        .filter_map(Value::as_array)
        .flatten()
        .filter(|finding| finding["allowed"].is_null())
        .map(|finding| finding["key"].as_str().unwrap().to_owned());
    let failed = (!cell["build_failure"].is_null()).then(|| "build.failed".to_owned());
    open.chain(failed).collect()
}

#[test]
fn the_makefiles_are_clean_and_the_defects_of_history_are_caught() {
    let Some(kernel) = kernel() else { return };
    let work = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();

    let (code, cells) = probe(&kernel, &work, &[]);

    assert_eq!(code, Some(0));
    assert_eq!(cells.len(), 2 * arch::names().unwrap().len());
    for cell in &cells {
        assert_eq!(keys(cell), BTreeSet::new(), "{cell:#}");
        assert!(cell["checked"]["objects"].as_u64() > Some(50), "{cell:#}");
        assert!(
            cell["checked"]["exported_symbols"].as_u64() > Some(10),
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

    let (code, again) = probe(&kernel, &work, &[]);
    assert_eq!(code, Some(0), "no mutation stays");
    assert_eq!(again.len(), cells.len());
}

/// Where a mutation is tried: v11's on every architecture, since that is what it is about.
fn arches(mutation: &Mutation) -> Vec<String> {
    let known = || {
        arch::names()
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

    assert_eq!(code, Some(1), "{}", mutation.name);
    let found = keys(&cells[0]);
    for key in &mutation.expect {
        assert!(
            found.contains(key),
            "{} on {arch}: {key} is not in {found:?}",
            mutation.name
        );
    }
    let foretold = |key: &&String| mutation.expect.contains(key) || mutation.also.contains(key);
    let other: Vec<&String> = found.iter().filter(|key| !foretold(key)).collect();
    assert_eq!(other, Vec::<&String>::new(), "{} on {arch}", mutation.name);
}
