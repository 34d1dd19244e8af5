//! When a service has to empty its queue of UDP answers. An answer to a host whose hardware address stays unknown would
//! stay first in the queue for ever, so one datagram with a forged sender would block the service.

use core::time::Duration;

/// How long the first answer in the queue may take to leave.
const STALL: Duration = Duration::from_secs(2);

/// The answers that wait in a service's UDP socket.
#[derive(Debug, Default)]
pub struct UdpQueue {
    /// Bytes put into the queue, ever.
    bytes: u64,
    /// Number of bytes that had left at the last call.
    left: u64,
    /// An empty answer is in the queue, so 0 bytes do not mean that the queue is empty.
    unsure: bool,
    /// When an answer was put into the empty queue, or the last one left.
    since: Option<Duration>,
}

impl UdpQueue {
    /// Records an answer of `len` bytes.
    pub fn enqueued(&mut self, len: usize, now: Duration) {
        self.bytes = self.bytes.wrapping_add(len as u64);
        self.unsure |= len == 0;
        self.since = self.since.or(Some(now));
    }

    /// Whether the first answer has waited for two seconds, so that the caller must empty the queue. The socket's send
    /// queue holds `waiting` bytes; `coming` says that more datagrams are to be answered.
    pub fn stalled(&mut self, waiting: usize, coming: bool, now: Duration) -> bool {
        let left = self.bytes.wrapping_sub(waiting as u64);
        let moved = left != self.left;
        self.left = left;
        self.unsure &= !(moved && waiting == 0);
        if waiting == 0 && !self.unsure {
            self.since = None;
        } else if moved || waiting == 0 && coming {
            self.since = Some(now);
        }
        self.since.is_some_and(|since| now.saturating_sub(since) >= STALL)
    }
}
