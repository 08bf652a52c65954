//! `klto diff`: compares two finished build trees.

use super::print;
use crate::cli::args::Diff as Args;
use crate::input::yaml::{self, YamlError};
use crate::model::error::{Error, Exit};
use crate::report::diff as report;
use crate::run::pair::{compare_trees, usual_tolerances};

pub fn run(args: &Args) -> Result<Exit, Error> {
    let usage = |e: YamlError| Error::Usage(e.to_string());
    let tolerances = match &args.tolerances {
        Some(file) => yaml::read(file).and_then(|text| yaml::parse(&text, file)),
        None => usual_tolerances(),
    };
    let trees = [&*args.first, &*args.second];
    let compared = compare_trees(trees, &tolerances.map_err(usage)?)?;
    let names = trees.map(|tree| tree.display().to_string());
    print(&report::trees(&names, &compared, args.format, args.all))?;
    Ok(match compared.differences.is_empty() {
        true => Exit::Pass,
        false => Exit::Fail,
    })
}
