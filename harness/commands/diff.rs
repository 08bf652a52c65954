//! `klto diff`: compares two finished build trees.

use super::print;
use crate::cli::Diff as Args;
use crate::error::{Error, Exit};
use crate::report::diff as report;
use crate::verify::pair::{compare_trees, usual_tolerances};
use crate::yaml::{self, YamlError};

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
        true => Exit::Holds,
        false => Exit::Broken,
    })
}
