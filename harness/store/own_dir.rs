//! Directories of klto's own, each with a marker in it, so that nothing of the user's is ever removed.

use std::fs::{DirBuilder, File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::build::process::own_user;
use crate::model::error::Error;

/// A kind of directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnDir {
    /// The file that marks it.
    pub marker: &'static str,
    /// `the work directory`, for messages.
    pub name: &'static str,
    /// The option that names it.
    pub option: &'static str,
}

impl OwnDir {
    /// Whether `dir` is one.
    pub fn is_there(self, dir: &Path) -> bool {
        dir.join(self.marker).exists()
    }

    /// Creates or enters one; returns its real path.
    ///
    /// # Errors
    /// [`Error::Usage`] if the directory holds something else, or others may have created it or write
    /// there; [`Error::Io`] if it cannot be written.
    pub fn enter(self, dir: &Path) -> Result<PathBuf, Error> {
        let is_public = is_in_public(dir)?;
        if is_public {
            self.check_owner(dir)?;
        }
        if !self.is_there(dir) {
            match std::fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
                // Another klto may just have created it.
                Ok(true) if self.is_there(dir) => {}
                Ok(true) => {
                    return Err(Error::Usage(format!(
                        "{}: {} holds files that klto did not make\n  choose an empty or a new directory with {}",
                        dir.display(),
                        self.name,
                        self.option
                    )));
                }
                Ok(false) => {}
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    let mut builder = DirBuilder::new();
                    builder.recursive(true);
                    if is_public {
                        builder.mode(0o700);
                    }
                    builder.create(dir).map_err(Error::io(dir, "create"))?;
                    if is_public {
                        // Somebody else may have been faster.
                        self.check_owner(dir)?;
                    }
                }
                Err(e) => return Err(Error::io(dir, "read")(e)),
            }
            let marker = dir.join(self.marker);
            File::options()
                .create(true)
                .append(true)
                .open(&marker)
                .map_err(Error::io(&marker, "write"))?;
        }
        dir.canonicalize().map_err(Error::io(dir, "read"))
    }

    /// Refuses a directory of somebody else's, or one in which others may write.
    fn check_owner(self, dir: &Path) -> Result<(), Error> {
        let own = own_user();
        let is_ours = |meta: &Metadata| {
            meta.uid() == own && (meta.is_symlink() || meta.mode() & OF_OTHERS == 0)
        };
        for meta in [std::fs::symlink_metadata(dir), std::fs::metadata(dir)] {
            match meta {
                Ok(meta) if is_ours(&meta) => {}
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io(dir, "read")(e)),
                Ok(_) => {
                    return Err(Error::Usage(format!(
                        "{}: {} is in a folder where everybody may write, and others own it or may write in it\n  if you created it: chmod go-w; else choose another directory with {}",
                        dir.display(),
                        self.name,
                        self.option
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Write access of the group and of all others.
const OF_OTHERS: u32 = 0o022;

/// Whether everybody may create files beside `dir`, as in `/tmp`.
fn is_in_public(dir: &Path) -> Result<bool, Error> {
    let path = std::path::absolute(dir).map_err(Error::io(dir, "find"))?;
    let parent = path.parent().map(std::fs::metadata);
    // A folder that is not there yet is created as ours.
    Ok(parent.is_some_and(|meta| meta.is_ok_and(|meta| meta.mode() & 0o002 != 0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    const DIR: OwnDir = OwnDir {
        marker: ".klto-test",
        name: "the test directory",
        option: "--test",
    };

    fn set_mode(dir: &Path, mode: u32) {
        set_permissions(dir, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn where_everybody_may_write_a_directory_is_ours_or_refused() {
        let parent = tempfile::tempdir().unwrap();
        set_mode(parent.path(), 0o1777);
        let dir = parent.path().join("d");
        DIR.enter(&dir).unwrap();
        assert_eq!(dir.metadata().unwrap().mode() & 0o777, 0o700);
        DIR.enter(&dir).unwrap();
        let link = parent.path().join("link");
        symlink(&dir, &link).unwrap();
        DIR.enter(&link).unwrap();

        for mode in [0o770, 0o707] {
            set_mode(&dir, mode);
            for path in [&dir, &link] {
                let error = DIR.enter(path).unwrap_err().to_string();
                assert!(
                    error.contains("others own it or may write in it"),
                    "{error}"
                );
            }
        }
        set_mode(&dir, 0o700);
        // Only root can give a folder away.
        if own_user() == 0 {
            chown(&dir, Some(1), None).unwrap();
            assert!(DIR.enter(&dir).is_err());
        }
    }

    #[test]
    fn elsewhere_a_group_may_share_a_directory() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("d");
        DIR.enter(&dir).unwrap();
        set_mode(&dir, 0o770);
        DIR.enter(&dir).unwrap();
    }
}
