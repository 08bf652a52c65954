//! Specifications of the matrix file.

use super::*;
use crate::model::cell::Base;
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
    assert_eq!(cell.timeout, Duration::from_hours(2));
    assert_eq!(cell.scenarios, ["build"]);
    assert_eq!(cell.make["LLVM"], "-22");
    assert_eq!(cell.requested()["CONFIG_NR"], "0x10", "kept as written");
    assert_eq!(matrix.allow[0].key, "compdb.lost-entries");
}

#[test]
fn an_exclusion_may_name_several_of_each() {
    let several = NIGHTLY.replace(
        "arch: loongarch, toolchain: llvm-17",
        "arch: [x86_64, loongarch], lto: [thin], toolchain: [llvm-17, llvm-22]",
    );
    let matrix = parse(&several).unwrap();
    assert_eq!(
        names(matrix.cells()),
        [
            "x86_64/tiny/thin-dist/llvm-22",
            "x86_64/tiny/thin-dist/llvm-17",
            "loongarch/tiny/thin-dist/llvm-22",
            "loongarch/tiny/thin-dist/llvm-17",
        ]
    );
}

#[test]
fn a_scenario_is_played_on_the_cells_it_names_in_the_order_of_playing() {
    let played = NIGHTLY.replace(
        "scenarios: [build]",
        "scenarios: [noop, build, { name: switch, cells: \"*/thin-dist\" }]",
    );
    let matrix = parse(&played).unwrap();
    for cell in matrix.cells() {
        let expected: &[&str] = match cell.lto {
            LtoMode::ThinDist => &["build", "noop", "switch"],
            _ => &["build", "noop"],
        };
        assert_eq!(cell.scenarios, expected, "{}", cell.name());
    }
}

#[test]
fn a_cell_that_boots_has_what_its_architecture_needs_for_that() {
    let matrix = parse(&NIGHTLY.replace("[build]", "[build, boot]")).unwrap();
    let cells = matrix.cells();
    for (cell, symbol, value) in [
        (&cells[0], "CONFIG_SERIAL_8250_CONSOLE", "y"),
        (&cells[4], "CONFIG_SERIAL_OF_PLATFORM", "y"),
        (&cells[4], "CONFIG_SERIO", "n"),
    ] {
        assert_eq!(cell.requested()[symbol], value, "{}", cell.name());
    }
    let without = parse(NIGHTLY).unwrap();
    assert!(
        !without.cells()[0]
            .requested()
            .contains_key("CONFIG_SERIAL_8250_CONSOLE")
    );
}

#[test]
fn a_config_has_more_for_one_architecture_and_goals_of_its_own() {
    let more = NIGHTLY.replace(
        "set: { NR: 0x10 } }",
        "set: { NR: 0x10 }, goals: [vmlinux, modules],\n    \
         arch: { x86_64: { enable: [KVM_AMD], disable: [KVM_XEN], set: { X: m } } } }",
    );
    let matrix = parse(&more).unwrap();
    let [x86, .., loongarch] = matrix.cells() else {
        panic!("two cells at least")
    };
    let requested = x86.requested();
    let values =
        ["KVM_AMD", "KVM_XEN", "X", "MODULES"].map(|s| &*requested[&format!("CONFIG_{s}")]);
    assert_eq!(values, ["y", "n", "m", "y"]);
    assert!(!loongarch.requested().contains_key("CONFIG_KVM_AMD"));
    assert_eq!(x86.goals, ["vmlinux", "modules"]);
    assert_eq!(parse(NIGHTLY).unwrap().cells()[0].goals, ["vmlinux"]);
}

#[test]
fn a_toolchain_names_the_gnu_tools_of_each_architecture() {
    let gnu = NIGHTLY.replace("{ LLVM: \"-17\" }", "{ CROSS_COMPILE: \"{gnu}\" }");
    let matrix = parse(&gnu.replace("llvm-17, reason", "llvm-22, reason")).unwrap();
    let of = |name: &str| {
        let mut cells = matrix.cells().iter();
        cells
            .find(|cell| cell.name().starts_with(name))
            .unwrap()
            .make
            .clone()
    };
    let expected = BTreeMap::from([(
        "CROSS_COMPILE".to_owned(),
        "loongarch64-linux-gnu-".to_owned(),
    )]);
    assert_eq!(of("loongarch"), expected);
}

#[test]
fn the_modes_to_compare_come_with_their_tolerances() {
    let compared = format!(
        "{NIGHTLY}compare: [thin, thin-dist]\n\
         tolerances: {{ function-bytes: 1, function-percent: 2, total-percent: 3 }}\n"
    );
    let matrix = parse(&compared).unwrap();
    assert_eq!(matrix.compare, [LtoMode::Thin, LtoMode::ThinDist]);
    assert_eq!(matrix.tolerances.unwrap().function_percent, 2);
    assert_eq!(parse(NIGHTLY).unwrap().compare, []);
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
            "'x86_64/tiny/thin/llvm-21' matches no cell of m.yaml; \
             did you mean 'x86_64/tiny/thin/llvm-22'? its cells:\n  x86_64/tiny/thin/llvm-22\n"
        ),
        "{error}"
    );
}

#[rstest]
#[case::unknown_key("timeout: 2h", "timout: 2h", "15:1", "did you mean 'timeout'?")]
#[case::unknown_inner_key("disable: [", "disabel: [", "6:61", "did you mean 'disable'?")]
#[case::duplicate_config("axes:", "  tiny: { base: x }\naxes:", "7:3", "'tiny' appears twice")]
#[case::duplicate_variable("{ LLVM: \"-22\" }", "{ LLVM: a, LLVM: b }", "3:31", "appears twice")]
#[case::wrong_type("config: [tiny]", "config: tiny", "9:11", "expected a sequence")]
#[case::limit("2h", "2", "15:10", "'2' is not a time limit")]
#[case::no_limit("2h", "0s", "15:10", "zero, so nothing would run")]
#[case::unknown_arch("x86_64,", "x86-64,", "8:10", "did you mean 'x86_64'?")]
#[case::unknown_config("[tiny]", "[tiny, tinny]", "9:18", "did you mean 'tiny'? known: tiny")]
#[case::unknown_mode("[thin, ", "[thn, ", "10:9", "did you mean 'thin'?")]
#[case::unknown_toolchain("[llvm-22,", "[llvm22,", "11:15", "did you mean 'llvm-22'?")]
#[case::unknown_scenario("[build]", "[biuld]", "14:13", "did you mean 'build'?")]
#[case::scenario_without_a_name("[build]", "[{ cells: x86_64 }]", "14:13", "missing field 'name'")]
#[case::scenario_nowhere(
    "[build]",
    "[build, { name: noop, cells: riscv }]",
    "14:34",
    "matches no cell"
)]
#[case::scenario_typo(
    "[build]",
    "[build, { name: nop, cells: x86_64 }]",
    "14:20",
    "did you mean 'noop'?"
)]
#[case::scenario_twice("[build]", "[build, build]", "14:20", "names this twice")]
#[case::compare_one("timeout: 2h", "compare: [thin]", "15:1", "names one mode")]
#[case::compare_twice("timeout: 2h", "compare: [thin, thin]", "15:17", "names this twice")]
#[case::compare_absent(
    "timeout: 2h",
    "compare: [thin, full]",
    "15:17",
    "not on the axis 'lto'"
)]
#[case::tolerances_for_nothing(
    "timeout: 2h",
    "tolerances: { function-bytes: 1, function-percent: 2, total-percent: 3 }",
    "15:1",
    "nothing is compared"
)]
#[case::tolerance_typo(
    "timeout: 2h",
    "tolerances: { function-byte: 1, function-percent: 2, total-percent: 3 }",
    "15:15",
    "did you mean 'function-bytes'?"
)]
#[case::goal_is_a_variable(
    "set: { NR",
    "goals: [\"V=1\", vmlinux], set: { NR",
    "6:85",
    "is not a make goal"
)]
#[case::goals_without_a_kernel(
    "set: { NR",
    "goals: [modules], set: { NR",
    "6:77",
    "vmlinux is not among the goals"
)]
#[case::arch_typo(
    "set: { NR",
    "arch: { x86: {} }, set: { NR",
    "6:85",
    "did you mean 'x86_64'?"
)]
#[case::arch_gives_a_symbol_again(
    "set: { NR",
    "arch: { x86_64: { enable: [SMP] } }, set: { NR",
    "6:104",
    "is given twice in this config"
)]
#[case::empty_axis("[thin, thin-dist]", "[]", "10:3", "'axes: lto' is empty")]
#[case::twice("[thin, ", "[thin-dist, ", "10:20", "names this twice")]
#[case::prefix("[MODULES", "[CONFIG_MODULES", "6:38", "here: 'MODULES'")]
#[case::value("[MODULES", "[MODULES=m", "6:38", "belongs under 'set:")]
#[case::lto("[MODULES", "[LTO_CLANG_FULL", "6:38", "use 'axes: lto'")]
#[case::both("[SMP]", "[MODULES]", "6:71", "is given twice in this config")]
#[case::no_value("0x10", "", "6:84", "has no value")]
#[case::own_variable("{ LLVM: \"-17\" }", "{ ARCH: um }", "4:22", "klto sets 'ARCH' itself")]
#[case::unsafe_name("name: nightly", "name: ../x", "1:1", "cannot name a matrix")]
#[case::unsafe_config("  tiny: {", "  a/b: {", "6:3", "cannot name a config")]
#[case::excluded_typo(
    "arch: loongarch,",
    "arch: longarch,",
    "13:7",
    "did you mean 'loongarch'?"
)]
#[case::excluded_absent("arch: loongarch,", "lto: full,", "13:7", "excludes nothing")]
#[case::excluded_typo_in_a_list(
    "arch: loongarch,",
    "arch: [x86_64, longarch],",
    "13:7",
    "did you mean 'loongarch'?"
)]
#[case::excluded_absent_in_a_list(
    "arch: loongarch,",
    "lto: [thin, full],",
    "13:7",
    "excludes nothing"
)]
#[case::excluded_empty_list("arch: loongarch,", "arch: [],", "13:13", "the list is empty")]
#[case::excluded_no_name(
    "arch: loongarch,",
    "arch: { a: b },",
    "13:13",
    "expected a name or a list of names"
)]
#[case::excluded_no_mode("arch: loongarch,", "lto: thick,", "13:12", "thick")]
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
#[case::allow_endless(", until: \"7.4\"", "", "17:5", "missing field 'until'")]
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

/// A matrix file in a folder with these other files.
fn with_files(config: &str, files: &[(&str, &str)]) -> Result<Matrix, String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let text = format!(
        "name: m\ntoolchains:\n  llvm-22: {{ make: {{ LLVM: \"-22\" }} }}\nconfigs:\n  own: {config}\n\
         axes:\n  arch: [x86_64]\n  config: [own]\n  lto: [thin]\n  toolchain: [llvm-22]\n"
    );
    let parsed = Matrix::parse(&text, &dir.path().join("m.yaml"));
    parsed.map_err(|e| e.to_string().replace(dir.path().to_str().unwrap(), "DIR"))
}

const DOT_CONFIG: (&str, &str) = (
    ".config",
    "# Linux/x86 7.2.13\nCONFIG_X86_64=y\nCONFIG_A=m\n",
);

#[test]
fn a_config_may_start_from_a_file_and_fragments() {
    let config =
        "{ base: ./.config, fragments: [hardening.config, ./a, ./b], enable: [A], set: { S: 3 } }";
    let a = ("a", "CONFIG_A=m\nCONFIG_B=y\nCONFIG_C=y\nCONFIG_S=\"x\"\n");
    let b = ("b", "# CONFIG_C is not set\nCONFIG_D=\"d\"\n");
    let matrix = with_files(config, &[DOT_CONFIG, a, b]).unwrap();
    let cell = &matrix.cells()[0];
    let Base::File { text, .. } = &cell.base else {
        panic!("{:?}", cell.base);
    };
    assert_eq!(&**text, DOT_CONFIG.1);
    assert!(cell.begins_with().ends_with("/.config hardening.config"));
    let requested: Vec<String> = cell
        .requested()
        .iter()
        .map(|(symbol, value)| format!("{symbol}={value}"))
        .collect();
    assert_eq!(
        requested,
        [
            "CONFIG_A=y",
            "CONFIG_B=y",
            "CONFIG_C=n",
            "CONFIG_D=\"d\"",
            "CONFIG_LTO_CLANG_THIN=y",
            "CONFIG_S=3"
        ],
        "the config's own symbols come before those of fragments, and of these the last"
    );
}

#[test]
fn what_a_file_has_is_part_of_the_matrix() {
    let digest = |text: &str| {
        let config = "{ base: tinyconfig, fragments: [./a] }";
        with_files(config, &[("a", text)]).unwrap().digest
    };
    assert_eq!(digest("CONFIG_A=y\n"), digest("# A comment\nCONFIG_A=y\n"));
    assert_ne!(digest("CONFIG_A=y\n"), digest("CONFIG_A=m\n"));
}

#[rstest]
#[case::no_file(
    "{ base: ./none }",
    "DIR/m.yaml:5:10: cannot read the configuration DIR/none: No such file or directory"
)]
#[case::no_configuration(
    "{ base: ./bad }",
    "DIR/m.yaml:5:10: DIR/bad:2: expected 'CONFIG_SYMBOL=value' or '# CONFIG_SYMBOL is not set', found 'A=y'"
)]
#[case::another_architecture(
    "{ base: ./arm }",
    "DIR/m.yaml:5:10: DIR/arm is to be built for x86_64, but its architecture is arm64"
)]
#[case::no_architecture("{ base: ./a }", "but its architecture is none that klto knows")]
#[case::a_mode_in_a_fragment(
    "{ base: tinyconfig, fragments: [./lto] }",
    "'LTO_NONE' sets the LTO mode; use 'axes: lto' instead"
)]
#[case::no_fragment_of_the_kernel_s(
    "{ base: tinyconfig, fragments: [a] }",
    "m.yaml:5:40: 'a' is no fragment of the kernel's, for these end in '.config'; write './a'"
)]
#[case::unsafe_fragment(
    "{ base: tinyconfig, fragments: [\"a b.config\"] }",
    "'a b.config' cannot name a fragment"
)]
fn a_file_that_is_no_configuration_of_the_cell_is_refused(
    #[case] config: &str,
    #[case] expected: &str,
) {
    let files = [
        ("bad", "CONFIG_A=y\nA=y\n"),
        ("arm", "CONFIG_ARM64=y\n"),
        ("a", "CONFIG_A=y\n"),
        ("lto", "CONFIG_LTO_NONE=y\n"),
    ];
    let refused = with_files(config, &files).unwrap_err();
    assert!(refused.contains(expected), "{refused}");
}
