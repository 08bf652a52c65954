//! Paths inside a build tree, as text: normalised as `llvm-ar` does it, and
//! never leading out of the tree, since archives are untrusted input.

use std::borrow::Cow;

/// Resolves `.` and `a/..` lexically: `arch/arm64/kvm/../../../virt/kvm/x.o`
/// becomes `virt/kvm/x.o`, as `llvm-ar` writes it. A leading `..` stays.
#[must_use]
pub fn normalise(path: &str) -> Cow<'_, str> {
    if !path.starts_with("./") && !path.contains("/.") && !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    Cow::Owned(format!("{root}{}", parts.join("/")))
}

/// Whether a normalised path stays inside the tree.
#[must_use]
pub fn stays_inside(path: &str) -> bool {
    !path.is_empty() && !path.starts_with('/') && path != ".." && !path.starts_with("../")
}

/// The `.cmd` file of an object, as `scripts/Kbuild.include` (`dot-target`)
/// names it: `a/b.o` has `a/.b.o.cmd`.
#[must_use]
pub fn cmd_file(object: &str) -> String {
    match object.rsplit_once('/') {
        Some((folder, file)) => format!("{folder}/.{file}.cmd"),
        None => format!(".{object}.cmd"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("init/main.o", "init/main.o")]
    #[case("arch/arm64/kvm/../../../virt/kvm/x.o", "virt/kvm/x.o")]
    #[case("./a/./b.o", "a/b.o")]
    #[case("a/.hidden/b.o", "a/.hidden/b.o")]
    #[case("a/../../b.o", "../b.o")]
    #[case("/etc/../passwd", "/passwd")]
    fn a_path_is_normalised(#[case] path: &str, #[case] normal: &str) {
        assert_eq!(normalise(path), normal);
    }

    #[rstest]
    #[case("a/b.o", true)]
    #[case("..a/b.o", true)]
    #[case("../b.o", false)]
    #[case("..", false)]
    #[case("/b.o", false)]
    #[case("", false)]
    fn a_path_that_leads_out_is_known(#[case] path: &str, #[case] inside: bool) {
        assert_eq!(stays_inside(path), inside);
    }

    #[test]
    fn the_cmd_file_of_an_object_is_named_as_kbuild_does() {
        assert_eq!(cmd_file("init/main.o"), "init/.main.o.cmd");
        assert_eq!(cmd_file("main.o"), ".main.o.cmd");
    }
}
