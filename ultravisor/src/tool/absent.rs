//! Explains why a guest made no UV_ESM, from its kernel's file and its command line.

use std::fmt;
use std::path::Path;

use crate::{Firmware, symbols};

/// Start of Linux's banner.
const BANNER: &[u8] = b"Linux version ";
/// Text that Linux prints before UV_ESM; only in kernels with CONFIG_PPC_SVM (`prom_init.c`).
const BEFORE_ESM: &[u8] = b"Switching to secure mode.";
/// A variable of Linux that is one page of zeros.
const PAGE_OF_ZEROS: &str = "empty_zero_page";
/// No version is longer.
const VERSION_BYTES: usize = 64;

/// What a kernel's file says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Linux.
    Linux {
        /// As in its banner.
        version: String,
        /// Whether it was built with CONFIG_PPC_SVM.
        svm: bool,
        /// Bytes of the pages in which it counts memory, if its symbols say.
        page: Option<u64>,
    },
    /// Another kernel.
    Other,
}

impl Kernel {
    /// Examines a file; [`Self::Other`] if it cannot be read.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        std::fs::read(path).map_or(Self::Other, |file| Self::of(&file))
    }

    /// Reads a kernel from a file's bytes.
    #[must_use]
    pub fn of(file: &[u8]) -> Self {
        let Some(at) = find(file, BANNER) else { return Self::Other };
        let rest = file[at + BANNER.len()..].iter().take(VERSION_BYTES);
        let version = rest.take_while(|byte| byte.is_ascii_graphic()).map(|byte| char::from(*byte)).collect();
        let page = symbols::object_bytes(file, PAGE_OF_ZEROS);
        Self::Linux { version, svm: find(file, BEFORE_ESM).is_some(), page }
    }
}

fn find(file: &[u8], text: &[u8]) -> Option<usize> {
    file.windows(text.len()).position(|window| window == text)
}

/// A guest that made no UV_ESM.
#[derive(Clone, Debug)]
pub struct Absent<'a> {
    /// Its kernel.
    pub kernel: &'a Kernel,
    /// What started it.
    pub firmware: Firmware,
    /// Its command line.
    pub append: &'a str,
}

impl fmt::Display for Absent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the guest never called UV_ESM")?;
        let Kernel::Linux { version, svm, .. } = self.kernel else { return Ok(()) };
        let asked = self.append.split_whitespace().any(|word| word == "svm=on" || word == "svm=1");
        if !svm {
            write!(
                f,
                ": its kernel, Linux {version}, was built without CONFIG_PPC_SVM, as Debian's kernels are; \
                 pseries_le_defconfig sets it, and `make linux` builds a small kernel with it"
            )
        } else if !asked {
            write!(f, ": Linux {version} makes it with svm=on in its command line")
        } else if self.firmware == Firmware::Bios {
            write!(
                f,
                ": Linux {version} makes it as a client of Open Firmware, and -bios starts it without one; use SLOF, \
                 or VOF (-M pseries,x-vof=on)"
            )
        } else {
            write!(
                f,
                ": Linux {version} can, and svm=on was given; it ended before, or said why on its console"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHOUT: &[u8] = b"\0Linux version 6.1.0-50-powerpc64le (debian-kernel\0";
    const WITH: &[u8] = b"\0Switching to secure mode.\n\0Linux version 6.1.176 (root\0";

    fn said(file: &[u8], firmware: Firmware, append: &str) -> String {
        Absent { kernel: &Kernel::of(file), firmware, append }.to_string()
    }

    #[test]
    fn a_kernel_built_without_support_is_named_with_the_option_that_it_lacks() {
        for append in ["svm=on", "quiet"] {
            let said = said(WITHOUT, Firmware::Slof, append);
            assert!(said.contains("Linux 6.1.0-50-powerpc64le, was built without CONFIG_PPC_SVM"), "{said}");
        }
    }

    #[test]
    fn a_kernel_with_support_is_told_what_else_it_needs() {
        assert!(said(WITH, Firmware::Slof, "svm=off").ends_with("makes it with svm=on in its command line"));
        assert!(said(WITH, Firmware::Bios, "svm=on").contains("-bios starts it without one"));
        let early = said(WITH, Firmware::Vof, "quiet svm=1");
        assert!(early.contains("6.1.176 can") && early.contains("console"), "{early}");
    }

    #[test]
    fn an_unknown_kernel_gets_no_diagnosis() {
        assert_eq!(said(b"\x7fELF", Firmware::Slof, "svm=on"), "the guest never called UV_ESM");
        let nameless = Kernel::Linux { version: String::new(), svm: false, page: None };
        assert_eq!(Kernel::of(b"Linux version "), nameless);
    }
}
