//! The user's own sources, while cells are built from them: nobody keeps him from editing them.

use std::path::{Path, PathBuf};

use crate::build::dir_state::DirState;
use crate::model::error::Error;

/// The files of a folder, as make sees them.
#[derive(Debug)]
pub struct SourceState {
    dir: PathBuf,
    files: DirState,
}

impl SourceState {
    /// The state now.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn of(dir: &Path) -> Result<SourceState, Error> {
        Ok(SourceState {
            files: DirState::of_sources(dir)?,
            dir: dir.to_owned(),
        })
    }

    /// Returns if every file is still what it was. A new file is no change: no makefile that is
    /// still the same names it, and editors and indexers leave some.
    ///
    /// # Errors
    /// [`Error::Machine`] with the first file that is not.
    pub fn check(&self) -> Result<(), Error> {
        let now = DirState::of_sources(&self.dir)?;
        match self.files.changed_since(&now).next() {
            None => Ok(()),
            Some(file) => Err(Error::Machine(format!(
                "{}: the file changed while klto worked with the sources in {}, so that nobody knows what was built\n  run again when nobody edits them, or build a commit (--ref): klto checks it out for itself",
                self.dir.join(file).display(),
                self.dir.display()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn write(dir: &Path, file: &str) {
        std::fs::create_dir_all(dir.join(file).parent().unwrap()).unwrap();
        std::fs::write(dir.join(file), file).unwrap();
    }

    fn sources() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in ["Makefile", "init/main.c", ".git/index"] {
            write(dir.path(), file);
        }
        dir
    }

    #[rstest]
    #[case::edited(|dir: &Path| std::fs::write(dir.join("init/main.c"), "int other;").unwrap())]
    #[case::rewritten_as_it_was(|dir: &Path| {
        std::fs::remove_file(dir.join("init/main.c")).unwrap();
        write(dir, "init/main.c");
    })]
    #[case::removed(|dir: &Path| std::fs::remove_file(dir.join("init/main.c")).unwrap())]
    fn a_changed_file_is_named(#[case] change: fn(&Path)) {
        let dir = sources();
        let state = SourceState::of(dir.path()).unwrap();
        state.check().unwrap();
        change(dir.path());
        let error = state.check().unwrap_err().to_string();
        let file = dir.path().join("init/main.c");
        let begin = format!("{}: the file changed while", file.display());
        assert!(error.contains(&begin), "{error}");
    }

    #[rstest]
    #[case::new_file(|dir: &Path| write(dir, "tags"))]
    #[case::state_of_git(|dir: &Path| std::fs::write(dir.join(".git/index"), "2").unwrap())]
    #[case::another_link(|dir: &Path| {
        std::fs::hard_link(dir.join("Makefile"), dir.join("other")).unwrap();
    })]
    fn what_make_does_not_see_is_no_change(#[case] change: fn(&Path)) {
        let dir = sources();
        let state = SourceState::of(dir.path()).unwrap();
        change(dir.path());
        state.check().unwrap();
    }
}
