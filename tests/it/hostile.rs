//! Files that mean harm: whatever a tree, a log or a matrix contains, klto ends soon, with a message
//! that names the file, and takes little memory.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use klto::model::cell::LtoMode;
use rstest::rstest;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::fake_kernel::FakeKernel;
use crate::support::program::{Ended, finish, klto};
use crate::support::tree::Tree;
use crate::support::tree::layout::X86_64;

/// Runs klto with a gigabyte of address space, of which half is for threads that do nothing.
fn klto_in_little_memory(args: &[&str]) -> Ended {
    let klto = klto(args);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -v 1000000 && exec \"$@\"", "sh"])
        .arg(klto.get_program())
        .args(klto.get_args())
        .env_remove("KLTO_STORE")
        .env("RAYON_NUM_THREADS", "2")
        .env("MALLOC_ARENA_MAX", "2");
    finish(&mut limited)
}

fn check(tree: &Tree, more: &[&str]) -> Ended {
    let path = tree.path();
    let args = [&["check", path.to_str().unwrap()], more].concat();
    klto_in_little_memory(&args)
}

fn tree() -> Tree {
    Tree::pristine(X86_64, LtoMode::ThinDist)
}

/// Makes a FIFO in place of a file.
fn make_fifo(path: &Path) {
    if path.exists() {
        fs::remove_file(path).unwrap();
    }
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// Every kind of file that `klto check` reads whole.
#[rstest]
fn a_huge_file_is_refused_and_named(
    #[values(
        ".config",
        "include/config/auto.conf",
        "include/config/kernel.release",
        "built-in-fixup.a",
        "vmlinux.a",
        "lib/built-in.a",
        "builtin.order",
        "vmlinux.thinlto-index",
        ".vmlinux.objs",
        "vmlinux.symvers",
        "Module.symvers",
        ".vmlinux.export.c",
        ".vmlinux.o.cmd",
        "modules.order",
        "drivers/m/m.mod",
        "init/main.o",
        "init/.main.o.cmd",
        "init/main.o.thinlto.bc",
        "init/main.thinlto-native.o",
        "compile_commands.json"
    )]
    file: &str,
) {
    let tree = tree();
    // A gigabyte that takes no room on the disk.
    let grow = || {
        let file = File::options()
            .create(true)
            .append(true)
            .open(tree.file(file))
            .unwrap();
        file.set_len(1 << 30).unwrap();
    };
    match tree.exists(file) {
        true => tree.keeping_time(file, grow),
        false => grow(),
    }

    let ended = check(&tree, &[]);

    let said = ended.stdout + &ended.stderr;
    assert!(said.contains(file), "{said}");
    let why = "it has 1073741824 bytes, more than the ";
    assert!(said.contains(why), "{said}");
    // All else can be checked without the database.
    let expected = if file == "compile_commands.json" {
        1
    } else {
        125
    };
    assert_eq!(ended.code, Some(expected));
}

/// Of these only parts are read.
#[rstest]
fn what_the_linker_made_may_be_huge(
    #[values("vmlinux", "vmlinux.o", "drivers/m/m.ko")] file: &str,
) {
    let tree = tree();
    tree.keeping_time(file, || {
        let file = File::options().write(true).open(tree.file(file)).unwrap();
        file.set_len(1 << 40).unwrap();
    });
    assert_eq!(check(&tree, &[]).code, Some(0));
}

/// An ELF file for `x86_64` whose symbols all have names that are nearly as long as their table.
fn elf_with_names_that_overlap() -> Vec<u8> {
    const SYMBOLS: u32 = 300_000;
    const NAMES: u64 = 16 << 20;

    let word = |value: u64| value.to_le_bytes();
    let half = |value: u32| value.to_le_bytes();
    let symbols = u64::from(SYMBOLS) * 24;
    let (at_symbols, at_names) = (64, 64 + symbols);
    let at_sections = at_names + NAMES;
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    // ET_REL, EM_X86_64, version 1, and where the sections are.
    elf.extend([1, 0, 62, 0, 1, 0, 0, 0]);
    elf.extend([word(0), word(0), word(at_sections)].concat());
    elf.extend([0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 64, 0, 3, 0, 2, 0]);
    for number in 0..SYMBOLS {
        // Local and undefined, so that no name is kept.
        elf.extend(half(number));
        elf.extend([1, 0, 0, 0]);
        elf.extend([word(0), word(8)].concat());
    }
    elf.resize(usize::try_from(at_sections).unwrap() - 1, b'a');
    elf.push(0);
    let section = |kind: u32, at: u64, size: u64, link: u32, entry: u64| {
        let head = [half(0), half(kind)].concat();
        let place = [word(0), word(0), word(at), word(size)].concat();
        let rest = [half(link), half(0)].concat();
        [head, place, rest, [word(8), word(entry)].concat()].concat()
    };
    elf.extend(section(0, 0, 0, 0, 0));
    elf.extend(section(2, at_symbols, symbols, 2, 24));
    elf.extend(section(3, at_names, NAMES, 0, 0));
    elf
}

/// Reading all of them would take minutes.
#[rstest]
#[case("init/main.thinlto-native.o")]
#[case("vmlinux.o")]
#[case("vmlinux")]
#[case("drivers/m/m.ko")]
fn names_that_overlap_are_damage(#[case] file: &str) {
    let tree = tree();
    tree.write(file, elf_with_names_that_overlap());
    let ended = check(&tree, &["--only", "elf.damaged"]);
    assert_eq!(ended.code, Some(1));
    let said = ended.stdout;
    assert!(
        said.contains(&format!("{file}: damaged ELF file: the names overlap")),
        "{said}"
    );
}

#[test]
fn names_that_overlap_do_not_stop_a_comparison() {
    let tree = tree();
    tree.write("vmlinux.o", elf_with_names_that_overlap());
    let path = tree.path();
    let ended = klto_in_little_memory(&["diff", path.to_str().unwrap(), path.to_str().unwrap()]);
    assert_eq!(ended.code, Some(125));
    assert!(
        ended.stderr.contains("the names overlap"),
        "{}",
        ended.stderr
    );
}

#[rstest]
fn a_fifo_in_place_of_a_file_does_not_stop_klto(
    #[values(
        ".config",
        "include/config/auto.conf",
        "built-in-fixup.a",
        "builtin.order",
        "vmlinux",
        "vmlinux.o",
        "init/main.o",
        "init/.main.o.cmd",
        "drivers/m/m.ko",
        "compile_commands.json"
    )]
    file: &str,
) {
    let tree = tree();
    make_fifo(&tree.file(file));

    let ended = check(&tree, &[]);

    let said = ended.stdout + &ended.stderr;
    assert!(said.contains("not a regular file, but a FIFO"), "{said}");
    assert!(matches!(ended.code, Some(1 | 125)), "{:?}", ended.code);
}

/// The command in the `.cmd` file of `init/main.o`, with one more word.
fn with_word(word: &str) -> Tree {
    let tree = tree();
    let cmd = "init/.main.o.cmd";
    tree.keeping_time(cmd, || {
        let text = fs::read_to_string(tree.file(cmd)).unwrap();
        let text = text.replacen(" -c ", &format!(" -DX={word} -c "), 1);
        fs::write(tree.file(cmd), text).unwrap();
    });
    tree
}

#[test]
fn a_word_that_names_the_tree_20_000_times_is_a_word() {
    let name = tree().path();
    let ended = check(
        &with_word(&format!("{}/", name.display()).repeat(20_000)),
        &[],
    );
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
}

#[test]
fn a_million_words_are_words() {
    let words: String = (0..400_000).map(|n| format!("x -D{n:06}=")).collect();
    let ended = check(&with_word(&words), &[]);
    assert!(matches!(ended.code, Some(1 | 125)), "{:?}", ended.code);
}

#[rstest]
#[case::symvers("init/.main.o.cmd", "#SYMVER bad\n")]
#[case::saved_flags("init/.main.o.cmd", "saved_c_flags_a.o := -O2\n")]
#[case::unclosed_quotes("init/.main.o.cmd", "saved_c_flags_a.o := '\n")]
#[case::exports("vmlinux.symvers", "bad\n")]
#[case::order("builtin.order", "a\n")]
#[case::modules("modules.order", "a.o\n")]
#[case::config("include/config/auto.conf", "CONFIG_A=y\n")]
#[case::export_c(".vmlinux.export.c", "SYMBOL_CRC(a, 0x1);\n")]
fn millions_of_lines_are_read_soon(#[case] file: &str, #[case] line: &str) {
    let tree = tree();
    tree.keeping_time(file, || {
        let mut text = fs::read(tree.file(file)).unwrap();
        text.extend(line.as_bytes().repeat((3 << 20) / line.len()));
        fs::write(tree.file(file), text).unwrap();
    });
    let ended = check(&tree, &[]);
    assert!(matches!(ended.code, Some(0 | 1 | 125)), "{:?}", ended.code);
}

/// Links cost nothing to whoever makes them.
#[test]
fn a_file_with_very_many_names_is_not_read_under_each() {
    let tree = tree();
    let mut object = fs::read(tree.path().join("init/main.o")).unwrap();
    object.resize(2 << 20, 0);
    fs::write(tree.path().join("large"), object).unwrap();
    let names: Vec<String> = (0..2000).map(|n| format!("init/{n}.o")).collect();
    for name in &names {
        std::os::unix::fs::symlink("../large", tree.path().join(name)).unwrap();
    }
    for archive in ["built-in-fixup.a", "vmlinux.a"] {
        fs::remove_file(tree.path().join(archive)).unwrap();
        let mut ar = Command::new("llvm-ar-22");
        ar.args(["cDPrST", archive])
            .args(&names)
            .current_dir(tree.path());
        let made = finish(&mut ar);
        assert_eq!(made.code, Some(0), "{}", made.stderr);
    }

    let ended = check(&tree, &[]);

    assert_eq!(ended.code, Some(125), "{}{}", ended.stdout, ended.stderr);
    let why = "it has so many names in this tree that klto would read more than 1 GiB of it";
    assert!(ended.stderr.contains(why), "{}", ended.stderr);
    assert!(
        ended.stderr.contains(".o: "),
        "the file is named: {}",
        ended.stderr
    );
}

#[test]
fn a_log_may_be_a_pipe_and_is_no_device() {
    let tree = tree();
    let (path, log) = (tree.path(), tree.path().join("../log"));
    fs::write(&log, tree.log()).unwrap();
    let mut piped = Command::new("bash");
    piped
        .args(["-c", r#"exec "$0" check "$1" --log <(cat "$2")"#])
        .arg(klto([""; 0]).get_program())
        .args([&path, &log]);
    assert_eq!(finish(&mut piped).code, Some(0));

    let ended = check(&tree, &["--log", "/dev/zero"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .stderr
            .contains("/dev/zero: not a regular file, but a device"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_log_that_nobody_writes_is_given_up() {
    let tree = tree();
    let log = tree.path().join("../log");
    make_fifo(&log);
    let ended = check(&tree, &["--log", log.to_str().unwrap()]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .stderr
            .contains("nobody wrote to this pipe for 10 seconds")
    );
}

/// `klto plan` of a matrix file with that content.
fn plan(text: &str) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("m.yaml");
    fs::write(&file, text).unwrap();
    klto_in_little_memory(&["plan", file.to_str().unwrap()])
}

#[rstest]
#[case::fifo(make_fifo as fn(&Path), "not a regular file, but a FIFO")]
#[case::huge(|path: &Path| File::create(path).unwrap().set_len(1 << 30).unwrap(), "more than the 1.0 MiB")]
#[case::no_text(|path: &Path| fs::write(path, b"\xff").unwrap(), "invalid utf-8")]
fn a_matrix_file_that_cannot_be_one_is_refused(#[case] make: fn(&Path), #[case] why: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("m.yaml");
    make(&file);
    let ended = klto_in_little_memory(&["plan", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains(why), "{}", ended.stderr);
    assert!(ended.stderr.contains("m.yaml"), "{}", ended.stderr);
}

/// Each name stands for ten of the one before.
fn bomb() -> String {
    let mut text = "a0: &a0 [x]\n".to_owned();
    for n in 1..30 {
        let of = format!("*a{}", n - 1);
        text += &format!("a{n}: &a{n} [{}]\n", [of.as_str(); 10].join(", "));
    }
    text
}

#[rstest]
#[case::nested("[".repeat(500_000))]
#[case::nested_maps("a: {".repeat(200_000))]
#[case::nested_keys("? ".repeat(500_000))]
#[case::nested_entries("- ".repeat(500_000))]
#[case::nested_both("[{a: ".repeat(150_000))]
#[case::nested_by_indentation((0..1400).map(|n| " ".repeat(n / 2) + "- \n").collect())]
#[case::aliases(bomb())]
#[case::alias_of_itself("a: &a [*a]\n".to_owned())]
#[case::keys((0..100_000).map(|n| format!("k{n}: 1\n")).collect())]
#[case::long_word("name: ".to_owned() + &"x".repeat(1_000_000))]
fn a_matrix_that_is_none_is_refused_soon(#[case] text: String) {
    let ended = plan(&text);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.len() < 10_000, "{} bytes", ended.stderr.len());
}

/// A matrix with so many configs of so many symbols, and so many toolchains.
fn matrix(configs: usize, symbols: usize, toolchains: usize) -> String {
    let names = |letter: &str, count: usize| -> Vec<String> {
        (0..count).map(|n| format!("{letter}{n}")).collect()
    };
    let (configs, toolchains) = (names("c", configs), names("t", toolchains));
    let enable = names("S", symbols).join(", ");
    let each = |names: &[String], value: &str| -> String {
        let lines = names.iter().map(|name| format!("  {name}: {value}\n"));
        lines.collect()
    };
    format!(
        "name: m\ntoolchains:\n{}configs:\n{}axes:\n  arch: [x86_64, arm64, riscv, loongarch]\n  \
         config: [{}]\n  lto: [none, thin, thin-dist, full]\n  toolchain: [{}]\n",
        each(&toolchains, "{ make: {} }"),
        each(
            &configs,
            &format!("{{ base: tinyconfig, enable: [{enable}] }}")
        ),
        configs.join(", "),
        toolchains.join(", ")
    )
}

#[rstest]
#[case::as_many_cells_as_there_may_be(matrix(125, 1, 10), None)]
#[case::more_cells(
    matrix(126, 1, 10),
    Some("the axes make 20160 cells, more than the 20000 that a matrix may have")
)]
#[case::very_many_cells(matrix(5000, 1, 5000), Some("the axes make 400000000 cells"))]
#[case::many_symbols(
    matrix(100, 1000, 10),
    Some("the axes make 16000000 symbols of cells, more than the 1000000")
)]
fn a_matrix_has_so_many_cells_and_no_more(#[case] text: String, #[case] why: Option<&str>) {
    let ended = plan(&text);
    match why {
        None => assert_eq!(ended.code, Some(0)),
        Some(why) => {
            assert_eq!(ended.code, Some(2));
            assert!(ended.stderr.contains(why), "{}", ended.stderr);
            assert!(ended.stderr.contains("m.yaml:"), "the place is named");
        }
    }
}

/// Folders of snapshots that contain themselves, and a snapshot that is none.
#[test]
fn snapshot_folders_that_link_to_themselves_end() {
    let kernel = FakeKernel::new();
    let snapshots = kernel.dir().join("linked");
    let folder = snapshots.join("fake");
    fs::create_dir_all(&folder).unwrap();
    for name in ["a", "b", "c"] {
        std::os::unix::fs::symlink(".", folder.join(name)).unwrap();
    }
    let mut run = kernel.run(&[]);
    run.arg("--snapshots").arg(&snapshots);
    let ended = finish(&mut run);
    assert_eq!(ended.code, Some(0));
}

/// What stands in a path, a matrix or a tree and would move the cursor, set the title of a window or
/// turn the order of reading.
const RAW: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}2K\u{202e}\r";

fn assert_nothing_is_raw(said: &str) {
    let raw: Vec<char> = said
        .chars()
        .filter(|c| c.is_control() && !"\n\t".contains(*c) || *c == '\u{202e}')
        .collect();
    assert!(raw.is_empty(), "{raw:?} in {said:?}");
    assert!(said.contains("owned"), "it is shown: {said:?}");
}

#[rstest]
#[case::check(&["check", RAW])]
#[case::matrix(&["plan", RAW])]
#[case::option(&["check", ".", "--only", RAW])]
#[case::command(&[RAW])]
fn an_error_shows_nothing_raw(#[case] args: &[&str]) {
    let ended = finish(&mut klto(args));
    assert_eq!(ended.code, Some(2));
    assert_nothing_is_raw(&ended.stderr);
}

/// On a terminal, as `script` of util-linux makes one.
#[test]
fn a_plan_shows_nothing_raw_on_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("m.yaml");
    let text = matrix(1, 1, 1)
        + "exclude:\n  - { arch: arm64, reason: \"\\e]0;owned\\a\\e[2J\\u202e\" }\n";
    fs::write(&file, text).unwrap();
    let mut terminal = Command::new("script");
    let command = format!("{:?} plan {:?}", klto([""; 0]).get_program(), file);
    terminal.args(["-qec", &command, "/dev/null"]);
    let ended = finish(&mut terminal);
    assert_eq!(ended.code, Some(0));
    // The terminal itself writes a carriage return before each line feed.
    assert_nothing_is_raw(&ended.stdout.replace("\r\n", "\n"));
}

/// It is not the same as one that is not there.
#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(".config", folder.path().join(".config")).unwrap();
    let ended = finish(klto(["check"]).arg(folder.path()));
    assert_eq!(ended.code, Some(125), "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains(".config: Too many levels of symbolic links"),
        "{}",
        ended.stderr
    );
}
