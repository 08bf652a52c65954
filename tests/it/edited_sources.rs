//! `klto run` on a source tree that its user edits at the same time.

use std::fs;

use rstest::rstest;

use crate::support::fake_kernel::FakeKernel;
use crate::support::program::finish;

/// A kernel whose user does this when make reaches `vmlinux`, once; `$S` is the source tree, and `$O`
/// the build tree.
fn edited(user: &str) -> FakeKernel {
    let kernel = FakeKernel::new();
    let makefile = kernel.source().join("Makefile");
    let text = fs::read_to_string(&makefile).unwrap();
    let source = kernel.source();
    let once = kernel.dir().join("once");
    let script = format!(
        "set -e; S='{}' O=$1\n[ ! -e '{once}' ] || exit 0\n{user}\n: >'{once}'\n",
        source.display(),
        once = once.display(),
    );
    fs::write(source.join("user"), script).unwrap();
    fs::write(
        makefile,
        format!("{text}\nvmlinux: user\nuser: prepare\n\t@sh ./user $(O)\n.PHONY: user\n"),
    )
    .unwrap();
    kernel
}

#[rstest]
#[case::edited("echo '# more' >>$S/scripts/fake-kconfig", "scripts/fake-kconfig")]
#[case::touched("cp $S/init/main.c $O/kept; cp $O/kept $S/init/main.c", "init/main.c")]
#[case::removed("rm $S/Kbuild", "Kbuild")]
#[case::edited_so_that_make_fails("echo 'not make' >>$S/Makefile; exit 2", "Makefile")]
fn a_cell_whose_sources_changed_is_inconclusive_until_it_is_built_again(
    #[case] user: &str,
    #[case] file: &str,
) {
    let kernel = edited(user);
    let kept = fs::read(kernel.source().join(file)).unwrap();

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(125), "{}{}", ended.stdout, ended.stderr);
    let cell = kernel.cell();
    assert_eq!(cell["outcome"]["is"], "error");
    assert!(cell["inspection"].is_null(), "{cell}");
    let begin = format!(
        "{}: the file changed while klto worked with the sources in {}",
        kernel.source().join(file).display(),
        kernel.source().display()
    );
    let error = cell["error"].as_str().unwrap();
    assert!(error.starts_with(&begin), "{error}");
    assert!(ended.stdout.contains(&begin), "{}", ended.stdout);

    fs::write(kernel.source().join(file), kept).unwrap();
    fs::write(kernel.dir().join("once"), "").unwrap();
    let again = finish(&mut kernel.run(&[]));
    assert_eq!(again.code, Some(0), "{}{}", again.stdout, again.stderr);
    assert_eq!(kernel.cell()["outcome"]["is"], "pass");
}

/// What make would rebuild, it would rebuild because of the user.
#[test]
fn a_scenario_during_which_the_sources_changed_finds_nothing() {
    let kernel = edited("[ -e $O/vmlinux ] || exit 0; echo >>$S/init/main.c");
    kernel.add_to_matrix("scenarios: [build, noop]\n");

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(125), "{}{}", ended.stdout, ended.stderr);
    let cell = kernel.cell();
    assert!(
        cell["error"]
            .as_str()
            .unwrap()
            .contains("init/main.c: the file changed")
    );
    assert_eq!(cell["scenarios"], serde_json::json!([]));
}

#[test]
fn a_new_file_beside_the_sources_is_no_change() {
    let kernel = edited(": >$S/tags; : >$S/init/.main.c.swp");

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
}

/// A mutation goes into a copy of the sources, from which all is built then.
#[test]
fn a_change_of_sources_that_were_copied_does_not_matter() {
    let kernel = edited("echo >>$S/init/main.c");
    let mutation = kernel.dir().join("harmless.yaml");
    fs::write(
        &mutation,
        "name: harmless\nabout: Another name.\nedits:\n- file: Makefile\n  match: NAME = Fake Kernel\n  replace: NAME = Kernel\n\
         lto: [thin-dist]\nscenario: build\nexpect: []\n",
    )
    .unwrap();

    let ended = finish(kernel.run(&[]).arg("--mutate").arg(&mutation));

    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let cell = kernel.cell();
    assert_eq!(cell["outcome"]["is"], "pass");
    assert!(kernel.dir().join("once").is_file(), "the user edited");
}
