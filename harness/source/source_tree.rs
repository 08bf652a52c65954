//! A kernel source tree in a directory: what it is, and whether it can be built from.

use std::path::Path;

use crate::build::process::Command;
use crate::model::arch::Arch;
use crate::model::cell::{Cell, LtoMode};
use crate::model::error::Error;
use crate::model::record::SkipReason;

/// What every kernel has.
pub(super) const TOP_FILES: [&str; 4] = [
    "Makefile",
    "Kbuild",
    "scripts/config",
    "scripts/Makefile.build",
];

/// Where the kernel's LTO modes are defined.
pub(super) const LTO_FILE: &str = "arch/Kconfig";

/// A kernel source tree.
#[derive(Debug)]
pub struct SourceTree<'a> {
    pub dir: &'a Path,
    /// `7.2.13`, from the top Makefile.
    pub version: String,
    has_thin_dist: bool,
}

impl<'a> SourceTree<'a> {
    /// Checks whether `dir` contains a kernel that is clean enough to build elsewhere.
    ///
    /// # Errors
    /// [`Error::NotASourceTree`], or [`Error::UncleanSource`] with the command
    /// that cleans it.
    pub fn open(dir: &'a Path, arches: &[&Arch]) -> Result<SourceTree<'a>, Error> {
        let not = |found: &str| Error::NotASourceTree {
            dir: dir.to_owned(),
            found: found.to_owned(),
        };
        if !dir.is_dir() {
            return Err(not("no such directory"));
        }
        for file in TOP_FILES {
            if !dir.join(file).is_file() {
                return Err(not(&format!("it has no {file}")));
            }
        }
        check_path(dir, "the source tree")?;
        let makefile = read(&dir.join("Makefile"))?;
        let version = version_of(&makefile).ok_or_else(|| not(NO_VERSION))?;
        let in_tree = [".config".to_owned(), "include/config".to_owned()]
            .into_iter()
            .chain(
                arches
                    .iter()
                    .map(|a| format!("arch/{}/include/generated", a.src)),
            )
            .find(|left| dir.join(left).exists());
        if let Some(found) = in_tree {
            let remedy = Command::new("make")
                .arg("-C")
                .arg(dir)
                .args(arches.first().map(|arch| format!("ARCH={}", arch.make)))
                .arg("mrproper")
                .shell_words();
            return Err(Error::UncleanSource {
                dir: dir.to_owned(),
                found,
                remedy,
            });
        }
        let kconfig = read(&dir.join(LTO_FILE))?;
        Ok(SourceTree {
            dir,
            version,
            has_thin_dist: has_thin_dist(&kconfig),
        })
    }

    /// Why this kernel cannot be built as the cell, if it cannot.
    #[must_use]
    pub fn lacks(&self, cell: &Cell) -> Option<SkipReason> {
        lacks(cell, &self.version, self.has_thin_dist)
    }

    /// Whether it has distributed ThinLTO.
    #[must_use]
    pub fn has_thin_dist(&self) -> bool {
        self.has_thin_dist
    }
}

/// The error for a Makefile without a version.
pub(super) const NO_VERSION: &str = "its Makefile does not begin with VERSION and PATCHLEVEL";

/// Whether a kernel with this `arch/Kconfig` has distributed ThinLTO.
pub(super) fn has_thin_dist(kconfig: &str) -> bool {
    kconfig.contains("config LTO_CLANG_THIN_DIST")
}

/// Why a kernel cannot be built as the cell, if it cannot.
pub(super) fn lacks(cell: &Cell, version: &str, has_thin_dist: bool) -> Option<SkipReason> {
    match cell.lto {
        LtoMode::ThinDist if !has_thin_dist => Some(SkipReason::NoDistributedMode {
            kernel: version.to_owned(),
        }),
        LtoMode::None | LtoMode::Thin | LtoMode::ThinDist | LtoMode::Full => None,
    }
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read(path)
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .map_err(Error::io(path, "read"))
}

/// `7.2.13`, from the text of a top Makefile.
pub(super) fn version_of(makefile: &str) -> Option<String> {
    let value = |name: &str| {
        makefile.lines().take(10).find_map(|line| {
            let (left, right) = line.split_once('=')?;
            (left.trim() == name).then(|| right.trim().to_owned())
        })
    };
    let (version, patch) = (value("VERSION")?, value("PATCHLEVEL")?);
    let sub = value("SUBLEVEL").filter(|sub| !sub.is_empty());
    let extra = value("EXTRAVERSION").unwrap_or_default();
    Some(match sub {
        Some(sub) => format!("{version}.{patch}.{sub}{extra}"),
        None => format!("{version}.{patch}{extra}"),
    })
}

/// Refuses a path that kbuild would split, at spaces and colons.
///
/// # Errors
/// [`Error::Usage`], naming the character.
pub fn check_path(path: &Path, what: &str) -> Result<(), Error> {
    let text = path.to_string_lossy();
    match text.chars().find(|c| c.is_whitespace() || *c == ':') {
        None => Ok(()),
        Some(bad) => Err(Error::Usage(format!(
            "{}: kbuild cannot handle a {bad:?} in the path of {what}\n  use a path without spaces and colons",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(
        "VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 13\nEXTRAVERSION =\n",
        Some("7.2.13")
    )]
    #[case(
        "# x\nVERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\nEXTRAVERSION = -rc7\n",
        Some("7.3.0-rc7")
    )]
    #[case("all:\n\techo\n", None)]
    fn the_top_makefile_tells_the_version(#[case] text: &str, #[case] version: Option<&str>) {
        assert_eq!(version_of(text).as_deref(), version);
    }
}
