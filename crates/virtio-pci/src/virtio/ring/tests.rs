//! The ring against an in-process device.

use super::*;
use papr::addr::Gpa;
use std::sync::{Arc, Mutex};
use std::vec;
use testkit::unchecked::bus_addr;

/// Memory that both sides see.
#[derive(Clone, Debug)]
struct Shared {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Offsets of the driver's loads, in order.
    loads: Arc<Mutex<Vec<usize>>>,
}

impl Shared {
    fn new(len: usize) -> Self {
        Self { bytes: Arc::new(Mutex::new(vec![0xa5; len])), loads: Arc::default() }
    }

    fn get<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.bytes.lock().unwrap()[offset..offset + N].try_into().unwrap()
    }

    fn load64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.get(offset))
    }
}

// SAFETY: the bytes are this test's own, and each access is checked; no device is told of them.
#[allow(unsafe_code, reason = "a test keeps the promises of device memory")]
unsafe impl DeviceMemory for Shared {
    fn len(&self) -> usize {
        self.bytes.lock().unwrap().len()
    }
    fn gpa(&self) -> Gpa {
        Gpa(0)
    }
    fn part(&self, _: usize, _: usize) -> Option<Self> {
        None
    }
    fn read(&self, offset: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.bytes.lock().unwrap()[offset..offset + out.len()]);
    }
    fn write(&self, offset: usize, data: &[u8]) {
        self.bytes.lock().unwrap()[offset..offset + data.len()].copy_from_slice(data);
    }
    fn zero(&self, offset: usize, len: usize) {
        self.bytes.lock().unwrap()[offset..offset + len].fill(0);
    }
    fn load16(&self, offset: usize) -> u16 {
        self.loads.lock().unwrap().push(offset);
        u16::from_le_bytes(self.get(offset))
    }
    fn load32(&self, offset: usize) -> u32 {
        self.loads.lock().unwrap().push(offset);
        u32::from_le_bytes(self.get(offset))
    }
    fn store16(&self, offset: usize, value: u16) {
        self.write(offset, &value.to_le_bytes());
    }
    fn store32(&self, offset: usize, value: u32) {
        self.write(offset, &value.to_le_bytes());
    }
    fn store64(&self, offset: usize, value: u64) {
        self.write(offset, &value.to_le_bytes());
    }
}

/// Barriers that do nothing, because the lock of [`Shared`] orders all accesses.
struct Fences;

// SAFETY: what is ordered is a model's memory, which holds no Rust object.
#[allow(unsafe_code, reason = "a model keeps the promises")]
unsafe impl Barriers for Fences {
    fn write_barrier(&self) {}
    fn read_barrier(&self) {}
    fn full_barrier(&self) {}
}

/// The device's side of the ring.
struct Device {
    memory: Shared,
    layout: Layout,
    size: u16,
    seen: u16,
    used: u16,
}

impl Device {
    fn new(memory: &Shared, size: u16) -> Self {
        Self { memory: memory.clone(), layout: Layout::new(size).unwrap(), size, seen: 0, used: 0 }
    }

    /// Chains made available since the last call: head and descriptors.
    fn fetch(&mut self) -> Vec<(u16, Vec<Descriptor>)> {
        let mut chains = Vec::new();
        while self.seen != self.memory.load16(self.layout.available + 2) {
            let slot = usize::from(self.seen % self.size);
            let head = self.memory.load16(self.layout.available + 4 + 2 * slot);
            chains.push((head, self.chain(head)));
            self.seen = self.seen.wrapping_add(1);
        }
        chains
    }

    fn chain(&self, head: u16) -> Vec<Descriptor> {
        let mut chain = Vec::new();
        let mut at = head;
        loop {
            let offset = 16 * usize::from(at);
            let word = self.memory.load64(offset + 8);
            let flags = word >> 32 & 0xffff;
            chain.push(Descriptor {
                bus: bus_addr(self.memory.load64(offset)),
                len: word as u32,
                device_writes: flags & 2 != 0,
            });
            assert!(chain.len() <= usize::from(self.size), "a chain that loops");
            if flags & 1 == 0 {
                return chain;
            }
            at = (word >> 48) as u16;
        }
    }

    fn complete(&mut self, id: u32, written: u32) {
        self.entry(self.used, id, written);
        self.used = self.used.wrapping_add(1);
        self.index(self.used);
    }

    fn entry(&self, position: u16, id: u32, written: u32) {
        let offset = self.layout.used + 4 + 8 * usize::from(position % self.size);
        self.memory.store32(offset, id);
        self.memory.store32(offset + 4, written);
    }

    fn index(&self, index: u16) {
        self.memory.store16(self.layout.used + 2, index);
    }
}

fn pair(size: u16) -> (Ring<Shared>, Device) {
    let memory = Shared::new(Layout::new(size).unwrap().total);
    let device = Device::new(&memory, size);
    (Ring::new(memory, size).unwrap(), device)
}

fn reads(bus: u64, len: u32) -> Descriptor {
    Descriptor { bus: bus_addr(bus), len, device_writes: false }
}

fn writes(bus: u64, len: u32) -> Descriptor {
    Descriptor { bus: bus_addr(bus), len, device_writes: true }
}

/// Header, data, status: a block read of 512 bytes.
fn request(n: u64) -> [Descriptor; 3] {
    [reads(n << 12, 16), writes(n << 12 | 0x100, 512), writes(n << 12 | 0x800, 1)]
}

/// Stages and publishes one request.
fn post(ring: &mut Ring<Shared>, n: u64) -> u16 {
    let head = ring.stage(&request(n)).unwrap();
    assert!(ring.publish(&Fences));
    head
}

mod honest;
mod violations;
