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
    broken: "objects break it",
    why: "people would have to remove the build tree and build everything again",
    fix: "run the step by hand; something is left of the earlier build that make neither remakes nor ignores",
};

pub(super) const COMMAND: Rule = Rule {
    key: "rebuild.command",
    severity: Severity::Warning,
    invariant: "make runs no command when nothing has changed",
    broken: "objects break it",
    why: "every build takes longer than it need, and whatever depends on the file is made again too",
    fix: "look whether the rule uses if_changed, whether its target is in targets, and whether its .cmd file is read back",
};

pub(super) const REWRITTEN: Rule = Rule {
    key: "rebuild.rewritten",
    severity: Severity::Warning,
    invariant: "make writes no file when nothing has changed",
    broken: "objects break it",
    why: "whatever depends on the file is made again by each build",
    fix: "write to a temporary file and replace the old one where they differ, as filechk does",
};

pub(super) const MISSED: Rule = Rule {
    key: "rebuild.missed",
    severity: Severity::Error,
    invariant: "what depends on a change is compiled again",
    broken: "objects break it",
    why: "the kernel is linked from code of the earlier state",
    fix: "the rule lacks a prerequisite, or does not compare its command",
};

pub(super) const EXTRA: Rule = Rule {
    key: "rebuild.extra",
    severity: Severity::Warning,
    invariant: "what does not depend on a change is not compiled again",
    broken: "objects break it",
    why: "small changes take as long as large ones",
    fix: "the rule has a prerequisite too many, or its command differs from run to run",
};

pub(super) const DIFFERS: Rule = Rule {
    key: "rebuild.differs",
    severity: Severity::Error,
    invariant: "make leaves what a clean build of the same sources and configuration makes",
    broken: "objects break it",
    why: "the kernel is not the one that its sources and its configuration say",
    fix: "look which command made the file, and which of its prerequisites make does not know",
};

pub(super) const FAULT_SILENT: Rule = Rule {
    key: "fault.silent",
    severity: Severity::Error,
    invariant: "make repairs a damaged intermediate file, or fails",
    broken: "objects break it",
    why: "after an interrupted build or on a full disk the kernel is wrong, and make exits 0",
    fix: "the command that reads the file must fail when it cannot be read, and leave no target behind",
};

pub(super) const FAULT_STUCK: Rule = Rule {
    key: "fault.stuck",
    severity: Severity::Error,
    invariant: "make goes on when a damaged intermediate file is removed",
    broken: "objects break it",
    why: "nothing but make clean helps, and nothing says so",
    fix: "whatever makes the file must be a rule that make knows, or the step that makes it must run again when it is missing",
};

pub(super) const CLEAN_LEFT: Rule = Rule {
    key: "clean.left",
    severity: Severity::Error,
    invariant: "make clean and make mrproper leave nothing that the build made",
    broken: "objects break it",
    why: "the next build, or a packaged tree, takes files of this one",
    fix: "add the file to CLEAN_FILES of the top Makefile, or its pattern to the find command of the goal clean",
};

pub(super) const CLEAN_NOT_IGNORED: Rule = Rule {
    key: "clean.not-ignored",
    severity: Severity::Warning,
    invariant: "git ignores every file that a build in the source tree makes",
    broken: "objects break it",
    why: "git status lists build products, and git add takes them",
    fix: "add the file, or its suffix, to .gitignore",
};

pub(super) const ORDER_DIFFERS: Rule = Rule {
    key: "order.differs",
    severity: Severity::Error,
    invariant: "the result does not depend on the order in which make runs commands",
    broken: "objects break it",
    why: "a prerequisite is missing: some builds fail, or take a file of an earlier state",
    fix: "look what the command that makes the file reads, and name it as a prerequisite",
};

pub(super) const WHERE_DIFFERS: Rule = Rule {
    key: "where.differs",
    severity: Severity::Error,
    invariant: "the result does not depend on where the build happens",
    broken: "objects break it",
    why: "builds cannot be compared or reproduced, and some paths give another kernel",
    fix: "look for a path in the command that makes the object, and how the makefile spells it",
};
