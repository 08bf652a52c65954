//! Links, and what is neither a file nor a link.

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

const LINK: &str = "include/other.h";

/// What the copy holds in place of a link.
fn holds(kernel: &Kernel, copy: &SourceCopy) -> String {
    let file = kernel.copy().join("early").join(LINK);
    let is_known = copy.paths().any(|path| path == LINK);
    match fs::symlink_metadata(&file) {
        Err(_) => {
            assert!(!is_known);
            "nothing".to_owned()
        }
        Ok(_) if !is_known => panic!("the copy has a file that it does not know of"),
        Ok(meta) if meta.is_symlink() => {
            format!("link to {}", fs::read_link(&file).unwrap().display())
        }
        Ok(_) => format!("file: {}", fs::read_to_string(&file).unwrap()),
    }
}

/// `$OUT` stands for the folder above the source tree.
#[rstest]
#[case::inside("a.h", "link to a.h")]
#[case::by_detours("../arch/./../include/a.h", "link to ../arch/./../include/a.h")]
#[case::to_a_folder("../arch", "link to ../arch")]
#[case::dangling("nothing.h", "link to nothing.h")]
#[case::to_itself("other.h", "link to other.h")]
#[case::out("../../outside.h", "file: int outside;\n")]
#[case::out_to_a_folder("../../outside", "nothing")]
#[case::out_dangling("../../nothing.h", "nothing")]
#[case::out_and_back("../../source/include/a.h", "file: int a;\n")]
#[case::absolute("$OUT/outside.h", "file: int outside;\n")]
#[case::absolute_inside("$OUT/source/include/a.h", "file: int a;\n")]
#[case::absolute_dangling("$OUT/nothing.h", "nothing")]
#[case::absolute_to_itself("$OUT/source/include/other.h", "nothing")]
#[case::below_a_file("$OUT/outside.h/x", "nothing")]
fn a_link_is_kept_where_it_stays_inside_and_else_copied(#[case] link: &str, #[case] wanted: &str) {
    let kernel = Kernel::new();
    let out = kernel.dir.path();
    fs::write(out.join("outside.h"), "int outside;\n").unwrap();
    fs::create_dir(out.join("outside")).unwrap();
    fs::write(out.join("outside/file"), "").unwrap();
    let link = link.replace("$OUT", out.to_str().unwrap());
    symlink(link, kernel.source().join(LINK)).unwrap();

    let copy = kernel.assert_in_step("the link");

    assert_eq!(holds(&kernel, &copy), wanted);
}

#[test]
fn a_change_behind_a_link_that_leads_out_is_copied() {
    let kernel = Kernel::new();
    let outside = kernel.dir.path().join("outside.h");
    fs::write(&outside, "int before;\n").unwrap();
    symlink("../../outside.h", kernel.source().join(LINK)).unwrap();
    let before = kernel.prints();

    fs::write(&outside, "int target;\n").unwrap();

    let copy = kernel.assert_in_step("the change");
    assert_eq!(holds(&kernel, &copy), "file: int target;\n");
    assert_ne!(kernel.prints(), before);
}

#[test]
fn a_fifo_is_passed_over() {
    let kernel = Kernel::new();
    let fifo = kernel.source().join(LINK);
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();

    let copy = kernel.assert_in_step("the FIFO");

    assert_eq!(holds(&kernel, &copy), "nothing");
}
