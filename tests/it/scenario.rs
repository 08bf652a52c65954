//! The scenario engine on kernels of a few lines: every rule holds on a correct kernel, and
//! is the only one broken by one wrong line.

use std::collections::BTreeSet;

use klto::build::dir_state::mirror;
use klto::judge::snapshot::Snapshot;
use klto::model::cell::LtoMode;
use klto::model::error::Error;
use klto::model::record::FindingRecord;
use klto::run::rules;
use klto::run::scenario::engine::ScenarioOutcome;
use klto::run::scenario::rules::RULES;
use rstest::rstest;

use crate::support::stand::{Break, Kernel, Stand};

/// A rule, the steps that check it, what breaks it and where that is seen.
struct Case {
    key: &'static str,
    kernel: Kernel,
    steps: &'static str,
    breaks: &'static [Break],
    objects: &'static [&'static str],
}

const AGAIN: &str = "- { name: again, expect: [no-command, nothing-rewritten] }";
const ALL: &str = "all: $(O)/sum\n\t@:\n";
const FAULTS: &str =
    "- { name: f, damage: [deleted, truncated, garbage, older, newer], expect: [repaired] }";
const CHECK: &str =
    "\t@for object in $^; do test \"$$(tail -n 1 $$object)\" = end || exit 1; done\n";

const CASES: &[Case] = &[
    Case {
        key: "rebuild.failed",
        kernel: Kernel::Tiny,
        steps: AGAIN,
        breaks: &[("Makefile", ALL, "all: $(O)/sum\n\t@mkdir $(O)/only-once\n")],
        objects: &["all (Makefile:6)"],
    },
    Case {
        key: "rebuild.command",
        kernel: Kernel::Tiny,
        steps: AGAIN,
        breaks: &[("Makefile", ALL, "all: $(O)/sum\n\t@echo '  GEN     list'\n")],
        objects: &["list"],
    },
    Case {
        key: "rebuild.rewritten",
        kernel: Kernel::Tiny,
        steps: AGAIN,
        breaks: &[("Makefile", ALL, "all: $(O)/sum\n\t@touch $(O)/sum\n")],
        objects: &["sum"],
    },
    Case {
        key: "rebuild.missed",
        kernel: Kernel::Tiny,
        steps: "- { name: s, edits: [source], expect: [dependants-rebuilt] }\n\
                - { name: h, edits: [header], expect: [dependants-rebuilt] }",
        breaks: &[("Makefile", "one.o: one.c shared.h\n", "one.o: one.c\n")],
        objects: &["one.o"],
    },
    Case {
        key: "rebuild.extra",
        kernel: Kernel::Tiny,
        steps: "- { name: s, edits: [source], expect: [dependants-rebuilt] }\n\
                - { name: h, edits: [header], expect: [dependants-rebuilt] }",
        breaks: &[("Makefile", "two.o: two.c\n", "two.o: two.c shared.h\n")],
        objects: &["two.o"],
    },
    Case {
        key: "rebuild.differs",
        kernel: Kernel::Tiny,
        steps: "- { name: h, edits: [header], expect: [bytes-of-clean-build] }",
        breaks: &[("Makefile", "one.o: one.c shared.h\n", "one.o: one.c\n")],
        objects: &["one.o", "sum"],
    },
    Case {
        key: "rebuild.differs",
        kernel: Kernel::Fake,
        steps: "- { name: switch, lto: thin, expect: [rules, facts-of-clean-build] }",
        breaks: &[(
            "scripts/fake-kbuild",
            "\tcp \"$out/built-in-fixup.a\" \"$out/vmlinux.a\"\n",
            "\t[ -e \"$out/builtin.order\" ] && thin=y || thin=n\n\
             \techo CONFIG_SEEN=$thin | tee -a \"$out/.config\" >>\"$out/include/config/auto.conf\"\n\
             \tcp \"$out/built-in-fixup.a\" \"$out/vmlinux.a\"\n",
        )],
        objects: &["config"],
    },
    Case {
        key: "damage.silent",
        kernel: Kernel::Tiny,
        steps: FAULTS,
        breaks: &[("Makefile", CHECK, "")],
        objects: &["one.o", "one.o"],
    },
    Case {
        key: "damage.stuck",
        kernel: Kernel::Tiny,
        steps: "- { name: f, damage: [deleted], expect: [repaired] }",
        breaks: &[
            (
                "Makefile",
                "deps_one.o := $(CURDIR)/shared.h' >$(O)/.one.o.cmd\n",
                "deps_one.o := $(CURDIR)/shared.h' >$(O)/.one.o.cmd\n\t@cp $@ $(O)/list\n",
            ),
            (
                "Makefile",
                "sum: $(O)/one.o $(O)/two.o\n",
                "sum: $(O)/one.o $(O)/two.o $(O)/list\n",
            ),
            (
                "Makefile",
                "clean:\n",
                "$(O)/list: $(O)/one.o ;\n\nclean:\n",
            ),
        ],
        objects: &["list"],
    },
    Case {
        key: "clean.left",
        kernel: Kernel::Tiny,
        steps: "- { name: c, goals: [clean], expect: [nothing-left, ignored-by-git] }",
        breaks: &[(
            "Makefile",
            "$(O)/.two.o.cmd $(O)/sum\n",
            "$(O)/.two.o.cmd\n",
        )],
        objects: &["sum"],
    },
    Case {
        key: "clean.not-ignored",
        kernel: Kernel::Tiny,
        steps: "- { name: c, goals: [clean], expect: [nothing-left, ignored-by-git] }",
        breaks: &[(".gitignore", "/sum\n", "")],
        objects: &["sum"],
    },
    Case {
        key: "shuffle.differs",
        kernel: Kernel::Tiny,
        steps: "- { name: o, fresh: true, jobs: one, expect: [bytes-of-build] }",
        breaks: &[(
            "Makefile",
            "\t@cat one.c shared.h >$@\n",
            "\t@cat one.c shared.h $(wildcard $(O)/two.o) >$@\n",
        )],
        objects: &["one.o", "sum"],
    },
    Case {
        key: "location.differs",
        kernel: Kernel::Fake,
        steps: "- { name: o, location: odd-path, expect: [rules, facts-of-build] }\n\
                - { name: i, location: in-tree, expect: [rules, facts-of-build] }",
        breaks: &[(
            "scripts/fake-kbuild",
            "\tcp \"$out/built-in-fixup.a\" \"$out/vmlinux.a\"\n",
            "\tcase $(cd \"$out\" && pwd) in */in-tree) echo CONFIG_SEEN=y ;; esac \\\n\
             \t\t| tee -a \"$out/.config\" >>\"$out/include/config/auto.conf\"\n\
             \tcp \"$out/built-in-fixup.a\" \"$out/vmlinux.a\"\n",
        )],
        objects: &["config"],
    },
];

fn shown(findings: &[FindingRecord]) -> Vec<(&str, &str)> {
    findings
        .iter()
        .map(|finding| (finding.key.as_str(), finding.object.as_str()))
        .collect()
}

fn skips(outcome: &ScenarioOutcome) -> Vec<String> {
    outcome.skipped.iter().map(ToString::to_string).collect()
}

#[test]
fn every_rule_has_a_case() {
    let rules: BTreeSet<&str> = RULES.iter().map(|rule| rule.key).collect();
    let cases: BTreeSet<&str> = CASES.iter().map(|case| case.key).collect();
    assert_eq!(cases, rules);
}

#[rstest]
fn a_rule_holds_and_is_broken_by_one_line(
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)] case: usize,
) {
    assert_eq!(CASES.len(), 13, "each has a value above");
    let case = &CASES[case];
    let holds = Stand::new(case.kernel, &[]).run(case.steps).unwrap();
    assert_eq!(shown(&holds.findings), [], "{} holds", case.key);
    assert!(holds.skipped.is_empty(), "{:?}", holds.skipped);

    let broken = Stand::new(case.kernel, case.breaks)
        .run(case.steps)
        .unwrap();

    let wanted: Vec<_> = case.objects.iter().map(|o| (case.key, *o)).collect();
    assert_eq!(shown(&broken.findings), wanted, "{:#?}", broken.findings);
}

/// Two files are deleted; one of them is also truncated, and filled with garbage. Each
/// time make fails, and what is there when the file is removed was seen before.
#[test]
fn what_a_failed_make_leaves_is_made_of_once() {
    let stand = Stand::new(Kernel::Tiny, &[]);
    let steps = "- { name: f, damage: [deleted, truncated, garbage], expect: [repaired] }";
    assert_eq!(shown(&stand.run(steps).unwrap().findings), []);
    assert_eq!(stand.makes(), 2 + 2);
}

#[test]
fn no_make_is_spent_on_a_file_to_which_nothing_was_appended() {
    let stand = Stand::new(Kernel::Tiny, &[]);
    let steps = "- { name: f, damage: [tail-lost, last-line-lost], expect: [repaired] }";
    assert_eq!(shown(&stand.run(steps).unwrap().findings), []);
    assert_eq!(stand.makes(), 0);
}

#[test]
fn what_a_failed_make_leaves_besides_is_seen() {
    let spoils = "\t@for object in $^; do test \"$$(tail -n 1 $$object)\" = end || \
                  { echo spoilt >$(O)/two.o; exit 1; }; done\n";
    let stand = Stand::new(Kernel::Tiny, &[("Makefile", CHECK, spoils)]);
    let steps = "- { name: f, damage: [deleted, truncated], expect: [repaired] }";
    assert_eq!(
        shown(&stand.run(steps).unwrap().findings),
        [("damage.stuck", "one.o")]
    );
}

/// The test bed builds with two jobs.
#[rstest]
#[case::other_jobs("- { name: o, fresh: true, jobs: one, expect: [bytes-of-build] }", 1)]
#[case::the_first_build_again(
    "- { name: o, fresh: true, jobs: several, expect: [bytes-of-build] }",
    0
)]
#[case::a_clean_build_per_mode(
    "- { name: thin, lto: thin, expect: [facts-of-clean-build] }\n\
     - { name: back, lto: thin-dist, expect: [facts-of-clean-build] }\n\
     - { name: thin again, lto: thin, expect: [facts-of-clean-build] }",
    3 + 1
)]
#[case::a_clean_build_of_changed_sources(
    "- { name: edit, edits: [fault], expect: [facts-of-clean-build] }",
    1 + 1
)]
fn no_make_is_spent_on_what_is_known(#[case] steps: &str, #[case] makes: usize) {
    let stand = Stand::new(Kernel::Fake, &[]);
    assert_eq!(shown(&stand.run(steps).unwrap().findings), []);
    assert_eq!(stand.makes(), makes);
}

/// So that a difference to a clean build is never one of the configuration.
#[test]
fn a_mode_is_configured_once() {
    const STEPS: &str = "- { name: thin, lto: thin, expect: [rules] }\n\
                         - { name: back, lto: thin-dist, expect: [rules] }\n\
                         - { name: thin again, lto: thin, expect: [rules] }";
    let stand = Stand::new(Kernel::Fake, &[]);
    assert_eq!(shown(&stand.run(STEPS).unwrap().findings), []);
    assert_eq!(stand.logged(" olddefconfig\n"), 1);
}

/// That the steps after a failed one did not run is not a finding of its own.
#[test]
fn what_a_failed_make_did_not_come_to_is_not_called_stale() {
    let fails = "\t[ ! -e \"$out/vmlinux\" ] || exit 1\n\telf 1 >\"$out/vmlinux.o\"\n";
    let stand = Stand::new(
        Kernel::Fake,
        &[(
            "scripts/fake-kbuild",
            "\telf 1 >\"$out/vmlinux.o\"\n",
            fails,
        )],
    );
    let played = stand.run("- { name: f, expect: [rules] }").unwrap();
    let keys: Vec<&str> = played.findings.iter().map(|f| f.key.as_str()).collect();
    assert_eq!(keys, ["rebuild.failed"], "{:#?}", played.findings);
}

const CONFIG_ONCE: Break = (
    "scripts/fake-kbuild",
    "\tgrep '^CONFIG_' \"$out/.config\" >\"$out/include/config/auto.conf\"\n",
    "\t[ -e \"$out/include/config/auto.conf\" ] || \
     grep '^CONFIG_' \"$out/.config\" >\"$out/include/config/auto.conf\"\n",
);

#[rstest]
#[case::seen(&[], &[])]
#[case::not_seen(&[CONFIG_ONCE], &[
    ("config.symbol", "CONFIG_ADDED"),
    ("config.edited", "CONFIG_ADDED"),
    ("rebuild.differs", "config"),
])]
fn a_changed_configuration_is_compared_with_a_clean_build_of_it(
    #[case] breaks: &[Break],
    #[case] found: &[(&str, &str)],
) {
    let stand = Stand::new(Kernel::Fake, breaks);
    let step = "- { name: c, config: { enable: [ADDED] }, expect: [rules, facts-of-clean-build] }";
    assert_eq!(shown(&stand.run(step).unwrap().findings), found);
    assert_eq!(stand.makes(), 2);
}

/// The last step needs no clean build: the first build was one.
#[test]
fn each_step_changes_the_configuration_of_the_cell_and_not_of_the_step_before() {
    const NEVER_BOTH: Break = (
        "scripts/fake-kbuild",
        "\techo 7.2.13 >",
        "\tif grep -q CONFIG_A=y \"$out/.config\" && grep -q CONFIG_B=y \"$out/.config\"; then exit 1; fi\n\
         \techo 7.2.13 >",
    );
    const STEPS: &str = "- { name: a, config: { enable: [A] }, expect: [facts-of-clean-build] }\n\
                         - { name: b, config: { enable: [B] }, expect: [facts-of-clean-build] }\n\
                         - { name: c, config: {}, expect: [facts-of-clean-build] }";
    let stand = Stand::new(Kernel::Fake, &[NEVER_BOTH]);
    assert_eq!(shown(&stand.run(STEPS).unwrap().findings), []);
    assert_eq!(stand.makes(), 2 + 2 + 1);
    let both = "- { name: ab, config: { enable: [A, B] }, expect: [rules] }";
    let together = stand.run(both).unwrap().findings;
    assert!(
        together.iter().any(|f| f.key == "rebuild.failed"),
        "{together:#?}"
    );
}

#[test]
fn what_follows_a_failed_step_is_skipped() {
    let stand = Stand::new(Kernel::Tiny, &[]);
    let failed = "- { name: f, goals: [clean, nothing], expect: [no-command] }";
    let played = stand.run(&format!("{failed}\n{AGAIN}")).unwrap();
    assert_eq!(skips(&played), ["again: the step before failed"]);
    let keys: Vec<&str> = played.findings.iter().map(|f| f.key.as_str()).collect();
    assert_eq!(keys, ["rebuild.failed"], "{:#?}", played.findings);
}

/// On a whole kernel, a clean build of one more mode is what the matrix has or has not.
#[test]
fn a_mode_without_a_clean_build_is_skipped_where_none_is_worth_it() {
    const STEPS: &str = "- { name: to thin, lto: thin, expect: [facts-of-clean-build] }\n\
                         - { name: to full, lto: full, expect: [facts-of-clean-build] }\n\
                         - { name: to thin again, lto: thin, expect: [facts-of-clean-build] }\n\
                         - { name: back, lto: thin-dist, expect: [facts-of-clean-build] }";
    const SEES_CLEAN_TREE: Break = (
        "scripts/fake-kbuild",
        "\techo 7.2.13 >",
        "\t[ ! -e \"$out/clean\" ] || echo CONFIG_CLEAN=y | tee -a \"$out/.config\" >>\"$out/include/config/auto.conf\"\n\
         \techo 7.2.13 >",
    );
    let mut stand = Stand::new(Kernel::Fake, &[SEES_CLEAN_TREE]);
    stand.builds_others = false;
    let skipped = |played: &ScenarioOutcome| played.skipped.len();
    assert_eq!(skipped(&stand.run(STEPS).unwrap()), 3);
    assert_eq!(stand.makes(), 0, "and it is in the last mode already");

    let another = Snapshot::from([("archive", "another".to_owned())]);
    stand.others.insert(LtoMode::Thin, another);
    let clean = stand.path("clean");
    mirror(&stand.path("built"), &clean).unwrap();
    std::fs::write(clean.join("clean"), "").unwrap();
    let played = stand.run(STEPS).unwrap();
    assert_eq!(skipped(&played), 1);
    let found: Vec<_> = played
        .findings
        .iter()
        .map(|f| (f.step.as_deref().unwrap(), &*f.key, &*f.object))
        .collect();
    // The third is the tree's own mode, and starts from the clean build.
    assert_eq!(
        found,
        [
            ("to thin", "rebuild.differs", "archive"),
            ("back", "rebuild.differs", "config"),
        ]
    );
    assert_eq!(stand.makes(), 2);
}

/// The kernel counts its links and records time and user, unless make is given fixed values.
#[test]
fn what_a_kernel_records_of_its_build_is_the_same_for_each_build() {
    const RECORDS: &str = "\t@cat $^ >$@; echo '$(foreach fact,VERSION TIMESTAMP USER HOST,\
                           $(or $(KBUILD_BUILD_$(fact)),$(shell date +%N)))' >>$@\n";
    let stand = Stand::new(Kernel::Tiny, &[("Makefile", "\t@cat $^ >$@\n", RECORDS)]);
    let step = "- { name: h, edits: [header], expect: [bytes-of-clean-build] }";
    assert_eq!(shown(&stand.run(step).unwrap().findings), []);
}

/// A rebuild that compiles something wrong leaves it in ccache, under the key of what it read.
#[test]
fn a_clean_build_gets_no_object_that_the_rebuild_compiled() {
    const CACHED: &str = "\t@key=$(O)/../cached-$$(cksum <two.c | cut -d' ' -f1); \
                          if [ -e $$key ]; then cp $$key $@; exit; fi; \
                          cat two.c $(wildcard $(O)/sum) >$@; \
                          [ -n \"$$CCACHE_READONLY\" ] || cp $@ $$key\n";
    let stand = Stand::new(Kernel::Tiny, &[("Makefile", "\t@cat two.c >$@\n", CACHED)]);
    let step = "- { name: s, edits: [source], expect: [bytes-of-clean-build] }";
    let differ = [("rebuild.differs", "sum"), ("rebuild.differs", "two.o")];
    assert_eq!(shown(&stand.run(step).unwrap().findings), differ);
}

#[test]
fn every_object_of_a_folder_is_expected_where_an_edit_names_one() {
    let stand = Stand::new(Kernel::Tiny, &[]);
    let step = "- { name: s, edits: [folder], expect: [dependants-rebuilt] }";
    let missed = [("rebuild.missed", "one.o")];
    assert_eq!(shown(&stand.run(step).unwrap().findings), missed);
}

#[test]
fn objects_that_an_edit_names_are_the_ones_that_are_expected() {
    let stand = Stand::new(Kernel::Tiny, &[]);
    let played = stand
        .run("- { name: o, edits: [object], expect: [dependants-rebuilt] }")
        .unwrap();
    assert_eq!(shown(&played.findings), [("rebuild.missed", "one.o")]);
}

#[test]
fn a_rule_that_a_step_breaks_is_reported_with_the_step_unless_it_was_broken_before() {
    let mut stand = Stand::new(Kernel::Fake, &[]);
    let steps = "- { name: the fault comes, edits: [fault], expect: [rules] }";

    let played = stand.run(steps).unwrap();

    let [finding] = &played.findings[..] else {
        panic!("{:#?}", played.findings);
    };
    assert_eq!(finding.key, "elf.empty");
    assert_eq!(
        finding.step.as_deref(),
        Some("the fault comes"),
        "{finding:#?}"
    );

    stand.findings = played.findings;
    assert_eq!(shown(&stand.run(steps).unwrap().findings), []);
    stand.findings[0].object = "other.o".to_owned();
    assert_eq!(stand.run(steps).unwrap().findings.len(), 1);
}

#[test]
fn a_make_that_exits_0_without_a_kernel_is_told() {
    let stand = Stand::new(Kernel::Fake, &[]);
    // Files left from the first build are not a kernel of this one.
    let played = stand
        .run("- { name: n, fresh: true, variables: { fault: does-nothing }, expect: [rules] }")
        .unwrap();
    assert!(!played.findings.is_empty());
    assert!(
        played.findings.iter().all(|f| f.key == "rebuild.differs"),
        "{:#?}",
        played.findings
    );
}

#[test]
fn a_step_that_fails_is_reported_with_make_s_message() {
    let stand = Stand::new(Kernel::Fake, &[]);
    let played = stand
        .run("- { name: f, variables: { fault: compile-error }, expect: [rules] }")
        .unwrap();
    let failed = played.findings.iter().find(|f| f.key == "rebuild.failed");
    let evidence = &failed.unwrap().evidence;
    assert!(evidence.contains("unknown type name 'fault'"), "{evidence}");
    let log = evidence.rsplit_once("see ").unwrap().1;
    assert!(
        std::fs::read_to_string(log)
            .unwrap()
            .contains("1 error generated.")
    );
}

/// The sources are brought back also where an edited file, and make with it, failed.
#[test]
fn what_was_edited_is_brought_back_after_a_failure() {
    let stand = Stand::new(
        Kernel::Tiny,
        &[("Makefile", CHECK, "\t@grep -qv more $^\n")],
    );
    let played = stand
        .run("- { name: h, edits: [header], goals: [nothing], expect: [no-command] }")
        .unwrap();
    assert_eq!(played.findings.len(), 1, "{:#?}", played.findings);
    assert_eq!(played.findings[0].key, "rebuild.failed");
}

#[test]
fn a_step_that_cannot_be_run_is_skipped_with_the_reason() {
    let stand = Stand::new(Kernel::Tiny, &[]);
    let played = stand
        .run(&format!(
            "- {{ name: mixed, shuffle: true, expect: [bytes-of-build] }}\n{AGAIN}"
        ))
        .unwrap();
    assert_eq!(shown(&played.findings), []);
    assert_eq!(
        skips(&played),
        ["mixed: this make has no --shuffle, which came with make 4.4"]
    );
}

#[test]
fn an_unknown_edit_is_not_the_kernels_fault() {
    let stand = Stand::new(Kernel::Tiny, &[]);
    let error = stand
        .run("- { name: e, edits: [nonsense], expect: [no-command] }")
        .unwrap_err();
    assert!(matches!(error, Error::Machine(_)), "{error}");
}

#[test]
fn an_interrupt_is_not_a_finding_and_restores_everything() {
    let stand = Stand::new(Kernel::Tiny, &[]);
    stand.cancel.cancel();
    let error = stand
        .run("- { name: h, edits: [header], expect: [dependants-rebuilt] }")
        .unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
}

/// The keys are a contract: allow entries name them.
#[test]
fn the_rules_of_scenarios_can_be_explained() {
    for rule in RULES {
        assert!(rules::rules().any(|known| known == *rule), "{}", rule.key);
    }
}
