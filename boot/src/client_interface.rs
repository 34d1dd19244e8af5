//! The calls of Open Firmware's client interface that walk its device tree, as a trait. The machine implements it
//! with calls into firmware, the tests with a tree of their own.
//!
//! Source: IEEE 1275-1994, 6.3.2.2.

use core::fmt;
use thiserror::Error;

/// Firmware's name for a node; never 0.
pub type Phandle = u32;

/// Bytes of a property name with its NUL. The standard allows 31 characters; existing trees have longer names.
pub const NAME_SIZE: usize = 128;

/// The name of a property, with its NUL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// The name, then NULs up to the end, at least one.
    bytes: [u8; NAME_SIZE],
    len: usize,
}

impl Name {
    /// The empty name, which stands before a node's first property.
    pub const NONE: Self = Self { bytes: [0; NAME_SIZE], len: 0 };

    /// The name in `name`, up to its first NUL or its end.
    ///
    /// # Errors
    /// It has [`NAME_SIZE`] bytes or more.
    pub fn new(name: &[u8]) -> Result<Self, ClientError> {
        let len = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        let mut bytes = [0; NAME_SIZE];
        match (bytes.get_mut(..len), name.get(..len)) {
            (Some(into), Some(name)) if len < NAME_SIZE => into.copy_from_slice(name),
            _ => return Err(ClientError::NameTooLong(len)),
        }
        Ok(Self { bytes, len })
    }

    /// The name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The name with NULs up to [`NAME_SIZE`].
    #[must_use]
    pub const fn padded(&self) -> &[u8; NAME_SIZE] {
        &self.bytes
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

/// What went wrong in a call into firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ClientError {
    /// Firmware does not have the service, or refused it.
    #[error("Open Firmware refused {0}")]
    Refused(&'static str),
    /// The service returned a value that it must not return.
    #[error("Open Firmware answered {1:#x} to {0}")]
    Nonsense(&'static str, u32),
    /// An address, or an end of a range, that firmware's 32 bits cannot hold.
    #[error("{0:#x} is beyond Open Firmware's 32 bits")]
    BeyondFirmware(u64),
    /// A property name of this many bytes.
    #[error("a property name of {0} bytes")]
    NameTooLong(usize),
}

/// The part of Open Firmware's client interface that walks the tree.
pub trait ClientInterface {
    /// The root node.
    ///
    /// # Errors
    /// As for every method: see [`ClientError`].
    fn root(&mut self) -> Result<Phandle, ClientError>;
    /// The first child of `node`, if it has one.
    ///
    /// # Errors
    /// See [`ClientError`].
    fn child(&mut self, node: Phandle) -> Result<Option<Phandle>, ClientError>;
    /// The next node with the same parent.
    ///
    /// # Errors
    /// See [`ClientError`].
    fn peer(&mut self, node: Phandle) -> Result<Option<Phandle>, ClientError>;
    /// The property after `previous`; the first one after [`Name::NONE`].
    ///
    /// # Errors
    /// See [`ClientError`].
    fn next_property(&mut self, node: Phandle, previous: &Name) -> Result<Option<Name>, ClientError>;
    /// Bytes of a property's value; `None` when the node does not have it.
    ///
    /// # Errors
    /// See [`ClientError`].
    fn property_len(&mut self, node: Phandle, name: &Name) -> Result<Option<usize>, ClientError>;
    /// Reads a value of which [`Self::property_len`] said that it has `into.len()` bytes.
    ///
    /// # Errors
    /// See [`ClientError`]; also when the value's length has changed.
    fn property(&mut self, node: Phandle, name: &Name, into: &mut [u8]) -> Result<(), ClientError>;
    /// Writes the node's full path with unit addresses, at most `into.len()` bytes of it. Returns the path's length.
    ///
    /// # Errors
    /// See [`ClientError`].
    fn path(&mut self, node: Phandle, into: &mut [u8]) -> Result<usize, ClientError>;
}
