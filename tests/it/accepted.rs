//! Accepted snapshots as users have them: `klto run` proposes, `klto accept` accepts, the next
//! run compares.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use klto::judge::inspect::{Expected, judge_facts};
use klto::judge::snapshot::in_bands;
use klto::model::cell::LtoMode;
use klto::model::facts::ObjectFile;

use crate::support::fake_kernel::FakeKernel;
use crate::support::program::{Ended, finish, klto};
use crate::support::tree::Tree;
use crate::support::tree::layout::X86_64;

const THIN: &str = "x86_64/tiny/thin/llvm-22";
const DIST: &str = "x86_64/tiny/thin-dist/llvm-22";

/// A kernel with a folder of snapshots, in two modes.
struct Reviewed(FakeKernel);

impl Reviewed {
    fn new() -> Self {
        let kernel = FakeKernel::new();
        kernel.matrix("[thin, thin-dist]", "10min");
        fs::create_dir(kernel.dir().join("snapshots")).unwrap();
        Reviewed(kernel)
    }

    fn run(&self) -> Ended {
        finish(&mut self.0.run(&[]))
    }

    fn accept(&self, more: &[&str]) -> Ended {
        finish(klto(["accept"]).arg(self.0.matrix_file()).args(more))
    }

    fn folder(&self) -> PathBuf {
        self.0.dir().join("snapshots/fake")
    }

    /// The paths of all files below the matrix's folder, sorted.
    fn files(&self) -> Vec<String> {
        let entries = walkdir::WalkDir::new(self.folder()).sort_by_file_name();
        let files = entries.into_iter().map(Result::unwrap);
        let files = files.filter(|entry| entry.file_type().is_file());
        files
            .map(|entry| {
                let path = entry.path().strip_prefix(self.folder()).unwrap();
                path.to_str().unwrap().to_owned()
            })
            .collect()
    }

    /// Changes a text in all snapshots.
    fn replace(&self, old: &str, new: &str) {
        for file in self.files() {
            let file = self.folder().join(file);
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.contains(old), "{text}");
            fs::write(&file, text.replace(old, new)).unwrap();
        }
    }

    fn baselines(&self) -> Vec<String> {
        let report = self.0.report();
        let cells = report["cells"].as_array().unwrap().iter();
        cells
            .map(|cell| cell["baseline"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[test]
fn what_both_modes_have_in_common_is_one_file_after_accept() {
    let reviewed = Reviewed::new();
    reviewed.run();
    assert!(reviewed.files().iter().all(|f| f.ends_with(".snap.new")));

    let accepted = reviewed.accept(&[]);

    assert_eq!(accepted.code, Some(0));
    let all = "findings, config, toolchain, triples, flags, index, archive, symbols, image";
    let expected = format!("{THIN}: accepted {all}\n{DIST}: accepted {all}\n");
    assert_eq!(accepted.stdout, expected);
    let files = reviewed.files();
    assert!(files.contains(&"x86_64/tiny/shared/llvm-22/flags.snap".to_owned()));
    assert!(!files.contains(&format!("{THIN}/flags.snap")), "{files:#?}");
    assert!(files.contains(&format!("{THIN}/config.snap")));
    reviewed.run();
    assert_eq!(reviewed.baselines(), ["same", "same"]);
    assert_eq!(reviewed.files(), files, "nothing is proposed");
}

/// `cargo insta review` makes a cell's own file of a proposal, and folds nothing.
#[test]
fn accept_folds_what_was_accepted_otherwise() {
    let reviewed = Reviewed::new();
    reviewed.run();
    for file in reviewed.files() {
        let proposed = reviewed.folder().join(&file);
        fs::rename(&proposed, proposed.with_extension("")).unwrap();
    }
    reviewed.run();
    assert_eq!(reviewed.baselines(), ["same", "same"]);

    let accepted = reviewed.accept(&[]);

    let folded = "nothing is proposed; what modes have in common is stored once now";
    let expected = format!("{THIN}: {folded}\n{DIST}: nothing is proposed\n");
    assert_eq!(accepted.stdout, expected);
    assert!(!reviewed.files().contains(&format!("{THIN}/flags.snap")));
    reviewed.run();
    assert_eq!(reviewed.baselines(), ["same", "same"]);
}

#[test]
fn accept_takes_the_parts_and_cells_that_were_asked_for() {
    let reviewed = Reviewed::new();
    reviewed.run();

    let accepted = reviewed.accept(&["--cell", "*/thin", "--part", "flags", "--part", "index"]);

    assert_eq!(accepted.stdout, format!("{THIN}: accepted flags, index\n"));
    let files = reviewed.files().into_iter();
    let accepted: Vec<String> = files.filter(|file| file.ends_with(".snap")).collect();
    assert_eq!(
        accepted,
        [format!("{THIN}/flags.snap"), format!("{THIN}/index.snap")]
    );

    let rest = reviewed.accept(&["--part", "flags"]);
    let expected = format!("{THIN}: nothing is proposed\n{DIST}: accepted flags\n");
    assert_eq!(rest.stdout, expected);
}

#[test]
fn accept_names_the_parts_if_it_is_asked_for_another() {
    let reviewed = Reviewed::new();

    let ended = reviewed.accept(&["--part", "flag"]);

    assert_eq!(ended.code, Some(2));
    for says in ["'flag'", "'flags'", "findings", "triples"] {
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
    }
}

#[test]
fn an_older_kernel_is_shown_and_named_and_does_not_count() {
    let reviewed = Reviewed::new();
    reviewed.run();
    reviewed.accept(&[]);
    reviewed.replace("kernel: 7.2.13", "kernel: 7.1.4");
    reviewed.0.set_fault("other-config");

    let ended = finish(reviewed.0.run(&[]).arg("--strict"));

    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert_eq!(reviewed.baselines(), ["none", "none"]);
    let says = "compared with the accepted snapshot of Linux 7.1.4, the nearest older one; not counted\n  config:\n    --- accepted";
    assert_eq!(ended.stdout.matches(says).count(), 2, "{}", ended.stdout);
    let report = reviewed.0.report();
    let cell = &report["cells"][0];
    assert_eq!(cell["predecessor"]["kernel"], "7.1.4");
    assert_eq!(cell["predecessor"]["is_older"], true);
    assert_eq!(cell["predecessor"]["differences"][0]["part"], "config");
    assert_eq!(cell["differences"].as_array().unwrap().len(), 0);

    reviewed.accept(&[]);
    reviewed.run();
    assert_eq!(reviewed.baselines(), ["same", "same"]);
    assert!(reviewed.0.report()["cells"][0].get("predecessor").is_none());
}

#[test]
fn a_newer_kernel_and_another_toolchain_are_no_baseline_either() {
    let reviewed = Reviewed::new();
    reviewed.run();
    reviewed.accept(&[]);
    reviewed.replace("  toolchain: cc fake", "  toolchain: cc other");
    let ended = reviewed.run();
    assert_eq!(reviewed.baselines(), ["none", "none"]);
    let says = "accepted snapshot of Linux 7.2.13, with cc other";
    assert!(ended.stdout.contains(says), "{}", ended.stdout);
    assert!(!ended.stdout.contains("nearest older"));

    reviewed.accept(&[]);
    reviewed.replace("kernel: 7.2.13", "kernel: 7.3.0");
    let ended = reviewed.run();
    assert_eq!(reviewed.baselines(), ["none", "none"]);
    assert!(!ended.stdout.contains("compared with"), "{}", ended.stdout);
}

#[test]
fn snapshots_that_nothing_reads_are_reported() {
    let reviewed = Reviewed::new();
    reviewed.run();
    reviewed.accept(&[]);
    fs::write(reviewed.folder().join(DIST).join("colours.snap"), "").unwrap();
    fs::create_dir(reviewed.0.dir().join("snapshots/old")).unwrap();

    let ended = reviewed.run();

    assert_eq!(ended.code, Some(0));
    let says = format!(
        "snapshots that nothing reads:\n    fake/{DIST}/colours.snap: klto writes no part 'colours'\n    old: no matrix in 'matrices' has this name\n"
    );
    assert!(ended.stdout.contains(&says), "{}", ended.stdout);
    assert_eq!(reviewed.0.report()["unreferenced"][1]["file"], "old");

    let some = finish(&mut reviewed.0.run_cell("*/thin"));
    assert!(!some.stdout.contains("nothing reads"), "{}", some.stdout);

    reviewed.0.matrix("[thin-dist]", "10min");
    reviewed.run();
    assert_eq!(
        reviewed.baselines(),
        ["same", "gone"],
        "the shared files remain"
    );
}

/// What scenarios compare has exact counts; what is accepted has bands.
#[test]
fn with_one_object_less_the_counts_are_in_the_same_bands() {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    let without_natives = |number: usize| {
        let mut facts = tree.facts();
        for _ in 0..number {
            let is_native = |file: &ObjectFile| matches!(file, ObjectFile::Elf(_));
            let native = facts.objects.iter().position(|o| is_native(&o.file));
            facts.objects.remove(native.unwrap());
        }
        let expected = Expected {
            arch: None,
            mode: None,
            requested: &Default::default(),
            only: &[],
        };
        let judged = judge_facts(facts, &tree.path(), &expected).unwrap();
        (in_bands(&judged.facts, &judged.snapshot), judged.snapshot)
    };
    let ((bands, exact), (bands_after, exact_after)) = (without_natives(1), without_natives(2));

    assert!(exact["triples"].contains("     9 ELF machine 62"));
    assert!(exact_after["triples"].contains("     8 ELF machine 62"));
    assert!(bands["triples"].contains("8 to 9 ELF machine 62"));
    for part in ["triples", "toolchain", "flags"] {
        assert_eq!(bands[part], bands_after[part]);
    }
    assert_eq!(bands["archive"], exact["archive"]);
}

/// git must not hide proposals, or `cargo insta review` does not find them.
#[test]
fn proposals_are_not_ignored_by_git() {
    let ignored = Command::new("git")
        .args(["check-ignore", "-q"])
        .arg("snapshots/full/arm64/tiny/thin/llvm-22/flags.snap.new")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    // 128: this is not a clone.
    assert!(matches!(ignored.unwrap().code(), Some(1 | 128)));
}
