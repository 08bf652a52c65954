//! `klto diff`: compares two finished build trees.

use std::path::PathBuf;

use super::print;
use crate::cli::args::Diff as Args;
use crate::input::yaml::{self, YamlError};
use crate::model::error::{Error, Exit};
use crate::report::diff as report;
use crate::run::pair::{BuiltTree, compare_trees, usual_tolerances};

pub fn run(args: &Args) -> Result<Exit, Error> {
    let usage = |e: YamlError| Error::Usage(e.to_string());
    let tolerances = match &args.tolerances {
        Some(file) => yaml::read(file).and_then(|text| yaml::parse(&text, file)),
        None => usual_tolerances(),
    };
    let trees = trees(args)?;
    let compared = compare_trees([&trees[0], &trees[1]], &tolerances.map_err(usage)?)?;
    let names = trees.map(|tree| tree.dir.display().to_string());
    print(&report::trees(&names, &compared, args.format, args.all))?;
    Ok(match compared.differences.is_empty() {
        true => Exit::Pass,
        false => Exit::Fail,
    })
}

fn trees(args: &Args) -> Result<[BuiltTree; 2], Error> {
    let dirs = [&args.first, &args.second];
    let [first, second] = match &args.log[..] {
        [] => return Ok(dirs.map(|dir| BuiltTree::with_log_beside(dir))),
        [first, second] => [first, second],
        _ => {
            return Err(Error::Usage(
                "there are two trees\n  pass --log twice: the first log, then the second"
                    .to_owned(),
            ));
        }
    };
    let with_log = |dir: &PathBuf, log: &PathBuf| BuiltTree {
        dir: dir.clone(),
        log: Some(log.clone()),
    };
    Ok([with_log(dirs[0], first), with_log(dirs[1], second)])
}
