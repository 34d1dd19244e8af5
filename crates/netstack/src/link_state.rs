//! The link's state: polled, and logged when it changes.

use core::time::Duration;

/// Interval between two reads of the link's state, which may cost a hypercall.
pub(super) const LINK_POLL: Duration = Duration::from_millis(100);
/// Changes of the link's state that are logged; later ones are only counted.
const LINK_CHANGES_LOGGED: u64 = 8;

/// The link's state as last read.
#[derive(Default)]
pub(super) struct LinkState {
    pub up: bool,
    /// When the state is read again.
    pub next_poll: Duration,
    /// Times that it changed.
    pub changes: u64,
}

impl LinkState {
    /// Reads the state if that is due, and logs a change.
    pub fn poll(&mut self, now: Duration, is_up: impl FnOnce() -> bool) {
        if now < self.next_poll {
            return;
        }
        self.next_poll = now.saturating_add(LINK_POLL);
        let up = is_up();
        if up == self.up {
            return;
        }
        self.up = up;
        self.changes = self.changes.wrapping_add(1);
        match self.changes {
            ..LINK_CHANGES_LOGGED => log::info!("net: link is {}", if up { "up" } else { "down" }),
            LINK_CHANGES_LOGGED => log::warn!("net: link changes too often, further changes are not logged"),
            _ => {}
        }
    }
}
