//! Keys and blobs that tests share. The keys were made for these tests and protect nothing.
#![allow(dead_code, reason = "each test file uses some of it")]

use esm_blob::{Digests, PrivateKey, RTAS_TEXT, Recipe};

/// The key in the TPM's place.
pub fn machine() -> PrivateKey {
    PrivateKey::from_pem(include_str!("../data/machine.pem")).expect("key")
}

/// Some other machine's.
pub fn other() -> PrivateKey {
    PrivateKey::from_pem(include_str!("../data/other.pem")).expect("key")
}

pub fn digests() -> Digests {
    Digests::of(b"kernel", b"console=hvc0", b"initrd", &RTAS_TEXT).expect("digests")
}

/// Two files, a lockbox for [`machine`].
pub fn recipe() -> Recipe {
    let mut recipe = Recipe::new(other().to_public(), digests());
    recipe.recipients.push(machine().to_public());
    recipe.files.push(("disk-key".to_owned(), b"correct horse battery staple".to_vec()));
    recipe.files.push(("empty".to_owned(), Vec::new()));
    recipe.comment = "for a test".to_owned();
    recipe
}
