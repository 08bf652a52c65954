//! What a kernel calls the files that only distributed mode makes. The names belong to the
//! kernel: `collect` reads them from its commands.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The names, by default those of Linux 7.2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileNames {
    /// The list of all built-in objects; `None` in a kernel that keeps no such list.
    pub order: Option<String>,
    /// The list of the objects that the thin link read.
    pub index: String,
    /// What the name of a native object has where that of its IR object has `.o`.
    pub native_suffix: String,
    /// What comes before the object in the `.cmd` line with its flags.
    pub saved_prefix: String,
}

impl Default for FileNames {
    fn default() -> FileNames {
        FileNames {
            order: Some("builtin.order".to_owned()),
            index: "vmlinux.thinlto-index".to_owned(),
            native_suffix: ".thinlto-native.o".to_owned(),
            saved_prefix: "saved_c_flags_".to_owned(),
        }
    }
}

impl FileNames {
    /// The native object made from an IR object; the inverse of [`FileNames::ir_object`].
    #[must_use]
    pub fn native_object(&self, object: &str) -> String {
        let stem = object.strip_suffix(".o").unwrap_or(object);
        format!("{stem}{}", self.native_suffix)
    }

    /// The object whose `.cmd` file holds the CRCs of `object`, as modpost's
    /// `extract_crcs_for_object` derives it.
    #[must_use]
    pub fn ir_object<'a>(&self, object: &'a str) -> Cow<'a, str> {
        match object.strip_suffix(&self.native_suffix) {
            Some(stem) => Cow::Owned(format!("{stem}.o")),
            None => Cow::Borrowed(object),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_native_object_and_its_ir_object_name_each_other() {
        let names = FileNames::default();
        assert_eq!(
            names.native_object("init/main.o"),
            "init/main.thinlto-native.o"
        );
        assert_eq!(names.ir_object("init/main.thinlto-native.o"), "init/main.o");
        assert_eq!(names.ir_object("init/main.o"), "init/main.o");
        let added = FileNames {
            native_suffix: ".o.native.o".to_owned(),
            ..names
        };
        assert_eq!(added.native_object("init/main.o"), "init/main.o.native.o");
        assert_eq!(added.ir_object("init/main.o.native.o"), "init/main.o");
    }
}
