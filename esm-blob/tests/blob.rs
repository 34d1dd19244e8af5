//! A blob that was made can be read; a blob that was changed cannot.

mod common;

use common::{digests, machine, other, recipe};
use esm_blob::{
    Blob, KeyError, MACHINE_LOCKBOX, MakeError, PrivateKey, PublicKey, RTAS_TEXT, ReadError, sha512,
};

/// The only place of these bytes in a blob.
fn place(blob: &[u8], bytes: &[u8]) -> usize {
    let places: Vec<_> = (0..blob.len()).filter(|at| blob[*at..].starts_with(bytes)).collect();
    assert_eq!(places.len(), 1, "{bytes:x?}");
    places[0]
}

#[test]
fn a_made_blob_is_read_back() {
    let made = recipe().make().expect("blob");
    let blob = Blob::read(&made).expect("blob");
    let names: Vec<_> =
        blob.lockboxes().expect("lockboxes").into_iter().map(|lockbox| lockbox.name).collect();
    assert_eq!(names, ["origin-lockbox", "lockbox-1"]);
    assert_eq!(blob.lockboxes().expect("lockboxes")[1].fingerprint, machine().to_public().fingerprint());
    assert_eq!(blob.lockboxes().expect("lockboxes")[1].comment, "for a test");
    let key = blob.open_lockbox(MACHINE_LOCKBOX, &machine()).expect("key");
    assert_eq!(blob.open_lockbox("origin-lockbox", &other()).expect("key"), key);
    assert_eq!(blob.digests(&key).expect("digests"), digests());
    let files = blob.files().expect("files");
    assert_eq!(files.list().expect("files"), [("disk-key".to_owned(), 28), ("empty".to_owned(), 0)]);
    assert_eq!(**files.open("disk-key", &key).expect("file"), *b"correct horse battery staple");
    assert!(files.open("empty", &key).expect("file").is_empty());
    assert_eq!(files.open("other", &key), Err(ReadError::NoNode("/files/other".to_owned())));
}

#[test]
fn each_blob_has_a_key_of_its_own() {
    let key = |blob: &[u8]| Blob::read(blob).and_then(|blob| blob.open_lockbox(MACHINE_LOCKBOX, &machine()));
    let (one, two) = (recipe().make().expect("blob"), recipe().make().expect("blob"));
    assert_ne!(key(&one).expect("key"), key(&two).expect("key"));
}

#[test]
fn secrets_are_in_no_blob_and_in_no_message() {
    let made = recipe().make().expect("blob");
    let key = Blob::read(&made).expect("blob").open_lockbox(MACHINE_LOCKBOX, &machine()).expect("key");
    for secret in [&key.bytes()[..], b"correct horse", &digests().kernel] {
        assert!(!made.windows(secret.len()).any(|window| window == secret));
    }
    assert_eq!(format!("{key:?} {:?}", machine()), "SymmetricKey(..) PrivateKey(..)");
}

#[test]
fn another_key_opens_no_lockbox() {
    let made = recipe().make().expect("blob");
    let blob = Blob::read(&made).expect("blob");
    assert_eq!(
        blob.open_lockbox(MACHINE_LOCKBOX, &other()),
        Err(ReadError::Lockbox(MACHINE_LOCKBOX.to_owned()))
    );
    assert_eq!(
        blob.open_lockbox("lockbox-2", &machine()),
        Err(ReadError::NoNode("/lockboxes/lockbox-2".to_owned()))
    );
}

#[test]
fn a_change_of_each_sealed_byte_is_found() {
    let made = recipe().make().expect("blob");
    let blob = Blob::read(&made).expect("blob");
    let key = blob.open_lockbox(MACHINE_LOCKBOX, &machine()).expect("key");
    let tree = blob.files_tree().expect("files");
    let files = place(&made, tree);
    // Everything that is neither structure nor comment: the three properties of each node, found by their values.
    for (node, start, end) in [("digests-fdt", 0, files), ("disk-key", files, files + tree.len())] {
        let node_at = start + place(&made[start..end], node.as_bytes());
        let mut changed = 0;
        for at in node_at + node.len()..(node_at + 900).min(end) {
            let mut tampered = made.clone();
            tampered[at] ^= 1;
            let opened = Blob::read(&tampered).and_then(|blob| match node {
                "disk-key" => blob.files()?.open(node, &key).map(drop),
                _ => blob.digests(&key).map(drop),
            });
            changed += usize::from(opened == Err(ReadError::Sealed(node.to_owned())));
        }
        let sealed = if node == "disk-key" { 28 } else { 500 };
        assert!(changed >= sealed + 32, "{node}: {changed} bytes found out");
    }
}

#[test]
fn a_changed_wrapped_key_opens_nothing() {
    let made = recipe().make().expect("blob");
    let at = place(&made, b"lockbox-1\0");
    // BEGIN_NODE's name, a comment's property, then the wrapped key's: in the middle of its 256 bytes.
    let mut tampered = made.clone();
    tampered[at + 160] ^= 1;
    let blob = Blob::read(&tampered).expect("blob");
    let opened = blob.open_lockbox(MACHINE_LOCKBOX, &machine());
    assert_eq!(opened, Err(ReadError::Lockbox(MACHINE_LOCKBOX.to_owned())));
}

#[test]
fn an_impossible_blob_is_refused_by_name() {
    let files = |files: &[(&str, usize)]| {
        let mut recipe = recipe();
        recipe.files = files.iter().map(|(name, size)| ((*name).to_owned(), vec![0; *size])).collect();
        recipe.make().map(drop)
    };
    for name in ["", "1st", "a/b", "a b", &"n".repeat(32)] {
        assert_eq!(files(&[(name, 1)]), Err(MakeError::Name(name.to_owned())));
    }
    assert_eq!(files(&[(&"n".repeat(31), 1)]), Ok(()));
    assert_eq!(files(&[("a", 1), ("a", 1)]), Err(MakeError::Twice("a".to_owned())));
    assert!(matches!(files(&[("a", 0x8000), ("b", 0x8000)]), Err(MakeError::FilesTooLong(_))));
    assert_eq!(files(&[("a", 0xf000)]), Ok(()));
    let mut two_lines = recipe();
    two_lines.comment = "a\nb".to_owned();
    assert_eq!(two_lines.make(), Err(MakeError::Comment("a\nb".to_owned())));
}

#[test]
fn keys_are_read_in_both_of_their_forms() {
    assert_eq!(PrivateKey::from_pem("nonsense").map(drop), Err(KeyError::Pem("private")));
    assert_eq!(PublicKey::from_pem(include_str!("data/machine.pem")).map(drop), Err(KeyError::Pem("public")));
    let again = PrivateKey::from_pem(&other().to_pem().expect("PEM")).expect("key");
    assert_eq!(again.to_public().fingerprint(), other().to_public().fingerprint());
    let public = machine().to_public();
    let pem = String::from_utf8(public.pem().to_vec()).expect("text");
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n") && pem.ends_with("-----END PUBLIC KEY-----\n"));
    assert_eq!(PublicKey::from_pem(&pem).expect("key").fingerprint(), public.fingerprint());
}

#[test]
fn a_new_key_is_one_that_can_be_used() {
    let key = PrivateKey::generate().expect("key");
    let mut recipe = recipe();
    recipe.recipients = vec![PrivateKey::from_pem(&key.to_pem().expect("PEM")).expect("key").to_public()];
    let made = recipe.make().expect("blob");
    assert!(Blob::read(&made).expect("blob").open_lockbox(MACHINE_LOCKBOX, &key).is_ok());
}

#[test]
fn the_rtas_text_has_the_digest_that_svm_tools_have() {
    let known = "189698638580422ea58a0968ecce2436daeb2c91a339c14b0ab2bc623c1649fe\
                 274074a4a92679dc61e5528d68778ba3c82f1b1f7e9a5958238b80497fc37f48";
    let hex: String = sha512(&RTAS_TEXT).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, known);
}
