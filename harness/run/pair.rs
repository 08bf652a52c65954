//! The flow for two build trees: collect both, compare.

use std::path::Path;

use crate::input::yaml::{self, YamlError};
use crate::judge::diff::{Compared, Side, compare};
use crate::judge::inspect::{arch_of, identity, mode_of};
use crate::model::error::Error;
use crate::model::tolerances::Tolerances;
use crate::tree::collect::{self, BuildTree, linked};

/// How far sizes may differ by default.
///
/// # Errors
/// When the embedded file is broken, which a unit test rules out.
pub fn usual_tolerances() -> Result<Tolerances, YamlError> {
    let text = include_str!("tolerances.yaml");
    yaml::parse(text, Path::new("tolerances.yaml"))
}

/// Compares two build trees.
///
/// # Errors
/// Where one cannot be read, is no finished build, or the two are of different
/// architectures.
pub fn compare_trees(trees: [&Path; 2], tolerances: &Tolerances) -> Result<Compared, Error> {
    let [a, b] = trees;
    let (one, other) = rayon::join(|| read(a), || read(b));
    let (one, other) = (one?, other?);
    if one.arch.name != other.arch.name {
        return Err(Error::Usage(format!(
            "{} is of {}, {} of {}: nothing in them can be compared\n  pass two build trees of one architecture",
            a.display(),
            one.arch.name,
            b.display(),
            other.arch.name
        )));
    }
    Ok(compare(&one, &other, tolerances))
}

fn read(dir: &Path) -> Result<Side, Error> {
    let tree = BuildTree::open(dir, None, None)?;
    let facts = collect::collect(&tree)?;
    if let Some(reason) = facts.unfinished() {
        return Err(Error::Unfinished {
            dir: dir.to_owned(),
            reason,
        });
    }
    let arch = arch_of(dir, &facts)?;
    Ok(Side {
        identity: identity(&facts, arch, mode_of(&facts)),
        arch,
        linked: linked::read(&tree, &facts)?,
        facts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_tolerances_can_be_read() {
        assert!(usual_tolerances().unwrap().total_percent > 0);
    }
}
