//! The digests with which a guest is compared.

use sha2::{Digest, Sha512};
use vm_fdt::FdtWriter;

use crate::error::{MakeError, ReadError};
use crate::tree::{Tree, property};

/// The RTAS text that SLOF installs, `mr r4,r3; lis r3,0; ori r3,r3,0xf000; sc 1; blr`, all 20 bytes of it. svm-tools have
/// its digest as a constant.
pub const RTAS_TEXT: [u8; 20] = [
    0x7c, 0x64, 0x1b, 0x78, 0x3c, 0x60, 0x00, 0x00, 0x60, 0x63, 0xf0, 0x00, 0x44, 0x00, 0x00, 0x22, 0x4e,
    0x80, 0x00, 0x20,
];

/// SHA-512.
#[must_use]
pub fn sha512(bytes: &[u8]) -> [u8; 64] {
    Sha512::digest(bytes).into()
}

/// SHA-512 of each part that boots, and the number of bytes that the kernel's is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Bytes from the kernel's base on that are measured.
    pub kernel_size: u32,
    /// Of the kernel as it lies in memory, zeros between its segments: `objcopy -O binary -S` of its ELF.
    pub kernel: [u8; 64],
    /// Of the command line, without a NUL at its end.
    pub bootargs: [u8; 64],
    /// Of the initrd that follows the blob's archive.
    pub initrd: [u8; 64],
    /// Of the RTAS text.
    pub rtas: [u8; 64],
}

impl Digests {
    /// The digests of these parts.
    ///
    /// # Errors
    /// [`MakeError::KernelTooLong`].
    pub fn of(kernel: &[u8], bootargs: &[u8], initrd: &[u8], rtas: &[u8]) -> Result<Self, MakeError> {
        Ok(Self {
            kernel_size: u32::try_from(kernel.len()).map_err(|_| MakeError::KernelTooLong(kernel.len()))?,
            kernel: sha512(kernel),
            bootargs: sha512(bootargs),
            initrd: sha512(initrd),
            rtas: sha512(rtas),
        })
    }

    /// The tree of the digests, before it is sealed.
    pub(crate) fn to_tree(self) -> Result<Vec<u8>, MakeError> {
        let mut tree = FdtWriter::new()?;
        let root = tree.begin_node("")?;
        tree.property_string("compatible", "ibm,esm")?;
        let digests = tree.begin_node("digests")?;
        tree.property_string("algorithm", "SHA512")?;
        tree.property("rtas", &self.rtas)?;
        tree.property("kernel", &self.kernel)?;
        tree.property_u32("kernel-size", self.kernel_size)?;
        tree.property("initrd", &self.initrd)?;
        tree.property("bootargs", &self.bootargs)?;
        tree.end_node(digests)?;
        tree.end_node(root)?;
        Ok(tree.finish()?)
    }

    pub(crate) fn from_tree(bytes: &[u8]) -> Result<Self, ReadError> {
        let tree = Tree::read(bytes)?;
        let node = tree.node(&["digests"])?;
        let algorithm = property(node, "algorithm")?;
        if algorithm != b"SHA512\0" {
            return Err(ReadError::Algorithm(String::from_utf8_lossy(algorithm).into_owned()));
        }
        let digest = |name| exact(name, property(node, name)?);
        Ok(Self {
            kernel_size: u32::from_be_bytes(exact("kernel-size", property(node, "kernel-size")?)?),
            kernel: digest("kernel")?,
            bootargs: digest("bootargs")?,
            initrd: digest("initrd")?,
            rtas: digest("rtas")?,
        })
    }
}

/// A property of `N` bytes.
pub(crate) fn exact<const N: usize>(property: &'static str, value: &[u8]) -> Result<[u8; N], ReadError> {
    value.try_into().map_err(|_| ReadError::Length { property, have: value.len(), want: N })
}
