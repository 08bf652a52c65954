//! The commands: each turns arguments into a question to [`verify`], prints the
//! answer and says how to exit.

mod accept;
mod check;
mod explain;
mod plan;
mod run;

use std::io::Write as _;
use std::path::PathBuf;

use crate::allow::Allow;
use crate::cell::Cell;
use crate::cli::{Cells, Cli, Command};
use crate::doctor;
use crate::error::{Error, Exit};
use crate::matrix::Matrix;
use crate::progress::say;

/// Runs a command; an error is printed, and mapped to its exit.
#[must_use]
pub fn dispatch(cli: &Cli) -> Exit {
    let result = match &cli.command {
        Command::Check(args) => check::run(args),
        Command::Run(args) => run::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Accept(args) => accept::run(args),
        Command::Doctor => doctor(),
        Command::Explain(args) => explain::run(args),
    };
    result.unwrap_or_else(|error| {
        say(format_args!("klto: {error}"));
        error.exit()
    })
}

/// `klto doctor`: 125 where a kernel of some architecture cannot be built.
fn doctor() -> Result<Exit, Error> {
    let diagnosis = doctor::examine().map_err(|e| Error::Usage(e.to_string()))?;
    print(&doctor::report(&diagnosis))?;
    Ok(if diagnosis.can_build() {
        Exit::Holds
    } else {
        Exit::CannotTell
    })
}

/// Prints to standard output; a reader that has gone away is no error.
fn print(text: &str) -> Result<(), Error> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("standard output", "write")(e))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn load_allows(files: &[PathBuf]) -> Result<Vec<Allow>, Error> {
    let mut allows = Vec::new();
    for file in files {
        allows.extend(Allow::load_file(file).map_err(|e| Error::Usage(e.to_string()))?);
    }
    Ok(allows)
}

fn load_matrix(file: &std::path::Path) -> Result<Matrix, Error> {
    Matrix::load(file).map_err(|e| Error::Usage(e.to_string()))
}

fn select(matrix: &Matrix, cells: &Cells) -> Result<Vec<Cell>, Error> {
    matrix
        .select(&cells.patterns)
        .map_err(|e| Error::Usage(e.to_string()))
}
