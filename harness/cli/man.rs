//! `klto man`: the manual pages, made from the texts of `--help`.

use clap::CommandFactory as _;

use super::args::{Cli, Man};
use crate::model::error::{Error, Exit};

pub fn run(args: &Man) -> Result<Exit, Error> {
    // What is in the place of the folder is the user's, and stays.
    std::fs::create_dir_all(&args.dir).map_err(Error::io(&args.dir, "write"))?;
    clap_mangen::generate_to(Cli::command(), &args.dir).map_err(Error::io(&args.dir, "write"))?;
    Ok(Exit::Pass)
}
