//! The archive in front of an initrd, and the ultravisor's way through it.

use esm_blob::archive::{ArchiveError, find, prepend};

const BLOB: &[u8] = b"\xd0\x0d\xfe\xedblob";

/// One member as `cpio` writes it, by another way than the crate's.
fn member(name: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "070701{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{name}\0",
        1,
        0o100_644,
        0,
        0,
        1,
        0,
        content.len(),
        8,
        1,
        0,
        0,
        name.len() + 1,
        0
    )
    .into_bytes();
    while !bytes.len().is_multiple_of(4) {
        bytes.push(0);
    }
    bytes.extend_from_slice(content);
    while !bytes.len().is_multiple_of(4) {
        bytes.push(0);
    }
    bytes
}

#[test]
fn the_blob_and_what_follows_it_are_found() {
    let whole = prepend(BLOB, b"the initrd").expect("archive");
    for address in [0, 0x300_0000, 512] {
        let found = find(&whole, address).expect("found");
        assert_eq!(&whole[found.blob], BLOB);
        assert_eq!(&whole[found.initrd], b"the initrd");
    }
}

#[test]
fn the_archive_is_aligned_where_it_lies_in_memory() {
    // 3 bytes before an address of 4, and the end at the next 512 of memory, not of the initrd.
    let mut whole = vec![0; 3];
    whole.extend(member("opt/ibm/pef/any", BLOB));
    whole.extend(member("TRAILER!!!", b""));
    let end = (0x1001 + whole.len()).next_multiple_of(512) - 0x1001;
    whole.resize(end, 0);
    whole.extend_from_slice(b"rest");
    let found = find(&whole, 0x1001).expect("found");
    assert_eq!((&whole[found.blob], &whole[found.initrd]), (BLOB, &b"rest"[..]));
}

#[test]
fn directories_are_skipped_and_any_name_below_the_path_is_accepted() {
    let mut whole =
        [member(".", b""), member("opt", b""), member("opt/ibm/pefxyz", b"....\xd0\x0d\xfe\xed")].concat();
    whole.extend(member("TRAILER!!!", b""));
    whole.resize(whole.len().next_multiple_of(512), 0);
    let found = find(&whole, 0).expect("found");
    assert_eq!(&whole[found.blob], b"\xd0\x0d\xfe\xed");
    assert!(found.initrd.is_empty());
}

#[test]
fn without_a_trailer_everything_is_measured() {
    let whole = [member("opt/ibm/pef/a", BLOB), b"something else".to_vec()].concat();
    assert_eq!(find(&whole, 0).map(|found| found.initrd), Ok(0..whole.len()));
}

#[test]
fn an_archive_without_a_blob_is_refused_by_name() {
    let trailer = member("TRAILER!!!", b"");
    assert_eq!(find(b"", 0), Err(ArchiveError::NoArchive));
    assert_eq!(find(&[0x1f; 200], 0), Err(ArchiveError::NoArchive));
    assert_eq!(find(b"070701", 0), Err(ArchiveError::PastEnd { at: 0, end: 110 }));
    let other = [member("init", b"#!/bin/sh"), member("opt/ibm/pef/a", BLOB)].concat();
    assert_eq!(find(&other, 0), Err(ArchiveError::OtherMember("init".to_owned())));
    let none = [member("opt/ibm/pef/a", b"12345678"), trailer.clone()].concat();
    assert_eq!(find(&none, 0), Err(ArchiveError::NoBlob));
    // The magic number counts where it is aligned only.
    let askew = [member("opt/ibm/pef/a", b"12\xd0\x0d\xfe\xed12"), trailer.clone()].concat();
    assert_eq!(find(&askew, 0), Err(ArchiveError::NoBlob));
    let mut long = member("opt/ibm/pef/a", BLOB);
    long[54..62].copy_from_slice(b"ffffffff");
    assert!(matches!(find(&long, 0), Err(ArchiveError::PastEnd { at: 0, .. })));
    long[54..62].copy_from_slice(b"+0000008");
    assert_eq!(find(&long, 0), Err(ArchiveError::Number(54)));
    let cut = [member("opt/ibm/pef/a", BLOB), trailer].concat();
    assert_eq!(find(&cut, 0), Err(ArchiveError::PastEnd { at: 132, end: 512 }));
}
