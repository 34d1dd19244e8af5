//! When a service has to empty its queue of UDP answers: an answer to a host whose hardware address nobody tells stays
//! first in the queue for ever, so one datagram with a forged sender would end the service.

use core::time::Duration;

/// How long the first answer in the queue may take to leave.
const STALL: Duration = Duration::from_secs(2);

/// The answers that wait in a service's UDP socket.
#[derive(Debug, Default)]
pub struct UdpQueue {
    /// Bytes put into the queue, ever.
    bytes: u64,
    /// How many of them had left when last looked at.
    left: u64,
    /// An empty answer was put into the queue, so that 0 bytes do not mean that it is empty.
    unsure: bool,
    /// When an answer was put into the empty queue, or the last one left.
    since: Option<Duration>,
}

impl UdpQueue {
    /// Notes an answer of `len` bytes.
    pub fn enqueued(&mut self, len: usize, now: Duration) {
        self.bytes = self.bytes.wrapping_add(len as u64);
        self.unsure |= len == 0;
        self.since = self.since.or(Some(now));
    }

    /// Whether the first answer has waited for more than two seconds, so that the queue is to be emptied. The socket's
    /// send queue holds `waiting` bytes; `coming` says that more datagrams are to be answered.
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
