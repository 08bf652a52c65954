//! What a fingerprint covers, and what a tree of links lets be read.

use super::*;

#[rstest]
#[case::driver("drivers/net/net.c")]
#[case::other_arch("arch/sparc/kernel.c")]
#[case::device_tree("arch/x86/boot/dts/board.dts")]
#[case::output("init/left.o")]
#[case::git(".git/HEAD")]
fn what_is_not_copied_can_neither_be_read_nor_change_a_fingerprint(#[case] path: &str) {
    let kernel = Kernel::new();
    let before = kernel.prints();
    let tree = kernel.dir.path().join("tree");
    link_tree(&kernel.sync(), &tree, Extent::All);
    assert!(kernel.source().join(path).is_file());
    assert!(fs::symlink_metadata(tree.join(path)).is_err());

    kernel.write(path, "changed\n");

    assert_eq!(kernel.prints(), before);
}

#[test]
fn a_tree_of_links_holds_every_file_with_what_the_copy_holds() {
    let kernel = Kernel::new();
    let copy = kernel.sync();
    let tree = kernel.dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("left"), "of an earlier probe").unwrap();

    for extent in [Extent::ReadByPrepare, Extent::All, Extent::ReadByPrepare] {
        link_tree(&copy, &tree, extent);
        assert!(!tree.join("left").exists());
        for path in copy.paths().filter(|path| *path != "drivers/.gitignore") {
            let is_late = Part::of(path) == Part::Late;
            let found = fs::read(tree.join(path)).ok();
            let wanted = (extent == Extent::All || !is_late).then(|| copy.read(path).unwrap());
            assert_eq!(found, wanted, "{path}, {extent:?}");
        }
    }
}

#[rstest]
#[case::back_end(LATE_FILE, true)]
#[case::archive("scripts/Makefile.vmlinux_a", true)]
#[case::link("scripts/Makefile.vmlinux_o", true)]
#[case::below_a_late_folder("scripts/clang-tools/gen.py", true)]
#[case::ignored("drivers/.gitignore", true)]
#[case::build("scripts/Makefile.build", false)]
#[case::named_alike("scripts/Makefile.thinlto2", false)]
#[case::elsewhere("arch/x86/scripts/Makefile.thinlto", false)]
#[case::header(HEADER, false)]
#[case::top("Makefile", false)]
fn a_late_file_changes_the_whole_fingerprint_alone(#[case] path: &str, #[case] is_late: bool) {
    let kernel = Kernel::new();
    let before = kernel.prints();

    kernel.write(path, "changed\n");

    let after = kernel.prints();
    assert_ne!(after.1, before.1);
    assert_eq!(after.0 == before.0, is_late);
}

#[test]
fn a_fingerprint_tells_apart_what_looks_alike() {
    let kernel = Kernel::new();
    let mut seen = vec![kernel.prints().0];
    let mut is_new = |what: &str| {
        let print = kernel.prints().0;
        assert!(!seen.contains(&print), "{what}");
        seen.push(print);
    };
    kernel.write(HEADER, "int b;\n");
    kernel.write("include/b.h", "int a;\n");
    is_new("two files with their contents exchanged");
    kernel.set_mode(HEADER, 0o755);
    is_new("an executable file");
    kernel.remove("include/link.h");
    kernel.write("include/link.h", "a.h");
    is_new("a file that holds where the link led");
    kernel.write("include/link.ha.h", "");
    kernel.remove("include/link.h");
    is_new("a name that holds the content");
}

#[test]
fn a_fingerprint_does_not_depend_on_when_a_file_was_written() {
    let kernel = Kernel::new();
    let before = kernel.prints();
    for path in ["Makefile", LATE_FILE] {
        let file = fs::File::open(kernel.source().join(path)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(77))
            .unwrap();
    }
    assert_eq!(kernel.prints(), before);
    kernel.write(HEADER, "int z;\n");
    assert_ne!(kernel.prints(), before);
    kernel.write(HEADER, "int a;\n");
    assert_eq!(kernel.prints(), before, "changed and changed back");
}
