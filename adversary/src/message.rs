//! One message of the vhost-user protocol, with the descriptors that come with it.

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Request, flags and size, each a native 32-bit word (vhost-user, "Message Specification").
const HEADER: usize = 12;
/// Bits of the flags: version 1, this is an answer, an answer is wanted.
pub(crate) const VERSION: u32 = 1;
pub(crate) const REPLY: u32 = 1 << 2;
pub(crate) const NEED_REPLY: u32 = 1 << 3;
/// No message is longer than a page.
const MOST: usize = 4096;
/// No message comes with more descriptors.
const DESCRIPTORS: usize = 32;

#[derive(Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
}

impl Message {
    /// A message without descriptors.
    pub(crate) fn new(request: u32, flags: u32, payload: &[u8]) -> Self {
        let size = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let mut bytes: Vec<u8> = [request, flags, size].iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend_from_slice(payload);
        Self { bytes, descriptors: Vec::new() }
    }

    fn word(&self, at: usize) -> u32 {
        self.bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_ne_bytes(*word))
    }

    pub(crate) fn request(&self) -> u32 {
        self.word(0)
    }

    pub(crate) fn flags(&self) -> u32 {
        self.word(4)
    }

    pub(crate) fn clear_need_reply(&mut self) {
        let flags = self.flags() & !NEED_REPLY;
        if let Some(word) = self.bytes.get_mut(4..8) {
            word.copy_from_slice(&flags.to_ne_bytes());
        }
    }

    pub(crate) fn payload(&self) -> &[u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }

    /// Doubleword number `index` of the payload, in the machine's byte order.
    pub(crate) fn doubleword(&self, index: usize) -> Option<u64> {
        self.payload().get(8 * index..).and_then(<[u8]>::first_chunk).map(|word| u64::from_ne_bytes(*word))
    }

    /// Replaces a doubleword of the payload that is there.
    pub(crate) fn set_doubleword(&mut self, index: usize, value: u64) {
        if let Some(word) = self.bytes.get_mut(HEADER + 8 * index..).and_then(<[u8]>::first_chunk_mut) {
            *word = value.to_ne_bytes();
        }
    }

    /// The answer that says "done" (vhost-user, "REPLY_ACK").
    pub(crate) fn done(&self) -> Self {
        Self::new(self.request(), VERSION | REPLY, &0_u64.to_ne_bytes())
    }

    /// The next message; none at the end of the connection.
    pub(crate) fn receive(mut from: &UnixStream) -> io::Result<Option<Self>> {
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

    pub(crate) fn send(&self, to: &UnixStream) -> io::Result<()> {
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
