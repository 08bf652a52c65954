//! The cells that differ only in their mode, by the names of their folders.

use crate::model::cell::LtoMode;

/// The folder, in the place of a mode's, of what several modes have in common.
const SHARED: &str = "shared";

/// The modes of one architecture, config and toolchain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    /// `arm64/tiny`
    above: String,
    toolchain: String,
}

impl Group {
    /// The group and the mode of the cell of that name; `None` if it is no cell's name.
    pub fn of_cell(name: &str) -> Option<(Group, LtoMode)> {
        let (group, mode) = Group::split(name)?;
        Some((group, mode.parse().ok()?))
    }

    /// The group whose shared folder has that name; `None` if it is another folder.
    pub fn of_shared(folder: &str) -> Option<Group> {
        let (group, mode) = Group::split(folder)?;
        (mode == SHARED).then_some(group)
    }

    fn split(name: &str) -> Option<(Group, &str)> {
        let [arch, config, mode, toolchain] = name.split('/').collect::<Vec<_>>()[..] else {
            return None;
        };
        let group = Group {
            above: format!("{arch}/{config}"),
            toolchain: toolchain.to_owned(),
        };
        Some((group, mode))
    }

    /// The name of its cell in that mode.
    pub fn cell(&self, mode: LtoMode) -> String {
        self.folder(mode.name())
    }

    /// The folder of what its modes have in common.
    pub fn shared(&self) -> String {
        self.folder(SHARED)
    }

    fn folder(&self, mode: &str) -> String {
        format!("{}/{mode}/{}", self.above, self.toolchain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_and_put_together_again() {
        let (group, mode) = Group::of_cell("arm64/tiny/thin-dist/llvm-22").unwrap();
        assert_eq!(mode, LtoMode::ThinDist);
        assert_eq!(group.cell(mode), "arm64/tiny/thin-dist/llvm-22");
        assert_eq!(group.shared(), "arm64/tiny/shared/llvm-22");
        assert_eq!(Group::of_shared(&group.shared()), Some(group));
    }

    #[test]
    fn other_names_are_of_no_group() {
        for name in [
            "",
            "arm64/tiny/thin",
            "arm64/tiny/thicc/llvm-22",
            "a/b/thin/c/d",
        ] {
            assert_eq!(Group::of_cell(name), None, "{name}");
        }
        assert_eq!(Group::of_cell("arm64/tiny/shared/llvm-22"), None);
        assert_eq!(Group::of_shared("arm64/tiny/thin/llvm-22"), None);
    }
}
