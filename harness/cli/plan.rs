//! `klto plan`: what a matrix would build.

use std::fmt::Write as _;

use super::{Selected, load_matrix, print, select};
use crate::build::toolchain;
use crate::cli::args::Plan;
use crate::model::error::{Error, Exit};
use crate::model::finding::counted;

pub fn run(args: &Plan) -> Result<Exit, Error> {
    let matrix = load_matrix(&args.matrix)?;
    let Selected { cells, .. } = select(&matrix, &args.cells)?;
    let mut out = String::new();
    for cell in &cells {
        let variables: Vec<String> = toolchain::variables(cell)
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let _ = writeln!(
            out,
            "{}\n    make {} {}; {}",
            cell.name(),
            variables.join(" "),
            cell.base,
            cell.requested()
                .iter()
                .map(|(symbol, value)| format!("{symbol}={value}"))
                .collect::<Vec<_>>()
                .join(" "),
        );
    }
    for (cell, reason) in &matrix.excluded {
        let _ = writeln!(out, "{cell}\n    excluded: {reason}");
    }
    let _ = writeln!(out, "{}", counted(cells.len(), "cells"));
    print(&out)?;
    Ok(Exit::Pass)
}
