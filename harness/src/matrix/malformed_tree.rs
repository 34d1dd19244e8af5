//! A host that passes a bad device tree: the guest names the fault and ends with a failure.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, verdict};
use crate::matrix::runner::Test;
use crate::qemu::command::Attachment;
use crate::session::{Finished, SessionError};
use crate::variable::Firmware;
use postern_cases::case;
use postern_ultravisor::gdb::Client;
use postern_ultravisor::image::KernelImage;
use postern_ultravisor::{UvError, fdt};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// Exit status: bad device tree.
const BAD_TREE: u8 = 2;
/// Where QEMU puts the image.
const IMAGE: u64 = 4 << 20;
/// Bytes between the end of the boot stage's stack and the end of the image (`linker.ld`).
const ABOVE_STACK: u64 = 0x2_0000 + 7 * 0x4_0000;
const TIMEOUT: Duration = Duration::from_secs(120);

/// The change of the tree.
#[derive(Clone, Copy, Debug)]
pub enum Damage {
    /// A header word gets this value.
    Header {
        /// Its place in the header, in bytes.
        offset: usize,
        /// The value.
        word: u32,
    },
    /// A word of the structure block gets this value.
    Structure {
        /// Its place in the block, in bytes.
        offset: usize,
        /// The value.
        word: u32,
    },
    /// Every occurrence of the first bytes is replaced by the second, of the same length.
    Replace(&'static [u8], &'static [u8]),
    /// The tree is copied to this address, and the copy's address is passed.
    MovedTo(u64),
}

const CASES: [(&str, Damage, &str); 11] = [
    ("magic", Damage::Header { offset: 0, word: 0xd00d_fee0 }, "magic"),
    ("size", Damage::Header { offset: 4, word: u32::MAX }, "totalsize"),
    ("size-of-header", Damage::Header { offset: 4, word: 40 }, "outside"),
    ("structure-outside", Damage::Header { offset: 8, word: 0x7fff_fff0 }, "outside"),
    ("version", Damage::Header { offset: 20, word: 3 }, "version"),
    ("token", Damage::Structure { offset: 0, word: 7 }, "token"),
    ("nested-for-ever", Damage::Structure { offset: 8, word: 1 }, "device tree"),
    ("no-memory", Damage::Replace(b"memory\0", b"mammut\0"), "memory"),
    ("timebase-of-1", Damage::Replace(b"\x1e\x84\x80\x00", b"\0\0\0\x01"), "timebase frequency of 1 Hz"),
    ("boot-cpu", Damage::Header { offset: 28, word: 5 }, "names CPU 5 as the one that booted"),
    ("no-timebase", Damage::Replace(b"timebase-frequency", b"timebase-absurdity"), "timebase"),
];

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let _ = case!("DT-19", Halt, Q);
    let _ = case!("DT-22", Halt, Q);
    let test = |&(name, damage, names): &(&str, Damage, &'static str)| {
        Test::new(format!("malformed-tree/{name}"), move |context| refused(context, damage, names))
    };
    let mut tests: Vec<Test> = CASES.iter().map(test).collect();
    tests.push(Test::new("malformed-tree/no-cache-block", no_cache_block_size));
    tests.push(Test::new("malformed-tree/no-services", no_services));
    tests.push(Test::new("malformed-tree/over-stack", over_stack));
    tests
}

/// A tree that lies on the boot stage's stack, where it would change while it is read.
fn over_stack(context: &Context) -> Result<(), Failure> {
    case!("DT-20", Halt, Q);
    let image = KernelImage::load(&context.kernel);
    let image = image.map_err(|error| Finding::Start(SessionError::Ultravisor(UvError::Kernel(error))))?;
    let stack = IMAGE + image.memory() - ABOVE_STACK;
    refused(context, Damage::MovedTo(stack - 0x4000), "over the image or its stacks")
}

/// A tree without the size of a cache block only costs time.
fn no_cache_block_size(context: &Context) -> Result<(), Failure> {
    const SAID: &str = "cleared word by word";
    let unsaid = Damage::Replace(b"d-cache-block-size\0", b"d-cache-block-sort\0");
    let finished = handed_over(context, &[unsaid], |fixture| {
        fixture.word("run=blk-digest");
        fixture.data_disk(1 << 20).map(drop)
    })?;
    let mut findings = judge::end(&finished, 0);
    if !finished.output.console.contains(SAID) {
        findings.push(Finding::NeverSaid(SAID));
    }
    verdict(finished, findings)
}

/// If the tree names no RTAS services, no device is found, and the guest still powers off.
fn no_services(context: &Context) -> Result<(), Failure> {
    let none = Damage::Replace(b"\0\0\0\x01rtas\0", b"\0\0\0\x01rats\0");
    let finished = handed_over(context, &[none], |fixture| {
        fixture.word("run=map");
        Ok(())
    })?;
    let mut findings = judge::end(&finished, 0);
    // Without ibm,nmi-register the handlers are the plain vectors.
    findings.extend(judge::fact(&finished, "nmi.handlers", "vectors"));
    verdict(finished, findings)
}

fn refused(context: &Context, damage: Damage, names: &'static str) -> Result<(), Failure> {
    let finished = handed_over(context, &[damage], |_| Ok(()))?;
    let mut findings = judge::end(&finished, BAD_TREE);
    if !finished.output.console.contains(names) {
        findings.push(Finding::NeverSaid(names));
    }
    verdict(finished, findings)
}

/// Runs a guest with a tree that has been damaged before its first instruction.
///
/// # Errors
/// The guest could not be started, or its memory not be changed.
pub fn handed_over(
    context: &Context,
    damages: &[Damage],
    equip: impl FnOnce(&mut Fixture) -> Result<(), Failure>,
) -> Result<Finished, Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, false, false))?;
    equip(&mut fixture)?;
    let root = fixture.dir.root().to_path_buf();
    let memory = fixture.dir.memory(fixture.machine.memory).map_err(|error| Finding::File(root, error))?;
    let gdb = fixture.dir.path("gdb");
    fixture.machine.attachment = Some(Attachment { gdb: gdb.clone(), memory: memory.clone() });
    let session = fixture.start()?;
    // QEMU has written the tree and waits before the guest's first instruction.
    let client = tree_address(&gdb).map_err(|error| Finding::Start(SessionError::Ultravisor(error)));
    let (mut client, address) = client?;
    for damage in damages {
        spoil(&memory, address, *damage).map_err(|error| Finding::File(memory.clone(), error))?;
        if let Damage::MovedTo(place) = damage {
            let r3 = client.register("r3");
            let moved = r3.and_then(|r3| client.write_register(r3, &place.to_be_bytes()));
            moved.map_err(|error| Finding::Start(SessionError::Ultravisor(error.into())))?;
        }
    }
    client.resume().map_err(|error| Finding::Start(SessionError::Ultravisor(error.into())))?;
    Ok(session.finish(LIMIT))
}

/// Without firmware, r3 has the tree's address at reset, and the CPU is big-endian.
fn tree_address(gdb: &Path) -> Result<(Client, u64), UvError> {
    let mut client = Client::connect(gdb, TIMEOUT)?;
    let r3 = client.register("r3")?;
    let bytes = client.read_register(r3)?;
    let address = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    Ok((client, address))
}

fn spoil(memory: &Path, address: u64, damage: Damage) -> io::Result<()> {
    let memory = OpenOptions::new().read(true).write(true).open(memory)?;
    let mut header = [0; 8];
    memory.read_exact_at(&mut header, address)?;
    let size = fdt::claimed_size(&header).map_err(io::Error::other)?;
    let mut tree = read(&memory, address, size as usize)?;
    match damage {
        Damage::Header { offset, word } => put(&mut tree, offset, word),
        Damage::Structure { offset, word } => {
            let start = tree.get(8..).and_then(<[u8]>::first_chunk::<4>).copied().unwrap_or_default();
            put(&mut tree, u32::from_be_bytes(start) as usize + offset, word);
        }
        Damage::MovedTo(place) => return memory.write_all_at(&tree, place),
        Damage::Replace(old, new) => {
            for at in 0..tree.len() {
                if let Some(bytes) = tree.get_mut(at..at + old.len()).filter(|bytes| *bytes == old) {
                    bytes.copy_from_slice(new);
                }
            }
        }
    }
    memory.write_all_at(&tree, address)
}

fn put(tree: &mut [u8], offset: usize, word: u32) {
    if let Some(bytes) = tree.get_mut(offset..).and_then(<[u8]>::first_chunk_mut::<4>) {
        *bytes = word.to_be_bytes();
    }
}

fn read(memory: &File, address: u64, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    memory.read_exact_at(&mut bytes, address)?;
    Ok(bytes)
}
