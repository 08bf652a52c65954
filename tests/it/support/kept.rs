//! What klto says of facts that were written and read back, against what it says of the
//! tree that they were read from.

use std::path::Path;

use klto::judge::inspect::{InspectRequest, Inspected, judge_facts};
use klto::store::facts_file;

/// Keeps the facts of a tree and judges them without it.
#[track_caller]
pub fn judged_again(request: &InspectRequest, of_tree: &Inspected) -> Inspected {
    let file = facts_file::encode(&of_tree.facts, "job").unwrap();
    let kept = facts_file::decode(&file).unwrap();
    judge_facts(kept.facts, Path::new("kept"), &request.expected()).unwrap()
}

/// What klto says of a tree, it says of its facts after they were kept.
#[track_caller]
pub fn assert_same(request: &InspectRequest, of_tree: &Inspected) {
    let again = judged_again(request, of_tree);
    assert_eq!(again.inspection, of_tree.inspection);
    assert_eq!(again.snapshot, of_tree.snapshot);
    assert_eq!(again.build_id, of_tree.build_id);
}
