use super::super::steps::Entry;
use super::super::tests::{BASE, INITRD, RAM, RTAS_BASE, RTAS_TEXT, Says, TREE, image, tree_that};
use super::super::{EsmReport, Outcome, Requirement};
use super::*;
use crate::call::Code;
use crate::firmware::Firmware;
use crate::frames::ShareMap;
use crate::scratch::ScratchRam;
use esm_blob::Recipe;
use esm_blob::archive::ArchiveError;

/// The keys of the blob's own tests.
fn key(which: &str) -> PrivateKey {
    PrivateKey::from_pem(match which {
        "machine" => include_str!("../../../../esm-blob/tests/data/machine.pem"),
        _ => include_str!("../../../../esm-blob/tests/data/other.pem"),
    })
    .expect("key")
}

/// Of the guest that the tests of UV_ESM enter.
fn recipe() -> Recipe {
    let digests = Digests::of(b"kernel", b"svm=on", b"the initrd", &RTAS_TEXT).expect("digests");
    let mut recipe = Recipe::new(key("other").to_public(), digests);
    recipe.recipients.push(key("machine").to_public());
    recipe.files.push(("secret".to_owned(), vec![0x5a; 150]));
    recipe
}

/// A guest with this initrd, at UV_ESM.
fn enter(initrd: &[u8], firmware: Firmware) -> (ScratchRam, EsmReport) {
    enter_without(&[], initrd, firmware)
}

fn enter_without(without: &[&str], initrd: &[u8], firmware: Firmware) -> (ScratchRam, EsmReport) {
    let says = Says { without, initrd: u32::try_from(initrd.len()).expect("length"), ..Says::default() };
    let ram = ScratchRam::new(RAM);
    for (at, bytes) in
        [(BASE, &b"kernel"[..]), (INITRD, initrd), (RTAS_BASE, &RTAS_TEXT), (TREE, &tree_that(says))]
    {
        ram.write(at, bytes).expect("write");
    }
    let (map, image, tpm) = (ShareMap::new(RAM), image(), key("machine"));
    let entry = Entry {
        ram: &ram,
        map: &map,
        image: &image,
        tpm: Some(&tpm),
        firmware,
        warn_only: false,
        abort: false,
    };
    let report = entry.run(BASE, TREE).expect("RAM");
    (ram, report)
}

fn with(recipe: &Recipe) -> Vec<u8> {
    archive::prepend(&recipe.make().expect("blob"), b"the initrd").expect("archive")
}

/// What UV_ESM found wrong; it stays a normal VM then.
fn unmet(initrd: &[u8]) -> Vec<Requirement> {
    let (ram, report) = enter(initrd, Firmware::Slof);
    assert_eq!(report.outcome, Outcome::Aborted(Code::PARAMETER));
    assert_eq!(ram.read(BASE, 6).expect("read").as_deref(), Some(&b"kernel"[..]), "memory is as it was");
    report.unmet
}

#[test]
fn a_guest_that_is_its_blobs_becomes_secure_and_its_secrets_are_kept() {
    let initrd = with(&recipe());
    let (ram, report) = enter(&initrd, Firmware::Slof);
    assert!(report.succeeded() && report.blob, "{report}");
    assert_eq!(report.initrd_sha512, Some(image::sha512(b"the initrd")));
    let esmb = Esmb::of(&report).expect("reserved");
    let (kept, files) = esmb.contents(&ram).expect("RAM");
    let files = esm_blob::Files::read(&files).expect("files");
    assert_eq!(**files.open("secret", &kept).expect("file"), [0x5a; 150]);
}

#[test]
fn each_part_that_is_not_the_blobs_is_named_and_all_of_them_are_looked_at() {
    type Change = fn(&mut Digests);
    let changes: [(&str, Change); 4] = [
        ("RTAS text", |digests| digests.rtas[63] ^= 1),
        ("kernel", |digests| digests.kernel[0] ^= 1),
        ("initrd", |digests| digests.initrd[7] ^= 0x80),
        ("command line", |digests| digests.bootargs[0] ^= 1),
    ];
    let mut all = recipe();
    for (what, change) in changes {
        let mut recipe = recipe();
        change(&mut recipe.digests);
        change(&mut all.digests);
        assert_eq!(unmet(&with(&recipe)), [Requirement::Digest(what)]);
    }
    assert_eq!(unmet(&with(&all)), changes.map(|(what, _)| Requirement::Digest(what)));
    let mut shorter = recipe();
    shorter.digests.kernel_size -= 1;
    assert_eq!(unmet(&with(&shorter)), [Requirement::Digest("kernel")]);
    let mut longer = recipe();
    longer.digests.kernel_size = u32::MAX;
    assert_eq!(unmet(&with(&longer)), [Requirement::KernelInRam]);
}

#[test]
fn firmware_that_does_not_say_how_long_its_rtas_text_is_has_none_compared() {
    let mut other = recipe();
    other.digests.rtas = [0; 64];
    let enter = |without: &[&str], firmware| enter_without(without, &with(&other), firmware).1;
    assert_eq!(enter(&[], Firmware::Vof).unmet, [Requirement::Digest("RTAS text")]);
    assert!(enter(&["slof,rtas-size"], Firmware::Vof).succeeded());
    assert_eq!(enter(&["slof,rtas-size"], Firmware::Slof).unmet, [Requirement::Rtas("slof,rtas-size")]);
}

#[test]
fn without_a_blob_for_this_machine_there_is_no_secure_guest() {
    assert_eq!(unmet(b"the initrd"), [Requirement::BlobFound(ArchiveError::NoArchive)]);
    let lockbox = || vec![Requirement::BlobRead(ReadError::Lockbox(MACHINE_LOCKBOX.to_owned()))];
    let mut second = recipe();
    second.recipients.insert(0, key("other").to_public());
    assert_eq!(unmet(&with(&second)), lockbox(), "only the first lockbox is opened");
    second.recipients.clear();
    let none = Requirement::BlobRead(ReadError::NoNode(format!("/lockboxes/{MACHINE_LOCKBOX}")));
    assert_eq!(unmet(&with(&second)), [none]);
    let blob = recipe().make().expect("blob");
    let at = blob.windows(11).position(|bytes| bytes == b"digests-fdt").expect("node") + 120;
    let mut tampered = blob.clone();
    tampered[at] ^= 1;
    let tampered = archive::prepend(&tampered, b"the initrd").expect("archive");
    assert_eq!(unmet(&tampered), [Requirement::BlobRead(ReadError::Sealed("digests-fdt".to_owned()))]);
    // The same blob, untouched, is the guest's.
    assert!(enter(&archive::prepend(&blob, b"the initrd").expect("archive"), Firmware::Slof).1.succeeded());
}
