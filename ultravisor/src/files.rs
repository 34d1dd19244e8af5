//! UV_ESMB_GET_FILE: gives the guest the files of its ESM blob, each file once.
//!
//! Source: open-power/ultravisor `core/uvcall.c`, `uv_esmb_get_file` and `get_file_data`.

use std::collections::BTreeMap;
use std::io;

use esm_blob::{FdtError, Files, ReadError};

use super::call::Code;
use super::esm::blob::Esmb;
use super::ram::GuestRam;

/// Bytes that one call gives.
const CHUNK: usize = 64;
/// The ultravisor asserts that an offset is below.
const MOST: u64 = 0x1_0000;

/// The position in a file that is read, and the reading process.
#[derive(Clone, Copy, Debug)]
struct Reader {
    pidr: u64,
    end: u64,
}

/// A call's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This in r3, and nothing else.
    Code(Code),
    /// Bytes in r4 to r11, and their number in r3.
    Data([u64; 8], usize),
    /// An assertion failed.
    Dead(&'static str),
}

/// The files of one guest.
#[derive(Debug)]
pub(crate) struct BlobFiles {
    esmb: Esmb,
    readers: BTreeMap<Vec<u8>, Reader>,
}

impl BlobFiles {
    pub(crate) fn new(esmb: Esmb) -> Self {
        Self { esmb, readers: BTreeMap::new() }
    }

    /// Serves a call: the offset in r4, the name in r5 to r12.
    pub(crate) fn read(
        &mut self,
        ram: &GuestRam,
        [offset, name @ ..]: [u64; 9],
        pidr: u64,
    ) -> io::Result<Answer> {
        let mut name: Vec<u8> = name.iter().flat_map(|register| register.to_be_bytes()).collect();
        name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
        let reader = self.readers.entry(name.clone()).or_insert(Reader { pidr, end: 0 });
        if reader.pidr != pidr || offset < reader.end {
            return Ok(Answer::Code(Code::PARAMETER));
        }
        if offset >= MOST {
            return Ok(Answer::Dead("UV_ESMB_GET_FILE with an offset of 64 KiB or more"));
        }
        // An empty name would mean the node that holds all files.
        if name.is_empty() {
            return Ok(Answer::Code(Code::PARAMETER));
        }
        let (key, tree) = self.esmb.contents(ram)?;
        let file = Files::read(&tree).and_then(|files| match std::str::from_utf8(&name) {
            Ok(name) => files.open(name, &key),
            Err(_) => Err(ReadError::NoNode(String::new())),
        });
        let file = match file {
            Ok(file) => file,
            Err(error) => return Ok(Answer::Code(code(&error))),
        };
        let rest = usize::try_from(offset).ok().and_then(|offset| file.get(offset..)).unwrap_or_default();
        let chunk = &rest[..rest.len().min(CHUNK)];
        reader.end = offset + chunk.len() as u64;
        if chunk.is_empty() {
            return Ok(Answer::Code(Code::SUCCESS));
        }
        let mut bytes = [0; CHUNK];
        bytes[..chunk.len()].copy_from_slice(chunk);
        let mut data = [0; 8];
        for (register, bytes) in data.iter_mut().zip(bytes.as_chunks().0) {
            *register = u64::from_be_bytes(*bytes);
        }
        Ok(Answer::Data(data, chunk.len()))
    }
}

/// The source returns libfdt's error numbers to the guest unchanged.
fn code(error: &ReadError) -> Code {
    match error {
        ReadError::NoNode(_) => Code(-1),
        ReadError::Tree(FdtError::Magic(_)) => Code(-9),
        ReadError::Tree(_) => Code(-11),
        _ => Code::PARAMETER,
    }
}

#[cfg(test)]
#[path = "files/tests.rs"]
mod tests;
