//! Specifications of the matrix file.

use super::*;
use rstest::rstest;

/// The example of the design document.
const NIGHTLY: &str = r#"name: nightly
toolchains:
  llvm-22: { make: { LLVM: "-22" } }
  llvm-17: { make: { LLVM: "-17" } }
configs:
  tiny: { base: tinyconfig, enable: [MODULES, MODVERSIONS], disable: [SMP], set: { NR: 0x10 } }
axes:
  arch: [x86_64, loongarch]
  config: [tiny]
  lto: [thin, thin-dist]
  toolchain: [llvm-22, llvm-17]
exclude:
  - { arch: loongarch, toolchain: llvm-17, reason: "needs LLVM 18" }
scenarios: [build]
timeout: 2h
allow:
  - { key: compdb.lost-entries, cells: "*/thin-dist", reason: "known in 7.2", until: "7.4" }
"#;

fn parse(text: &str) -> Result<Matrix, MatrixError> {
    Matrix::parse(text, Path::new("m.yaml"))
}

fn names(cells: &[Cell]) -> Vec<String> {
    cells.iter().map(Cell::name).collect()
}

#[test]
fn the_cells_are_the_product_of_the_axes_less_what_is_excluded() {
    let matrix = parse(NIGHTLY).unwrap();
    assert_eq!(
        names(matrix.cells()),
        [
            "x86_64/tiny/thin/llvm-22",
            "x86_64/tiny/thin/llvm-17",
            "x86_64/tiny/thin-dist/llvm-22",
            "x86_64/tiny/thin-dist/llvm-17",
            "loongarch/tiny/thin/llvm-22",
            "loongarch/tiny/thin-dist/llvm-22",
        ]
    );
    let cell = &matrix.cells()[5];
    assert_eq!(cell.timeout, Duration::from_secs(7200));
    assert_eq!(cell.scenarios, ["build"]);
    assert_eq!(cell.make["LLVM"], "-22");
    assert_eq!(cell.requested()["CONFIG_NR"], "0x10", "kept as written");
    assert_eq!(matrix.allow[0].key, "compdb.lost-entries");
}

#[rstest]
#[case::whole_architecture(&["loongarch"], 2)]
#[case::mode(&["*/thin-dist"], 3)]
#[case::several(&["x86_64/*/thin", "loongarch", "*"], 6)]
#[case::no_pattern(&[], 6)]
fn cells_are_selected_in_matrix_order(#[case] patterns: &[&str], #[case] count: usize) {
    let matrix = parse(NIGHTLY).unwrap();
    let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    let selected = matrix.select(&patterns).unwrap();
    assert_eq!(selected.len(), count);
    let mut in_order = matrix.cells().to_vec();
    in_order.retain(|cell| selected.contains(cell));
    assert_eq!(names(&selected), names(&in_order));
}

#[test]
fn a_pattern_without_a_cell_lists_the_cells() {
    let matrix = parse(NIGHTLY).unwrap();
    let error = matrix.select(&["x86_64/tiny/thin/llvm-21".to_owned()]);
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with(
            "`x86_64/tiny/thin/llvm-21` matches no cell of m.yaml; \
             did you mean `x86_64/tiny/thin/llvm-22`? its cells:\n  x86_64/tiny/thin/llvm-22\n"
        ),
        "{error}"
    );
}

#[rstest]
#[case::unknown_key("timeout: 2h", "timout: 2h", "15:1", "did you mean `timeout`?")]
#[case::unknown_inner_key("disable: [", "disabel: [", "6:61", "did you mean `disable`?")]
#[case::duplicate_config(
    "axes:",
    "  tiny: { base: x }\naxes:",
    "7:3",
    "`tiny` is given a second time"
)]
#[case::duplicate_variable("{ LLVM: \"-22\" }", "{ LLVM: a, LLVM: b }", "3:31", "second time")]
#[case::wrong_type("config: [tiny]", "config: tiny", "9:11", "expected a sequence")]
#[case::limit("2h", "2", "15:10", "`2` is not a time limit")]
#[case::no_limit("2h", "0s", "15:10", "zero lets nothing run")]
#[case::unknown_arch("x86_64,", "x86-64,", "8:10", "did you mean `x86_64`?")]
#[case::unknown_config("[tiny]", "[tiny, tinny]", "9:18", "did you mean `tiny`? known: tiny")]
#[case::unknown_mode("[thin, ", "[thn, ", "10:9", "did you mean `thin`?")]
#[case::unknown_toolchain("[llvm-22,", "[llvm22,", "11:15", "did you mean `llvm-22`?")]
#[case::unknown_scenario("[build]", "[biuld]", "14:13", "did you mean `build`?")]
#[case::empty_axis("[thin, thin-dist]", "[]", "10:3", "`axes: lto` is empty")]
#[case::twice("[thin, ", "[thin-dist, ", "10:20", "names this twice")]
#[case::prefix("[MODULES", "[CONFIG_MODULES", "6:38", "write `MODULES`")]
#[case::value("[MODULES", "[MODULES=m", "6:38", "belongs under `set:")]
#[case::lto("[MODULES", "[LTO_CLANG_FULL", "6:38", "use `axes: lto`")]
#[case::both("[SMP]", "[MODULES]", "6:71", "is given twice in this config")]
#[case::no_value("0x10", "", "6:84", "has no value")]
#[case::own_variable("{ LLVM: \"-17\" }", "{ ARCH: um }", "4:22", "set by klto")]
#[case::unsafe_name("name: nightly", "name: ../x", "1:1", "cannot name a matrix")]
#[case::unsafe_config("  tiny: {", "  a/b: {", "6:3", "cannot name a config")]
#[case::excluded_typo(
    "arch: loongarch,",
    "arch: longarch,",
    "13:7",
    "did you mean `loongarch`?"
)]
#[case::excluded_absent("arch: loongarch,", "lto: full,", "13:7", "excludes nothing")]
#[case::all_excluded(
    "reason: \"needs LLVM 18\" }",
    "reason: a }\n  - { reason: b }",
    "12:1",
    "every cell is excluded"
)]
#[case::blank_reason("\"needs LLVM 18\"", "\" \"", "13:44", "reason is blank")]
#[case::allow_nowhere(
    "\"*/thin-dist\"",
    "\"*/full\"",
    "17:33",
    "matches no cell of this matrix"
)]
#[case::allow_endless(", until: \"7.4\"", "", "17:5", "missing field `until`")]
fn a_mistake_is_refused_at_its_place(
    #[case] right: &str,
    #[case] wrong: &str,
    #[case] place: &str,
    #[case] says: &str,
) {
    assert!(NIGHTLY.contains(right), "the case must change the file");
    let error = parse(&NIGHTLY.replacen(right, wrong, 1)).unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with(&format!("m.yaml:{place}: ")), "{error}");
    assert!(error.contains(says), "{error}");
}

#[test]
fn the_matrices_that_are_shipped_can_be_used() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("matrices");
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let matrix = Matrix::load(&file).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(matrix.name.as_str(), file.file_stem().unwrap());
    }
}
