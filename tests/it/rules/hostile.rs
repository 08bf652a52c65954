//! Build trees come from other people's machines. Names that lead out of the tree are
//! not followed, what is not a file is not read, and odd names are just names.

use std::os::unix::ffi::OsStrExt as _;
use std::sync::mpsc;
use std::time::Duration;

use klto::judge::inspect::Inspected;
use klto::model::cell::LtoMode;
use klto::model::record::FindingRecord;
use rstest::rstest;

use super::case::list;
use crate::support::tree::layout::{ARM64, X86_64};
use crate::support::tree::recipes::Recipes;
use crate::support::tree::toolchain::run;
use crate::support::tree::{Tree, keys};

/// A hang is a failure, and must not stop the test run.
fn answer_in_time(tree: Tree) -> (Tree, Result<Inspected, klto::model::error::Error>) {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let answer = tree.answer();
        // The receiver is gone once the test has failed.
        let _ = send.send((tree, answer));
    });
    receive
        .recv_timeout(Duration::from_secs(20))
        .expect("klto answers within 20 s")
}

/// A thin archive as `llvm-ar` writes it, with names that it would not write.
fn thin_archive(members: &[&[u8]]) -> Vec<u8> {
    let mut names = Vec::new();
    let mut headers = Vec::new();
    for member in members {
        let name = format!("/{}", names.len());
        names.extend_from_slice(member);
        names.extend_from_slice(b"/\n");
        let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, 8);
        headers.extend_from_slice(header.as_bytes());
    }
    if names.len() % 2 == 1 {
        names.push(b'\n');
    }
    let mut archive = b"!<thin>\n".to_vec();
    archive.extend_from_slice(format!("{:<48}{:<10}`\n", "//", names.len()).as_bytes());
    archive.extend(names);
    archive.extend(headers);
    archive
}

/// Appends `member` to both archives of an in-process tree.
fn with_member(member: &[u8]) -> Tree {
    let tree = Tree::pristine(X86_64, LtoMode::Thin);
    let members = tree.members("built-in-fixup.a");
    let mut names: Vec<&[u8]> = members.iter().map(String::as_bytes).collect();
    names.push(member);
    for archive in ["built-in-fixup.a", "vmlinux.a"] {
        tree.write(archive, thin_archive(&names));
    }
    let mut objs = tree.read(".vmlinux.objs");
    objs.extend_from_slice(member);
    objs.push(b'\n');
    tree.write(".vmlinux.objs", objs);
    tree
}

fn only(answer: Inspected) -> FindingRecord {
    let mut findings = answer.inspection.findings;
    assert_eq!(findings.len(), 1, "\n{}", list(&findings));
    findings.remove(0)
}

#[rstest]
#[case::upwards("../outside.o")]
#[case::upwards_from_below("init/../../outside.o")]
#[case::far_up("../../../../../../../../../../etc/passwd")]
#[case::absolute("/etc/passwd")]
#[case::absolute_and_upwards("/proc/../etc/passwd")]
fn a_name_that_leads_out_of_the_tree_is_not_followed(#[case] member: &str) {
    let tree = with_member(member.as_bytes());
    // If it were followed, this object would give another finding, and its .cmd file a CRC
    // that differs.
    std::fs::write(tree.file("../outside.o"), "no object").unwrap();
    std::fs::write(
        tree.file("../.outside.o.cmd"),
        "savedcmd_outside.o := cc\n#SYMVER ring_next 0x00000007\n",
    )
    .unwrap();

    let (_tree, answer) = answer_in_time(tree);

    let findings = answer.unwrap().inspection.findings;
    let expected = ["crc.cmd-missing", "elf.damaged"];
    assert_eq!(keys(&findings), expected.into(), "\n{}", list(&findings));
    for finding in &findings {
        assert!(
            finding.evidence.contains("leads out of the build tree"),
            "{finding:?}"
        );
    }
}

#[rstest]
#[case::a_module("../outside.o")]
#[case::a_module_upwards_from_below("drivers/../../outside.o")]
#[case::an_absolute_module("/etc/outside.o")]
fn a_module_outside_of_the_tree_is_not_followed(#[case] module: &str) {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    std::fs::write(tree.file("../outside.mod"), "/etc/passwd\n").unwrap();
    tree.edit("modules.order", |text| format!("{text}{module}\n"));
    let (_tree, answer) = answer_in_time(tree);
    assert_eq!(answer.unwrap().inspection.findings, []);
}

#[test]
fn an_object_of_a_module_outside_of_the_tree_is_not_followed() {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    tree.edit("drivers/m/m.mod", |text| format!("{text}/etc/passwd\n"));
    let (_tree, answer) = answer_in_time(tree);
    let finding = only(answer.unwrap());
    assert_eq!(&*finding.key, "crc.cmd-missing");
    assert_eq!(finding.object, "/etc/passwd");
}

#[rstest]
#[case::a_fifo("mkfifo")]
#[case::a_directory("mkdir")]
#[case::an_endless_device("ln -s /dev/zero")]
#[case::a_link_to_nothing("ln -s nowhere")]
#[case::a_link_to_itself("ln -s ring.o")]
fn what_is_no_file_is_not_read_in_place_of_an_object(#[case] make: &str) {
    let tree = Tree::pristine(ARM64, LtoMode::Thin);
    tree.remove("lib/ring.o");
    tree.shell(&format!("{make} lib/ring.o"));

    let (_tree, answer) = answer_in_time(tree);

    let finding = only(answer.unwrap());
    assert_eq!(finding.object, "lib/ring.o");
    assert!(
        ["elf.damaged", "archive.member-missing"].contains(&&*finding.key),
        "{finding:?}"
    );
}

/// Every other file that klto opens.
const READ: [&str; 20] = [
    "lib/.ring.o.cmd",
    "lib/ring.o.thinlto.bc",
    "lib/ring.thinlto-native.o",
    "lib/.ring.thinlto-native.o.cmd",
    "built-in-fixup.a",
    "vmlinux.a",
    "builtin.order",
    "vmlinux.thinlto-index",
    ".vmlinux.objs",
    "vmlinux.symvers",
    ".vmlinux.export.c",
    "vmlinux.o",
    "vmlinux",
    "modules.order",
    "drivers/m/m.mod",
    "Module.symvers",
    ".config",
    "include/config/auto.conf",
    "include/config/kernel.release",
    "compile_commands.json",
];

#[rstest]
#[case::a_fifo("mkfifo")]
#[case::a_directory("mkdir")]
#[case::an_endless_device("ln -s /dev/zero")]
fn what_is_no_file_does_not_stop_klto_anywhere(#[case] make: &str) {
    let mut tree = Tree::pristine(ARM64, LtoMode::ThinDist);
    tree.compile_commands(Recipes::default());
    for file in READ {
        tree.shell(&format!("mv {file} aside && {make} {file}"));
        let (same_tree, answer) = answer_in_time(tree);
        tree = same_tree;
        tree.shell(&format!("rm -r {file} && mv aside {file}"));
        // Findings, or an error that names the file.
        match answer {
            // Module.symvers has the same lines.
            Ok(_) if file == "vmlinux.symvers" => {}
            Ok(answer) => assert_ne!(answer.inspection.findings, [], "{file}"),
            Err(error) => assert!(error.to_string().contains(file), "{error}"),
        }
    }
    assert_eq!(tree.findings(), []);
}

/// What the machine cannot read says nothing about the tree.
#[rstest]
#[case::an_object("lib/ring.o")]
#[case::a_cmd_file("lib/.ring.o.cmd")]
#[case::an_index("lib/ring.o.thinlto.bc")]
#[case::a_native_object("lib/ring.thinlto-native.o")]
#[case::a_cmd_file_of_a_native_object("lib/.ring.thinlto-native.o.cmd")]
#[case::an_object_of_a_module("drivers/m/two.o")]
#[case::a_cmd_file_of_a_module("drivers/m/.two.o.cmd")]
fn what_the_machine_cannot_read_is_no_finding(#[case] file: &str) {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    tree.remove(file);
    // A regular file whose first byte nobody can read.
    tree.shell(&format!("ln -s /proc/self/mem {file}"));

    let error = tree.answer().unwrap_err();

    assert_eq!(error.exit().code(), 125);
    let (begin, end) = (
        format!("cannot read {}", tree.file(file).display()),
        "Input/output error",
    );
    let message = error.to_string();
    assert!(
        message.starts_with(&begin) && message.contains(end),
        "{message}"
    );
}

#[test]
fn too_few_file_descriptors_give_no_finding() {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    let klto = env!("CARGO_BIN_EXE_klto");
    for descriptors in 4..24 {
        let check = format!("ulimit -n {descriptors}; exec {klto} check .");
        let ran = std::process::Command::new("sh")
            .args(["-c", &check])
            .current_dir(tree.path())
            .env("RAYON_NUM_THREADS", "64")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        match ran.status.code() {
            Some(0) => {}
            Some(125) => assert!(said.contains("Too many open files"), "{said}"),
            other => panic!("{descriptors}: {other:?}: {said}"),
        }
    }
}

#[rstest]
#[case::with_spaces(b"lib/a ring with spaces.o")]
#[case::not_utf_8(b"lib/r\xffng.o")]
#[case::with_an_escape_sequence(b"lib/\x1b[31mred\x07.o")]
#[case::that_looks_like_an_option(b"-rf")]
#[case::that_is_a_folder(b"lib")]
#[case::of_dots(b"...")]
fn an_odd_name_of_a_member_is_a_name(#[case] member: &[u8]) {
    let (_tree, answer) = answer_in_time(with_member(member));
    let findings = answer.unwrap().inspection.findings;
    let found = keys(&findings);
    for finding in &findings {
        assert_eq!(
            finding.object,
            String::from_utf8_lossy(member),
            "\n{}",
            list(&findings)
        );
    }
    // Missing, or not an object; and its .cmd file is missing too.
    assert!(
        found.contains("archive.member-missing") || found.contains("elf.damaged"),
        "\n{}",
        list(&findings)
    );
}

/// Names that end where a line of text would not: an archive and a list differ in them.
#[rstest]
#[case::with_a_nul(b"lib/a\0b.o", "lib/a")]
#[case::empty(b"", "")]
fn a_name_that_is_none_is_a_finding(#[case] member: &[u8], #[case] read: &str) {
    let (_tree, answer) = answer_in_time(with_member(member));
    let findings = answer.unwrap().inspection.findings;
    assert!(
        findings.iter().any(|finding| finding.object == read),
        "\n{}",
        list(&findings)
    );
}

#[test]
fn an_odd_name_of_an_object_that_is_there_is_read() {
    let odd: &[u8] = b"lib/a ring\x1b[31m of \xc3\xa4.o";
    let tree = with_member(odd);
    let name = std::ffi::OsStr::from_bytes(odd);
    let cmd = std::ffi::OsStr::from_bytes(b"lib/.a ring\x1b[31m of \xc3\xa4.o.cmd");
    std::fs::copy(tree.file("init/version.o"), tree.path().join(name)).unwrap();
    std::fs::copy(tree.file("init/.version.o.cmd"), tree.path().join(cmd)).unwrap();
    let (_tree, answer) = answer_in_time(tree);
    assert_eq!(answer.unwrap().inspection.findings, []);
}

#[test]
fn a_very_long_name_is_a_name() {
    let long = format!("{}x.o", "folder/".repeat(10_000));
    let (_tree, answer) = answer_in_time(with_member(long.as_bytes()));
    let findings = answer.unwrap().inspection.findings;
    assert!(
        findings.iter().all(|f| f.object == long),
        "\n{}",
        list(&findings)
    );
    assert_ne!(findings, []);
}

/// A terminal would obey it.
#[rstest]
#[case::text("text")]
#[case::json("json")]
#[case::ktap("ktap")]
fn no_report_sends_an_escape_sequence_of_a_name_to_the_terminal(#[case] format: &str) {
    let tree = with_member(b"lib/\x1b]0;title\x07\x1b[2J.o");
    let dir = tree.path();
    let args = ["check", "--format", format, dir.to_str().unwrap()];
    let ran = run(&dir, env!("CARGO_BIN_EXE_klto"), args);
    assert!(!ran.ok, "a finding ends klto with 1");
    assert!(ran.stdout.contains("member-missing"), "{}", ran.stdout);
    assert!(!ran.stdout.contains(['\x1b', '\x07']), "{:?}", ran.stdout);
    assert!(!ran.stderr.contains(['\x1b', '\x07']), "{:?}", ran.stderr);
}
