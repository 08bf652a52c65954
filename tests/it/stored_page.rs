//! The page of a run that is kept: with logs that the store no longer has, and in the browser.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use klto::build::process::Cancel;
use klto::model::record::RunRecord;
use klto::store::runs::RunStore;
use klto::store::runs::objects::Kind;
use rstest::rstest;
use tempfile::TempDir;

use crate::support::program::{Ended, finish, klto, within};
use crate::support::run_record::run_record;

/// What a page says in the place of a log.
const NO_LOG: &str = "It could not be read: ";
/// What makes itself an element of a page, and a line of a terminal.
const HOSTILE: &str = "<script>x</script>\u{1b}[2K";

/// A store with one run, each cell of which has a log of its own.
struct Stand {
    dir: TempDir,
    store: RunStore,
    run: String,
    cells: Vec<String>,
    /// The objects of the logs.
    logs: Vec<String>,
}

impl Stand {
    fn new() -> Stand {
        Stand::of(run_record(), |n| n)
    }

    /// `log_of` says which log the cell with that number has.
    fn of(mut run: RunRecord, log_of: impl Fn(usize) -> usize) -> Stand {
        let dir = TempDir::new().unwrap();
        for (n, cell) in run.cells.iter_mut().enumerate() {
            let log = dir.path().join(format!("{}.log", log_of(n)));
            std::fs::write(&log, format!("  CC      number/{}.o\n", log_of(n))).unwrap();
            cell.logs = vec![log.display().to_string()];
        }
        let store = RunStore::open(&dir.path().join("store")).unwrap();
        let added = store.add(&run, &|_| None, &Cancel::new()).unwrap();
        let kept = store.load(&added.head.run).unwrap().kept;
        let log = |kept: &klto::store::runs::file::Kept| kept.logs[0].clone().unwrap();
        Stand {
            dir,
            store,
            run: added.head.run,
            cells: run.cells.into_iter().map(|cell| cell.cell).collect(),
            logs: kept.iter().map(log).collect(),
        }
    }

    /// The file of a log.
    fn object(&self, n: usize) -> PathBuf {
        self.store.objects().path(Kind::Log, &self.logs[n])
    }

    fn report(&self, args: &[&str]) -> Command {
        let mut command = klto(["report"]);
        command.args(args).env("KLTO_STORE", self.store.path());
        command
    }
}

fn warnings(ended: &Ended) -> Vec<&str> {
    let lines = ended.stderr.lines();
    lines.filter(|line| line.contains("not be read")).collect()
}

fn remove(object: &Path) {
    std::fs::remove_file(object).unwrap();
}

fn cut(object: &Path) {
    let bytes = std::fs::read(object).unwrap();
    std::fs::write(object, &bytes[..bytes.len() - 6]).unwrap();
}

fn make_a_folder(object: &Path) {
    std::fs::remove_file(object).unwrap();
    std::fs::create_dir(object).unwrap();
}

#[rstest]
#[case::gone(remove, "it is gone, although a run names it")]
#[case::cut_off(cut, "; expected a log of klto, in a zstd frame")]
#[case::no_file(make_a_folder, "Is a directory")]
fn a_log_that_cannot_be_read_is_missed_in_its_place(#[case] damage: fn(&Path), #[case] why: &str) {
    let stand = Stand::new();
    let whole = finish(&mut stand.report(&["--html"]));
    assert_eq!(whole.stdout.matches(NO_LOG).count(), 0);
    assert!(whole.stdout.contains("number/1.o"));

    damage(&stand.object(1));

    let page = finish(&mut stand.report(&["--html"]));
    assert_eq!(page.code, whole.code, "the verdict is that of the run");
    assert_eq!(page.code, Some(1));
    assert!(!page.stdout.contains("number/1.o"));
    assert!(page.stdout.contains("number/0.o"), "the others are there");
    let (_, said) = page.stdout.split_once(NO_LOG).unwrap();
    let said = said.split_once("</p>").unwrap().0;
    let object = format!("objects/{}/{}.log.zst", &stand.logs[1][..2], stand.logs[1]);
    assert!(said.contains(&object) && said.contains(why), "{said}");
    let store = stand.store.path().display().to_string();
    assert!(!said.contains(&store), "{said}");
    let warning = warnings(&page);
    assert_eq!(warning.len(), 1, "{warning:?}");
    let object = stand.object(1).display().to_string();
    for part in [&stand.cells[1], &object, why] {
        assert!(warning[0].contains(part), "{warning:?}");
    }
}

#[test]
fn a_page_in_a_file_is_written_without_its_logs() {
    let stand = Stand::new();
    stand
        .logs
        .iter()
        .enumerate()
        .for_each(|(n, _)| remove(&stand.object(n)));
    let file = stand.dir.path().join("page.html");
    let report = format!("html={}", file.display());
    let ended = finish(&mut stand.report(&["--report", &report, "--format", "json"]));
    assert_eq!(ended.code, Some(1));
    let page = std::fs::read_to_string(&file).unwrap();
    assert_eq!(page.matches(NO_LOG).count(), stand.cells.len());
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(json["cells"].as_array().unwrap().len(), stand.cells.len());
    let (warnings, more) = (warnings(&ended), stand.cells.len() - 3);
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    assert_eq!(
        warnings[3],
        format!("klto: {more} more logs could not be read")
    );
}

#[test]
fn other_reports_need_no_log() {
    let stand = Stand::new();
    stand
        .logs
        .iter()
        .enumerate()
        .for_each(|(n, _)| remove(&stand.object(n)));
    for format in [
        "text", "json", "ktap", "junit", "github", "markdown", "kcidb", "mail", "perfetto",
    ] {
        let ended = finish(&mut stand.report(&["--format", format]));
        assert_eq!(ended.code, Some(1), "{format}");
        assert_eq!(warnings(&ended), [""; 0], "{format}");
    }
}

#[test]
fn a_log_of_several_cells_is_missed_in_each_and_said_once() {
    let stand = Stand::of(run_record(), |_| 0);
    remove(&stand.object(0));
    let page = finish(&mut stand.report(&["--html"]));
    assert_eq!(page.stdout.matches(NO_LOG).count(), stand.cells.len());
    assert_eq!(warnings(&page).len(), 1);
}

#[test]
fn what_a_run_names_as_a_log_is_text() {
    let stand = Stand::new();
    let file = stand
        .store
        .path()
        .join(format!("runs/{}.jsonl.zst", stand.run));
    let mut text =
        String::from_utf8(zstd::decode_all(&*std::fs::read(&file).unwrap()).unwrap()).unwrap();
    let json = serde_json::to_string(HOSTILE).unwrap();
    text = text.replace(&stand.logs[1], json.trim_matches('"'));
    std::fs::write(&file, zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();

    let page = finish(&mut stand.report(&["--html"]));

    assert_eq!(page.code, Some(1));
    assert_eq!(page.stdout.matches(NO_LOG).count(), 1);
    assert!(
        page.stdout
            .contains("the object &#39;&lt;script&gt;x&lt;/script&gt;")
    );
    assert!(!page.stdout.contains("<script>x"));
    assert!(!(page.stdout + &page.stderr).contains('\u{1b}'));
}

/// An `xdg-open` that notes what it was given, and ends when the file `wait` is gone.
const OPENER: &str = "#!/bin/sh
cd \"${0%/*}\" || exit
printf '%s\\n' \"$@\" >given.new
mv given.new given
while [ -e wait ]; do sleep 0.05; done
: >ended
";

/// A folder with programs.
fn programs(stand: &Stand) -> PathBuf {
    let folder = stand.dir.path().join("programs");
    std::fs::create_dir(&folder).unwrap();
    folder
}

#[rstest]
#[case::from_the_root(None)]
#[case::from_here(Some("pages"))]
fn a_page_is_shown_and_klto_ends(#[case] relative: Option<&str>) {
    use std::os::unix::fs::PermissionsExt as _;
    let stand = Stand::new();
    let (programs, pages) = (programs(&stand), stand.dir.path().join("pages"));
    let opener = programs.join("xdg-open");
    std::fs::write(&opener, OPENER).unwrap();
    std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(programs.join("wait"), "").unwrap();
    std::fs::create_dir(&pages).unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut command = stand.report(&["--open", "--html"]);
    command
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("TMPDIR", relative.map_or(&*pages, Path::new))
        .current_dir(stand.dir.path());

    let ended = finish(&mut command);

    // It ends only when this test says so, or the folder is gone.
    assert!(!programs.join("ended").exists(), "klto has not waited");
    assert_eq!(ended.code, Some(1), "the run has failed");
    assert_eq!(ended.stdout, "", "the browser has the page");
    let limit = Duration::from_mins(1);
    assert!(within(limit, || programs.join("given").exists()));
    let given = std::fs::read_to_string(programs.join("given")).unwrap();
    let page = Path::new(given.trim_end());
    assert!(page.is_absolute() && page.starts_with(&pages), "{given}");
    let text = std::fs::read_to_string(page).unwrap();
    assert!(text.starts_with("<!DOCTYPE html>") && text.contains("number/1.o"));
    assert!(
        ended
            .stderr
            .contains(&format!("klto: opening {}", page.display()))
    );
    std::fs::remove_file(programs.join("wait")).unwrap();
    assert!(within(limit, || programs.join("ended").exists()));
}

#[test]
fn where_nothing_opens_a_page_the_error_says_where_it_is() {
    let stand = Stand::new();
    let programs = programs(&stand);
    let mut command = stand.report(&["--open"]);
    command.env("PATH", &programs).env("TMPDIR", &programs);

    let ended = finish(&mut command);

    assert_eq!(ended.code, Some(125));
    assert!(
        ended
            .stderr
            .contains("there is no xdg-open on this machine")
    );
    let (_, page) = ended.stderr.split_once("open the page yourself: ").unwrap();
    let text = std::fs::read_to_string(page.trim_end()).unwrap();
    assert!(text.starts_with("<!DOCTYPE html>"), "{page}");
}
