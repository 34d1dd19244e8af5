use super::{CHUNK, END_OF_OFFSETS, FileError, FileName, MAX_NAME, NameError, read};
use crate::platform::BlobFiles;
use crate::ultracall::UvStatus;
use core::cell::RefCell;
use postern_cases::case;
use proptest::prelude::{any, prop, proptest};
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

/// Answers by a function of the offset, and records the offsets.
struct Answers<F> {
    answer: F,
    asked: RefCell<Vec<u64>>,
}

impl<F: Fn(u64) -> (i64, Vec<u8>)> Answers<F> {
    fn new(answer: F) -> Self {
        Self { answer, asked: RefCell::default() }
    }
}

impl<F: Fn(u64) -> (i64, Vec<u8>)> BlobFiles for Answers<F> {
    fn get_file(&self, offset: u64, name: &[u64; 8], data: &mut [u8; 64]) -> i64 {
        assert_eq!(name[0], u64::from_be_bytes(*b"disk-key"));
        assert_eq!(name[1..], [0; 7]);
        self.asked.borrow_mut().push(offset);
        let (r3, mut bytes) = (self.answer)(offset);
        bytes.resize(CHUNK, 0xee);
        data.copy_from_slice(&bytes);
        r3
    }
}

/// A blob with one file.
fn file(content: &[u8]) -> Answers<impl Fn(u64) -> (i64, Vec<u8>)> {
    Answers::new(move |offset| {
        let rest = content.get(usize::try_from(offset).expect("offset")..).unwrap_or_default();
        let chunk = &rest[..rest.len().min(CHUNK)];
        (chunk.len() as i64, chunk.to_vec())
    })
}

fn name() -> FileName {
    FileName::new("disk-key").expect("name")
}

#[test]
fn a_file_is_read_once_from_start_to_end() {
    for len in [0, 1, 63, 64, 65, 128, 1000, END_OF_OFFSETS - 1] {
        let content: Vec<u8> = (0..len).map(|at| (at * 7 % 251) as u8).collect();
        let files = file(&content);
        let mut out = vec![0x55; END_OF_OFFSETS];
        assert_eq!(read(&files, &name(), &mut out), Ok(len));
        assert_eq!(out[..len], content, "{len}");
        assert!(out[len..].iter().all(|byte| *byte == 0x55), "{len}: nothing is written behind the end");
        let expected: Vec<u64> = (0..=len as u64 / 64).map(|chunk| chunk * 64).collect();
        assert_eq!(*files.asked.borrow(), expected, "{len}");
    }
}

#[test]
fn each_refusal_has_a_named_error() {
    let answer = |r3: i64| read(&Answers::new(|_| (r3, Vec::new())), &name(), &mut [0; 256]);
    assert_eq!(answer(-1), Err(FileError::NotFound));
    assert_eq!(answer(-9), Err(FileError::NoFiles));
    assert_eq!(answer(-4), Err(FileError::Refused { at: 0, status: UvStatus::Parameter }));
    assert_eq!(answer(-5), Err(FileError::Refused { at: 0, status: UvStatus::Retry }));
    assert_eq!(answer(-2), Err(FileError::Refused { at: 0, status: UvStatus::Function }));
}

#[test]
fn an_answer_longer_than_its_registers_is_refused() {
    case!("ESM-21", Halt);
    for r3 in [65, 128, 0xf14c, i64::MAX] {
        let files = Answers::new(|_| (r3, Vec::new()));
        assert_eq!(read(&files, &name(), &mut [0; 256]), Err(FileError::ChunkTooLong(r3)));
        assert_eq!(files.asked.borrow().len(), 1);
    }
}

#[test]
fn a_file_that_is_cut_off_in_the_middle_is_refused() {
    case!("ESM-22", Halt);
    let files = Answers::new(|offset| if offset < 128 { (64, vec![1; 64]) } else { (-4, Vec::new()) });
    let refused = FileError::Refused { at: 128, status: UvStatus::Parameter };
    assert_eq!(read(&files, &name(), &mut [0; 256]), Err(refused));
    let files = Answers::new(|_| (i64::MIN, Vec::new()));
    let refused = FileError::Refused { at: 0, status: UvStatus::Unknown(i64::MIN) };
    assert_eq!(read(&files, &name(), &mut [0; 256]), Err(refused));
}

#[test]
fn a_file_without_end_is_given_up_where_the_buffer_or_the_offsets_end() {
    case!("ESM-23", Halt);
    for (room, most) in
        [(256, 256), (250, 250), (END_OF_OFFSETS, END_OF_OFFSETS), (END_OF_OFFSETS + 640, END_OF_OFFSETS)]
    {
        let files = Answers::new(|_| (64, vec![7; 64]));
        assert_eq!(read(&files, &name(), &mut vec![0; room]), Err(FileError::TooLong(most)));
        let asked = files.asked.borrow();
        assert_eq!(asked.len(), most.div_ceil(CHUNK));
        assert!(asked.iter().all(|offset| *offset < END_OF_OFFSETS as u64), "the ultravisor would assert");
    }
}

#[test]
fn a_file_name_is_a_valid_node_name() {
    assert_eq!(FileName::new(""), Err(NameError::Length(0)));
    assert_eq!(FileName::new(&"a".repeat(MAX_NAME + 1)), Err(NameError::Length(64)));
    let longest = FileName::new(&"a".repeat(MAX_NAME)).expect("name");
    assert_eq!(longest.registers()[7].to_be_bytes(), *b"aaaaaaa\0");
    for (name, byte) in [("a/b", b'/'), ("a b", b' '), ("a\0", 0), ("\u{e9}", 0xc3)] {
        assert_eq!(FileName::new(name), Err(NameError::Byte(byte)));
    }
    let name = FileName::new("Disk_key,v1.0+x-y").expect("name");
    assert_eq!(
        (name.to_string(), format!("{name:?}")),
        (String::from("Disk_key,v1.0+x-y"), "FileName(Disk_key,v1.0+x-y)".into())
    );
}

proptest! {
    #[test]
    fn reading_ends_for_any_answers(answers in prop::collection::vec((any::<i64>(), any::<bool>()), 1..40), room in 0..4096_usize) {
        let files = Answers::new(|offset| {
            let (r3, full) = answers[usize::try_from(offset / 64).expect("index") % answers.len()];
            (if full { 64 } else { r3 }, vec![3; 64])
        });
        let mut out = vec![0; room];
        if let Ok(len) = read(&files, &name(), &mut out) {
            assert!(len <= room);
        }
    }
}
