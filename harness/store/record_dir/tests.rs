//! A record is read back whole, or the error says why not; it is used again for its own job
//! only.

use rstest::rstest;
use tempfile::TempDir;

use super::*;
use crate::store::facts_file::tests::sample;

fn folder() -> (TempDir, RecordDir) {
    let folder = tempfile::tempdir().unwrap();
    let dir = RecordDir::new(folder.path().join("x86_64/tiny"));
    (folder, dir)
}

fn record(job: &str) -> CellRecord {
    CellRecord {
        job: job.to_owned(),
        ..CellRecord::new("x86_64/tiny/thin/llvm-22".to_owned())
    }
}

fn edit(dir: &RecordDir, file: &str, change: impl FnOnce(String) -> String) {
    let path = dir.path().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let changed = change(text.clone());
    assert_ne!(changed, text);
    std::fs::write(path, changed).unwrap();
}

#[test]
fn what_is_saved_is_loaded() {
    let (_folder, dir) = folder();
    assert!(!dir.has_record());
    assert_eq!(dir.load().unwrap(), None);
    assert!(dir.facts().unwrap().is_none());
    assert_eq!(dir.load_for("a"), Loaded::None(NotReused::Absent));

    dir.save(&record("a"), Some(&sample())).unwrap();

    assert!(dir.has_record());
    assert_eq!(dir.load().unwrap(), Some(record("a")));
    assert_eq!(dir.load_for("a"), Loaded::Same(Box::new(record("a"))));
    assert_eq!(dir.facts().unwrap().unwrap().kernel, sample().kernel);
}

#[test]
fn a_record_without_facts_does_not_keep_those_of_an_earlier_one() {
    let (_folder, dir) = folder();
    dir.save(&record("a"), Some(&sample())).unwrap();
    dir.save(&record("b"), None).unwrap();
    assert_eq!(dir.load().unwrap(), Some(record("b")));
    assert!(dir.facts().unwrap().is_none());
}

#[rstest]
#[case::another_key("a", "b")]
#[case::a_job_without_a_key("", "")]
fn a_record_of_another_job_is_not_used_again(#[case] kept: &str, #[case] key: &str) {
    let (_folder, dir) = folder();
    dir.save(&record(kept), None).unwrap();
    assert_eq!(dir.load_for(key), Loaded::None(NotReused::OtherJob));
}

#[test]
fn a_record_that_is_cut_off_says_so_at_every_length() {
    let (_folder, dir) = folder();
    dir.save(&record("a"), None).unwrap();
    let path = dir.path().join(RECORD);
    let whole = std::fs::read(&path).unwrap();
    // The last byte is a line feed.
    for length in 0..whole.len() - 1 {
        std::fs::write(&path, &whole[..length]).unwrap();

        let message = dir.load().unwrap_err().to_string();

        let says = format!("record.json: the record is cut off after {length} bytes; expected");
        assert!(message.contains(&says), "{message}");
        assert_eq!(
            dir.load_for("a"),
            Loaded::None(NotReused::Unreadable(message))
        );
    }
}

#[rstest]
#[case::newer(
    &[("\"format\": 1", "\"format\": 2"), ("\"klto\": \"", "\"klto\": \"9.")],
    "record of format 2, written by klto 9.0.1.0; expected format 1, which klto 0.1.0 reads\n  \
     read it with klto 9.0.1.0 or a later one, or run the cell again"
)]
#[case::older(
    &[("\"format\": 1", "\"format\": 0")],
    "record of format 0, written by klto 0.1.0; expected format 1, which klto 0.1.0 reads\n  \
     run the cell again"
)]
#[case::newer_and_of_another_form(
    &[("\"format\": 1", "\"format\": 2"), ("\"cost\"", "\"costs\"")],
    "record of format 2"
)]
#[case::no_record(&[("\"format\"", "\"formats\"")], "the record is damaged: missing field `format`")]
#[case::a_field_is_gone(&[("\"cost\"", "\"costs\"")], "the record is damaged: missing field `cost`")]
#[case::garbage(&[("{", "%")], "the record is not JSON: ")]
#[case::more_after_it(&[("\n}\n", "\n}\n}\n")], "the record is not JSON: trailing characters")]
fn a_record_that_is_not_ours_says_what_it_is(#[case] edits: &[(&str, &str)], #[case] says: &str) {
    let (_folder, dir) = folder();
    dir.save(&record("a"), None).unwrap();
    for (old, new) in edits {
        edit(&dir, RECORD, |text| text.replacen(old, new, 1));
    }

    let error = dir.load().unwrap_err();

    assert!(matches!(error, Error::Kept { .. }), "{error}");
    let message = error
        .to_string()
        .replace(env!("CARGO_PKG_VERSION"), "0.1.0");
    assert!(message.contains(says), "{message}");
    assert!(matches!(
        dir.load_for("a"),
        Loaded::None(NotReused::Unreadable(_))
    ));
}

#[test]
fn a_record_of_another_klto_with_the_same_format_is_read() {
    let (_folder, dir) = folder();
    dir.save(&record("a"), None).unwrap();
    edit(&dir, RECORD, |text| {
        text.replacen("\"klto\": \"", "\"later\": 1,\n  \"klto\": \"9.", 1)
    });
    let loaded = dir.load().unwrap().unwrap();
    assert_eq!(loaded.klto, format!("9.{}", env!("CARGO_PKG_VERSION")));
}

#[rstest]
#[case::record(RECORD)]
#[case::facts(FACTS)]
fn a_directory_in_the_place_of_a_file_is_an_error(#[case] file: &str) {
    let (_folder, dir) = folder();
    dir.save(&record("a"), Some(&sample())).unwrap();
    std::fs::remove_file(dir.path().join(file)).unwrap();
    std::fs::create_dir(dir.path().join(file)).unwrap();

    let message = dir.facts().unwrap_err().to_string();

    assert!(
        message.starts_with("cannot read the ") && message.contains(file),
        "{message}"
    );
    assert!(message.ends_with("is a directory"), "{message}");
    let error = dir.save(&record("b"), Some(&sample())).unwrap_err();
    assert!(
        error.to_string().starts_with("cannot write ") && error.to_string().contains(file),
        "{error}"
    );
}

#[test]
fn facts_that_cannot_be_written_leave_the_old_record() {
    let (_folder, dir) = folder();
    dir.save(&record("a"), None).unwrap();
    std::fs::create_dir(dir.path().join(FACTS)).unwrap();

    assert!(dir.save(&record("b"), Some(&sample())).is_err());
    assert!(dir.save(&record("b"), None).is_err());

    assert_eq!(dir.load().unwrap(), Some(record("a")));
}

#[rstest]
#[case::cut_off(
    |file: &[u8]| file[..60].to_vec(),
    "it is cut off after 60 bytes; expected the facts of a build tree, format 5\n  \
     remove it and run the cell again"
)]
#[case::nothing_of_ours(|_: &[u8]| b"thesis".to_vec(), "it is not a facts file of klto")]
#[case::newer(
    |_: &[u8]| b"klto facts, format 7, by klto 9.9.9, job a\n".to_vec(),
    "facts of format 7, written by klto 9.9.9; expected format 5, which klto 0.1.0 reads\n  \
     read it with klto 9.9.9 or a later one"
)]
#[case::damaged(
    |file: &[u8]| [file, &b"xy"[..]].concat(),
    "it is damaged: 2 bytes follow its end"
)]
#[case::of_another_job(
    |_: &[u8]| facts_file::encode(&sample(), "b").unwrap(),
    "the facts are of job 'b'; expected those of record.json beside them, job 'a'\n  \
     writing was interrupted"
)]
fn facts_that_are_not_those_of_the_record_say_what_they_are(
    #[case] change: fn(&[u8]) -> Vec<u8>,
    #[case] says: &str,
) {
    let (_folder, dir) = folder();
    dir.save(&record("a"), Some(&sample())).unwrap();
    let path = dir.path().join(FACTS);
    std::fs::write(&path, change(&std::fs::read(&path).unwrap())).unwrap();

    let message = dir.facts().unwrap_err().to_string();

    let message = message.replace(env!("CARGO_PKG_VERSION"), "0.1.0");
    assert!(
        message.contains(&format!("facts.klto: {says}")),
        "{message}"
    );
}
