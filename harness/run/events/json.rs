//! Events as JSON, one per line, for programs: `--events FILE`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use super::{Event, Events, say};
use crate::model::error::Error;

/// Appends events to a file.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    /// `None` after a write failed: reported once, and no reason to stop.
    file: Mutex<Option<File>>,
}

#[derive(Serialize)]
struct Line<'a> {
    /// RFC 3339, UTC, with milliseconds.
    time: String,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

impl JsonLines {
    /// Creates the file, or empties it. A named pipe or a device will do.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn create(path: &Path) -> Result<JsonLines, Error> {
        let file = File::create(path).map_err(Error::io(path, "write"))?;
        Ok(JsonLines {
            path: path.to_owned(),
            file: Mutex::new(Some(file)),
        })
    }
}

impl Events for JsonLines {
    fn on(&self, event: &Event<'_>) {
        let line = Line {
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            event,
        };
        // Plain structs of text and numbers always serialise.
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &mut *file
            && let Err(error) = open.write_all(&text)
        {
            say(format_args!(
                "{}: events are no longer written: {error}",
                self.path.display()
            ));
            *file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::CellRecord;

    #[test]
    fn an_event_is_a_line_with_its_name_and_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        let events = JsonLines::create(&path).unwrap();
        events.on(&Event::Started { cell: "a" });
        let record = CellRecord::new("a".to_owned());
        events.on(&Event::Done { record: &record });

        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(lines[0]["event"], "started");
        assert_eq!(lines[0]["cell"], "a");
        assert!(humantime::parse_rfc3339(lines[0]["time"].as_str().unwrap()).is_ok());
        assert_eq!(lines[1]["event"], "done");
        let kept: CellRecord = serde_json::from_value(lines[1]["record"].clone()).unwrap();
        assert_eq!(kept, record);
    }

    #[test]
    fn a_full_disk_ends_the_events_and_nothing_else() {
        let events = JsonLines::create(Path::new("/dev/full")).unwrap();
        events.on(&Event::Finished);
        assert!(events.file.lock().unwrap().is_none());
        events.on(&Event::Finished);
    }
}
