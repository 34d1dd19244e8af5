//! The cable between the network server and a peer in the harness: frames both ways.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Frames that wait for the guest; more are lost, as on any cable.
const DEPTH: usize = 1024;

/// Both directions.
#[derive(Debug)]
pub struct Cable {
    to_guest: Mutex<VecDeque<Vec<u8>>>,
    kick: EventFd,
    from_guest: Mutex<VecDeque<Vec<u8>>>,
    arrived: Condvar,
}

fn lock<T>(queue: &Mutex<T>) -> MutexGuard<'_, T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cable {
    /// A cable with nothing on it.
    ///
    /// # Errors
    /// The system has no event descriptor left.
    pub fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            to_guest: Mutex::default(),
            kick: EventFd::new(EFD_NONBLOCK)?,
            from_guest: Mutex::default(),
            arrived: Condvar::new(),
        }))
    }

    /// The peer sends a frame.
    pub fn send(&self, frame: Vec<u8>) {
        let mut queue = lock(&self.to_guest);
        if queue.len() < DEPTH {
            queue.push_back(frame);
        }
        drop(queue);
        // A counter that is full wakes the server as well.
        drop(self.kick.write(1));
    }

    /// The peer takes a frame of the guest's, if one comes within `timeout`.
    #[must_use]
    pub fn receive(&self, timeout: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + timeout;
        let mut queue = lock(&self.from_guest);
        loop {
            if let Some(frame) = queue.pop_front() {
                return Some(frame);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            queue = self.arrived.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(crate) fn kick(&self) -> &EventFd {
        &self.kick
    }

    pub(crate) fn next(&self) -> Option<Vec<u8>> {
        lock(&self.to_guest).pop_front()
    }

    pub(crate) fn deliver(&self, frame: Vec<u8>) {
        let mut queue = lock(&self.from_guest);
        if queue.len() < DEPTH {
            queue.push_back(frame);
        }
        drop(queue);
        self.arrived.notify_one();
    }
}
