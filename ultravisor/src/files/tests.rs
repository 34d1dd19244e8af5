use super::super::scratch::ScratchRam;
use super::*;
use esm_blob::{Blob, Digests, MACHINE_LOCKBOX, PrivateKey, Recipe};

const ESMB: Esmb = Esmb { key: 0x10_0000, files: 0x11_0000 };

fn name(name: &str) -> [u64; 8] {
    let mut bytes = [0; 64];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    let mut registers = [0; 8];
    for (register, bytes) in registers.iter_mut().zip(bytes.as_chunks().0) {
        *register = u64::from_be_bytes(*bytes);
    }
    registers
}

/// What a secure guest has after UV_ESM: 150 bytes that count, 128 bytes, and a file whose tag is wrong.
struct Guest {
    ram: ScratchRam,
    files: BlobFiles,
}

impl Guest {
    fn new(with_files: bool) -> Self {
        let pem = include_str!("../../../esm-blob/tests/data/machine.pem");
        let key = PrivateKey::from_pem(pem).expect("key");
        let mut recipe = Recipe::new(key.to_public(), Digests::of(b"", b"", b"", b"").expect("digests"));
        recipe.recipients.push(key.to_public());
        recipe.files.push(("count".to_owned(), (0..150).collect()));
        recipe.files.push(("full".to_owned(), vec![7; 128]));
        recipe.files.push(("empty".to_owned(), Vec::new()));
        let made = recipe.make().expect("blob");
        let blob = Blob::read(&made).expect("blob");
        let ram = ScratchRam::new(2 << 20);
        ram.write(ESMB.key, blob.open_lockbox(MACHINE_LOCKBOX, &key).expect("key").bytes()).expect("write");
        if with_files {
            ram.write(ESMB.files, blob.files_tree().expect("files")).expect("write");
        }
        Self { ram, files: BlobFiles::new(ESMB) }
    }

    fn call(&mut self, file: &str, offset: u64, pidr: u64) -> Answer {
        let mut arguments = [offset; 9];
        arguments[1..].copy_from_slice(&name(file));
        self.files.read(&self.ram, arguments, pidr).expect("RAM")
    }
}

/// The first register of a chunk, and the chunk's length.
fn data(answer: Answer) -> (u64, usize) {
    match answer {
        Answer::Data(data, count) => (data[0], count),
        other => panic!("{other:?}"),
    }
}

const REFUSED: Answer = Answer::Code(Code::PARAMETER);

#[test]
fn a_file_is_given_in_chunks_the_first_byte_the_most_significant() {
    let mut guest = Guest::new(true);
    assert_eq!(data(guest.call("count", 0, 1)), (0x0001_0203_0405_0607, 64));
    assert_eq!(data(guest.call("count", 64, 1)), (0x4041_4243_4445_4647, 64));
    let Answer::Data(last, 22) = guest.call("count", 128, 1) else { panic!("22 bytes") };
    assert_eq!(last[2..], [0x9091_9293_9495_0000, 0, 0, 0, 0, 0], "padded with zeros");
    assert_eq!(guest.call("count", 150, 1), Answer::Code(Code(0)));
    assert_eq!(data(guest.call("full", 0, 1)).1, 64);
    assert_eq!(data(guest.call("full", 64, 1)).1, 64);
    assert_eq!(guest.call("full", 128, 1), Answer::Code(Code(0)), "the length is a multiple of 64");
    assert_eq!(guest.call("empty", 0, 1), Answer::Code(Code(0)));
}

#[test]
fn a_file_is_read_once_in_order_and_by_one_process() {
    let mut guest = Guest::new(true);
    assert_eq!(data(guest.call("count", 0, 1)).1, 64);
    assert_eq!(guest.call("count", 0, 1), REFUSED, "read before");
    assert_eq!(guest.call("count", 63, 1), REFUSED, "read before");
    assert_eq!(guest.call("count", 64, 2), REFUSED, "another process");
    assert_eq!(data(guest.call("count", 100, 1)).1, 50, "ahead is allowed");
    assert_eq!(guest.call("count", 64, 1), REFUSED, "and not back");
    assert_eq!(data(guest.call("full", 0, 2)).1, 64, "each file has a reader of its own");
}

#[test]
fn a_missing_file_is_libfdt_s_error() {
    let mut guest = Guest::new(true);
    assert_eq!(guest.call("none", 0, 1), Answer::Code(Code(-1)));
    assert_eq!(guest.call("", 0, 1), REFUSED, "a node, and no file");
    assert_eq!(Guest::new(false).call("count", 0, 1), Answer::Code(Code(-9)));
}

#[test]
fn an_offset_of_64_kib_ends_the_ultravisor() {
    let mut guest = Guest::new(true);
    assert_eq!(guest.call("count", 0xffff, 1), Answer::Code(Code(0)));
    assert!(matches!(guest.call("count", 0x1_0000, 1), Answer::Dead(_)));
}

#[test]
fn a_guest_that_shares_the_ultravisors_frames_loses_its_files() {
    let mut guest = Guest::new(true);
    guest.ram.zero_frame(ESMB.key >> 16).expect("RAM");
    assert_eq!(guest.call("count", 0, 1), REFUSED, "the key is gone");
    guest.ram.zero_frame(ESMB.files >> 16).expect("RAM");
    assert_eq!(guest.call("count", 0, 1), Answer::Code(Code(-9)));
}
