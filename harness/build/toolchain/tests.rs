//! A changed program changes the fingerprint, however it was changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::input::arch_table;
use crate::model::cell::{Base, LtoMode};

fn cell(llvm: &str) -> Cell {
    Cell {
        arch: arch_table::by_name("x86_64").unwrap().clone(),
        config_name: "probe".to_owned(),
        base: Base::Goal("tinyconfig".to_owned()),
        fragments: Vec::new(),
        enable: Vec::new(),
        disable: Vec::new(),
        set: BTreeMap::new(),
        lto: LtoMode::Thin,
        toolchain_name: "llvm".to_owned(),
        make: BTreeMap::from([("LLVM".to_owned(), llvm.to_owned())]),
        goals: Vec::new(),
        scenarios: Vec::new(),
        timeout: Duration::from_secs(1),
    }
}

/// A toolchain of files that nobody runs, in `llvm/`; `bin` is a link to its programs.
fn toolchain() -> (tempfile::TempDir, Cell) {
    let dir = tempfile::tempdir().unwrap();
    for file in [
        "bin/clang",
        "bin/ld.lld",
        "lib/libLLVM.so.22",
        "lib/notes",
        "include/gelf.h",
    ] {
        let file = dir.path().join("llvm").join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "1").unwrap();
    }
    symlink("llvm/bin", dir.path().join("bin")).unwrap();
    let prefix = format!("{}/bin/", dir.path().display());
    (dir, cell(&prefix))
}

fn fingerprint_now(cell: &Cell) -> blake3::Hash {
    of_tools(&tools(cell))
}

#[test]
fn a_reading_is_believed_for_some_seconds_by_cells_of_one_toolchain() {
    let (dir, cell) = toolchain();
    let before = fingerprint(&cell);
    fs::write(dir.path().join("llvm/bin/clang"), "12").unwrap();
    assert_eq!(fingerprint(&cell), before);
    let (_other, another) = toolchain();
    assert_ne!(fingerprint(&another), before);
}

fn with_old_time(file: &Path, change: impl FnOnce()) {
    let time = fs::metadata(file).unwrap().modified().unwrap();
    change();
    fs::File::open(file).unwrap().set_modified(time).unwrap();
}

#[rstest]
#[case::another_size(|dir: &Path| fs::write(dir.join("llvm/bin/clang"), "12").unwrap())]
#[case::another_time(|dir: &Path| {
    let clang = fs::File::open(dir.join("llvm/bin/clang")).unwrap();
    clang.set_modified(std::time::UNIX_EPOCH).unwrap();
})]
#[case::same_size_and_time(|dir: &Path| {
    let clang = dir.join("llvm/bin/clang");
    std::thread::sleep(Duration::from_millis(20));
    with_old_time(&clang, || fs::write(&clang, "2").unwrap());
})]
#[case::linker(|dir: &Path| fs::write(dir.join("llvm/bin/ld.lld"), "12").unwrap())]
#[case::library(|dir: &Path| fs::write(dir.join("llvm/lib/libLLVM.so.22"), "12").unwrap())]
#[case::new_library(|dir: &Path| fs::write(dir.join("llvm/lib/libPlugin.so"), "").unwrap())]
#[case::header(|dir: &Path| fs::write(dir.join("llvm/include/gelf.h"), "12").unwrap())]
#[case::removed(|dir: &Path| fs::remove_file(dir.join("llvm/bin/clang")).unwrap())]
#[case::added(|dir: &Path| fs::write(dir.join("llvm/bin/llvm-ar"), "").unwrap())]
#[case::link_leads_elsewhere(|dir: &Path| {
    fs::create_dir_all(dir.join("other/bin")).unwrap();
    fs::hard_link(dir.join("llvm/bin/clang"), dir.join("other/bin/clang")).unwrap();
    fs::remove_file(dir.join("bin")).unwrap();
    symlink("other/bin", dir.join("bin")).unwrap();
})]
fn a_change_of_the_toolchain_shows(#[case] change: fn(&Path)) {
    let (dir, cell) = toolchain();
    let before = fingerprint_now(&cell);
    assert_eq!(fingerprint_now(&cell), before, "nothing has changed");

    change(dir.path());

    assert_ne!(fingerprint_now(&cell), before);
}

#[test]
fn what_is_no_part_of_the_toolchain_does_not_show() {
    let (dir, cell) = toolchain();
    let before = fingerprint_now(&cell);
    fs::write(dir.path().join("llvm/lib/notes"), "12").unwrap();
    fs::write(dir.path().join("llvm/bin/opt"), "").unwrap();
    assert_eq!(fingerprint_now(&cell), before);
}

#[test]
fn another_name_of_the_toolchain_is_another_toolchain() {
    let (_dir, named) = toolchain();
    assert_ne!(
        fingerprint_now(&named),
        fingerprint_now(&cell("-no-such-version"))
    );
}

#[rstest]
#[case("CC")]
#[case("LD")]
#[case("AR")]
#[case("NM")]
#[case("OBJCOPY")]
#[case("OBJDUMP")]
#[case("READELF")]
#[case("STRIP")]
#[case("HOSTCC")]
#[case("HOSTLD")]
#[case("HOSTAR")]
fn a_program_that_the_cell_names_shows(#[case] variable: &str) {
    let (dir, mut cell) = toolchain();
    let own = dir.path().join("own");
    fs::write(&own, "1").unwrap();
    let without = fingerprint_now(&cell);
    cell.make
        .insert(variable.to_owned(), own.to_str().unwrap().to_owned());
    let before = fingerprint_now(&cell);
    assert_ne!(before, without);
    fs::write(&own, "12").unwrap();
    assert_ne!(fingerprint_now(&cell), before);
}

#[rstest]
#[case::compiler("gcc")]
#[case::assembler("as")]
#[case::linker("ld")]
fn a_gnu_tool_shows(#[case] tool: &str) {
    let (dir, mut cell) = toolchain();
    let prefix = format!("{}/cross-", dir.path().display());
    cell.make.remove("LLVM");
    cell.make.insert("CROSS_COMPILE".to_owned(), prefix.clone());
    let before = fingerprint_now(&cell);
    fs::write(format!("{prefix}{tool}"), "1").unwrap();
    assert_ne!(fingerprint_now(&cell), before);
}

#[rstest]
#[case(Some("1"), "clang")]
#[case(Some("-22"), "clang-22")]
#[case(Some("/opt/llvm/bin/"), "/opt/llvm/bin/clang")]
#[case(None, "clang")]
fn llvm_names_its_tools(#[case] llvm: Option<&str>, #[case] tool: &str) {
    assert_eq!(llvm_tool("clang", llvm), tool);
}

#[rstest]
#[case::llvm(&[("LLVM", "-22")], "clang-22", "clang-22")]
#[case::gnu(&[("CROSS_COMPILE", "a-linux-gnu-")], "a-linux-gnu-gcc", "gcc")]
#[case::native(&[], "gcc", "gcc")]
#[case::own(&[("CC", "cc"), ("LLVM", "-22")], "cc", "clang-22")]
fn variables_name_the_compilers(
    #[case] variables: &[(&str, &str)],
    #[case] own: &str,
    #[case] host: &str,
) {
    let variables = variables
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let variables: BTreeMap<String, String> = variables.collect();
    assert_eq!(
        (&*compiler(&variables), &*host_compiler(&variables)),
        (own, host)
    );
}

#[rstest]
#[case::llvm(&[("LLVM", "1")], "llvm-nm")]
#[case::suffix(&[("LLVM", "-22")], "llvm-nm-22")]
#[case::named(&[("LLVM", "-22"), ("NM", "nm")], "nm")]
#[case::gnu(&[("CROSS_COMPILE", "riscv64-linux-gnu-")], "riscv64-linux-gnu-nm")]
fn nm_is_the_one_that_the_top_makefile_takes(
    #[case] variables: &[(&str, &str)],
    #[case] program: &str,
) {
    let variables = variables
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    assert_eq!(nm(&variables.collect()), program);
}
