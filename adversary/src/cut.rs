//! A connection between QEMU and a server that a test can cut, as if the process behind a device had died.

use crate::relay;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A connection that can be cut.
#[derive(Debug, Default)]
pub struct Cut(Arc<Mutex<Option<UnixStream>>>);

impl Cut {
    /// Relays between whoever connects to `outer` first and the server behind `inner`.
    ///
    /// # Errors
    /// The socket cannot be made, or no thread.
    pub fn new(outer: &Path, inner: &Path) -> io::Result<Self> {
        let (listener, inner) = (UnixListener::bind(outer)?, inner.to_path_buf());
        let cut = Self::default();
        let place = Arc::clone(&cut.0);
        let run = move || -> io::Result<()> {
            let (qemu, _) = listener.accept()?;
            *lock(&place) = Some(qemu.try_clone()?);
            relay::between(qemu, &inner, None)
        };
        // It ends with the connection.
        std::thread::Builder::new().name("cut".to_owned()).spawn(run)?;
        Ok(cut)
    }

    /// Cuts the connection.
    pub fn now(&self) {
        if let Some(stream) = lock(&self.0).take() {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn lock(place: &Mutex<Option<UnixStream>>) -> MutexGuard<'_, Option<UnixStream>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}
