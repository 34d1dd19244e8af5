//! A virtio disk in the same process: its registers, and its work on a notification. It uses only addresses that the
//! driver wrote to registers and descriptors.

use crate::Shared;
use crate::machine::State;
use papr::addr::Gpa;
use papr::hcall::HcallError;
use papr::registers::Mmio;
use papr::registers::{self, Register};
use virtio_pci::virtio::regions::Regions;

/// Where its registers are: common, device configuration, notification.
const REGISTERS: u64 = 0x2000_0000_0000;
const CONFIG: u64 = 0x1000;
const NOTIFY: u64 = 0x2000;
/// Bytes of a sector.
const SECTOR: usize = 512;
/// VIRTIO_F_VERSION_1.
const VERSION_1: u64 = 1 << 32;
const QUEUE_SIZE: u64 = 16;

/// A disk; clones are the same one.
#[derive(Clone, Debug)]
pub struct Disk {
    memory: Shared<State>,
    registers: Shared<Registers>,
}

#[derive(Debug)]
struct Registers {
    content: Vec<u8>,
    feature_word: u64,
    status: u64,
    queue_enabled: u64,
    /// Descriptor table, available ring, used ring.
    queue: [u64; 3],
    seen: u16,
    used: u16,
}

impl Disk {
    /// A disk with this content, whole sectors, that reaches this memory.
    pub fn new(memory: Shared<State>, content: Vec<u8>) -> Self {
        let registers = Registers {
            content,
            feature_word: 0,
            status: 0,
            queue_enabled: 0,
            queue: [0; 3],
            seen: 0,
            used: 0,
        };
        Self { memory, registers: crate::shared(registers) }
    }

    /// Where a driver finds the registers; on PCI, `Regions::find` reads it from the capabilities, inside windows
    /// that were compared with all memory.
    pub fn regions() -> Regions {
        // SAFETY: no memory lies at these addresses: this disk answers the accesses, and changes only its own values.
        let region = |offset| unsafe { registers::Registers::new(Gpa(REGISTERS + offset), 0x1000) };
        Regions {
            common: region(0),
            notify: region(NOTIFY),
            notify_multiplier: 4,
            isr: None,
            device: Some(region(CONFIG)),
        }
    }

    fn read(&self, bus: u64, out: &mut [u8]) {
        let mut memory = crate::locked(&self.memory);
        out.copy_from_slice(memory.of_device(bus, out.len()).expect("the device was sent to private memory"));
    }

    fn write(&self, bus: u64, data: &[u8]) {
        let mut memory = crate::locked(&self.memory);
        let into = memory.of_device(bus, data.len()).expect("the device was sent to private memory");
        into.copy_from_slice(data);
    }

    fn word<const N: usize>(&self, bus: u64) -> u64 {
        let mut bytes = [0; 8];
        self.read(bus, &mut bytes[..N]);
        u64::from_le_bytes(bytes)
    }

    /// Every chain that is new in the available ring (virtio 1.2, 2.7.6): a header, data, a status byte (5.2.6).
    fn work(&self) {
        let mut registers = crate::locked(&self.registers);
        let [table, available, used] = registers.queue;
        while u64::from(registers.seen) != self.word::<2>(available + 2) {
            let head = self.word::<2>(available + 4 + 2 * (u64::from(registers.seen) % QUEUE_SIZE));
            registers.seen = registers.seen.wrapping_add(1);
            let mut buffers = Vec::new();
            let mut next = Some(head);
            while let Some(index) = next {
                let at = table + 16 * index;
                let flags = self.word::<2>(at + 12);
                buffers.push((self.word::<8>(at), self.word::<4>(at + 8) as usize));
                next = (flags & 1 != 0).then(|| self.word::<2>(at + 14));
            }
            let [(header, _), data @ .., (status, _)] = &buffers[..] else {
                panic!("no request: {buffers:?}")
            };
            assert_eq!(self.word::<4>(*header), 0, "this disk only reads");
            let mut from = self.word::<8>(header + 8) as usize * SECTOR;
            let mut written = 1;
            for (bus, len) in data {
                self.write(*bus, &registers.content[from..from + len]);
                from += len;
                written += len;
            }
            self.write(*status, &[0]);
            let entry = used + 4 + 8 * (u64::from(registers.used) % QUEUE_SIZE);
            self.write(entry, &(head as u32).to_le_bytes());
            self.write(entry + 4, &(written as u32).to_le_bytes());
            registers.used = registers.used.wrapping_add(1);
            self.write(used + 2, &registers.used.to_le_bytes());
        }
    }
}

/// The registers of virtio 1.2, 4.1.4.3, as far as the driver uses them.
// SAFETY: a load answers the value that the register has, and a store changes it before it returns.
unsafe impl Mmio for Disk {
    fn load(&self, register: Register) -> Result<u64, HcallError> {
        let registers = crate::locked(&self.registers);
        let offset = register.gpa().0 - REGISTERS;
        Ok(match offset {
            0x04 => VERSION_1 >> (32 * registers.feature_word) & 0xffff_ffff,
            0x12 => 1,
            0x14 => registers.status,
            0x18 => QUEUE_SIZE,
            0x1c => registers.queue_enabled,
            CONFIG..NOTIFY => {
                let sectors = (registers.content.len() / SECTOR) as u64;
                let capacity = sectors.checked_shr((8 * (offset - CONFIG)) as u32).unwrap_or(0);
                capacity & u64::MAX >> (64 - 8 * register.width().bytes())
            }
            _ => 0,
        })
    }

    fn store(&self, register: Register, value: u64) -> Result<(), HcallError> {
        let offset = register.gpa().0 - REGISTERS;
        if offset >= NOTIFY {
            self.work();
            return Ok(());
        }
        let mut registers = crate::locked(&self.registers);
        match offset {
            0x00 => registers.feature_word = value,
            0x14 => registers.status = value,
            0x1c => registers.queue_enabled = value,
            0x20..0x38 => {
                let address = &mut registers.queue[(offset as usize - 0x20) / 8];
                let shift = 8 * (offset & 4);
                *address = *address & !(0xffff_ffff << shift) | value << shift;
            }
            _ => {}
        }
        Ok(())
    }
}
