//! What the records of the ends and of commits say of one finding.

use rstest::rstest;

use super::*;
use crate::judge::test_records::{CELL, KEY, finding, record, state};

const OBJECT: &str = "init/main.o";

fn ends(bad: char, good: char, asked: &str) -> Result<Sought, String> {
    let asked = match asked {
        "" => Asked::default(),
        asked => Asked::parse(asked),
    };
    let ends = Ends::of(vec![state(bad)], &[vec![state(good)]], &asked);
    ends.choose().map(|(sought, _)| sought)
}

#[rstest]
#[case::has_it('x', Verdict::Bad, "lacks -O2")]
#[case::allowed_there('a', Verdict::Bad, "lacks -O2")]
#[case::has_it_not('.', Verdict::Good, "flags.backend-lacks of init/main.o is not there")]
#[case::does_not_build(
    'f',
    Verdict::Unknown,
    "flags.backend-lacks was not checked, because of build.failed: make fails"
)]
#[case::machine_failed('e', Verdict::Unknown, "no space")]
#[case::no_such_mode('s', Verdict::Unknown, "Linux 7.1 has no LTO_CLANG_THIN_DIST")]
fn a_record_has_it_or_has_it_not_or_does_not_tell(
    #[case] what: char,
    #[case] verdict: Verdict,
    #[case] why: &str,
) {
    let tested = ends('x', '.', "").unwrap().tested(&state(what));
    assert_eq!(tested.verdict, verdict);
    assert!(tested.why.contains(why), "{}", tested.why);
}

#[rstest]
#[case::other_evidence(KEY, OBJECT, "lacks -O3", Verdict::Unknown)]
#[case::other_numbers(KEY, OBJECT, "lacks -O2", Verdict::Bad)]
#[case::other_object(KEY, "init/x.o", "lacks -O2", Verdict::Good)]
#[case::other_rule("flags.differ", OBJECT, "lacks -O2", Verdict::Good)]
fn another_fault_is_another(
    #[case] key: &str,
    #[case] object: &str,
    #[case] evidence: &str,
    #[case] verdict: Verdict,
) {
    let sought = ends('x', '.', "").unwrap();
    let tested = sought.tested(&record(CELL, vec![finding(key, object, evidence)]));
    assert_eq!(tested.verdict, verdict, "{}", tested.why);
    let others = match verdict {
        Verdict::Bad => Vec::new(),
        Verdict::Good | Verdict::Unknown => vec![format!("{key} {object}")],
    };
    assert_eq!(tested.others, others);
}

#[rstest]
#[case::both_have_it('x', 'x', "a good end has it, too")]
#[case::neither_has_it('.', '.', "the bad end has no such finding")]
#[case::it_is_allowed('a', '.', "the bad end has no such finding")]
#[case::swapped('.', 'x', "the bad end has no such finding")]
#[case::good_does_not_build('x', 'f', "whether the good end has it could not be told")]
#[case::bad_was_not_tested(
    'e',
    '.',
    "as far as could be told: arm64/probe/thin-dist/llvm-22: no space"
)]
fn ends_that_do_not_fit_are_told(#[case] bad: char, #[case] good: char, #[case] why: &str) {
    let said = ends(bad, good, "").unwrap_err();
    assert!(said.contains(why), "{said}");
}

#[rstest]
#[case::of_the_rule(KEY, true)]
#[case::of_its_family("flags", true)]
#[case::of_the_object("flags.backend-lacks:init/main.o", true)]
#[case::of_another_object("flags.backend-lacks:init", false)]
#[case::of_another_rule("flags.back", false)]
fn only_what_was_asked_for_is_searched_for(#[case] asked: &str, #[case] is_found: bool) {
    assert_eq!(ends('x', '.', asked).is_ok(), is_found);
}

/// The first is known at the good end.
#[test]
fn what_is_new_comes_first_and_the_others_are_counted() {
    let old = finding("archive.stale", "vmlinux.a", "old");
    let new = ["a.o", "b.o"].map(|object| finding(KEY, object, "lacks -O2"));
    let bad = record(CELL, [&[old.clone()][..], &new].concat());
    let ends = Ends::of(
        vec![bad],
        &[vec![record(CELL, vec![old])]],
        &Asked::default(),
    );
    let (sought, others) = ends.choose().unwrap();
    assert_eq!(sought.finding.object, "a.o");
    let others: Vec<&str> = others.iter().map(|other| other.object.as_str()).collect();
    assert_eq!(others, ["b.o"]);
}

/// Another cell has it at both ends.
#[test]
fn a_finding_that_is_new_in_one_cell_is_searched_for_in_that() {
    let other = |findings| record("arm64/probe/thin/llvm-22", findings);
    let it = || vec![finding(KEY, OBJECT, "lacks -O2")];
    let bad = vec![other(it()), record(CELL, it())];
    let good = vec![other(it()), record(CELL, Vec::new())];
    let ends = Ends::of(bad, &[good], &Asked::default());
    let (sought, others) = ends.choose().unwrap();
    assert_eq!(sought.finding.cell, CELL);
    assert_eq!(others, []);
}
