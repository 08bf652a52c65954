//! `klto bisect` beside the commits: whether the kernel or the toolchain brings a fault.

use std::fs;
use std::os::unix::fs::symlink;

use rstest::rstest;
use serde_json::Value;

use crate::bisect::{History, UNREAD, text};
use crate::support::probed::EARLY;

/// What brings the fault, as a line.
const WRONG: &str = "empty-object\n";
/// What the fault comes from with the newer toolchain only.
const EARLY_23: &str = "include/fault-23.h";

/// Eight commits, of which the fifth changes a file. LLVM 23 is LLVM 22 by another name.
fn with_two_toolchains(first: &[(&str, &str)], fifth: (&str, &str)) -> History {
    let mut history = History::of(&[]);
    for (path, text) in first {
        history.probed.write(path, text);
    }
    history.commits = vec![history.probed.commit("begin")];
    for at in 1..9 {
        match at {
            5 => history.add(fifth.0, fifth.1),
            2 | 4 => history.add(EARLY, &format!("none {at}\n")),
            _ => history.add(UNREAD, &format!("{at}\n")),
        }
    }
    let tools = history.probed.kernel.tools();
    for entry in fs::read_dir(&tools).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(tool) = name.strip_suffix("-22") {
            symlink(&name, tools.join(format!("{tool}-23"))).unwrap();
        }
    }
    history
}

#[rstest]
#[case::the_kernel(&[], (EARLY, WRONG), "kernel", Some("llvm-23"))]
#[case::the_toolchain(&[(EARLY_23, WRONG)], (UNREAD, "x"), "toolchain", None)]
#[case::both(&[], (EARLY_23, WRONG), "both", Some("llvm-23"))]
#[case::either(&[(EARLY_23, WRONG)], (EARLY, WRONG), "either", Some("llvm-22"))]
fn two_toolchains_say_what_brings_the_fault(
    #[case] first: &[(&str, &str)],
    #[case] fifth: (&str, &str),
    #[case] brings: &str,
    #[case] searched_with: Option<&str>,
    #[values(false, true)] by_kernels: bool,
) {
    let history = with_two_toolchains(first, fifth);
    let matrix = history.probed.kernel.matrix_file();
    history.probed.kernel.matrix("[thin-dist]", "10min");
    let text_of = fs::read_to_string(&matrix).unwrap();
    let text_of = text_of.replace(
        "configs:",
        "  llvm-23: { make: { LLVM: \"-23\" } }\nconfigs:",
    );
    fs::write(&matrix, text_of.replace("[llvm-22]", "[llvm-22, llvm-23]")).unwrap();
    let toolchains = ["--toolchain", "llvm-22,llvm-23"];
    let of_matrix = ["--matrix", matrix.to_str().unwrap()];
    let more: Vec<&str> = match by_kernels {
        true => [&toolchains[..], &of_matrix[..]].concat(),
        false => toolchains.to_vec(),
    };
    let (ended, record) = history.found(&more);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    let of = &record["toolchains"];
    assert_eq!(of["brings"], brings, "{of}");
    assert_eq!(of["searched_with"].as_str(), searched_with);
    match searched_with {
        None => {
            assert_eq!(record["ended"]["is"], "toolchain");
            assert_eq!(record["steps"].as_array().unwrap().len(), 0);
        }
        Some(with) => {
            assert_eq!(history.place(&record["ended"]["commit"]), 5);
            assert!(text(&record["finding"]["cell"]).ends_with(with));
        }
    }
}

#[rstest]
#[case::three("llvm-22,llvm-23,llvm-24")]
#[case::the_same("-22,-22")]
fn other_than_two_toolchains_that_differ_are_refused(#[case] toolchains: &str) {
    let history = with_two_toolchains(&[], (EARLY, WRONG));
    let ends = ["--good", &history.commits[0], "--bad", "main"];
    let ended = history.search(&[&ends[..], &["--toolchain", toolchains]].concat());
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("two that differ"), "{}", ended.stderr);
}

/// What the fault comes from with symbol versions only.
const WITH_VERSIONS: &str = "include/fault-modversions.h";

/// The same of whole kernels only.
const OF_KERNELS: &str = "drivers/fault-modversions";

fn symbols(record: &Value) -> Vec<String> {
    let symbols = record["symbols"].as_array().unwrap().iter();
    symbols.map(|symbol| text(&symbol["symbol"])).collect()
}

#[rstest]
#[case::a_symbol(WITH_VERSIONS, &["MODVERSIONS"], "the fault needs MODVERSIONS=y", false)]
#[case::no_symbol(EARLY, &[], "fault is there with the configuration tinyconfig, too", false)]
#[case::a_symbol_first_by_the_probe(WITH_VERSIONS, &["MODVERSIONS"], "in x86_64/probe", true)]
#[case::a_symbol_by_kernels(OF_KERNELS, &["MODVERSIONS"], "in x86_64/tiny", true)]
fn the_symbols_that_the_fault_needs_are_found(
    #[case] file: &str,
    #[case] needed: &[&str],
    #[case] said: &str,
    #[case] by_kernels: bool,
) {
    let history = History::of(&[(UNREAD, "1"), (file, WRONG), (UNREAD, "3")]);
    history.probed.kernel.matrix("[thin-dist]", "10min");
    let matrix = history.probed.kernel.matrix_file();
    let of_matrix = ["--matrix", matrix.to_str().unwrap()];
    let more = if by_kernels { &of_matrix[..] } else { &[] };
    let (ended, record) = history.found(more);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert_eq!(history.place(&record["ended"]["commit"]), 2);
    assert_eq!(symbols(&record), needed);
    assert_eq!(record["good_config"], "tinyconfig");
    let ends = ["--good", &history.commits[0], "--bad", "main"];
    for format in ["text", "mail"] {
        let ended = history.search(&[&ends[..], more, &["--format", format]].concat());
        let words: Vec<&str> = ended.stdout.split_whitespace().collect();
        assert!(words.join(" ").contains(said), "{}", ended.stdout);
    }
}

#[rstest]
#[case::by_kernels("drivers/fault")]
#[case::the_probe_goes_first(EARLY)]
fn a_configuration_of_the_matrix_is_the_good_one(#[case] file: &str) {
    let history = History::of(&[(UNREAD, "1"), (file, WRONG)]);
    let matrix = history.probed.kernel.matrix_file();
    history.probed.kernel.matrix("[thin-dist]", "10min");
    let of_matrix = fs::read_to_string(&matrix).unwrap();
    let other = "  other: { base: tinyconfig, enable: [MODULES] }\naxes:";
    fs::write(
        &matrix,
        of_matrix
            .replace("axes:", other)
            .replace("config: [tiny]", "config: [tiny, other]"),
    )
    .unwrap();
    let more = ["--matrix", matrix.to_str().unwrap(), "--cell", "*/tiny"];
    let (ended, record) = history.found(&[&more[..], &["--good-config", "other"]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert_eq!(
        symbols(&record),
        [""; 0],
        "the fault is there without symbol versions"
    );
    assert_eq!(record["good_config"], "other");
    assert_eq!(record["symbols_cell"], "x86_64/tiny/thin-dist/llvm-22");
    // Another configuration of that name is another question.
    let of_matrix = fs::read_to_string(&matrix).unwrap();
    let of_matrix = of_matrix.replace("enable: [MODULES] }", "enable: [MODULES, MODVERSIONS] }");
    fs::write(&matrix, of_matrix).unwrap();
    let (_, record) = history.found(&[&more[..], &["--good-config", "other"]].concat());
    assert_eq!(
        record["symbols"],
        Value::Null,
        "the configurations are the same"
    );

    let ends = [
        "--good",
        &history.commits[0],
        "--bad",
        "main",
        "--good-config",
        "othre",
    ];
    let ended = history.search(&[&ends[..], &more[..]].concat());
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("did you mean 'other'"),
        "{}",
        ended.stderr
    );
}
