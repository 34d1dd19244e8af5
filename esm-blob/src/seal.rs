//! AES-256-GCM as svm-tools use it: an iv of 16 bytes, a tag of 16, no additional data.

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::U16;
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, KeyInit};
use fdt::node::FdtNode;
use vm_fdt::FdtWriter;
use zeroize::Zeroizing;

use crate::digests::exact;
use crate::error::{MakeError, ReadError};
use crate::keys::{SymmetricKey, random};
use crate::tree::{property, text};

type Cipher = AesGcm<Aes256, U16>;

/// The one algorithm.
const ALGORITHM: &str = "AES256-GCM";
/// Bytes of a ciphertext: the ultravisor keeps their number in 16 bits.
const MAX_CIPHERTEXT: usize = 0xffff;

/// Writes a node with the sealed bytes in it.
pub(crate) fn write(
    tree: &mut FdtWriter,
    name: &str,
    comment: &str,
    key: &SymmetricKey,
    plain: &[u8],
) -> Result<(), MakeError> {
    let iv: [u8; 16] = random()?;
    let mut bytes = plain.to_vec();
    // The cipher fails only beyond 64 GiB.
    let mac = Cipher::new(key.bytes().into())
        .encrypt_inout_detached(&iv.into(), &[], bytes.as_mut_slice().into())
        .map_err(|_| MakeError::FilesTooLong(plain.len()))?;
    let node = tree.begin_node(name)?;
    tree.property_string("algorithm", ALGORITHM)?;
    tree.property_string("untrusted-comment", comment)?;
    tree.property("ciphertext", &bytes)?;
    tree.property("iv", &iv)?;
    tree.property("mac", &mac)?;
    tree.end_node(node)?;
    Ok(())
}

/// Opens a node of at most `most` bytes.
pub(crate) fn open(
    node: FdtNode<'_, '_>,
    key: &SymmetricKey,
    most: usize,
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let algorithm = text(node, "algorithm")?;
    if algorithm != ALGORITHM {
        return Err(ReadError::Algorithm(algorithm));
    }
    let iv: [u8; 16] = exact("iv", property(node, "iv")?)?;
    let mac: [u8; 16] = exact("mac", property(node, "mac")?)?;
    let sealed = property(node, "ciphertext")?;
    let most = most.min(MAX_CIPHERTEXT);
    if sealed.len() > most {
        return Err(ReadError::TooLong { property: "ciphertext", have: sealed.len(), most });
    }
    let mut bytes = Zeroizing::new(sealed.to_vec());
    Cipher::new(key.bytes().into())
        .decrypt_inout_detached(&iv.into(), &[], bytes.as_mut_slice().into(), &mac.into())
        .map_err(|_| ReadError::Sealed(node.name.to_owned()))?;
    Ok(bytes)
}
