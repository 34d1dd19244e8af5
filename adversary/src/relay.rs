//! A relay between QEMU and a card's server, needed for one message: QEMU enables the rings of a card when it resets the
//! card, before it sends the accepted features, and the rust-vmm crates close the connection then. The relay holds such
//! messages back until the features are set. QEMU 10 waits for an answer to each of them, which the relay gives itself.

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Request, flags and size, each a native 32-bit word (vhost-user, "Message Specification").
const HEADER: usize = 12;
const SET_FEATURES: u32 = 2;
const SET_VRING_ENABLE: u32 = 18;
/// Bits of the flags: version 1, this is an answer, an answer is wanted.
const VERSION: u32 = 1;
const REPLY: u32 = 1 << 2;
const NEED_REPLY: u32 = 1 << 3;
/// No message is longer than a page.
const MOST: usize = 4096;
/// No message comes with more descriptors.
const DESCRIPTORS: usize = 32;

struct Message {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Message {
    fn request(&self) -> u32 {
        self.bytes.first_chunk().map_or(0, |word| u32::from_ne_bytes(*word))
    }

    fn flags(&self) -> u32 {
        self.bytes.get(4..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_ne_bytes(*word))
    }

    fn clear_need_reply(&mut self) {
        let flags = self.flags() & !NEED_REPLY;
        if let Some(word) = self.bytes.get_mut(4..8) {
            word.copy_from_slice(&flags.to_ne_bytes());
        }
    }

    /// The answer that says "done" (vhost-user, "REPLY_ACK").
    fn done(&self) -> Self {
        let header = [self.request(), VERSION | REPLY, 8];
        let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend(0_u64.to_ne_bytes());
        Self { bytes, descriptors: Vec::new() }
    }

    fn receive(mut from: &UnixStream) -> io::Result<Option<Self>> {
        let mut bytes = vec![0; HEADER];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = loop {
            let into = &mut [IoSliceMut::new(&mut bytes)];
            match recvmsg(from.as_fd(), into, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                result => break result?.bytes,
            }
        };
        if got == 0 {
            return Ok(None);
        }
        let rights = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        });
        let descriptors = rights.flatten().collect();
        from.read_exact(&mut bytes[got..])?;
        let size = bytes.last_chunk().map_or(0, |word| u32::from_ne_bytes(*word)) as usize;
        if size > MOST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.resize(HEADER + size, 0);
        from.read_exact(&mut bytes[HEADER..])?;
        Ok(Some(Self { bytes, descriptors }))
    }

    fn send(&self, to: &UnixStream) -> io::Result<()> {
        let descriptors: Vec<_> = self.descriptors.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        let sent = sendmsg(to.as_fd(), &[IoSlice::new(&self.bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
        if sent == self.bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

/// Relays between whoever connects to `listener` and the server behind `inner`, until one of them is gone.
pub(crate) fn run(listener: &UnixListener, inner: &Path) -> io::Result<()> {
    let (qemu, _) = listener.accept()?;
    between(qemu, inner)
}

/// [`run`], of a QEMU that has connected.
pub(crate) fn between(qemu: UnixStream, inner: &Path) -> io::Result<()> {
    let server = UnixStream::connect(inner)?;
    let back = (server.try_clone()?, qemu.try_clone()?);
    let answers = std::thread::Builder::new().name("relay".to_owned()).spawn(move || {
        let (server, qemu) = back;
        while let Ok(Some(message)) = Message::receive(&server) {
            if message.send(&qemu).is_err() {
                break;
            }
        }
        drop(qemu.shutdown(Shutdown::Both));
    })?;
    let result = forward(&qemu, &server);
    drop(server.shutdown(Shutdown::Both));
    drop(answers.join());
    result
}

fn forward(qemu: &UnixStream, server: &UnixStream) -> io::Result<()> {
    let mut told = false;
    let mut held = Vec::new();
    while let Some(mut message) = Message::receive(qemu)? {
        if !told && message.request() == SET_VRING_ENABLE {
            if message.flags() & NEED_REPLY != 0 {
                message.done().send(qemu)?;
                message.clear_need_reply();
            }
            held.push(message);
            continue;
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

    const GET_FEATURES: u32 = 1;

    fn message(request: u32, flags: u32, payload: u64) -> Message {
        let header = [request, flags, 8];
        let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend(payload.to_ne_bytes());
        Message { bytes, descriptors: Vec::new() }
    }

    /// Requests with their flags.
    type Seen = Vec<(u32, u32)>;

    /// What reaches the server when QEMU sends `messages`, and what QEMU hears from the relay itself.
    fn relayed(messages: &[Message]) -> (Seen, Seen) {
        let (qemu, outer) = UnixStream::pair().expect("sockets");
        let (inner, server) = UnixStream::pair().expect("sockets");
        messages.iter().for_each(|message| message.send(&qemu).expect("send"));
        qemu.shutdown(Shutdown::Write).expect("shutdown");
        forward(&outer, &inner).expect("forward");
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
    fn rings_are_enabled_after_the_features_were_told() {
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
