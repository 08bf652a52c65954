//! What the launcher passes to ccache, and that it is this program.

use std::fs;

use rstest::rstest;

use super::*;

const THIN: &str = "#define CONFIG_A 1\n#define CONFIG_LTO_CLANG_THIN 1\n#define CONFIG_B \"b\"\n";

fn told(header: &str, word: &str) -> Vec<(&'static str, OsString)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("autoconf.h");
    fs::write(&path, header).unwrap();
    let command = ["clang", word, "-c", "a.c"].map(OsString::from);
    let told = sharing(&command, &path);
    let header = |value: OsString| {
        if value == *path {
            "header".into()
        } else {
            value
        }
    };
    told.into_iter()
        .map(|(name, value)| (name, header(value)))
        .collect()
}

#[rstest]
#[case::another_mode(
    "#define CONFIG_A 1\n#define CONFIG_LTO_CLANG_THIN_DIST 1\n#define CONFIG_B \"b\"\n"
)]
#[case::no_mode("#define CONFIG_A 1\n#define CONFIG_B \"b\"\n")]
fn modes_of_one_configuration_share_objects(#[case] header: &str) {
    let told = told(header, "-D__KERNEL__");
    assert_eq!(told, self::told(THIN, "-D__KERNEL__"));
    let names: Vec<_> = told.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["CCACHE_IGNOREHEADERS", "CCACHE_NAMESPACE"]);
    assert_eq!(told[0].1, "header");
}

#[rstest]
#[case::symbol_more(
    "#define CONFIG_A 1\n#define CONFIG_LTO_CLANG_THIN 1\n#define CONFIG_B \"b\"\n#define CONFIG_C 1\n"
)]
#[case::symbol_less("#define CONFIG_A 1\n#define CONFIG_LTO_CLANG_THIN 1\n")]
#[case::value("#define CONFIG_A 1\n#define CONFIG_LTO_CLANG_THIN 1\n#define CONFIG_B \"c\"\n")]
#[case::symbol_of_all_modes(
    "#define CONFIG_A 1\n#define CONFIG_LTO_CLANG 1\n#define CONFIG_B \"b\"\n"
)]
#[case::longer_name(
    "#define CONFIG_A 1\n#define CONFIG_LTO_CLANG_THIN_CACHE 1\n#define CONFIG_B \"b\"\n"
)]
fn configurations_share_nothing(#[case] header: &str) {
    assert_ne!(told(header, "-D__KERNEL__"), told(THIN, "-D__KERNEL__"));
}

#[test]
fn programs_of_the_host_are_left_as_they_are() {
    assert_eq!(told(THIN, "-O2"), []);
}

#[test]
fn without_the_header_nothing_is_shared_and_the_compiler_says_so() {
    let command = ["clang", "-D__KERNEL__"].map(OsString::from);
    assert_eq!(sharing(&command, Path::new("gone/autoconf.h")), []);
}

#[test]
fn the_launcher_is_this_program_for_all_who_ask_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("answers");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| install(&folder).unwrap());
        }
    });
    let own = fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(fs::read(folder.join(NAME)).unwrap() == own);
    assert_eq!(
        fs::read_dir(folder).unwrap().count(),
        1,
        "nothing else is left"
    );
}
