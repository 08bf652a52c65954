//! The message about a run: how it reads, and what it never has.

use klto::model::cell::LtoMode;
use klto::model::record::RunRecord;
use klto::report::{Format, Options};
use mailparse::MailHeaderMap as _;

use crate::support::run_record::{finding, inspection, rules, run_record};

const WIDTH: usize = 72;

fn mail(run: &RunRecord) -> String {
    Format::Mail.reporter(Options::default()).run(run)
}

#[test]
fn a_run_as_a_message() {
    insta::assert_snapshot!("run-mail", mail(&run_record()));
}

#[test]
fn a_tree_as_a_message() {
    let missing = |n| finding("flags.saved-missing", &format!("init/{n}.o"), "no line");
    let tree = inspection("x86_64", LtoMode::Thin, (1..=5).map(missing).collect());
    let reporter = Format::Mail.reporter(Options::default());
    let text = reporter.inspection("linux-build", &tree, &rules());
    insta::assert_snapshot!("tree-mail", text);
}

#[test]
fn it_is_a_message_with_a_subject_and_no_invented_person() {
    let text = mail(&run_record());
    let message = mailparse::parse_mail(text.as_bytes()).unwrap();
    let headers = &message.headers;
    let names: Vec<String> = headers.iter().map(mailparse::MailHeader::get_key).collect();
    let expected = [
        "Subject",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    ];
    assert_eq!(names, expected);
    let subject = headers.get_first_value("Subject").unwrap();
    let says = "klto: full of Linux 7.2.13: 5 cells failed, 2 inconclusive, 3 passed, 3 skipped";
    assert_eq!(subject, says);
    assert!(
        message
            .get_body()
            .unwrap()
            .starts_with("This is the result of klto")
    );
    let last = text.lines().last();
    let wrong = "This report is made by a program and may be wrong.";
    assert_eq!(last, Some(wrong));
}

#[test]
fn only_what_a_tool_printed_and_single_words_are_wider_than_a_line() {
    let mut run = run_record();
    let long = format!("expected {} found none", "x".repeat(100));
    let tree = run.cells[2].inspection.as_mut().unwrap();
    tree.findings[0].evidence.push_str(&" and more".repeat(20));
    tree.findings[1].evidence = long;
    let printed: Vec<String> = run
        .cells
        .iter()
        .flat_map(|cell| cell.findings().flat_map(|f| f.details.clone()))
        .collect();
    let text = mail(&run);
    let (head, body) = text.split_once("\n\n").unwrap();
    assert!(head.lines().count() > 1);
    let mut words = 0;
    for line in body.lines().filter(|line| line.chars().count() > WIDTH) {
        let said = line.trim();
        words += usize::from(!said.contains(' '));
        let is_printed = printed.iter().any(|detail| detail == said);
        assert!(is_printed || !said.contains(' '), "{line}");
    }
    assert_eq!(words, 1);
}

#[test]
fn a_finding_of_several_cells_is_there_once_with_the_cells() {
    let mut run = run_record();
    run.cells.truncate(2);
    for (line, cell) in (1..).zip(&mut run.cells) {
        let evidence = format!("scripts/Makefile.thinlto:{line}: no flags");
        let shared = finding("flags.saved-missing", "init/main.o", &evidence);
        cell.inspection.as_mut().unwrap().findings.push(shared);
    }
    let only = finding("flags.saved-missing", "init/other.o", "no flags");
    run.cells[1]
        .inspection
        .as_mut()
        .unwrap()
        .findings
        .push(only);
    let text = mail(&run);
    let both = "\n>> flags.saved-missing: 1 object has no saved_c_flags line\n   \
                in arm64/tiny/thin/llvm-22, arm64/tiny/thin-dist/llvm-22\n\n   \
                init/main.o: scripts/Makefile.thinlto:1: no flags\n";
    assert!(text.contains(both), "{text}");
    let one = "\n>> flags.saved-missing: 1 object has no saved_c_flags line\n   \
               in arm64/tiny/thin-dist/llvm-22\n\n   init/other.o: no flags\n";
    assert!(text.contains(one), "{text}");
    assert_eq!(text.matches("init/main.o: scripts").count(), 1);
}

#[test]
fn what_is_known_is_no_news() {
    let mut run = run_record();
    run.cells = vec![run.cells.swap_remove(1)];
    let text = mail(&run);
    assert!(!text.contains("\n>> "), "{text}");
    assert!(
        text.contains("\nknown: compdb.lost-entries: 49 entries are missing"),
        "{text}"
    );
}

#[test]
fn the_commands_of_a_cell_are_there_once_and_name_no_path_of_the_machine() {
    let mut run = run_record();
    let folder = "/srv/klto/riscv/tiny/thin-dist/llvm-22";
    let tree = run.cells[3].inspection.as_mut().unwrap();
    tree.findings[0].evidence = format!("{folder}/build/Makefile:23");
    tree.findings[0].details[0] = format!("make: {folder}/source/init: error");
    let text = mail(&run);
    assert!(text.contains("$O/Makefile:23"), "{text}");
    assert!(text.contains("make: $O/../source/init: error"), "{text}");
    let cells = text
        .matches("To reproduce, with KERNEL as the sources")
        .count();
    assert_eq!(cells, 5);
    for hidden in ["/srv/klto", "/src/linux stable", "builder"] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
}
