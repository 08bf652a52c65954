//! Pieces are cut where lines change, and each can be taken out by git.

use rstest::rstest;

use super::*;
use crate::source::series::apply::OwnRepository;
use crate::source::series::form;
use crate::source::test_repository::{Repository, open};

const MAKEFILE: &str = "scripts/Makefile.build";
const EMPTY: &str = "empty";

/// A repository whose last commit makes `after` of `before`, and the pieces of that commit. No
/// text is no file, [`EMPTY`] one without text.
fn changed(before: &str, after: &str) -> (Repository, Vec<Piece>) {
    let repository = Repository::new();
    let write = |text: &str| match text {
        "" => repository.remove(MAKEFILE),
        EMPTY => repository.write(MAKEFILE, ""),
        text => repository.write(MAKEFILE, text),
    };
    write(before);
    // A commit must change something.
    repository.write("init/before.c", "int before;\n");
    repository.commit("before");
    write(after);
    repository.commit("after");
    let diff = repository.git(&["diff-tree", "-p", "-U3", "--no-commit-id", "HEAD"]);
    let changes = form::changes(format!("{diff}\n").as_bytes()).unwrap();
    let pieces = changes.iter().flat_map(pieces).collect();
    (repository, pieces)
}

fn lines(numbers: std::ops::RangeInclusive<usize>) -> String {
    numbers
        .map(|number| format!("line-{number} :=\n"))
        .collect()
}

#[rstest]
#[case::one_line(&lines(1..=9), &lines(1..=9).replace("line-5", "other"), &[(5, 1, "other :=")])]
#[case::two_runs_of_one_hunk(
    &lines(1..=9),
    &lines(1..=9).replace("line-3", "other").replace("line-6 :=\n", ""),
    &[(3, 1, "other :="), (6, 1, "line-6 :=")]
)]
#[case::two_hunks(
    &lines(1..=30),
    &format!("first :=\n{}", lines(1..=30).replace("line-30 :=\n", "line-30 :=\nlast :=\n")),
    &[(1, 1, "first :="), (32, 1, "last :=")]
)]
#[case::new_file("", &lines(1..=3), &[(1, 3, "line-1 :=")])]
#[case::from_empty(EMPTY, &lines(1..=3), &[(1, 3, "line-1 :=")])]
#[case::removed_file(&lines(1..=3), "", &[(1, 3, "line-1 :=")])]
#[case::no_line_end("a\nb", "a\nc", &[(2, 1, "c")])]
#[case::line_end_added("a\nb", "a\nb\nc\n", &[(2, 2, "b")])]
#[case::paragraphs_of_a_long_addition(
    "",
    &format!("{}\nifdef CONFIG_X\n\n{}\nendif\n\n{}", lines(1..=4), lines(5..=6), lines(7..=8)),
    &[(1, 5, "line-1 :="), (6, 7, "ifdef CONFIG_X"), (13, 2, "line-7 :=")]
)]
#[case::paragraphs_of_a_long_addition_in_c(
    "",
    &format!("{}\nint f(void)\n{{\n\tint x;\n\n\treturn x;\n}}\n\n{}", lines(1..=4), lines(5..=6)),
    &[(1, 5, "line-1 :="), (6, 7, "int f(void)"), (13, 2, "line-5 :=")]
)]
fn each_place_where_lines_change_is_a_piece(
    #[case] before: &str,
    #[case] after: &str,
    #[case] expected: &[(usize, usize, &str)],
) {
    let (repository, pieces) = changed(before, after);
    let told: Vec<_> = pieces
        .iter()
        .map(|piece| {
            (
                piece.line,
                piece.added.max(piece.removed),
                piece.text.as_str(),
            )
        })
        .collect();
    assert_eq!(told, expected);

    let own = OwnRepository::open(&open(&repository.path()), &repository.beside("own")).unwrap();
    let tip = repository.git(&["rev-parse", "HEAD"]);
    let base = repository.git(&["rev-parse", "HEAD^"]);
    let diff = |from: &str, to: &str| {
        let (from, to) = (format!("{from}^{{tree}}"), format!("{to}^{{tree}}"));
        let numbers = own
            .git()
            .run(["diff-tree", "--numstat", &from, &to])
            .unwrap();
        let text = numbers.text();
        let numbers = text
            .split_whitespace()
            .map(|word| word.parse::<usize>().ok());
        numbers.take(2).flatten().sum::<usize>()
    };
    let mut sum = 0;
    for piece in &pieces {
        let without = own.without(&tip, piece).unwrap().unwrap();
        assert_ne!(diff(without.id(), &tip), 0);
        sum += diff(without.id(), &tip);
        if pieces.len() == 1 {
            let tree = repository.git(&["rev-parse", "HEAD^^{tree}"]);
            assert_eq!(without.tree(), tree);
        }
    }
    // Together, they are the whole patch.
    assert_eq!(sum, diff(&base, &tip));
}

#[test]
fn a_piece_that_a_later_patch_changes_again_cannot_be_taken_out_of_the_last_tree() {
    let (repository, pieces) = changed(&lines(1..=9), &lines(1..=9).replace("line-5", "other"));
    let then = repository.git(&["rev-parse", "HEAD"]);
    repository.write(MAKEFILE, &lines(1..=9).replace("line-5", "third"));
    let tip = repository.commit("again");
    let own = OwnRepository::open(&open(&repository.path()), &repository.beside("own")).unwrap();
    assert!(own.without(&tip, &pieces[0]).unwrap().is_none());
    assert!(own.without(&then, &pieces[0]).unwrap().is_some());
}
