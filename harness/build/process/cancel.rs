//! The wish to stop, shared by everything that may take long. Ctrl-C once ends every
//! child in order, twice kills them at once; the program itself goes on, to say what
//! was done. A third Ctrl-C ends the program too.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::ProcessError;

/// A flag that all its clones share.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicU8>);

static INSTALLED: Mutex<Option<Cancel>> = Mutex::new(None);

impl Cancel {
    /// A flag that no signal sets.
    pub fn new() -> Self {
        Self::default()
    }

    /// The flag that Ctrl-C (SIGINT), SIGTERM and SIGHUP set; handlers are installed
    /// the first time. A signal that we were started to ignore, as `nohup` does, stays
    /// ignored.
    ///
    /// # Errors
    /// [`ProcessError::Signals`] when the system refuses the handlers.
    pub fn install() -> Result<Self, ProcessError> {
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cancel) = &*installed {
            return Ok(cancel.clone());
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mut wanted = vec![SIGINT, SIGTERM, SIGHUP];
        wanted.retain(|signal| !is_ignored(*signal, &status));
        let mut signals = Signals::new(wanted).map_err(ProcessError::Signals)?;
        let cancel = Self::new();
        let handled = cancel.clone();
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for signal in signals.forever() {
                    if handled.0.load(Ordering::SeqCst) < 2 {
                        handled.cancel();
                        continue;
                    }
                    // Time for the runners, who look 50 times a second, to kill.
                    std::thread::sleep(Duration::from_secs(1));
                    let _ = emulate_default_handler(signal);
                }
            })
            .map_err(ProcessError::Signals)?;
        Ok(installed.insert(cancel).clone())
    }

    /// What one Ctrl-C does: asks for the end the first time, for the end at once the
    /// second time.
    pub fn cancel(&self) {
        let more = |wish: u8| Some(wish.saturating_add(1));
        // The closure always returns Some, so this cannot fail.
        let _ = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
    }

    /// Whether the end was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= 1
    }

    /// Whether it was asked for twice: children get no grace.
    pub fn is_urgent(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= 2
    }
}

/// Whether `signal` is in the mask `SigIgn:` of a `/proc/…/status`.
fn is_ignored(signal: i32, status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wish_is_the_end_and_the_second_the_end_at_once() {
        let cancel = Cancel::new();
        let shared = cancel.clone();
        assert!(!shared.is_cancelled());
        cancel.cancel();
        assert!(shared.is_cancelled() && !shared.is_urgent());
        cancel.cancel();
        assert!(shared.is_urgent());
    }

    #[test]
    fn a_signal_sets_the_one_flag_that_was_installed() {
        let cancel = Cancel::install().unwrap();
        let again = Cancel::install().unwrap();
        signal_hook::low_level::raise(SIGTERM).unwrap();
        for _ in 0..500 {
            if again.is_cancelled() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(cancel.is_cancelled() && again.is_cancelled());
        assert!(!Cancel::new().is_cancelled());
    }

    #[test]
    fn an_ignored_signal_is_recognised() {
        // nohup: SIGHUP, number 1.
        let status = "Name:\tx\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000000001\n";
        assert!(is_ignored(SIGHUP, status));
        assert!(!is_ignored(SIGINT, status));
        assert!(!is_ignored(SIGHUP, ""));
    }
}
