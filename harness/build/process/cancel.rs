//! The cancellation flag shared by all long-running work. The first Ctrl-C ends every child
//! in order, the second kills them at once; the program itself continues, to report what
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
pub struct Cancel {
    wish: Arc<AtomicU8>,
    /// The wish of the flag that this one was linked to.
    above: Option<Arc<AtomicU8>>,
}

static INSTALLED: Mutex<Option<Cancel>> = Mutex::new(None);

impl Cancel {
    /// A flag that no signal sets.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag that is set with this one, and can be set without it.
    #[must_use]
    pub fn linked(&self) -> Self {
        Self {
            wish: Arc::default(),
            above: Some(self.wish.clone()),
        }
    }

    /// The flag that Ctrl-C (SIGINT), SIGTERM and SIGHUP set; handlers are installed
    /// the first time. A signal that was ignored at the start, as with `nohup`, stays
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
                    if handled.wish() < 2 {
                        handled.cancel();
                        continue;
                    }
                    // Gives the runners, which poll 50 times a second, time to kill.
                    std::thread::sleep(Duration::from_secs(1));
                    let _ = emulate_default_handler(signal);
                }
            })
            .map_err(ProcessError::Signals)?;
        Ok(installed.insert(cancel).clone())
    }

    /// Handles one Ctrl-C: the first asks the children to end, the second kills them.
    pub fn cancel(&self) {
        let more = |wish: u8| Some(wish.saturating_add(1));
        // The closure always returns Some, so this cannot fail.
        let _ = self
            .wish
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
    }

    /// Whether the user asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.wish() >= 1
    }

    /// Whether the user asked twice: children get no grace period.
    pub fn is_urgent(&self) -> bool {
        self.wish() >= 2
    }

    fn wish(&self) -> u8 {
        let above = self.above.iter();
        let wishes = above.chain([&self.wish]).map(|w| w.load(Ordering::SeqCst));
        wishes.max().unwrap_or_default()
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
    fn a_linked_flag_is_set_with_the_first_and_without_it() {
        let first = Cancel::new();
        let linked = first.linked();
        linked.cancel();
        assert!(linked.is_cancelled() && !first.is_cancelled());
        let other = first.linked();
        first.cancel();
        assert!(other.is_cancelled() && !other.is_urgent());
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
