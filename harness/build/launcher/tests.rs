//! What the launcher passes to ccache, and that it is this program.

use std::fs;

use rstest::rstest;

use super::*;

const THIN: &str = "#define CONFIG_A 1\n#define CONFIG_LTO_CLANG_THIN 1\n#define CONFIG_B \"b\"\n";

/// What ccache gets to hash in place of a header, if it ignores the header.
fn hashed(header: &str, options: &[&str]) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("autoconf.h");
    fs::write(&path, header).unwrap();
    let command = [&["clang"], options, &["-c", "a.c"]].concat();
    let command: Vec<OsString> = command.into_iter().map(OsString::from).collect();
    let variables = sharing(&command, &path, dir.path())?;
    assert_eq!(sharing(&command, &path, dir.path()).unwrap(), variables);
    let [(ignored, value), (hashed, file)] = variables.try_into().unwrap();
    assert_eq!((ignored, value), ("CCACHE_IGNOREHEADERS", path.into()));
    assert_eq!(hashed, "CCACHE_EXTRAFILES");
    Some(fs::read_to_string(file).unwrap())
}

#[rstest]
#[case::another_mode(
    "#define CONFIG_A 1\n#define CONFIG_LTO_CLANG_THIN_DIST 1\n#define CONFIG_B \"b\"\n"
)]
#[case::no_mode("#define CONFIG_A 1\n#define CONFIG_B \"b\"\n")]
fn modes_of_one_configuration_share_objects(#[case] header: &str) {
    let shared = hashed(header, &["-D__KERNEL__"]);
    assert!(shared.is_some());
    assert_eq!(shared, hashed(THIN, &["-D__KERNEL__"]));
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
    let hashed = |header| hashed(header, &["-D__KERNEL__"]).unwrap();
    assert_ne!(hashed(header), hashed(THIN));
}

#[rstest]
#[case::host(&["-O2"])]
#[case::in_an_argument(&["-D__KERNEL__", "-DA=IS_ENABLED(CONFIG_LTO_CLANG_THIN)"])]
fn nothing_else_is_shared(#[case] options: &[&str]) {
    assert_eq!(hashed(THIN, options), None);
}

#[test]
fn without_the_header_nothing_is_shared() {
    let command = ["clang", "-D__KERNEL__"].map(OsString::from);
    let dir = tempfile::tempdir().unwrap();
    let header = dir.path().join("autoconf.h");
    assert_eq!(sharing(&command, &header, dir.path()), None);
}

#[test]
fn the_launcher_is_this_program_for_all_who_ask_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("answers");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                install(&folder).unwrap();
                for place in Place::ALL {
                    let expected = folder.join(place.folder());
                    assert_eq!(
                        install_in_place(&folder, place, "program").unwrap(),
                        expected
                    );
                }
            });
        }
    });
    let own = fs::read(std::env::current_exe().unwrap()).unwrap();
    let files = |folder: &Path| {
        let files = walkdir::WalkDir::new(folder)
            .into_iter()
            .map(Result::unwrap);
        let files = files.filter(|entry| entry.file_type().is_file());
        files.map(walkdir::DirEntry::into_path).collect::<Vec<_>>()
    };
    let all = files(&folder);
    assert_eq!(
        all.len(),
        1 + Place::ALL.len(),
        "nothing else is left: {all:?}"
    );
    assert!(all.contains(&folder.join(NAME)));
    for file in all {
        assert!(fs::read(&file).unwrap() == own, "{}", file.display());
    }
}

const BACK_END: &[&str] = &["clang", "-O2", "-x", "ir", "a.o"];
const FRONT_END: &[&str] = &["clang", "-x", "c", "ir", "a.c"];

#[rstest]
#[case::no_ccache(Cached::Nothing.name(), [false, false])]
#[case::ccache_before_4_13(Cached::FrontEnds.name(), [true, false])]
#[case::ccache_since_4_13(Cached::Everything.name(), [true, true])]
#[case::not_said("", [false, false])]
fn ccache_gets_what_it_may_keep(#[case] cached: &str, #[case] expected: [bool; 2]) {
    let found = [FRONT_END, BACK_END].map(|command| {
        let command: Vec<OsString> = command.iter().map(OsString::from).collect();
        goes_through_ccache(&command, cached)
    });
    assert_eq!(found, expected);
}
