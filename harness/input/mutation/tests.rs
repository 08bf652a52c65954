//! The table holds together, and an edit changes what it says and nothing else.

use std::collections::BTreeSet;

use rstest::rstest;

use super::*;
use crate::input::arch_table;
use crate::model::cell::SCENARIOS;
use crate::model::finding::key_matches;
use crate::run::{rules, scenario};

#[rstest]
#[case::mistakes(&MISTAKES, all(), 50)]
#[case::harmless(&HARMLESS, harmless(), 40)]
fn every_file_of_a_table_parses_and_is_named_by_its_mutation(
    #[case] files: &Dir<'_>,
    #[case] table: Result<Vec<Mutation>, Error>,
    #[case] more_than: usize,
) {
    let mut stems: Vec<String> = files
        .files()
        .map(|file| {
            let path = file.path();
            assert_eq!(path.extension().unwrap(), "yaml", "{}", path.display());
            path.file_stem().unwrap().to_str().unwrap().to_owned()
        })
        .collect();
    stems.sort();
    let table = table.unwrap();
    let names: Vec<&str> = table.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, stems);
    assert!(names.len() > more_than, "{names:?}");
}

/// What is wrong with one entry of a table, if anything is.
fn wrong(mutation: &Mutation, is_harmless: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut holds = |so: bool, what: String| {
        if !so {
            found.push(format!("{}: {what}", mutation.name));
        }
    };
    let Mutation {
        about,
        edits,
        lto,
        arch,
        scenario,
        expect,
        also,
        unseen,
        ..
    } = mutation;
    holds(!about.trim().is_empty(), "says nothing".to_owned());
    if is_harmless {
        holds(
            expect.is_empty() && also.is_empty() && unseen.is_none(),
            "a harmless edit has no 'expect', 'also' or 'unseen'".to_owned(),
        );
    } else {
        holds(
            expect.is_empty() == unseen.is_some(),
            "needs 'expect' or 'unseen', and not both".to_owned(),
        );
    }
    holds(
        SCENARIOS.contains(&scenario.as_str()),
        format!("no scenario is named {scenario}"),
    );
    holds(!lto.is_empty(), "has no mode".to_owned());
    if *scenario != "build"
        && let Ok(scenario) = scenario::by_name(scenario)
    {
        holds(
            lto.iter().any(|mode| scenario.lto.contains(mode)),
            format!("{} is run in none of its modes", scenario.name),
        );
    }
    for name in arch.iter().flatten() {
        holds(
            arch_table::by_name(name).is_ok(),
            format!("no architecture is named {name}"),
        );
    }
    let mut keys = BTreeSet::new();
    for key in expect.iter().chain(also) {
        holds(
            rules::rules().any(|rule| key_matches(key, rule.key)),
            format!("no rule is named {key}"),
        );
        holds(keys.insert(key), format!("names {key} twice"));
    }
    for key in expect {
        let is_of_scenarios = scenario::rules::RULES.iter().any(|rule| rule.key == key);
        holds(
            !(is_of_scenarios && scenario == "build"),
            format!("{key} cannot be found by building once"),
        );
    }
    holds(!edits.is_empty(), "edits nothing".to_owned());
    for Edit {
        file,
        pattern,
        replace,
    } in edits
    {
        holds(
            !file.is_empty() && crate::tree::path::stays_inside(file),
            format!("'{file}' is no path in the tree"),
        );
        holds(
            !pattern.is_empty(),
            format!("{file}: matches an empty text"),
        );
        holds(
            pattern != replace,
            format!("{file}: an edit changes nothing"),
        );
    }
    found
}

#[test]
fn every_mutation_of_the_table_can_be_found_as_it_says() {
    let found: Vec<String> = all()
        .unwrap()
        .iter()
        .flat_map(|m| wrong(m, false))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_harmless_edit_has_nothing_to_be_found() {
    let edits = harmless().unwrap();
    let found: Vec<String> = edits.iter().flat_map(|m| wrong(m, true)).collect();
    assert!(found.is_empty(), "{found:#?}");
    for edit in edits {
        let modes = [LtoMode::ThinDist, LtoMode::Thin];
        assert!(
            modes.iter().any(|mode| edit.lto.contains(mode)),
            "{}",
            edit.name
        );
    }
}

#[test]
fn a_harmless_edit_and_a_mistake_have_different_names() {
    let names: BTreeSet<String> = all().unwrap().into_iter().map(|m| m.name).collect();
    let both = harmless()
        .unwrap()
        .into_iter()
        .find(|edit| names.contains(&edit.name));
    assert!(both.is_none(), "{both:?}");
}

#[rstest]
#[case::holds(
    "edits: [{file: a/b, match: x, replace: y}]\nexpect: [flags.saved]",
    ""
)]
#[case::family("edits: [{file: a/b, match: x, replace: y}]\nexpect: [flags]", "")]
#[case::both(
    "edits: [{file: a, match: x, replace: y}]\nexpect: [flags]\nunseen: z",
    "not both"
)]
#[case::neither("edits: [{file: a, match: x, replace: y}]", "not both")]
#[case::no_rule(
    "edits: [{file: a, match: x, replace: y}]\nexpect: [flag.saved]",
    "no rule is named"
)]
#[case::twice(
    "edits: [{file: a, match: x, replace: y}]\nexpect: [flags]\nalso: [flags]",
    "twice"
)]
#[case::late_rule(
    "edits: [{file: a, match: x, replace: y}]\nexpect: [rebuild.missed]",
    "building once"
)]
#[case::no_scenario(
    "scenario: tuch\nedits: [{file: a, match: x, replace: y}]\nunseen: z",
    "no scenario"
)]
#[case::not_played(
    "scenario: switch\nlto: [thin]\nedits: [{file: a, match: x, replace: y}]\nunseen: z",
    "none of its modes"
)]
#[case::no_mode(
    "lto: []\nedits: [{file: a, match: x, replace: y}]\nunseen: z",
    "no mode"
)]
#[case::no_arch(
    "arch: [amd64]\nedits: [{file: a, match: x, replace: y}]\nunseen: z",
    "no architecture"
)]
#[case::no_edit("edits: []\nunseen: z", "edits nothing")]
#[case::empty_match("edits: [{file: a, match: '', replace: y}]\nunseen: z", "empty text")]
#[case::no_change(
    "edits: [{file: a, match: x, replace: x}]\nunseen: z",
    "changes nothing"
)]
#[case::outside(
    "edits: [{file: ../a, match: x, replace: y}]\nunseen: z",
    "no path in the tree"
)]
fn a_mistake_in_the_table_is_found(#[case] text: &str, #[case] says: &str) {
    let rule = rules::rules()
        .find(|rule| rule.key.starts_with("flags."))
        .unwrap();
    let text = format!("name: m\nabout: m\n{text}\n").replace("flags.saved", rule.key);
    let mutation: Mutation = yaml::parse(&text, Path::new("m.yaml")).unwrap();
    let found = wrong(&mutation, false);
    match says {
        "" => assert_eq!(found, [""; 0]),
        says => {
            let [found] = &found[..] else {
                panic!("{found:#?}");
            };
            assert!(found.contains(says), "{found}");
        }
    }
}

fn edits(of: &[(&str, &str, &str)]) -> Mutation {
    let edits: Vec<_> = of
        .iter()
        .map(|(file, pattern, replace)| {
            serde_json::json!({ "file": file, "match": pattern, "replace": replace })
        })
        .collect();
    serde_json::from_value(serde_json::json!({ "name": "m", "about": "m", "edits": edits }))
        .unwrap()
}

#[rstest]
#[case::one(&[("f", "b", "x")], Ok("axc\n"))]
#[case::in_order(&[("f", "b", "x"), ("f", "ax", "")], Ok("c\n"))]
#[case::of_another_file(&[("g", "b", "x")], Ok("abc\n"))]
#[case::over_lines(&[("f", "c\n", "c\nd\n")], Ok("abc\nd\n"))]
#[case::no_pattern_language(&[("f", ".", "x")], Err("f has '.' 0 times"))]
#[case::gone_by_the_first(&[("f", "b", "x"), ("f", "b", "y")], Err("f has 'b' 0 times"))]
#[case::twice_by_the_first(&[("f", "b", "cc"), ("f", "c", "y")], Err("f has 'c' 3 times"))]
#[case::shown_on_one_line(&[("f", "x\n", "y")], Err("f has 'x\\n' 0 times"))]
fn edits_are_applied_in_order_and_fit_exactly_once(
    #[case] of: &[(&str, &str, &str)],
    #[case] wanted: Result<&str, &str>,
) {
    match (edits(of).apply("f", b"abc\n"), wanted) {
        (Ok(text), Ok(wanted)) => assert_eq!(text, wanted.as_bytes()),
        (Err(said), Err(part)) => {
            assert!(said.contains(part), "{said}");
            assert!(said.contains("mutation m:"), "{said}");
            assert!(said.contains("\n  "), "says what to do: {said}");
        }
        (found, _) => panic!("{found:?}"),
    }
}

#[test]
fn a_text_that_is_no_utf8_stays_as_it_is() {
    let text = b"\xff b \xfe";
    assert_eq!(
        edits(&[("f", "b", "c")]).apply("f", text).unwrap(),
        b"\xff c \xfe"
    );
}

#[test]
fn a_mutation_is_found_by_name_and_by_file() {
    let first = &all().unwrap()[0];
    assert_eq!(load(&first.name).unwrap().about, first.about);
    let harmless = &harmless().unwrap()[0];
    assert_eq!(load(&harmless.name).unwrap().about, harmless.about);
    let unknown = load("v11-flags-by-variables").unwrap_err().to_string();
    assert!(unknown.contains("'v11-flags-by-variables'"), "{unknown}");
    assert!(unknown.contains("v11-flags-by-variable"), "{unknown}");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("own.yaml");
    let missing = load(file.to_str().unwrap()).unwrap_err();
    assert!(matches!(missing, Error::Usage(_)), "{missing}");
    let text = "name: own\nabout: own\nedit: []\n";
    std::fs::write(&file, text).unwrap();
    let error = load(file.to_str().unwrap()).unwrap_err().to_string();
    assert!(error.contains("own.yaml:3:1"), "{error}");
    assert!(error.contains("edits"), "{error}");
}
