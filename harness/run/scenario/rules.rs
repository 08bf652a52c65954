//! The rules over what make does with a tree that is there already. Each is reported with
//! the step after which it was broken.

use crate::model::finding::{Rule, Severity};

/// Every rule of the scenarios.
pub const RULES: &[&Rule] = &[
    &FAILED,
    &COMMAND,
    &REWRITTEN,
    &MISSED,
    &EXTRA,
    &DIFFERS,
    &FAULT_SILENT,
    &FAULT_STUCK,
    &CLEAN_LEFT,
    &CLEAN_NOT_IGNORED,
    &ORDER_DIFFERS,
    &WHERE_DIFFERS,
];

pub(super) const FAILED: Rule = Rule {
    key: "rebuild.failed",
    severity: Severity::Error,
    invariant: "make succeeds in a tree that was built before",
    broken: "builds failed in a tree that was built before",
    why: "people have to remove the build tree and build everything again",
    fix: "run the step by hand; the earlier build left something that make neither rebuilds nor ignores",
};

pub(super) const COMMAND: Rule = Rule {
    key: "rebuild.command",
    severity: Severity::Warning,
    invariant: "make runs no command if nothing has changed",
    broken: "commands were run although nothing had changed",
    why: "every build takes longer than necessary, and whatever depends on the file is rebuilt too",
    fix: "check whether the rule uses if_changed, whether its target is in targets, and whether its .cmd file is read back",
};

pub(super) const REWRITTEN: Rule = Rule {
    key: "rebuild.rewritten",
    severity: Severity::Warning,
    invariant: "make writes no file if nothing has changed",
    broken: "files were rewritten although nothing had changed",
    why: "each build rebuilds whatever depends on the file",
    fix: "write to a temporary file, and replace the old file only if they differ, as filechk does",
};

pub(super) const MISSED: Rule = Rule {
    key: "rebuild.missed",
    severity: Severity::Error,
    invariant: "make compiles again what depends on a change",
    broken: "objects were not rebuilt after a change",
    why: "the kernel is linked from code of the earlier state",
    fix: "the rule lacks a prerequisite, or does not compare its command",
};

pub(super) const EXTRA: Rule = Rule {
    key: "rebuild.extra",
    severity: Severity::Warning,
    invariant: "make does not compile again what does not depend on a change",
    broken: "objects were rebuilt without need",
    why: "small changes take as long as large ones",
    fix: "the rule has a needless prerequisite, or its command differs from run to run",
};

pub(super) const DIFFERS: Rule = Rule {
    key: "rebuild.differs",
    severity: Severity::Error,
    invariant: "an incremental build gives the same result as a clean build of the same sources and configuration",
    broken: "files differ from a clean build",
    why: "the kernel does not match its sources and its configuration",
    fix: "find the command that made the file, and the prerequisite that make does not know",
};

pub(super) const FAULT_SILENT: Rule = Rule {
    key: "damage.silent",
    severity: Severity::Error,
    invariant: "make repairs a damaged intermediate file, or fails",
    broken: "faults were neither repaired nor reported",
    why: "after an interrupted build or on a full disk the kernel is wrong, and make exits 0",
    fix: "the command that reads the file must fail if it cannot read it, and leave no target",
};

pub(super) const FAULT_STUCK: Rule = Rule {
    key: "damage.stuck",
    severity: Severity::Error,
    invariant: "after a damaged intermediate file is deleted, make rebuilds it",
    broken: "faults were not repaired after the damaged file was deleted",
    why: "only make clean helps, and no message says so",
    fix: "make must know a rule for the file, or the step that makes it must run again if it is missing",
};

pub(super) const CLEAN_LEFT: Rule = Rule {
    key: "clean.left",
    severity: Severity::Error,
    invariant: "make clean and make mrproper delete every file that the build made",
    broken: "files were left after make clean or make mrproper",
    why: "the next build, or a packaged tree, uses files of this build",
    fix: "add the file to CLEAN_FILES of the top Makefile, or its pattern to the find command of the goal clean",
};

pub(super) const CLEAN_NOT_IGNORED: Rule = Rule {
    key: "clean.not-ignored",
    severity: Severity::Warning,
    invariant: "git ignores every file that a build in the source tree makes",
    broken: "files are not ignored by git",
    why: "git status lists build products, and git add adds them",
    fix: "add the file, or its suffix, to .gitignore",
};

pub(super) const ORDER_DIFFERS: Rule = Rule {
    key: "shuffle.differs",
    severity: Severity::Error,
    invariant: "the result does not depend on the order in which make runs commands",
    broken: "files differ after a build in another order",
    why: "a prerequisite is missing: some builds fail, or use a file of an earlier state",
    fix: "find what the command that makes the file reads, and name it as a prerequisite",
};

pub(super) const WHERE_DIFFERS: Rule = Rule {
    key: "location.differs",
    severity: Severity::Error,
    invariant: "the result does not depend on where the build happens",
    broken: "files differ after a build in another place",
    why: "builds cannot be compared or reproduced, and some paths give another kernel",
    fix: "look for a path in the command that makes the object, and check how the makefile spells it",
};
