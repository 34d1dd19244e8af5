//! Changes of a running guest's memory from outside: other page tables, vectors or calls.

use papr::addr::Gpa;
use postern_core::radix::process_table_entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Address at which QEMU loads the image, and its largest size.
const IMAGE: u64 = 0x40_0000;
const IMAGE_BYTES: u64 = 16 << 20;
const FRAME: u64 = 0x1_0000;
/// Log2 of the entries of a root (52 bits of address).
const ROOT_LOG2: u32 = 13;
/// Bits of page table entries (Power ISA 3.0B, book III 5.7.10): valid, leaf, rights, and the next table's fields.
const VALID: u64 = 1 << 63;
const LEAF: u64 = 1 << 62;
const ALL_RIGHTS: u64 = 7;
const NEXT: u64 = 0x00ff_ffff_ffff_ff00;
const NEXT_LOG2: u64 = 0x1f;
/// `rfid`, and `sc 1`.
const RFID: u32 = 0x4c00_0024;
const SC_1: u32 = 0x4400_0022;

/// Guest memory, which is a file.
pub struct Memory(pub File);

impl Memory {
    fn word(&self, at: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, at)?;
        Ok(u64::from_be_bytes(bytes))
    }

    /// Makes every page of every last-level table readable, writable and executable. Empty entries are filled with an
    /// identity mapping. Returns the number of entries.
    pub fn open_all_pages(&self) -> io::Result<usize> {
        let mut frames = (IMAGE..IMAGE + IMAGE_BYTES).step_by(FRAME as usize);
        let root = frames.find_map(|frame| {
            let entry = self.word(frame).ok()?;
            let root = entry & NEXT & !0xfff;
            (root != 0 && entry == process_table_entry(Gpa(root), ROOT_LOG2)).then_some(root)
        });
        let root = root.ok_or_else(|| io::Error::other("no process table"))?;
        self.open_table(root, ROOT_LOG2.into(), 0, 52 - u64::from(ROOT_LOG2))
    }

    fn open_table(&self, table: u64, entries_log2: u64, address: u64, shift: u64) -> io::Result<usize> {
        let mut opened = 0;
        let entries: Vec<u64> =
            (0..1 << entries_log2).map(|index| self.word(table + 8 * index)).collect::<io::Result<_>>()?;
        let rights = entries.iter().find(|entry| **entry & VALID != 0 && **entry & LEAF != 0).copied();
        for (index, entry) in (0u64..).zip(entries) {
            let address = address | index << shift;
            let new = match (entry & VALID != 0, rights) {
                (true, _) if entry & LEAF == 0 => {
                    let log2 = entry & NEXT_LOG2;
                    opened += self.open_table(entry & NEXT, log2, address, shift - log2)?;
                    continue;
                }
                (true, _) => entry | ALL_RIGHTS,
                // Only frames of 64 KiB: holes are not larger.
                (false, Some(page)) if shift == 16 => VALID | LEAF | address | page & 0xfff | ALL_RIGHTS,
                (false, _) => continue,
            };
            self.0.write_all_at(&new.to_be_bytes(), table + 8 * index)?;
            opened += 1;
        }
        Ok(opened)
    }

    /// Makes an interrupt's vector return at once; with `passes`, behind the instruction that raised it.
    pub fn return_at(&self, vector: u64, passes: bool) -> io::Result<()> {
        // mtsprg 2,r13; mfsrr0 r13; addi r13,r13,4; mtsrr0 r13; mfsprg r13,2
        let over = [0x7db2_43a6, 0x7dba_02a6, 0x39ad_0004, 0x7dba_03a6, 0x7db2_42a6];
        let code = over.into_iter().filter(|_| passes).chain([RFID]);
        let bytes: Vec<u8> = code.flat_map(u32::to_le_bytes).collect();
        self.0.write_all_at(&bytes, vector)
    }

    /// Gives the second CPU the interrupt server number of the first: the word of this offset in the slot of `entry.S`.
    pub fn same_server(&self, slots: u64) -> io::Result<()> {
        const SERVER: u64 = 40;
        self.0.write_all_at(&[0; 4], IMAGE + slots + SERVER)
    }

    /// Replaces one hypercall's number by another, where the number is loaded just before the call. Returns how many.
    pub fn renumber(&self, from: u16, to: u16) -> io::Result<usize> {
        let mut text = vec![0; IMAGE_BYTES as usize];
        self.0.read_exact_at(&mut text, IMAGE)?;
        let words: Vec<u32> = text
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        // li rX, FROM or ori rX, rY, FROM, at most a few instructions before the call.
        let loads = |word: u32| {
            let (operation, value) = (word >> 26, word & 0xffff);
            value == u32::from(from) && (operation == 24 || operation == 14 && word >> 16 & 31 == 0)
        };
        let mut changed = 0;
        for (index, word) in words.iter().enumerate() {
            if loads(*word) && words[index..].iter().take(24).any(|word| *word == SC_1) {
                let new = word & 0xffff_0000 | u32::from(to);
                self.0.write_all_at(&new.to_le_bytes(), IMAGE + 4 * index as u64)?;
                changed += 1;
            }
        }
        Ok(changed)
    }
}
