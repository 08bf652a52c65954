//! The flow for two build trees: collect both, compare.

use std::path::{Path, PathBuf};

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

/// A build tree, and the output of the make that built it.
#[derive(Debug, Clone)]
pub struct BuiltTree {
    pub dir: PathBuf,
    pub log: Option<PathBuf>,
}

impl BuiltTree {
    /// With the log beside the tree, if there is one: `build.log` of `build`, where 'klto run'
    /// writes it.
    #[must_use]
    pub fn with_log_beside(dir: &Path) -> BuiltTree {
        let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let log = whole.file_name().map(|name| {
            let mut name = name.to_owned();
            name.push(".log");
            whole.with_file_name(name)
        });
        BuiltTree {
            dir: dir.to_owned(),
            log: log.filter(|log| log.is_file()),
        }
    }
}

/// Compares two build trees.
///
/// # Errors
/// Where one cannot be read, is no finished build, or the two are of different
/// architectures.
pub fn compare_trees(trees: [&BuiltTree; 2], tolerances: &Tolerances) -> Result<Compared, Error> {
    let [a, b] = trees;
    let (one, other) = rayon::join(|| read(a), || read(b));
    let (one, other) = (one?, other?);
    if one.arch.name != other.arch.name {
        return Err(Error::Usage(format!(
            "{} is of {}, {} of {}: nothing in them can be compared\n  pass two build trees of one architecture",
            a.dir.display(),
            one.arch.name,
            b.dir.display(),
            other.arch.name
        )));
    }
    Ok(compare(&one, &other, tolerances))
}

fn read(tree: &BuiltTree) -> Result<Side, Error> {
    let dir = &tree.dir;
    let tree = BuildTree::open(dir, None, tree.log.as_deref())?;
    let facts = collect::collect(&tree)?;
    if let Some(reason) = facts.unfinished() {
        return Err(Error::Unfinished {
            dir: dir.clone(),
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

    #[test]
    fn the_log_beside_a_tree_has_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let build = dir.path().join("build");
        std::fs::create_dir(&build).unwrap();
        let log = dir.path().join("build.log");
        for name in [build.clone(), build.join("."), build.join("")] {
            assert_eq!(BuiltTree::with_log_beside(&name).log, None);
        }
        std::fs::write(&log, "").unwrap();
        for name in [build.clone(), build.join("."), build.join("")] {
            let found = BuiltTree::with_log_beside(&name).log.unwrap();
            assert_eq!(found.file_name().unwrap(), "build.log");
            assert!(found.is_file(), "{}", found.display());
        }
        assert_eq!(BuiltTree::with_log_beside(Path::new("/")).log, None);
    }
}
