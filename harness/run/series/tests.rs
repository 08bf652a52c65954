//! The order in which cells are probed.

use rstest::rstest;

use super::likeliest;
use crate::model::cell::LtoMode;
use crate::run::job::tests::cell;

#[rstest]
#[case::of_no_architecture(&["scripts/Makefile.thinlto"], "arm64/tiny/thin-dist/llvm-22")]
#[case::of_the_last(&["Makefile", "arch/x86/Makefile"], "x86_64/tiny/thin-dist/llvm-22")]
#[case::of_none_that_is_probed(&["arch/mips/Makefile"], "arm64/tiny/thin-dist/llvm-22")]
#[case::of_one_without_the_mode(&["arch/riscv/Makefile"], "riscv/tiny/thin/llvm-22")]
fn the_cell_that_comes_first_is_of_an_architecture_whose_files_change(
    #[case] files: &[&str],
    #[case] first: &str,
) {
    let cells = [
        cell("arm64", LtoMode::None, &[]),
        cell("arm64", LtoMode::ThinDist, &[]),
        cell("riscv", LtoMode::None, &[]),
        cell("riscv", LtoMode::Thin, &[]),
        cell("x86_64", LtoMode::Thin, &[]),
        cell("x86_64", LtoMode::ThinDist, &[]),
    ];
    assert_eq!(likeliest(&cells, files).unwrap().name(), first);
}
