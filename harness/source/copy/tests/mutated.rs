//! Mutations go into the copy, and only there.

use super::*;

pub(super) fn mutation(file: &str, pattern: &str, replace: &str) -> Mutation {
    let text = serde_json::json!({
        "name": "mistake",
        "about": "a mistake",
        "edits": [{ "file": file, "match": pattern, "replace": replace }],
    });
    serde_json::from_value(text).unwrap()
}

#[rstest]
#[case::early(HEADER, "int a;\n", "int z;\n")]
#[case::of_another_size(HEADER, "int a;\n", "")]
#[case::late(LATE_FILE, "back end", "no end ")]
fn a_mutation_changes_the_copy_until_it_is_left_out(
    #[case] file: &str,
    #[case] pattern: &str,
    #[case] replace: &str,
) {
    let kernel = Kernel::new();
    let clean = kernel.prints();
    let content = fs::read_to_string(kernel.source().join(file)).unwrap();
    let before = last_changes(&kernel.source());

    for round in 0..2 {
        let copy = kernel
            .sync_with(&[mutation(file, pattern, replace)])
            .unwrap();
        let wanted = content.replace(pattern, replace);
        assert_eq!(copy.read(file).unwrap(), wanted.as_bytes(), "round {round}");
        assert_ne!(copy.fingerprint(Extent::All), clean.1);
        let is_late = Part::of(file) == Part::Late;
        assert_eq!(copy.fingerprint(Extent::ReadByPrepare) == clean.0, is_late);
    }
    assert_eq!(last_changes(&kernel.source()), before);

    let copy = kernel.assert_in_step("the mutation");
    assert_eq!(copy.read(file).unwrap(), content.as_bytes());
    assert_eq!(kernel.prints(), clean);
}

/// Long after the file was written, only the mutation shows that its copy differs.
#[test]
fn a_mutation_is_undone_though_everything_is_settled() {
    let kernel = Kernel::new();
    settle();
    kernel
        .sync_with(&[mutation(HEADER, "int a;", "int z;")])
        .unwrap();

    let copy = kernel.assert_in_step("the mutation");

    assert_eq!(copy.read(HEADER).unwrap(), b"int a;\n");
}

#[test]
fn one_mutation_takes_the_place_of_another() {
    let kernel = Kernel::new();
    let of = |replace: &str| {
        let mutation = mutation(HEADER, "int a;", replace);
        let copy = kernel.sync_with(&[mutation]).unwrap();
        (copy.read(HEADER).unwrap(), copy.fingerprint(Extent::All))
    };
    let (first, second) = (of("int x;"), of("int y;"));
    assert_eq!(first.0, b"int x;\n");
    assert_eq!(second.0, b"int y;\n");
    assert_ne!(first.1, second.1);
    assert_eq!(of("int x;"), first);
}

#[test]
fn two_mutations_of_one_file_both_apply() {
    let kernel = Kernel::new();
    let mutations = [
        mutation(HEADER, "int", "long"),
        mutation(HEADER, "long a", "long b"),
        mutation("Kbuild", "init", "lib"),
    ];
    let copy = kernel.sync_with(&mutations).unwrap();
    assert_eq!(copy.read(HEADER).unwrap(), b"long b;\n");
    assert_eq!(copy.read("Kbuild").unwrap(), b"obj-y += lib/\n");
}

#[test]
fn a_mutation_is_applied_to_what_the_source_holds_now() {
    let kernel = Kernel::new();
    let late = mutation(LATE_FILE, "back", "front");
    kernel.sync_with(std::slice::from_ref(&late)).unwrap();
    kernel.write(LATE_FILE, "# back to it\n");
    let copy = kernel.sync_with(&[late]).unwrap();
    assert_eq!(copy.read(LATE_FILE).unwrap(), b"# front to it\n");
}

#[rstest]
#[case::no_pattern(HEADER, "no such text", &["'no such text' 0 times", "mistake", HEADER])]
#[case::pattern_twice("include/twice.h", "x", &["'x' 2 times", "mistake", "include/twice.h"])]
#[case::no_file("include/nothing.h", "x", &["there is no include/nothing.h"])]
#[case::file_is_not_copied("drivers/net/net.c", "int", &["there is no drivers/net/net.c"])]
#[case::file_is_outside("../outside", "x", &["there is no ../outside"])]
fn a_mutation_that_does_not_fit_is_refused(
    #[case] file: &str,
    #[case] pattern: &str,
    #[case] says: &[&str],
) {
    let kernel = Kernel::new();
    kernel.write("include/twice.h", "x x\n");
    kernel.sync();

    let error = kernel
        .sync_with(&[mutation(file, pattern, "y")])
        .unwrap_err();

    assert!(matches!(error, Error::Usage(_)), "{error}");
    let text = error.to_string();
    let remedy = "choose another mutation or another kernel";
    for part in says.iter().chain(&[remedy]) {
        assert!(text.contains(part), "{part}: {text}");
    }
    kernel.assert_in_step("a mutation that does not fit");
}
