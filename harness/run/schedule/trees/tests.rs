//! Which trees go: over random work directories, and over a real one.

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::run::events::Silent;
use crate::store::record_dir::RecordDir;

fn place(folder: impl Into<PathBuf>) -> Place {
    let folder = folder.into();
    Place {
        record: RecordDir::new(&folder),
        folder,
    }
}

fn tree(name: &str, standing: Standing, began: &str, kib: u64) -> Tree {
    Tree {
        place: place(name),
        name: name.to_owned(),
        standing,
        began: began.to_owned(),
        kib,
        is_locked: false,
    }
}

use Standing::{Failed, Passed, Stopped};

#[rstest]
#[case::all_fit(100, &[], None)]
#[case::the_oldest_that_passed(99, &[], Some("b"))]
#[case::of_one_time_by_name(99, &["b"], Some("d"))]
#[case::a_newer_one_that_passed_before_an_old_one_that_failed(99, &["b", "d", "e"], Some("f"))]
#[case::then_one_that_failed(99, &["b", "d", "e", "f"], Some("c"))]
#[case::then_one_that_was_stopped(99, &["b", "c", "d", "e", "f"], Some("a"))]
#[case::all_are_needed(0, &["a", "b", "c", "d", "e", "f"], None)]
fn trees_go_by_what_became_of_the_cell_then_by_age(
    #[case] budget_kib: u64,
    #[case] needed: &[&str],
    #[case] expected: Option<&str>,
) {
    let trees = [
        tree("a", Stopped, "", 10),
        tree("b", Passed, "2026-11-01", 10),
        tree("c", Failed, "2026-10-01", 10),
        tree("e", Passed, "2026-11-02", 10),
        tree("d", Passed, "2026-11-02", 10),
        tree("f", Passed, "2026-11-03", 50),
    ];
    let needed = needed.iter().map(PathBuf::from).collect();
    let goes = next_to_go(&trees, &needed, budget_kib);
    assert_eq!(goes.map(|at| trees[at].name.as_str()), expected);
}

#[test]
fn a_tree_that_a_later_run_may_go_on_with_goes_last() {
    let of = |outcome| {
        let mut record = CellRecord::new("a".to_owned());
        record.error = matches!(outcome, Outcome::Error(_)).then(|| "the disk is full".to_owned());
        record.outcome = outcome;
        Standing::of(Some(&record))
    };
    assert_eq!(of(Outcome::Pass), Passed);
    assert_eq!(of(Outcome::Fail), Failed);
    assert_eq!(of(Outcome::Error("the disk is full".to_owned())), Stopped);
    assert_eq!(Standing::of(None), Stopped);
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![Just(Passed), Just(Failed), Just(Stopped)]
}

proptest! {
    #[test]
    fn what_goes_was_too_much_and_what_stays_fits_or_cannot_go(
        trees in prop::collection::vec((standing(), 0_u8..5, 0_u64..50, any::<bool>(), any::<bool>()), 0..20),
        budget_kib in 0_u64..400,
    ) {
        let mut needed = BTreeSet::new();
        let mut left = Vec::new();
        for (number, (standing, began, kib, is_needed, is_locked)) in trees.into_iter().enumerate() {
            let mut tree = tree(&number.to_string(), standing, &began.to_string(), kib);
            tree.is_locked = is_locked;
            if is_needed {
                needed.insert(tree.place.folder.clone());
            }
            left.push(tree);
        }
        let key = |tree: &Tree| (tree.standing, tree.began.clone(), tree.name.clone());
        let mut last = None;
        while let Some(at) = next_to_go(&left, &needed, budget_kib) {
            prop_assert!(taken(&left) > budget_kib, "nothing had to go");
            let gone = left.remove(at);
            prop_assert!(!gone.is_locked && !needed.contains(&gone.place.folder));
            prop_assert!(last.is_none_or(|last| last < key(&gone)), "out of order");
            last = Some(key(&gone));
        }
        let can_go = |tree: &Tree| !tree.is_locked && !needed.contains(&tree.place.folder);
        prop_assert!(taken(&left) <= budget_kib || !left.iter().any(can_go));
    }
}

/// A work directory with one tree, of 64 KiB and more.
fn one_tree() -> (tempfile::TempDir, Place) {
    let dir = tempfile::tempdir().unwrap();
    let place = place(dir.path());
    std::fs::create_dir(place.build()).unwrap();
    std::fs::write(place.build().join("vmlinux"), vec![1; 64 << 10]).unwrap();
    (dir, place)
}

#[test]
fn a_tree_whose_size_was_not_noted_is_measured() {
    let (_dir, place) = one_tree();
    let trees = Trees::of(vec![("a".to_owned(), place.clone())], 9);
    assert!(trees.all[0].kib >= 64, "{trees:?}");
    let mut record = CellRecord::new("a".to_owned());
    record.cost.disk_kib = 7;
    place.record.save_record(&record).unwrap();
    let trees = Trees::of(vec![("a".to_owned(), place)], 9);
    assert_eq!(trees.all[0].kib, 7);
    assert_eq!(
        trees.summary(),
        "build trees take 7.0 KiB, of the 9.0 KiB of --disk-budget"
    );
}

#[test]
fn a_tree_that_another_uses_stays_and_goes_once_it_is_free() {
    let (_dir, place) = one_tree();
    let cancel = Cancel::new();
    let mut trees = Trees::of(vec![("a".to_owned(), place.clone())], 0);
    let patience = Patience {
        until: None,
        cancel: &cancel,
    };
    let held = Lock::take(&place.folder, Sharing::Shared, patience, &mut |_| {}).unwrap();
    trees.fit(&BTreeSet::new(), &cancel, &Silent);
    assert!(has_tree(&place));
    assert!(trees.summary().contains("could not be removed"));
    drop(held);
    trees.fit(&BTreeSet::new(), &cancel, &Silent);
    assert!(!has_tree(&place));
    assert_eq!(
        trees.summary(),
        "build trees take 0 B, of the 0 B of --disk-budget"
    );
}
