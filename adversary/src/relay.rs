//! Stands between QEMU and a card's server for the sake of one message: QEMU enables the rings of a card when
//! it resets it, before it says which features it took; the rust-vmm crates hang up on that. The relay holds
//! such messages back until the features have been told.

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
    while let Some(message) = Message::receive(qemu)? {
        if !told && message.request() == SET_VRING_ENABLE {
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
