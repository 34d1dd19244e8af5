//! A relay between QEMU and a server, for what the rust-vmm crates do not have. QEMU enables the rings of a card when it
//! resets the card, before it sends the accepted features, and the crates close the connection then: the relay holds such
//! messages back until the features are set. QEMU 10 waits for an answer to each of them, which the relay gives itself.
//! Messages about I/O addresses go to the [I/O TLB](Iotlb) of a device that has one.

use crate::iotlb::Iotlb;
use crate::message::{Message, NEED_REPLY};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

const SET_FEATURES: u32 = 2;
const SET_VRING_ENABLE: u32 = 18;

/// Relays between whoever connects to `listener` and the server behind `inner`, until one of them is gone.
pub(crate) fn run(listener: &UnixListener, inner: &Path, iotlb: Option<&Arc<Iotlb>>) -> io::Result<()> {
    let (qemu, _) = listener.accept()?;
    between(qemu, inner, iotlb)
}

/// [`run`], of a QEMU that has connected.
pub(crate) fn between(qemu: UnixStream, inner: &Path, iotlb: Option<&Arc<Iotlb>>) -> io::Result<()> {
    let server = UnixStream::connect(inner)?;
    let back = (server.try_clone()?, qemu.try_clone()?, iotlb.cloned());
    let answers = std::thread::Builder::new().name("relay".to_owned()).spawn(move || {
        let (server, qemu, iotlb) = back;
        while let Ok(Some(message)) = Message::receive(&server) {
            if message.send(&qemu).is_err() {
                break;
            }
            if let Some(iotlb) = &iotlb {
                iotlb.server_answered();
            }
        }
        drop(qemu.shutdown(Shutdown::Both));
    })?;
    let result = forward(&qemu, &server, iotlb);
    drop(server.shutdown(Shutdown::Both));
    if let Some(iotlb) = iotlb {
        iotlb.end();
    }
    drop(answers.join());
    result
}

fn forward(qemu: &UnixStream, server: &UnixStream, iotlb: Option<&Arc<Iotlb>>) -> io::Result<()> {
    let mut told = false;
    let mut held = Vec::new();
    while let Some(mut message) = Message::receive(qemu)? {
        if let Some(iotlb) = iotlb
            && iotlb.takes(&mut message)?
        {
            if message.flags() & NEED_REPLY != 0 {
                message.done().send(qemu)?;
            }
            continue;
        }
        if !told && message.request() == SET_VRING_ENABLE {
            if message.flags() & NEED_REPLY != 0 {
                message.done().send(qemu)?;
                message.clear_need_reply();
            }
            held.push(message);
            continue;
        }
        if let Some(iotlb) = iotlb {
            iotlb.server_is_asked(&message);
        }
        message.send(server)?;
        if message.request() == SET_FEATURES {
            told = true;
            held.drain(..).try_for_each(|message: Message| message.send(server))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{REPLY, VERSION};

    const GET_FEATURES: u32 = 1;

    fn message(request: u32, flags: u32, payload: u64) -> Message {
        Message::new(request, flags, &payload.to_ne_bytes())
    }

    /// Requests with their flags.
    type Seen = Vec<(u32, u32)>;

    /// What reaches the server when QEMU sends `messages`, and the relay's own answers to QEMU.
    fn relayed(messages: &[Message]) -> (Seen, Seen) {
        let (qemu, outer) = UnixStream::pair().expect("sockets");
        let (inner, server) = UnixStream::pair().expect("sockets");
        messages.iter().for_each(|message| message.send(&qemu).expect("send"));
        qemu.shutdown(Shutdown::Write).expect("shutdown");
        forward(&outer, &inner, None).expect("forward");
        drop((outer, inner));
        let all = |from: &UnixStream| {
            let mut seen = Vec::new();
            while let Ok(Some(message)) = Message::receive(from) {
                seen.push((message.request(), message.flags()));
            }
            seen
        };
        (all(&server), all(&qemu))
    }

    #[test]
    fn rings_are_enabled_after_the_features_were_set() {
        let sent = [message(SET_VRING_ENABLE, VERSION, 1), message(SET_FEATURES, VERSION, 0)];
        let (server, qemu) = relayed(&sent);
        assert_eq!(server, [(SET_FEATURES, VERSION), (SET_VRING_ENABLE, VERSION)]);
        assert_eq!(qemu, []);
    }

    #[test]
    fn a_message_that_is_held_back_and_waited_for_is_answered_once() {
        let sent = [
            message(SET_VRING_ENABLE, VERSION | NEED_REPLY, 1),
            message(GET_FEATURES, VERSION, 0),
            message(SET_FEATURES, VERSION, 0),
            message(SET_VRING_ENABLE, VERSION | NEED_REPLY, 1),
        ];
        let (server, qemu) = relayed(&sent);
        let enable = (SET_VRING_ENABLE, VERSION);
        let late = (SET_VRING_ENABLE, VERSION | NEED_REPLY);
        assert_eq!(server, [(GET_FEATURES, VERSION), (SET_FEATURES, VERSION), enable, late]);
        assert_eq!(qemu, [(SET_VRING_ENABLE, VERSION | REPLY)], "the server answers the last one");
    }
}
