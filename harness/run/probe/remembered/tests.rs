//! A kept result is given back whole, and under its own key alone.

use std::path::PathBuf;

use rstest::rstest;

use super::*;

fn finding(rule: &'static Rule) -> finding::Finding {
    finding::Finding {
        rule,
        object: "probe/plain.o".to_owned(),
        evidence: "expected «a», found «b»".to_owned(),
        step: Some("a step".to_owned()),
        suppressed: None,
    }
}

fn result() -> CellResult {
    let rules: Vec<&'static Rule> = rules::rules().collect();
    let mut result =
        CellResult::without_build("x86_64/probe/thin/llvm-22".to_owned(), Verdict::Holds);
    result.failure = Some(BuildFailure {
        summary: "probe/plain.o".to_owned(),
        first_errors: vec!["error: x".to_owned(), "error: y".to_owned()],
        log: "/somewhere/build.log".to_owned(),
    });
    result.checked = Some(Checked {
        identity: Identity {
            arch: "x86_64".to_owned(),
            mode: LtoMode::Thin,
            kernel: "7.2.13".to_owned(),
            compiler: "clang".to_owned(),
        },
        counts: Counts {
            objects: 3,
            ir: 2,
            exports: 1,
        },
        warnings: BTreeMap::from([("-Wx".to_owned(), 4)]),
        findings: vec![finding(rules[0]), finding(rules[rules.len() - 1])],
        rules,
        unfinished: Some("vmlinux.o is missing".to_owned()),
    });
    result
}

fn kept(key: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("result.json");
    let rule = rules::rules().next().unwrap();
    let played = ScenarioResult {
        name: "idle".to_owned(),
        findings: vec![finding(rule)],
        left_out: vec!["a shuffled order: no".to_owned()],
        seconds: 1.5,
    };
    let mut remembered = Remembered {
        result: Some(Build::of(&result())),
        scenarios: BTreeMap::from([("idle".to_owned(), Scenario::of(&played))]),
        ..Remembered::default()
    };
    remembered.save(&file, key).unwrap();
    (dir, file)
}

#[test]
fn what_is_kept_is_given_back_whole() {
    let (_dir, file) = kept("key");
    let found = Remembered::load(&file, "key");
    let wanted = result();
    let given = found
        .result
        .unwrap()
        .to_result(wanted.name.clone())
        .unwrap();
    assert_eq!(format!("{given:#?}"), format!("{wanted:#?}"));
    let idle = found.scenarios["idle"].to_result("idle").unwrap();
    assert_eq!(idle.name, "idle");
    assert_eq!(idle.findings.len(), 1);
    assert_eq!(idle.left_out, ["a shuffled order: no"]);
}

/// What makes a file worthless.
type Harm = fn(&str) -> Option<Vec<u8>>;

#[rstest]
#[case::missing(|_: &str| None)]
#[case::empty(|_: &str| Some(Vec::new()))]
#[case::garbage(|_: &str| Some(b"\x00\xffgarbage".to_vec()))]
#[case::half(|text: &str| Some(text.as_bytes()[..text.len() / 2].to_vec()))]
#[case::all_but_the_end(|text: &str| Some(text.as_bytes()[..text.len() - 1].to_vec()))]
#[case::more_behind_it(|text: &str| Some(format!("{text}{text}").into_bytes()))]
#[case::of_other_shape(|_: &str| Some(br#"{"key":"key"}"#.to_vec()))]
#[case::other_key(|text: &str| Some(text.replace(r#""key":"key""#, r#""key":"kex""#).into_bytes()))]
#[case::longer_key(|text: &str| Some(text.replace(r#""key":"key""#, r#""key":"key2""#).into_bytes()))]
fn nothing_is_known_from_a_file_that_is_not_whole_or_of_another_key(#[case] harm: Harm) {
    let (_dir, file) = kept("key");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    if let Some(harmed) = harm(&text) {
        assert_ne!(harmed, text.as_bytes());
        std::fs::write(&file, harmed).unwrap();
    }

    let found = Remembered::load(&file, "key");

    assert!(found.result.is_none());
    assert!(found.scenarios.is_empty());
}

#[test]
fn a_result_is_kept_under_one_key_at_a_time() {
    let (_dir, file) = kept("old");
    assert!(Remembered::load(&file, "new").result.is_none());
    Remembered::default().save(&file, "new").unwrap();
    assert!(Remembered::load(&file, "old").result.is_none());
}

#[test]
fn a_rule_that_is_no_more_is_told_with_what_to_do() {
    let (_dir, file) = kept("key");
    let rule = rules::rules().next().unwrap().key;
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(rule, "flags.of-old")).unwrap();
    let found = Remembered::load(&file, "key");
    let error = found
        .result
        .unwrap()
        .to_result("cell".to_owned())
        .unwrap_err();
    assert!(matches!(error, Error::Machine(_)), "{error}");
    assert!(error.to_string().contains("flags.of-old"), "{error}");
    assert!(
        error.to_string().contains("remove the work directory"),
        "{error}"
    );
}
