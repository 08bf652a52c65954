//! `klto check DIR --kernel DIR`: modules that were built out of tree, against the kernel that
//! they were built for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use klto::judge::inspect::{External, InspectRequest, Inspected, inspect};
use klto::model::cell::LtoMode;
use klto::model::facts::Goal;
use klto::model::record::FindingRecord;
use rstest::rstest;
use tempfile::TempDir;

use crate::support::program::{Ended, finish, klto};
use crate::support::tree::Tree;
use crate::support::tree::layout::{ARM64, LOONGARCH, RISCV, Target, X86_64};

/// The spelling of the lists that make leaves beside external modules.
#[derive(Debug, Clone, Copy)]
enum Lists {
    /// Since 6.13 make runs in the folder of the modules.
    Relative,
    /// Before, it ran in the build tree of the kernel.
    Absolute,
    /// Before 6.2, `modules.order` had the `.ko` files.
    AbsoluteKo,
}

/// The module of the synthetic tree, built as if it were not a part of the kernel.
struct Modules {
    kernel: Tree,
    dir: TempDir,
}

impl Modules {
    fn new(target: &'static Target, mode: LtoMode, lists: Lists) -> Modules {
        let kernel = Tree::pristine(target, mode);
        let dir = TempDir::new().unwrap();
        let top = match lists {
            Lists::Relative => String::new(),
            Lists::Absolute | Lists::AbsoluteKo => format!("{}/", dir.path().display()),
        };
        let modules = Modules { kernel, dir };
        let built = modules.kernel.file("drivers/m");
        let copy = std::process::Command::new("cp")
            .arg("-pr")
            .arg(built.join("."))
            .arg(modules.dir.path())
            .status();
        assert!(copy.unwrap().success());
        for file in ["m.mod", ".one.o.cmd", ".two.o.cmd", ".m.ko.cmd"] {
            modules.edit(file, |text| text.replace("drivers/m/", &top));
        }
        let all = modules.kernel.text("Module.symvers");
        let (own, of_kernel): (Vec<&str>, Vec<&str>) =
            all.lines().partition(|line| line.contains("drivers/m/m"));
        let lines = |lines: Vec<&str>| lines.iter().map(|line| format!("{line}\n")).collect();
        let (own, of_kernel): (String, String) = (lines(own), lines(of_kernel));
        modules.kernel.write("Module.symvers", of_kernel);
        let end = match lists {
            Lists::Relative | Lists::Absolute => "o",
            Lists::AbsoluteKo => "ko",
        };
        modules.write("modules.order", &format!("{top}m.{end}\n"));
        modules.write("Module.symvers", &own.replace("drivers/m/", &top));
        // A package of headers has none of these.
        modules
            .kernel
            .shell("rm -rf vmlinux* *.a drivers lib kernel init modules.order");
        modules
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn file(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.file(file), text).unwrap();
    }

    /// Changes a file, which keeps its time.
    #[track_caller]
    fn edit(&self, file: &str, change: impl FnOnce(&str) -> String) {
        let path = self.file(file);
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, change(&text)).unwrap();
        let opened = fs::File::options().write(true).open(&path).unwrap();
        opened.set_modified(time).unwrap();
    }

    /// Changes what the kernel says that it exports.
    #[track_caller]
    fn edit_kernel(&self, change: impl Fn(&str) -> Option<String>) {
        self.kernel.edit("Module.symvers", |text| {
            let lines = text.lines().filter_map(change);
            lines.map(|line| line + "\n").collect()
        });
    }

    fn inspect(&self, symbols: &[PathBuf]) -> Inspected {
        inspect(&InspectRequest {
            build: self.path(),
            external: Some(External {
                kernel: &self.kernel.path(),
                symbols,
            }),
            source: None,
            log: None,
            goal: Goal::Vmlinux,
            arch: None,
            mode: None,
            requested: &BTreeMap::new(),
            only: &[],
        })
        .unwrap()
    }

    /// What is wrong: key, object and evidence.
    fn findings(&self) -> Vec<String> {
        told(&self.inspect(&[]).inspection.findings)
    }

    fn check(&self, more: &[&str]) -> Ended {
        let mut command = klto(["check"]);
        command
            .arg(self.path())
            .arg("--kernel")
            .arg(self.kernel.path());
        finish(command.args(more))
    }
}

fn told(findings: &[FindingRecord]) -> Vec<String> {
    let lines = findings
        .iter()
        .map(|f| format!("{} {}: {}", f.key, f.object, f.evidence));
    lines.collect()
}

/// The one finding that there is.
#[track_caller]
fn only(findings: Vec<String>) -> String {
    let [finding] = <[String; 1]>::try_from(findings).unwrap();
    finding
}

/// The usual case of the tests.
fn modules() -> Modules {
    Modules::new(X86_64, LtoMode::Thin, Lists::Relative)
}

#[rstest]
#[case::thin(X86_64, LtoMode::Thin, Lists::Relative, 2)]
#[case::distributed(ARM64, LtoMode::ThinDist, Lists::Relative, 2)]
#[case::without_lto(RISCV, LtoMode::None, Lists::Absolute, 0)]
#[case::before_6_13(LOONGARCH, LtoMode::Thin, Lists::Absolute, 2)]
#[case::before_6_2(X86_64, LtoMode::None, Lists::AbsoluteKo, 0)]
fn modules_that_fit_their_kernel_break_no_rule(
    #[case] target: &'static Target,
    #[case] mode: LtoMode,
    #[case] lists: Lists,
    #[case] bitcode: usize,
) {
    let modules = Modules::new(target, mode, lists);
    let inspection = modules.inspect(&[]).inspection;
    assert_eq!(told(&inspection.findings), [] as [&str; 0]);
    assert_eq!(inspection.unfinished, None);
    assert_eq!(inspection.identity.kernel, "7.2.0");
    assert_eq!(inspection.identity.lto, mode);
    let counts = inspection.counts;
    assert_eq!(
        (
            counts.modules,
            counts.objects,
            counts.ir_objects,
            counts.exported_symbols
        ),
        (1, 2, bitcode, 1)
    );
    // Each of these looked at the module.
    let looked_at = |key: &str| {
        let rule = inspection.rules.iter().find(|rule| rule.key == key);
        rule.unwrap_or_else(|| panic!("no {key}")).looked_at
    };
    for (key, at_least) in [
        ("elf.machine", 1),
        ("elf.not-native", 1),
        ("elf.kind", 2),
        ("crc.cmd-missing", 2),
        ("crc.missing", 1),
        // In the .cmd file, the table of CRCs and two of the version table.
        ("crc.differs", 4),
        ("loader.exports", 1),
        ("loader.undefined", 2),
        ("loader.licence", 2),
        ("loader.vermagic", 1),
    ] {
        assert!(looked_at(key) >= at_least, "{key}: {}", looked_at(key));
    }
}

#[test]
fn a_module_for_another_build_of_the_kernel_is_found() {
    let modules = modules();
    modules.edit_kernel(|line| {
        let (_, rest) = line.split_once('\t')?;
        Some(match line.contains("ring_next") {
            true => format!("0x00c0ffee\t{rest}"),
            false => line.to_owned(),
        })
    });
    let finding = only(modules.findings());
    assert!(
        finding.starts_with("crc.differs m.ko: ring_next: its version table has 0x"),
        "{finding}"
    );
    assert!(finding.ends_with("Module.symvers 0x00c0ffee"), "{finding}");
}

#[test]
fn a_module_for_another_release_is_found() {
    let modules = modules();
    modules
        .kernel
        .write("include/config/kernel.release", "7.2.1\n");
    let finding = only(modules.findings());
    assert!(
        finding.starts_with("loader.vermagic m.ko: '7.2.0 "),
        "{finding}"
    );
}

/// As in Debian's.
#[test]
fn a_package_of_headers_may_have_another_release_than_its_kernel() {
    let modules = modules();
    modules
        .kernel
        .write("include/config/kernel.release", "7.2.9\n");
    let release = |release: &str| {
        let header = format!("#define UTS_RELEASE \"{release}\"\n");
        let folder = modules.kernel.file("include/generated");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("utsrelease.h"), header).unwrap();
        modules.findings()
    };
    assert_eq!(release("7.2.0"), [] as [&str; 0]);
    let finding = only(release("7.2.0-1-amd64"));
    assert!(
        finding.ends_with("', the kernel is 7.2.0-1-amd64"),
        "{finding}"
    );
}

/// As in those of the kernel's own 'make bindeb-pkg'.
#[test]
fn a_package_of_headers_may_have_no_dot_config() {
    let modules = modules();
    modules.kernel.remove(".config");
    assert_eq!(modules.findings(), [] as [&str; 0]);
}

#[test]
fn what_the_kernel_does_not_export_is_found() {
    let modules = modules();
    modules.edit_kernel(|line| (!line.contains("schedule_hint")).then(|| line.to_owned()));
    assert_eq!(
        modules.findings(),
        ["loader.undefined m.ko: uses 'schedule_hint', which Module.symvers does not list"]
    );
}

#[test]
fn a_licence_that_the_list_does_not_have_is_found() {
    let modules = modules();
    modules.edit_kernel(|line| Some(line.replace("EXPORT_SYMBOL_GPL", "EXPORT_SYMBOL")));
    assert_eq!(modules.findings(), [] as [&str; 0]);
    modules.edit("Module.symvers", |text| text.replace("_GPL", ""));
    assert_eq!(
        modules.findings(),
        [
            "loader.licence m.ko: 'm_register' is only for GPL-compatible modules, Module.symvers has EXPORT_SYMBOL"
        ]
    );
}

/// `depends=` names a module that neither list has: modpost got its exports from elsewhere.
#[test]
fn exports_of_a_third_module_are_not_missed_and_are_held_against_its_list() {
    let modules = modules();
    modules.edit_kernel(|line| (!line.contains("schedule_hint")).then(|| line.to_owned()));
    modules.kernel.shell(&format!(
        "printf 'depends=other-one\\0' >d && llvm-objcopy-22 --add-section=.more=d {0} && \
         llvm-objcopy-22 --dump-section=.modinfo=i {0} && cat d >>i && \
         llvm-objcopy-22 --remove-section=.more --update-section=.modinfo=i {0}",
        modules.file("m.ko").display()
    ));
    assert_eq!(modules.findings(), [] as [&str; 0]);

    let list = modules.file("other.symvers");
    let others = |crc: &str, symbol: &str| {
        let line = format!("{crc}\t{symbol}\t/src/other_one\tEXPORT_SYMBOL\t\n");
        fs::write(&list, line).unwrap();
        told(
            &modules
                .inspect(std::slice::from_ref(&list))
                .inspection
                .findings,
        )
    };
    assert_eq!(
        others("0x00000001", "something"),
        ["loader.undefined m.ko: uses 'schedule_hint', which Module.symvers does not list"]
    );
    let finding = only(others("0x00000001", "schedule_hint"));
    assert!(
        finding.starts_with("crc.differs m.ko: schedule_hint: "),
        "{finding}"
    );
}

#[test]
fn a_module_in_the_place_of_one_of_the_kernel_is_held_against_its_own_list() {
    let modules = modules();
    // The kernel's own module of that path exports more.
    let more = "0x00000002\tm_more\tm\tEXPORT_SYMBOL_GPL\t\n0x00000003\tm_register\tm\tEXPORT_SYMBOL_GPL\t\n";
    modules
        .kernel
        .edit("Module.symvers", |text| text.to_owned() + more);
    assert_eq!(modules.findings(), [] as [&str; 0]);
}

#[rstest]
#[case::another_machine("elf.machine")]
#[case::bitcode("elf.not-native")]
#[case::empty("elf.empty")]
#[case::cut_off("elf.damaged")]
fn a_module_that_no_kernel_loads_is_found(#[case] key: &str) {
    let modules = modules();
    let content = match key {
        "elf.machine" => Tree::pristine(ARM64, LtoMode::Thin).read("drivers/m/m.ko"),
        "elf.not-native" => fs::read(modules.file("one.o")).unwrap(),
        "elf.empty" => Vec::new(),
        _ => fs::read(modules.file("m.ko")).unwrap()[..1000].to_vec(),
    };
    fs::write(modules.file("m.ko"), content).unwrap();
    let findings = modules.findings();
    assert!(
        findings[0].starts_with(&format!("{key} m.ko: ")),
        "{findings:#?}"
    );
}

#[test]
fn a_cmd_file_that_is_gone_is_found() {
    let modules = modules();
    fs::remove_file(modules.file(".one.o.cmd")).unwrap();
    let findings = modules.findings();
    assert!(
        findings.contains(&"crc.cmd-missing one.o: an object of the module m".to_owned()),
        "{findings:#?}"
    );
}

/// Links lead to the folder that the lists name.
#[test]
fn the_folder_may_have_another_name() {
    let modules = Modules::new(X86_64, LtoMode::Thin, Lists::Absolute);
    let elsewhere = TempDir::new().unwrap();
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(modules.path(), &link).unwrap();
    let ended = finish(
        klto(["check"])
            .arg(&link)
            .arg("--kernel")
            .arg(modules.kernel.path()),
    );
    assert_eq!(ended.code, Some(0));
    assert!(
        ended
            .stdout
            .contains("2 objects, 2 of them bitcode; 1 symbol exported; 1 module"),
        "{}",
        ended.stdout
    );
}

/// A copy that was made without the times.
#[test]
fn the_order_of_times_in_a_copy_means_nothing() {
    let modules = modules();
    let now = std::time::SystemTime::now();
    for (seconds, file) in ["m.ko", ".m.o.cmd", "m.mod.c", "m.o"].iter().enumerate() {
        let file = fs::File::options()
            .write(true)
            .open(modules.file(file))
            .unwrap();
        let ago = std::time::Duration::from_secs(100 - seconds as u64);
        file.set_modified(now - ago).unwrap();
    }
    let inspection = modules.inspect(&[]).inspection;
    assert!(inspection.times_lost);
    assert_eq!(
        inspection.counts.exported_symbols, 1,
        "the .ko file is read"
    );
}

#[test]
fn modules_without_the_list_of_modpost_are_unfinished() {
    let modules = modules();
    fs::remove_file(modules.file("Module.symvers")).unwrap();
    let ended = modules.check(&[]);
    assert_eq!(ended.code, Some(125));
    assert!(
        ended.stderr.contains("Module.symvers is missing"),
        "{}",
        ended.stderr
    );
}

#[rstest]
#[case::no_modules(
    "modules.order",
    "modules.order: cannot read: No such file or directory (os error 2)\n  pass the folder that make had as M="
)]
#[case::elsewhere(
    "names",
    "modules.order names '/elsewhere/m.o', which is elsewhere\n  klto reads modules where they were built"
)]
#[case::above(
    "above",
    "modules.order names '../m.o', which is elsewhere\n  klto reads modules where they were built"
)]
#[case::no_exports(
    "kernel",
    "Module.symvers: cannot read: No such file or directory (os error 2)\n  klto reads there what the kernel exports"
)]
#[case::damaged_exports(
    "damaged",
    "Module.symvers: line 2: expected '0xcrc symbol module licence namespace'"
)]
#[case::no_kernel(
    "config",
    "not a kernel build tree: it has no include/config/auto.conf\n"
)]
fn what_is_no_module_or_no_kernel_is_named(#[case] what: &str, #[case] expected: &str) {
    let modules = modules();
    match what {
        "modules.order" => fs::remove_file(modules.file("modules.order")).unwrap(),
        "names" => modules.write("modules.order", "/elsewhere/m.o\n"),
        "above" => modules.write("modules.order", "m.o\n../m.o\n"),
        "kernel" => modules.kernel.remove("Module.symvers"),
        "config" => {
            modules.kernel.remove("include/config/auto.conf");
            fs::write(modules.kernel.file("modules.order"), "").unwrap();
        }
        _ => modules.edit_kernel(|line| Some(line.replace("0x10", "10"))),
    }
    let ended = modules.check(&[]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

#[test]
fn without_a_kernel_the_option_is_named() {
    let modules = modules();
    let ended = finish(klto(["check"]).arg(modules.path()));
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("it has no .config; if these are external modules, name the kernel that they are for with --kernel"),
        "{}",
        ended.stderr
    );
}
