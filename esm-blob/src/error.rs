//! Errors of making and of reading a blob.

use std::fmt;

use pseries_tree::FdtError;

use crate::keys::KeyError;

/// Why a blob could not be made.
#[derive(Debug, PartialEq, Eq)]
pub enum MakeError {
    /// A bad name of a file. A name has 1 to 31 characters of `A-Za-z0-9,._+-`, the first a letter.
    Name(String),
    /// Two files have this name.
    Twice(String),
    /// A comment with a line feed or a NUL in it.
    Comment(String),
    /// The tree of the files has this many bytes, more than [`crate::MAX_FILES`].
    FilesTooLong(usize),
    /// The kernel has this many bytes, which do not fit into `kernel-size`.
    KernelTooLong(usize),
    /// No key, or no random numbers.
    Key(KeyError),
    /// The tree's writer refused.
    Tree(vm_fdt::Error),
}

impl fmt::Display for MakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => {
                write!(f, "file name {name:?}: wanted 1 to 31 of A-Za-z0-9,._+- with a letter first")
            }
            Self::Twice(name) => write!(f, "two files named {name:?}"),
            Self::Comment(comment) => write!(f, "comment {comment:?} has more than one line"),
            Self::FilesTooLong(size) => {
                write!(f, "the files' tree has {size} bytes, more than {}", crate::MAX_FILES)
            }
            Self::KernelTooLong(size) => write!(f, "the kernel has {size} bytes, more than 32 bits count"),
            Self::Key(error) => write!(f, "{error}"),
            Self::Tree(error) => write!(f, "device tree: {error}"),
        }
    }
}

impl std::error::Error for MakeError {}

impl From<KeyError> for MakeError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl From<vm_fdt::Error> for MakeError {
    fn from(error: vm_fdt::Error) -> Self {
        Self::Tree(error)
    }
}

/// A fault of a blob, or of a key for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// It is no valid device tree.
    Tree(FdtError),
    /// The root's `compatible` is not this.
    Compatible(&'static str),
    /// No node at this path.
    NoNode(String),
    /// No such property.
    NoProperty {
        /// The node's name.
        node: String,
        /// The property's.
        property: &'static str,
    },
    /// A property of another length.
    Length {
        /// The property's name.
        property: &'static str,
        /// Bytes that it has.
        have: usize,
        /// Bytes that it must have.
        want: usize,
    },
    /// More bytes than the ultravisor has room for.
    TooLong {
        /// The property's name.
        property: &'static str,
        /// Bytes that it has.
        have: usize,
        /// Bytes that it may have.
        most: usize,
    },
    /// An unknown algorithm.
    Algorithm(String),
    /// The private key does not open this lockbox.
    Lockbox(String),
    /// The lockbox holds this number of bytes, which is not the length of a key.
    KeyLength(usize),
    /// The key does not open this part (the digests, or the file of this name), or the part was changed.
    Sealed(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree(error) => write!(f, "{error}"),
            Self::Compatible(wanted) => write!(f, "not compatible with {wanted}"),
            Self::NoNode(path) => write!(f, "no node {path}"),
            Self::NoProperty { node, property } => write!(f, "node {node} without {property}"),
            Self::Length { property, have, want } => {
                write!(f, "{property} has {have} bytes instead of {want}")
            }
            Self::TooLong { property, have, most } => {
                write!(f, "{property} has {have} bytes, more than {most}")
            }
            Self::Algorithm(name) => write!(f, "algorithm {name:?}"),
            Self::Lockbox(name) => write!(f, "{name}: the private key does not open it"),
            Self::KeyLength(size) => write!(f, "the lockbox holds {size} bytes instead of a key of 32"),
            Self::Sealed(name) => write!(f, "{name}: wrong key, or changed since it was sealed"),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<FdtError> for ReadError {
    fn from(error: FdtError) -> Self {
        Self::Tree(error)
    }
}
