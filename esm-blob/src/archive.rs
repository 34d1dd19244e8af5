//! The archive in front of an initrd that carries the blob, and the search for the blob.
//!
//! `cpio` calls the format newc: a header of 110 characters, the name, the content, each rounded up to 4 bytes. Linux takes
//! several of these one after the other for one initrd.
//!
//! The search is the ultravisor's, with one difference: where the ultravisor reads beyond the initrd, this search ends
//! with [`ArchiveError::PastEnd`].

use std::fmt;
use std::ops::Range;

const MAGIC: &[u8; 6] = b"070701";
const HEADER: usize = 110;
const TRAILER: &[u8] = b"TRAILER!!!\0";
const PATH: &str = "opt/ibm/pef";
const FDT_MAGIC: [u8; 4] = [0xd0, 0x0d, 0xfe, 0xed];
/// What `cpio` rounds an archive up to.
const BLOCK: usize = 512;
/// Offsets of the two fields that matter.
const FILE_SIZE: usize = 54;
const NAME_SIZE: usize = 94;

/// Why there is no blob in an initrd, or no archive for one. Offsets count from the initrd's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveError {
    /// The initrd does not begin with an archive.
    NoArchive,
    /// A header's number is malformed, at this offset.
    Number(usize),
    /// A member whose end is beyond that of the initrd.
    PastEnd {
        /// Where the member begins.
        at: usize,
        /// Where it ends.
        end: usize,
    },
    /// The first member with content has a path that is not the blob's.
    OtherMember(String),
    /// The archive has no blob.
    NoBlob,
    /// A blob of more bytes than a member can have.
    TooLong(usize),
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoArchive => write!(f, "the initrd does not begin with a newc archive"),
            Self::Number(at) => write!(f, "no hexadecimal number at offset {at:#x} of the initrd"),
            Self::PastEnd { at, end } => {
                write!(f, "the member at {at:#x} of the initrd ends at {end:#x}, beyond the initrd")
            }
            Self::OtherMember(name) => write!(f, "the first member is {name:?}, not below {PATH}"),
            Self::NoBlob => write!(f, "the archive holds no ESM blob"),
            Self::TooLong(size) => write!(f, "a blob of {size} bytes"),
        }
    }
}

impl std::error::Error for ArchiveError {}

/// The parts of an initrd with a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// From the blob's first byte to the end of the member that holds it.
    pub blob: Range<usize>,
    /// The part that is measured: all bytes after the archive.
    pub initrd: Range<usize>,
}

/// An initrd with the blob in front of it.
///
/// # Errors
/// [`ArchiveError::TooLong`].
pub fn prepend(blob: &[u8], initrd: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    let size = u32::try_from(blob.len()).map_err(|_| ArchiveError::TooLong(blob.len()))?;
    let mut archive = Vec::with_capacity(blob.len() + initrd.len() + 4 * BLOCK);
    for (number, directory) in (1..).zip(["opt", "opt/ibm", "opt/ibm/pef"]) {
        member(&mut archive, number, 0o040_755, directory, 0, &[]);
    }
    member(&mut archive, 4, 0o100_444, &format!("{PATH}/esmb.dtb"), size, blob);
    member(&mut archive, 0, 0, "TRAILER!!!", 0, &[]);
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    archive.extend_from_slice(initrd);
    Ok(archive)
}

fn member(archive: &mut Vec<u8>, number: u32, mode: u32, name: &str, size: u32, content: &[u8]) {
    let links = 1 + u32::from(mode & 0o040_000 != 0);
    let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
    // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    let fields = [number, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
    archive.extend_from_slice(MAGIC);
    for field in fields {
        archive.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

/// Finds the blob. `address` is the initrd's address in the guest: alignment in the archive is by address.
///
/// # Errors
/// [`ArchiveError`].
pub fn find(initrd: &[u8], address: u64) -> Result<Found, ArchiveError> {
    // Rounds an offset up to where its address is aligned.
    let align = |offset: usize, to: usize| {
        let beyond = (address % BLOCK as u64) as usize;
        (beyond + offset).next_multiple_of(to) - beyond
    };
    let (mut at, mut blob) = (align(0, 4), None);
    let mut measured = 0;
    while at < initrd.len() {
        if !initrd[at..].starts_with(MAGIC) {
            break;
        }
        let Some(header) = initrd.get(at..at + HEADER) else {
            return Err(ArchiveError::PastEnd { at, end: at + HEADER });
        };
        let (name_size, size) = (number(header, at, NAME_SIZE)?, number(header, at, FILE_SIZE)?);
        let content = align(at + HEADER + name_size, 4);
        let end = content + size;
        let member = initrd.get(content..end).ok_or(ArchiveError::PastEnd { at, end })?;
        let name = initrd.get(at + HEADER..at + HEADER + name_size).unwrap_or_default();
        if name == TRAILER {
            measured = align(end, BLOCK);
            break;
        }
        if size > 0 && blob.is_none() {
            if !name.starts_with(PATH.as_bytes()) {
                let name = String::from_utf8_lossy(name);
                return Err(ArchiveError::OtherMember(name.trim_end_matches('\0').to_owned()));
            }
            let word = member.chunks_exact(4).position(|word| word == FDT_MAGIC);
            blob = word.map(|word| content + 4 * word..end);
        }
        at = align(end, 4);
    }
    let Some(blob) = blob else {
        return Err(if at == align(0, 4) { ArchiveError::NoArchive } else { ArchiveError::NoBlob });
    };
    // Without a trailer the whole initrd is measured, the archive with it.
    if measured > initrd.len() {
        return Err(ArchiveError::PastEnd { at, end: measured });
    }
    Ok(Found { blob, initrd: measured..initrd.len() })
}

/// A field of eight hexadecimal digits.
fn number(header: &[u8], at: usize, field: usize) -> Result<usize, ArchiveError> {
    let digits = header.get(field..field + 8).and_then(|digits| std::str::from_utf8(digits).ok());
    let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let value = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok());
    value.ok_or(ArchiveError::Number(at + field))
}
