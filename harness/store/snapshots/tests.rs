//! What modes have in common is stored once, and read as if each had it.

use std::collections::BTreeMap;

use rstest::rstest;

use super::*;
use crate::model::cell::LtoMode;

const THIN: &str = "arm64/tiny/thin/llvm-22";
const DIST: &str = "arm64/tiny/thin-dist/llvm-22";
const NONE: &str = "arm64/tiny/none/llvm-22";
const FULL: &str = "arm64/tiny/full/llvm-22";

/// An empty folder of snapshots.
struct Folder {
    place: tempfile::TempDir,
    snapshots: SnapshotDir,
}

impl Folder {
    fn new() -> Folder {
        let place = tempfile::tempdir().unwrap();
        let snapshots = SnapshotDir::find(Some(place.path()), Path::new("m.yaml"), "m").unwrap();
        Folder { place, snapshots }
    }

    fn with(cells: &[(&str, Snapshot)]) -> Folder {
        let folder = Folder::new();
        for (cell, snapshot) in cells {
            folder.accept(cell, snapshot);
        }
        folder
    }

    fn propose(&self, cell: &str, snapshot: &Snapshot) {
        let accepted = self.snapshots.accepted(cell).unwrap();
        self.snapshots
            .propose(cell, &build("7.2"), snapshot, accepted.as_ref())
            .unwrap();
    }

    fn accept(&self, cell: &str, snapshot: &Snapshot) {
        self.propose(cell, snapshot);
        self.snapshots.accept(cell, &PARTS).unwrap();
    }

    /// The paths of all files.
    fn files(&self) -> Vec<String> {
        let files = self.snapshots.files().unwrap();
        let path = |(folder, file)| format!("{folder}/{file}");
        files.into_iter().map(path).collect()
    }

    fn text_of(&self, cell: &str, part: &str) -> Option<String> {
        let accepted = self.snapshots.accepted(cell).unwrap();
        Some(accepted?.parts.get(part)?.body.clone())
    }

    /// What is read of each cell.
    fn read(&self) -> BTreeMap<&'static str, Option<Accepted>> {
        [NONE, THIN, DIST, FULL]
            .map(|cell| (cell, self.snapshots.accepted(cell).unwrap()))
            .into()
    }
}

fn build(kernel: &str) -> BuildId {
    BuildId {
        kernel: kernel.to_owned(),
        toolchain: "cc".to_owned(),
    }
}

fn texts(config: &str, flags: &str) -> Snapshot {
    Snapshot::from([("config", config.to_owned()), ("flags", flags.to_owned())])
}

fn group() -> Group {
    Group::of_cell(THIN).unwrap().0
}

#[test]
fn what_is_proposed_is_accepted_and_then_no_longer_proposed() {
    let Folder { snapshots, .. } = &Folder::new();
    let facets = Snapshot::from([("flags", "-O2".to_owned()), ("index", String::new())]);
    let taken = build("7.2");
    assert!(snapshots.accepted("a/b").unwrap().is_none());

    snapshots.propose("a/b", &taken, &facets, None).unwrap();
    assert!(
        snapshots.accepted("a/b").unwrap().is_none(),
        "proposed is not accepted"
    );
    assert_eq!(
        snapshots.accept("a/b", &PARTS).unwrap().parts,
        ["flags", "index"]
    );

    let accepted = snapshots.accepted("a/b").unwrap().unwrap();
    let parts = accepted.parts.iter();
    let parts: Snapshot = parts.map(|(part, a)| (*part, a.body.clone())).collect();
    assert_eq!(parts, facets);
    assert!(accepted.parts.values().all(|part| part.taken == taken));
    assert_eq!(snapshots.cells().unwrap(), ["a/b"]);
    snapshots
        .propose("a/b", &taken, &facets, Some(&accepted))
        .unwrap();
    assert_eq!(snapshots.accept("a/b", &PARTS).unwrap().parts, [""; 0]);
}

/// It is not the same as one that is not there: what is accepted would be judged as new.
#[test]
fn a_snapshot_that_cannot_be_read_is_an_error() {
    let folder = Folder::new();
    folder.accept(THIN, &texts("c", "f"));
    for file in folder.files() {
        let path = folder.snapshots.dir.join(&file);
        let text = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let error = folder.snapshots.accepted(THIN).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    assert!(folder.snapshots.accepted(THIN).unwrap().is_some());
}

#[test]
fn only_the_parts_that_were_asked_for_are_accepted() {
    let folder = Folder::new();
    folder.propose(THIN, &texts("LTO_THIN", "-O2"));
    assert_eq!(
        folder.snapshots.accept(THIN, &["flags"]).unwrap().parts,
        ["flags"]
    );
    assert_eq!(
        folder.files(),
        [
            format!("{THIN}/config.snap.new"),
            format!("{THIN}/flags.snap")
        ]
    );
}

#[test]
fn what_modes_have_in_common_is_stored_once() {
    let folder = Folder::with(&[
        (THIN, texts("LTO_THIN", "-O2")),
        (DIST, texts("LTO_DIST", "-O2")),
    ]);
    assert_eq!(
        folder.files(),
        [
            "arm64/tiny/shared/llvm-22/flags.snap".to_owned(),
            format!("{DIST}/config.snap"),
            format!("{THIN}/config.snap"),
        ]
    );
    assert_eq!(folder.text_of(THIN, "flags").unwrap(), "-O2");
    assert_eq!(folder.text_of(DIST, "config").unwrap(), "LTO_DIST");
    assert_eq!(folder.snapshots.cells().unwrap(), [DIST, THIN]);
}

#[test]
fn a_mode_without_others_has_files_of_its_own() {
    let folder = Folder::with(&[(THIN, texts("LTO_THIN", "-O2"))]);
    assert_eq!(
        folder.files(),
        [format!("{THIN}/config.snap"), format!("{THIN}/flags.snap")]
    );
}

#[test]
fn a_mode_of_which_nothing_is_accepted_does_not_read_what_others_share() {
    let folder = Folder::with(&[(THIN, texts("", "-O2")), (DIST, texts("", "-O2"))]);
    assert_eq!(folder.snapshots.accepted(NONE).unwrap(), None);
    assert_eq!(
        folder.snapshots.cells().unwrap(),
        [DIST, THIN],
        "all their files are shared"
    );
}

#[test]
fn other_builds_and_other_toolchains_share_nothing() {
    let folder = Folder::with(&[(THIN, texts("", "-O2"))]);
    let newer = texts("", "-O2");
    folder
        .snapshots
        .propose(DIST, &build("7.3"), &newer, None)
        .unwrap();
    folder.snapshots.accept(DIST, &PARTS).unwrap();
    folder.accept("arm64/tiny/thin-dist/llvm-23", &newer);
    assert!(!folder.files().iter().any(|file| file.contains("shared")));
}

#[test]
fn a_proposal_for_one_mode_leaves_the_other_as_it_was() {
    let both = [(THIN, texts("", "-O2")), (DIST, texts("", "-O2"))];
    let folder = Folder::with(&both);
    let before = folder.read();

    folder.propose(THIN, &texts("", "-O3"));
    assert_eq!(folder.read(), before, "proposed is not accepted");
    assert!(folder.files().contains(&format!("{THIN}/flags.snap.new")));

    folder.snapshots.accept(THIN, &PARTS).unwrap();
    assert_eq!(folder.text_of(THIN, "flags").unwrap(), "-O3");
    assert_eq!(folder.text_of(DIST, "flags").unwrap(), "-O2");
    assert!(
        !folder
            .files()
            .iter()
            .any(|f| f.ends_with("shared/llvm-22/flags.snap")),
        "{:?}",
        folder.files()
    );

    folder.accept(DIST, &texts("", "-O3"));
    assert_eq!(folder.read()[DIST], folder.read()[THIN]);
    assert_eq!(folder.files().len(), 2, "and they are folded again");
}

/// `cargo insta review` renames a proposal, and folds nothing.
#[test]
fn what_insta_accepted_comes_before_what_is_shared() {
    let folder = Folder::with(&[(THIN, texts("", "-O2")), (DIST, texts("", "-O2"))]);
    folder.propose(THIN, &texts("", "-O3"));
    let own = |suffix| folder.snapshots.file(THIN, "flags", suffix);
    let reviewed = insta::Snapshot::from_file(&own("snap.new")).unwrap();
    assert_eq!(reviewed.as_text().unwrap().to_string(), "-O3");
    reviewed.save(&own("snap")).unwrap();
    remove(&own("snap.new")).unwrap();

    assert_eq!(folder.text_of(THIN, "flags").unwrap(), "-O3");
    assert_eq!(folder.text_of(DIST, "flags").unwrap(), "-O2");
    let accepted = folder.snapshots.accepted(THIN).unwrap().unwrap();
    assert_eq!(accepted.parts["flags"].taken, build("7.2"));
}

#[test]
fn modes_that_agree_share_a_text_whatever_the_others_have() {
    let folder = Folder::with(&[
        (NONE, texts("", "none")),
        (THIN, texts("", "lto")),
        (DIST, texts("", "lto")),
        (FULL, texts("", "none")),
    ]);
    assert_eq!(folder.text_of(THIN, "flags").unwrap(), "lto");
    folder.accept(NONE, &texts("", "lto"));

    let text = std::fs::read_to_string(folder.snapshots.file(&group().shared(), "flags", "snap"));
    let shared = PartFile::parse(&text.unwrap()).unwrap();
    assert_eq!(
        shared.modes,
        [LtoMode::None, LtoMode::Thin, LtoMode::ThinDist]
    );
    assert_eq!(folder.text_of(FULL, "flags").unwrap(), "none");
}

/// Each step of folding, and what is read if klto is killed after it. The cells are accepted
/// one after another, and folded only in the end.
#[rstest]
#[case::fold(&[(THIN, "-O2"), (DIST, "-O2")], &[])]
#[case::split(&[(THIN, "-O2"), (DIST, "-O2")], &[(THIN, "-O3")])]
#[case::another_text_is_shared(
    &[(NONE, "a"), (THIN, "b"), (DIST, "b"), (FULL, "a")],
    &[(THIN, "a"), (NONE, "b")]
)]
#[case::all_change(&[(NONE, "a"), (THIN, "a"), (DIST, "a")], &[(NONE, "b"), (DIST, "b")])]
fn a_kill_between_two_steps_changes_nothing_that_is_read(
    #[case] first: &[(&str, &str)],
    #[case] then: &[(&str, &str)],
) {
    let prepared = || {
        let folder = Folder::new();
        let unfolded = |cells: &[(&str, &str)]| {
            for (cell, flags) in cells {
                folder.propose(cell, &texts(cell, flags));
                for part in ["config", "flags"] {
                    let file = |suffix| folder.snapshots.file(cell, part, suffix);
                    let _ = std::fs::rename(file("snap.new"), file("snap"));
                }
            }
        };
        unfolded(first);
        if !then.is_empty() {
            folder.snapshots.fold(&group()).unwrap();
            unfolded(then);
        }
        folder
    };
    let whole = prepared();
    let before = whole.read();
    let steps = whole.snapshots.steps(&group()).unwrap().len();
    assert!(steps > 0);
    whole.snapshots.fold(&group()).unwrap();
    assert_eq!(whole.read(), before);
    assert_eq!(whole.snapshots.steps(&group()).unwrap(), []);

    for killed_after in 0..steps {
        let folder = prepared();
        let steps = folder.snapshots.steps(&group()).unwrap();
        for step in &steps[..killed_after] {
            step.take().unwrap();
            assert_eq!(folder.read(), before, "after {killed_after} of {steps:#?}");
        }
        folder.snapshots.fold(&group()).unwrap();
        assert_eq!(folder.files(), whole.files(), "after {killed_after}");
    }
}

#[test]
fn snapshots_that_nothing_reads_are_named() {
    let Folder { place, snapshots } = Folder::with(&[(THIN, texts("LTO_THIN", "-O2"))]);
    let file = |path: &str| {
        let path = place.path().join("m").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    };
    file("README.md");
    file(&format!("{THIN}/colours.snap"));
    file(&format!("{THIN}/index.snap.new"));
    file(&format!("{DIST}/flags.snap.new"));
    file("arm64/tiny/shared/llvm-22/colours.snap");

    let found = snapshots
        .unreferenced(&[THIN.to_owned()], |_| None)
        .unwrap();
    let found: Vec<String> = found
        .iter()
        .map(|u| format!("{}: {}", u.file, u.why))
        .collect();
    assert_eq!(
        found,
        [
            "m/arm64/tiny/shared/llvm-22/colours.snap: klto writes no part 'colours'",
            "m/arm64/tiny/thin-dist/llvm-22/flags.snap.new: no cell of the matrix has this name",
            "m/arm64/tiny/thin/llvm-22/colours.snap: klto writes no part 'colours'",
        ]
    );
}

#[test]
fn a_folder_without_a_matrix_is_named() {
    let place = tempfile::tempdir().unwrap();
    for folder in [
        "matrices",
        "snapshots/full",
        "snapshots/old",
        "snapshots/quick",
    ] {
        std::fs::create_dir_all(place.path().join(folder)).unwrap();
    }
    for name in ["full", "quick"] {
        let file = place.path().join(format!("matrices/of-{name}.yaml"));
        std::fs::write(file, name).unwrap();
    }
    let matrix = place.path().join("matrices/of-full.yaml");
    let name_of = |file: &Path| std::fs::read_to_string(file).ok();

    let snapshots = SnapshotDir::find(None, &matrix, "full").unwrap();
    let found = snapshots.unreferenced(&[], name_of).unwrap();
    let found: Vec<String> = found
        .iter()
        .map(|u| format!("{}: {}", u.file, u.why))
        .collect();
    assert_eq!(found, ["old: no matrix in 'matrices' has this name"]);

    let asked = place.path().join("snapshots");
    let snapshots = SnapshotDir::find(Some(&asked), &matrix, "full").unwrap();
    assert_eq!(
        snapshots.unreferenced(&[], name_of).unwrap(),
        [],
        "where their matrices are is not known"
    );
}

/// The folder of this repository is as `klto accept` leaves it.
#[test]
fn the_accepted_snapshots_of_this_repository_are_folded() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("matrices/full.yaml");
    let snapshots = SnapshotDir::find(None, &file, "full").unwrap();
    let cells = snapshots.cells().unwrap();
    assert!(!cells.is_empty());
    for cell in cells {
        let accepted = snapshots.accepted(&cell).unwrap().unwrap();
        assert_eq!(accepted.parts.len(), PARTS.len(), "{cell}");
        let (group, _) = Group::of_cell(&cell).unwrap();
        let steps = snapshots.steps(&group).unwrap();
        assert!(steps.is_empty(), "run: klto accept matrices/full.yaml");
    }
}
