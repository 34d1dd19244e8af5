//! Reading any blob that a host can make ends with a result or an error.

mod common;

use common::{machine, recipe};
use esm_blob::{Blob, Files, MACHINE_LOCKBOX, PrivateKey, SymmetricKey, archive};
use proptest::prelude::{ProptestConfig, Strategy, any, prop, proptest};
use std::sync::LazyLock;

static MADE: LazyLock<Vec<u8>> = LazyLock::new(|| recipe().make().expect("blob"));
static MACHINE: LazyLock<PrivateKey> = LazyLock::new(machine);

/// Calls everything that reads a blob. RSA is slow, so lockboxes are opened only with `unlock`.
fn read(bytes: &[u8], unlock: bool) {
    let Ok(blob) = Blob::read(bytes) else { return };
    let _ = blob.lockboxes();
    let key = unlock.then(|| blob.open_lockbox(MACHINE_LOCKBOX, &MACHINE).ok()).flatten();
    let key = key.unwrap_or_else(|| SymmetricKey::from_bytes([7; 32]));
    let _ = blob.digests(&key);
    if let Ok(files) = blob.files() {
        for (name, _) in files.list().unwrap_or_default() {
            let _ = files.open(&name, &key);
        }
    }
}

/// A few bytes of a text are replaced, and its end may be gone.
fn mutated(text: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((0..text.len(), any::<u8>()), 0..8);
    (changes, 0..=text.len(), any::<bool>()).prop_map(move |(changes, end, cut)| {
        let mut bytes = text.to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(if cut { end } else { text.len() });
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_changed_blob_is_read_to_an_end(bytes in mutated(&MADE)) {
        read(&bytes, false);
    }

    #[test]
    fn a_changed_tree_of_files_is_read_to_an_end(bytes in mutated(Blob::read(&MADE).expect("blob").files_tree().expect("files"))) {
        if let Ok(files) = Files::read(&bytes) {
            for (name, _) in files.list().unwrap_or_default() {
                let _ = files.open(&name, &SymmetricKey::from_bytes([7; 32]));
            }
        }
    }

    #[test]
    fn any_archive_is_searched_to_an_end(bytes in mutated(WHOLE.as_slice()), address in any::<u64>()) {
        if let Ok(found) = archive::find(&bytes, address) {
            let _ = (&bytes[found.blob], &bytes[found.initrd]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_changed_lockbox_is_opened_to_an_end(bytes in mutated(&MADE)) {
        read(&bytes, true);
    }
}

static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| archive::prepend(&MADE, b"initrd").expect("archive"));
