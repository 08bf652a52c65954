//! What is taken for a list of symbols, and when `nm` is asked again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rstest::rstest;
use tempfile::TempDir;

use super::*;

/// An `nm` that counts how often it is asked, and an object.
struct Nm(TempDir);

impl Nm {
    fn new(script: &str) -> Nm {
        let nm = Nm(tempfile::tempdir().unwrap());
        let text = format!("#!/bin/sh\necho >>\"$0.asked\"\n{script}\n");
        fs::write(nm.path("nm"), text).unwrap();
        fs::set_permissions(nm.path("nm"), fs::Permissions::from_mode(0o755)).unwrap();
        nm.put("a.o", b"\x7fELF of a");
        nm
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
    }

    fn command(&self, args: &[&str]) -> Vec<OsString> {
        let args = args.iter().map(|arg| match *arg {
            "-" => "-".into(),
            option if option.starts_with('-') => option.into(),
            file => self.path(file).into_os_string(),
        });
        let nm = self.path("nm").into_os_string();
        [nm].into_iter().chain(args).collect()
    }

    fn ask(&self, file: &str) -> Answer {
        let command = self.command(&[file]);
        let object = object(&command).expect("a list of symbols");
        remembered(self.0.path(), &command, &object, &[]).unwrap()
    }

    fn asked(&self) -> usize {
        let asked = fs::read_to_string(self.path("nm.asked"));
        asked.unwrap_or_default().lines().count()
    }
}

#[test]
fn a_list_is_given_again_as_it_was() {
    let nm = Nm::new("echo 'T start'; echo \"$1: warned\" >&2");
    let first = nm.ask("a.o");
    assert_eq!((first.code, &first.stdout[..]), (0, &b"T start\n"[..]));
    assert!(first.stderr.ends_with(b"a.o: warned\n"));
    assert_eq!(nm.ask("a.o"), first);
    assert_eq!(nm.asked(), 1);
}

#[rstest]
#[case::content("a.o", b"\x7fELF of b")]
#[case::name_which_may_be_in_a_warning("b.o", b"\x7fELF of a")]
fn another_object_is_read(#[case] file: &str, #[case] content: &[u8]) {
    let nm = Nm::new("");
    nm.ask("a.o");
    nm.put(file, content);
    nm.ask(file);
    assert_eq!(nm.asked(), 2);
}

#[rstest]
#[case::not_an_object("exit 1")]
#[case::killed("kill -9 $$")]
fn a_failure_is_not_remembered(#[case] script: &str) {
    let nm = Nm::new(script);
    for asked in 1..=2 {
        assert_ne!(nm.ask("a.o").code, 0);
        assert_eq!(nm.asked(), asked);
    }
}

#[rstest]
#[case::option(&["-n", "a.o"])]
#[case::option_after(&["a.o", "-n"])]
#[case::two_objects(&["a.o", "a.o"])]
#[case::nothing(&[])]
#[case::standard_input(&["-"])]
#[case::no_file(&["gone.o"])]
#[case::folder(&[""])]
#[case::archive(&["full.a"])]
#[case::thin_archive(&["thin.a"])]
#[case::linked(&["vmlinux.o"])]
fn whatever_reads_more_or_much_is_left_to_nm(#[case] args: &[&str]) {
    let nm = Nm::new("");
    nm.put("full.a", b"!<arch>\n");
    nm.put("thin.a", b"!<thin>\n");
    nm.put("vmlinux.o", &vec![0; 1024 * 1024 + 1]);
    assert_eq!(object(&nm.command(args)), None);
}
