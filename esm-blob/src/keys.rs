//! The three keys: the blob's own, and the RSA pair that wraps it.

use std::fmt;

use rsa::pkcs1::{DecodeRsaPrivateKey, DecodeRsaPublicKey, EncodeRsaPrivateKey};
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePublicKey, LineEnding};
use rsa::traits::PublicKeyParts;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::ReadError;

/// Bits of an RSA key, as in the TPM.
const RSA_BITS: usize = 2048;
/// Bytes of the blob's key.
pub(crate) const KEY_BYTES: usize = 32;

/// Why a key could not be read, made or used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The PEM text is no RSA key of the kind that was wanted.
    Pem(&'static str),
    /// An RSA key of another length, in bits.
    Bits(usize),
    /// Wrapping with the key, or writing it, failed.
    Rsa,
    /// The operating system has no random numbers.
    Random,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(wanted) => write!(f, "no PEM text of an RSA {wanted} key"),
            Self::Bits(bits) => write!(f, "RSA key of {bits} bits instead of {RSA_BITS}"),
            Self::Rsa => write!(f, "the RSA key cannot be used"),
            Self::Random => write!(f, "no random numbers"),
        }
    }
}

impl std::error::Error for KeyError {}

/// Fills an array with random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| KeyError::Random)?;
    Ok(bytes)
}

/// The blob's key. It is not shown, and it is cleared after use.
#[derive(Clone, PartialEq, Eq)]
pub struct SymmetricKey(Zeroizing<[u8; KEY_BYTES]>);

impl fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SymmetricKey(..)")
    }
}

impl SymmetricKey {
    /// A new one.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate() -> Result<Self, KeyError> {
        random().map(Self::from_bytes)
    }

    /// The key of these bytes, as they lie in the ultravisor's memory.
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

/// A public key, with the PEM text for its fingerprint.
#[derive(Clone, Debug)]
pub struct PublicKey {
    key: rsa::PublicKey,
    pem: Vec<u8>,
}

impl PublicKey {
    /// Reads `BEGIN PUBLIC KEY` (svm-tools', a TPM's) or `BEGIN RSA PUBLIC KEY`.
    ///
    /// # Errors
    /// [`KeyError::Pem`], [`KeyError::Bits`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let text = pem.trim();
        let key = rsa::PublicKey::from_public_key_pem(text)
            .ok()
            .or_else(|| rsa::PublicKey::from_pkcs1_pem(text).ok())
            .ok_or(KeyError::Pem("public"))?;
        check_bits(&key)?;
        Ok(Self { key, pem: pem.as_bytes().to_vec() })
    }

    /// The PEM text.
    #[must_use]
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// SHA-256 of the PEM text, all bytes of the file: how a lockbox names its key.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.pem).into()
    }

    /// RSA-OAEP with SHA-256 in both places, no label.
    pub(crate) fn wrap(&self, key: &SymmetricKey) -> Result<Vec<u8>, KeyError> {
        self.key.oaep_encrypt::<Sha256>(key.bytes()).map_err(|_| KeyError::Rsa)
    }
}

/// A private key: the maker's, or the one that stands in the TPM's place.
#[derive(Clone)]
pub struct PrivateKey(rsa::PrivateKey);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

impl PrivateKey {
    /// A new one of 2048 bits.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate() -> Result<Self, KeyError> {
        rsa::PrivateKey::new(&mut getrandom::SysRng, RSA_BITS).map(Self).map_err(|_| KeyError::Random)
    }

    /// Reads `BEGIN RSA PRIVATE KEY` (svm-tools') or `BEGIN PRIVATE KEY`, without a passphrase.
    ///
    /// # Errors
    /// [`KeyError::Pem`], [`KeyError::Bits`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let text = pem.trim();
        let key = rsa::PrivateKey::from_pkcs1_pem(text)
            .ok()
            .or_else(|| rsa::PrivateKey::from_pkcs8_pem(text).ok())
            .ok_or(KeyError::Pem("private"))?;
        check_bits(&key)?;
        Ok(Self(key))
    }

    /// As svm-tools write it: `BEGIN RSA PRIVATE KEY`.
    ///
    /// # Errors
    /// [`KeyError::Rsa`].
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        self.0.to_pkcs1_pem(LineEnding::LF).map_err(|_| KeyError::Rsa)
    }

    /// The public half, with the PEM text that svm-tools make of it.
    #[must_use]
    pub fn to_public(&self) -> PublicKey {
        let key = self.0.to_public_key();
        // A key that was read can be written.
        let pem = key.to_public_key_pem(LineEnding::LF).unwrap_or_default();
        PublicKey { key, pem: pem.into_bytes() }
    }

    pub(crate) fn unwrap(&self, lockbox: &str, wrapped: &[u8]) -> Result<SymmetricKey, ReadError> {
        let opened = self.0.oaep_decrypt::<Sha256>(wrapped).map(Zeroizing::new);
        let opened = opened.map_err(|_| ReadError::Lockbox(lockbox.to_owned()))?;
        let key = opened.as_slice().try_into().map_err(|_| ReadError::KeyLength(opened.len()))?;
        Ok(SymmetricKey::from_bytes(key))
    }
}

fn check_bits(key: &impl PublicKeyParts) -> Result<(), KeyError> {
    match key.n().bit_width() as usize {
        RSA_BITS => Ok(()),
        bits => Err(KeyError::Bits(bits)),
    }
}
