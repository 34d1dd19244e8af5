//! A second kernel: a guest of QEMU's aarch64 `virt` machine that drives a virtio disk with this project's pool, ring and
//! driver. The machine has no ultravisor and no translation; every byte of the disk still goes through the pool.
//!
//! It prints the SHA-256 of the whole disk, writes a pattern over the first half, reads it back, and ends QEMU with
//! status 0. Other statuses: 1 for an error that was printed, 2 for a panic, 3 for an exception, 4 for an address outside
//! the pool that would have reached the device.
#![no_std]
#![no_main]

extern crate alloc;

mod console;
mod ecam;
mod heap;
mod machine;
mod memory;

use crate::console::say;
use crate::ecam::Ecam;
use crate::machine::Virt;
use crate::memory::Bytes;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use sha2::{Digest, Sha256};
use svm_dma::dma::DmaSystem;
use svm_dma::memory_map::OwnedFrames;
use svm_dma::share::share_pool;
use virtio_pci::blk::driver::Blk;
use virtio_pci::pci::command::{self, Command};
use virtio_pci::pci::placement::place;
use virtio_pci::pci::scan::scan;
use virtio_pci::pci::windows::Windows;
use virtio_pci::virtio::features::DeviceType;
use virtio_pci::virtio::regions::Regions;
use virtio_pci::virtio::transport::Transport;

core::arch::global_asm!(include_str!("start.S"));

/// Bytes of one read or write.
const CHUNK: usize = 128 << 10;
const SECTOR: usize = 512;

/// The target of `start.S`.
#[unsafe(no_mangle)]
extern "C" fn guest_main() -> ! {
    heap::init();
    match work() {
        Ok(()) => machine::exit(0),
        Err(error) => {
            say!("error={error}");
            machine::exit(1)
        }
    }
}

/// All the work, from the bus to the disk.
fn work() -> Result<(), String> {
    let mut disk = bring_up()?;
    let sectors = disk.geometry().capacity;
    say!("sectors={sectors}");
    say!("sha256={}", digest(&mut disk, sectors)?);
    let half = sectors / 2;
    write_pattern(&mut disk, half)?;
    say!("pattern_sectors={half}");
    say!("sha256_after={}", digest(&mut disk, sectors)?);
    let counts = disk.dma().counts();
    say!("copied_to_pool={}", counts.to_pool);
    say!("copied_from_pool={}", counts.from_pool);
    Ok(())
}

/// Finds the one virtio disk, gives it addresses and a pool, and starts its driver.
fn bring_up() -> Result<Blk<Virt, Virt>, String> {
    let platform = Arc::new(Virt);
    // SAFETY: the linker script and the heap leave these frames alone, and this is called once.
    let frames = unsafe { OwnedFrames::new(machine::POOL) };
    let pool =
        share_pool(&Virt, &Virt, frames, &[machine::RAM], Bytes::of_frames).map_err(|e| e.to_string())?;
    let dma = DmaSystem::secure(platform, pool, 1).without_windows();

    let config = Ecam::new();
    // SAFETY: this guest has no other memory.
    let windows = unsafe { Windows::outside(&[machine::PCI_MEMORY], &[machine::RAM]) };
    let mut windows = windows.map_err(|e| e.to_string())?;
    let found = scan(&config, (0, 0));
    for function in &found.functions {
        command::quiesce(&config, function.at).map_err(|e| e.to_string())?;
    }
    let is_disk = |function: &_| DeviceType::of(function) == Some(DeviceType::Block);
    let disk = found.functions.iter().find(|function| is_disk(function)).ok_or("no virtio disk")?;
    let places = place(&config, &found.functions, &is_disk, &mut windows);
    let bars = places.get(&disk.at).ok_or("not placed")?.map_err(|e| e.to_string())?;
    command::enable_decoding(&config, disk.at, Command::MEMORY).map_err(|e| e.to_string())?;
    let regions = Regions::find(&config, disk.at, &bars).map_err(|e| e.to_string())?;

    let transport = Transport::begin(Virt, regions, &Virt).map_err(|e| e.to_string())?;
    let probed = Blk::probe(transport, |access_platform| {
        say!("access_platform={access_platform}");
        let dma = dma.device(disk.at, access_platform, None).map_err(|e| Failed(e.to_string()))?;
        command::enable_bus_master(&config, disk.at).map_err(|e| Failed(e.to_string()))?;
        Ok::<_, Failed>(dma)
    });
    probed.map_err(|Failed(error)| error)
}

/// An error of the driver or of another step, as text.
struct Failed(String);

impl From<virtio_pci::blk::error::BlkError> for Failed {
    fn from(error: virtio_pci::blk::error::BlkError) -> Self {
        Self(error.to_string())
    }
}

/// SHA-256 of the disk, in hexadecimal.
fn digest(disk: &mut Blk<Virt, Virt>, sectors: u64) -> Result<String, String> {
    let mut hash = Sha256::new();
    let mut sector = 0;
    while sector < sectors {
        let bytes = CHUNK.min((sectors - sector) as usize * SECTOR);
        let data = disk.read(sector, bytes).map_err(|error| format!("read at {sector}: {error}"))?;
        hash.update(&data);
        sector += (bytes / SECTOR) as u64;
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Fills the first sectors: every doubleword is its own offset on the disk, inverted.
fn write_pattern(disk: &mut Blk<Virt, Virt>, sectors: u64) -> Result<(), String> {
    let mut data = vec![0; CHUNK];
    let mut sector = 0;
    while sector < sectors {
        let bytes = CHUNK.min((sectors - sector) as usize * SECTOR);
        let first = sector * SECTOR as u64;
        for (offset, word) in (first..).step_by(8).zip(data.as_chunks_mut::<8>().0) {
            *word = (!offset).to_le_bytes();
        }
        disk.write(sector, &data[..bytes]).map_err(|error| format!("write at {sector}: {error}"))?;
        sector += (bytes / SECTOR) as u64;
    }
    disk.flush().map_err(|error| format!("flush: {error}"))
}
