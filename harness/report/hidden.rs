//! Text that goes to others, without the paths of this machine.

use super::printable;
use crate::model::record::CellRecord;

/// So many folders above a build tree, klto keeps what belongs to it: the sources of a probe, logs.
const ABOVE: usize = 3;

/// Paths of this machine, which are of no use to others.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hidden<'a> {
    pub kernel: &'a str,
    pub build: &'a str,
}

impl Hidden<'_> {
    pub fn of(record: &CellRecord) -> Hidden<'_> {
        Hidden {
            kernel: &record.reproduce.kernel,
            build: &record.reproduce.build,
        }
    }

    /// A line with the names of the variables, as the commands have them, for the paths.
    pub fn of_line(&self, line: &str) -> String {
        let mut line = with_name(line, self.build, "$O");
        let (mut folder, mut name) = (self.build, "$O".to_owned());
        for _ in 0..ABOVE {
            folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
            name.push_str("/..");
            // What is so near the root may be of any program.
            if folder.matches('/').count() > 1 {
                line = with_name(&line, folder, &name);
            }
        }
        printable(&with_name(&line, self.kernel, "$KERNEL")).into_owned()
    }
}

/// Text with `name` for each `path`, and for what is below it.
fn with_name(text: &str, path: &str, name: &str) -> String {
    if !path.starts_with('/') {
        return text.to_owned();
    }
    let mut parts = text.split(path);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let goes_on = part.starts_with(|c: char| c.is_alphanumeric() || "._-+".contains(c));
        out.push_str(if goes_on { path } else { name });
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::below("/srv/b/vmlinux: no", "$O/vmlinux: no")]
    #[case::itself("in /srv/b: no", "in $O: no")]
    #[case::at_the_end("in '/srv/b'", "in '$O'")]
    #[case::sources("/src/linux/Makefile:3", "$KERNEL/Makefile:3")]
    #[case::longer_name("/srv/b.log, /srv/b2/x", "/srv/b.log, /srv/b2/x")]
    #[case::twice("/srv/b/x /srv/b/y", "$O/x $O/y")]
    fn paths_of_the_machine_become_variables(#[case] line: &str, #[case] expected: &str) {
        let hidden = Hidden {
            kernel: "/src/linux",
            build: "/srv/b",
        };
        assert_eq!(hidden.of_line(line), expected);
    }

    #[rstest]
    #[case::source(
        "/w/cells/x86/probe/source/Makefile:3",
        "$O/../../../source/Makefile:3"
    )]
    #[case::log("/w/cells/x86/probe/thin/llvm/build.log", "$O/../build.log")]
    #[case::itself("/w/cells/x86/probe/thin/llvm/build/x", "$O/x")]
    #[case::too_far("/w/cells/x86/other", "/w/cells/x86/other")]
    fn what_is_beside_a_build_tree_is_named_by_it(#[case] line: &str, #[case] expected: &str) {
        let hidden = Hidden {
            kernel: "/src/linux",
            build: "/w/cells/x86/probe/thin/llvm/build",
        };
        assert_eq!(hidden.of_line(line), expected);
    }
}
