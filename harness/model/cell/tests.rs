//! Specifications of the words in `cell.rs`.

use super::*;
use crate::model::arch::{ElfIdent, Endian, Relocations};
use rstest::rstest;

fn cell() -> Cell {
    Cell {
        arch: Arc::new(Arch {
            name: "arm64".into(),
            make: "arm64".into(),
            src: "arm64".into(),
            config: vec!["ARM64".into()],
            enable: Vec::new(),
            target: "aarch64-linux-gnu".into(),
            triple: "aarch64-unknown-linux-gnu".into(),
            elf: ElfIdent {
                machine_name: "EM_AARCH64".into(),
                machine: 183,
                class: 64,
                endian: Endian::Little,
                flags_mask: u32::MAX,
                flags_allowed: None,
                relocations: Relocations::default(),
            },
            gnu: "aarch64-linux-gnu-".into(),
            lto: true,
            image: "Image".into(),
            boot: None,
        }),
        config_name: "tiny".into(),
        base: Base::Goal("tinyconfig".into()),
        fragments: Vec::new(),
        enable: vec!["MODULES".into()],
        disable: vec!["SMP".into()],
        set: BTreeMap::from([("NR_CPUS".into(), "8".into())]),
        lto: LtoMode::ThinDist,
        toolchain_name: "llvm-22".into(),
        make: BTreeMap::from([("LLVM".into(), "-22".into())]),
        goals: vec!["vmlinux".into()],
        scenarios: vec!["build".into()],
        timeout: Duration::from_hours(2),
    }
}

#[test]
fn a_cell_is_named_by_its_path() {
    assert_eq!(cell().name(), "arm64/tiny/thin-dist/llvm-22");
}

#[test]
fn the_requested_symbols_are_those_of_the_config_and_the_mode() {
    let requested: Vec<String> = cell()
        .requested()
        .iter()
        .map(|(symbol, value)| format!("{symbol}={value}"))
        .collect();
    assert_eq!(
        requested,
        [
            "CONFIG_LTO_CLANG_THIN_DIST=y",
            "CONFIG_MODULES=y",
            "CONFIG_NR_CPUS=8",
            "CONFIG_SMP=n"
        ]
    );
}

#[rstest]
#[case("m", "m")]
#[case("-1", "-1")]
#[case("0x1000", "0x1000")]
#[case("panic=-1", r#""panic=-1""#)]
#[case(r#""8""#, r#""8""#)]
#[case(r#"a "b" \c"#, r#""a \"b\" \\c""#)]
#[case("0x", r#""0x""#)]
fn a_value_is_written_as_dot_config_writes_it(#[case] given: &str, #[case] expected: &str) {
    assert_eq!(config_value(given), expected);
}

#[test]
fn every_mode_has_one_name_everywhere() {
    for mode in LtoMode::ALL {
        assert_eq!(mode.name().parse(), Ok(mode));
        assert_eq!(serde_yaml::from_str::<LtoMode>(mode.name()).unwrap(), mode);
    }
    assert_eq!(
        "thinlto".parse::<LtoMode>().unwrap_err().to_string(),
        "'thinlto' is not an LTO mode; use none, thin, thin-dist or full"
    );
}

#[rstest]
#[case("arm64/tiny/thin-dist/llvm-22", true)]
#[case("arm64", true)]
#[case("arm64/", true)]
#[case("arm64/*", true)]
#[case("*/thin-dist", true)]
#[case("*/{thin,thin-dist}", true)]
#[case("*llvm-2?", true)]
#[case("*", true)]
#[case("*/thin", false)]
#[case("arm", false)]
#[case("thin-dist", false)]
#[case("x86_64/*", false)]
fn a_pattern_matches_leading_components(#[case] pattern: &str, #[case] expected: bool) {
    let name = cell().name();
    assert_eq!(CellPattern::new(pattern).unwrap().matches(&name), expected);
}

#[rstest]
#[case("")]
#[case("/")]
#[case("arm64/[a")]
fn a_broken_pattern_is_refused(#[case] pattern: &str) {
    assert!(CellPattern::new(pattern).is_err());
}

#[test]
fn a_symbol_is_asked_for_where_its_value_belongs() {
    let mut cell = cell();
    for (symbol, value) in [("A", "y"), ("B", "n"), ("C", "m"), ("D", "0x1")] {
        cell.ask_for(symbol.to_owned(), value.to_owned());
    }
    assert_eq!(cell.enable, ["MODULES", "A"]);
    assert_eq!(cell.disable, ["SMP", "B"]);
    let set: Vec<_> = cell
        .set
        .iter()
        .map(|(symbol, value)| (symbol.as_str(), value.as_str()))
        .collect();
    assert_eq!(set, [("C", "m"), ("D", "0x1"), ("NR_CPUS", "8")]);
}
