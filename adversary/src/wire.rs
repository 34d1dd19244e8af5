//! Connects a cable with QEMU's `-netdev dgram`, one datagram a frame, so that a card of ours is on QEMU's network.

use crate::cable::Cable;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The longest frame with its header, and room for a tag.
const LONGEST: usize = 1600;
/// Interval at which the thread checks whether it must end.
const TICK: Duration = Duration::from_millis(100);

/// The wire, until it is dropped.
#[derive(Debug)]
pub struct Wire {
    ended: Arc<AtomicBool>,
}

impl Wire {
    /// Carries frames between `cable` and the socket `remote`; ours is `local`.
    ///
    /// # Errors
    /// The socket cannot be made, or no thread.
    pub fn start(cable: Arc<Cable>, local: &Path, remote: PathBuf) -> io::Result<Self> {
        let socket = UnixDatagram::bind(local)?;
        socket.set_read_timeout(Some(TICK))?;
        let (from, ended) = (socket.try_clone()?, Arc::<AtomicBool>::default());
        let spawn = |work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name("wire".to_owned()).spawn(work).map(drop)
        };
        let (guests, mark) = (Arc::clone(&cable), Arc::clone(&ended));
        spawn(Box::new(move || {
            let mut frame = [0; LONGEST];
            while !mark.load(Ordering::Relaxed) {
                if let Ok(bytes) = from.recv(&mut frame) {
                    guests.send(frame[..bytes].to_vec());
                }
            }
        }))?;
        let mark = Arc::clone(&ended);
        spawn(Box::new(move || {
            while !mark.load(Ordering::Relaxed) {
                if let Some(frame) = cable.receive(TICK) {
                    // If QEMU is not there, the frame is lost, as on any cable.
                    drop(socket.send_to(&frame, &remote));
                }
            }
        }))?;
        Ok(Self { ended })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_go_both_ways() {
        let dir = std::env::temp_dir().join(format!("wire-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (ours, theirs) = (dir.join("ours"), dir.join("theirs"));
        let qemu = UnixDatagram::bind(&theirs).unwrap();
        let cable = Cable::new().unwrap();
        let wire = Wire::start(Arc::clone(&cable), &ours, theirs).unwrap();
        cable.deliver(b"from the guest".to_vec());
        let mut frame = [0; 64];
        let bytes = qemu.recv(&mut frame).unwrap();
        assert_eq!(&frame[..bytes], b"from the guest");
        qemu.send_to(b"to the guest", &ours).unwrap();
        let arrived = std::iter::repeat_with(|| cable.next()).flatten().next();
        assert_eq!(arrived.as_deref(), Some(b"to the guest".as_slice()));
        drop(wire);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
