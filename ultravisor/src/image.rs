//! The kernel's ELF file: the bytes that measurement expects in guest memory.

use std::fmt;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha512};

use super::ram::GuestRam;

const PT_LOAD: u32 = 1;
const MACHINE_PPC64: u16 = 21;

/// Why the file is no kernel.
#[derive(Debug)]
pub enum ImageError {
    /// It cannot be read.
    Io(io::Error),
    /// It does not start as a 64-bit ELF file.
    NotElf64,
    /// Its machine is not PowerPC 64.
    Machine(u16),
    /// A header or a segment lies outside it.
    Truncated,
    /// Nothing in it is to be loaded.
    NoSegments,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::NotElf64 => write!(f, "not a 64-bit ELF file"),
            Self::Machine(machine) => write!(f, "ELF file for machine {machine}, not for ppc64"),
            Self::Truncated => write!(f, "ELF file is cut short"),
            Self::NoSegments => write!(f, "ELF file without a loadable segment"),
        }
    }
}

impl std::error::Error for ImageError {}

/// The loadable segments of a kernel: the bytes in its file, without the memory that is only zeroed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelImage {
    /// Offset from the kernel's base, and bytes.
    segments: Vec<(u64, Vec<u8>)>,
    memory: u64,
}

/// How the kernel in memory compares with its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelMeasurement {
    /// SHA-512 of [kernel base, kernel base + `kernel-size`), the whole range with the gaps between segments.
    pub memory_sha512: String,
    /// The same of the file.
    pub file_sha512: String,
    /// Guest physical address of the first byte that differs.
    pub first_difference: Option<u64>,
}

impl KernelMeasurement {
    /// Whether memory holds what the file holds.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.first_difference.is_none() && self.memory_sha512 == self.file_sha512
    }
}

/// SHA-512 in hex.
#[must_use]
pub fn sha512(bytes: &[u8]) -> String {
    hex(&Sha512::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads numbers of either byte order at offsets of a file.
pub(crate) struct Fields<'a> {
    pub(crate) file: &'a [u8],
    pub(crate) little: bool,
}

impl Fields<'_> {
    pub(crate) fn number(&self, offset: u64, size: u64) -> Result<u64, ImageError> {
        let bytes = slice(self.file, offset, size)?;
        let shift = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Ok(if self.little { bytes.iter().rev().fold(0, shift) } else { bytes.iter().fold(0, shift) })
    }
}

fn slice(file: &[u8], offset: u64, size: u64) -> Result<&[u8], ImageError> {
    let end = offset.checked_add(size).ok_or(ImageError::Truncated)?;
    let (Ok(start), Ok(end)) = (usize::try_from(offset), usize::try_from(end)) else {
        return Err(ImageError::Truncated);
    };
    file.get(start..end).ok_or(ImageError::Truncated)
}

impl KernelImage {
    /// Reads a kernel's file.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn load(path: &Path) -> Result<Self, ImageError> {
        Self::parse(&std::fs::read(path).map_err(ImageError::Io)?)
    }

    /// Reads a kernel from the bytes of its file.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn parse(file: &[u8]) -> Result<Self, ImageError> {
        let little = match file.get(..6) {
            Some([0x7f, b'E', b'L', b'F', 2, 1]) => true,
            Some([0x7f, b'E', b'L', b'F', 2, 2]) => false,
            _ => return Err(ImageError::NotElf64),
        };
        let fields = Fields { file, little };
        match u16::try_from(fields.number(18, 2)?) {
            Ok(MACHINE_PPC64) => {}
            other => return Err(ImageError::Machine(other.unwrap_or(0))),
        }
        let (table, entry, count) = (fields.number(32, 8)?, fields.number(54, 2)?, fields.number(56, 2)?);
        let (mut segments, mut end) = (Vec::new(), 0);
        for index in 0..count {
            let header = table.checked_add(index * entry).ok_or(ImageError::Truncated)?;
            slice(file, header, 56)?;
            if fields.number(header, 4)? != u64::from(PT_LOAD) {
                continue;
            }
            let ends = fields.number(header + 24, 8)?.wrapping_add(fields.number(header + 40, 8)?);
            end = end.max(ends);
            let bytes = slice(file, fields.number(header + 8, 8)?, fields.number(header + 32, 8)?)?;
            if !bytes.is_empty() {
                segments.push((fields.number(header + 24, 8)?, bytes.to_vec()));
            }
        }
        let base = segments.iter().map(|(address, _)| *address).min().ok_or(ImageError::NoSegments)?;
        for (address, _) in &mut segments {
            *address -= base;
        }
        Ok(Self { segments, memory: end.wrapping_sub(base) })
    }

    /// Bytes from the base to the end of the last segment in memory, zeros at the end counted.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Bytes from the base to the end of the last segment's file bytes.
    #[must_use]
    pub fn span(&self) -> u64 {
        self.segments.iter().map(|(offset, bytes)| offset + bytes.len() as u64).max().unwrap_or(0)
    }

    /// The bytes that `objcopy -O binary -S` makes of the file: `kernel-size` bytes, zeros between the segments.
    #[must_use]
    pub fn flat(&self) -> Vec<u8> {
        let mut flat = vec![0; usize::try_from(self.span()).unwrap_or(0)];
        for (offset, bytes) in &self.segments {
            let start = usize::try_from(*offset).unwrap_or(usize::MAX);
            if let Some(place) = flat.get_mut(start..).and_then(|rest| rest.get_mut(..bytes.len())) {
                place.copy_from_slice(bytes);
            }
        }
        flat
    }

    /// Compares guest memory at a kernel base with the file. Memory outside RAM counts as different.
    ///
    /// # Errors
    /// Guest RAM cannot be read.
    pub fn measure(&self, ram: &GuestRam, kernel_base: u64) -> io::Result<KernelMeasurement> {
        // A file whose span is larger than RAM cannot be in memory.
        let file = if self.span() > ram.size() { Vec::new() } else { self.flat() };
        if file.is_empty() {
            let (memory_sha512, file_sha512) = (sha512(&[]), sha512(&[]));
            return Ok(KernelMeasurement { memory_sha512, file_sha512, first_difference: Some(kernel_base) });
        }
        let found = ram.read(kernel_base, file.len() as u64)?.unwrap_or_default();
        let same = found.iter().zip(&file).take_while(|(found, byte)| found == byte).count();
        Ok(KernelMeasurement {
            memory_sha512: sha512(&found),
            file_sha512: sha512(&file),
            first_difference: (same < file.len()).then(|| kernel_base.wrapping_add(same as u64)),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::scratch::ScratchRam;

    /// A little-endian ppc64 ELF file with segments of (physical address, bytes).
    pub(crate) fn elf(segments: &[(u64, &[u8])]) -> Vec<u8> {
        let mut file = vec![0; 64 + 56 * segments.len()];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[18..20].copy_from_slice(&21u16.to_le_bytes());
        file[32..40].copy_from_slice(&64u64.to_le_bytes());
        file[54..56].copy_from_slice(&56u16.to_le_bytes());
        file[56..58].copy_from_slice(&u16::try_from(segments.len()).expect("few").to_le_bytes());
        for (index, (address, bytes)) in segments.iter().enumerate() {
            let header = 64 + 56 * index;
            let offset = file.len() as u64;
            file[header..header + 4].copy_from_slice(&1u32.to_le_bytes());
            file[header + 8..header + 16].copy_from_slice(&offset.to_le_bytes());
            file[header + 24..header + 32].copy_from_slice(&address.to_le_bytes());
            file[header + 32..header + 40].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
            file.extend_from_slice(bytes);
        }
        file
    }

    #[test]
    fn an_untouched_image_measures_equal_wherever_it_was_loaded() {
        let file = elf(&[(0x1000, b"text"), (0x2000, b"data")]);
        let image = KernelImage::parse(&file).expect("image");
        let ram = ScratchRam::new(1 << 20);
        ram.write(0x40000, b"text").expect("write");
        ram.write(0x41000, b"data").expect("write");
        let measured = image.measure(&ram, 0x40000).expect("measure");
        assert!(measured.is_equal());
        let mut contiguous = vec![0; 0x1004];
        contiguous[..4].copy_from_slice(b"text");
        contiguous[0x1000..].copy_from_slice(b"data");
        assert_eq!(measured.memory_sha512, sha512(&contiguous));
        ram.write(0x40800, b"x").expect("write");
        let measured = image.measure(&ram, 0x40000).expect("measure");
        assert_eq!(measured.first_difference, Some(0x40800), "what lies between segments is measured, too");
    }

    #[test]
    fn one_changed_byte_is_found_and_named() {
        let image = KernelImage::parse(&elf(&[(0, b"text"), (0x2000, b"data")])).expect("image");
        let ram = ScratchRam::new(1 << 20);
        ram.write(0x40000, b"text").expect("write");
        ram.write(0x42000, b"daTa").expect("write");
        let measured = image.measure(&ram, 0x40000).expect("measure");
        assert!(!measured.is_equal());
        assert_eq!(measured.first_difference, Some(0x42002));
        let outside = image.measure(&ram, 1 << 20).expect("measure");
        assert_eq!(outside.first_difference, Some(1 << 20));
    }

    #[test]
    fn what_is_no_kernel_is_refused_by_name() {
        assert!(matches!(KernelImage::parse(b"#!/bin/sh"), Err(ImageError::NotElf64)));
        assert!(matches!(KernelImage::parse(&elf(&[])), Err(ImageError::NoSegments)));
        let mut other = elf(&[(0, b"x")]);
        other[18] = 62;
        assert!(matches!(KernelImage::parse(&other), Err(ImageError::Machine(62))));
        let file = elf(&[(0, b"text")]);
        assert!(matches!(KernelImage::parse(&file[..file.len() - 1]), Err(ImageError::Truncated)));
        assert!(matches!(KernelImage::parse(&file[..70]), Err(ImageError::Truncated)));
    }
}
