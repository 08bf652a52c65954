//! `klto completions`: what completes the command line in a shell.

use clap::CommandFactory as _;

use super::args::{Cli, Completions};
use super::print;
use crate::model::error::{Error, Exit};

pub fn run(args: &Completions) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "klto", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Pass)
}
