//! A hostile disk.

use super::accounts::{assert_bounded, assert_given_back, assert_kept_from_use, expect_end};
use super::device_side::{DeviceSide, PRIVATE, TIMEOUT, WRITTEN, break_registers, contains, dma_system};
use super::script::Script;
use crate::model::{Combination, Model};
use crate::unchecked::LetGo;
use crate::virtio_model::{Chain, VirtioModel, regions};
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use svm_dma::dma::{DeviceId, Dma, DmaSystem};
use virtio_pci::blk::blocking::name;
use virtio_pci::blk::driver::Blk;
use virtio_pci::blk::error::{BlkError, BreakReason, Rejected};
use virtio_pci::blk::ranges::SectorRange;
use virtio_pci::blk::request::{Completion, Token};
use virtio_pci::virtio::transport::Transport;

const SECTORS: u64 = 64;
/// Beside the modern interface: flush, block size, segments, topology, write cache, discard and write zeroes.
const FEATURES: u64 = 1 << 32 | 1 << 9 | 1 << 6 | 1 << 2 | 1 << 10 | 1 << 11 | 1 << 13 | 1 << 14;

/// Requests that any queue holds; each has a header and a status at least.
const MOST_REQUESTS: usize = 256;

/// VIRTIO_BLK_T_GET_ID.
const GET_ID: u32 = 8;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// From this sector on.
    Read(u64),
    Name,
    Nothing,
}

type Waiting = BTreeMap<Token, Asked>;

/// Drives a block device through a random life. See [`crate::hostile`].
pub fn blk(bytes: &[u8]) {
    life(bytes, TIMEOUT, |_| {});
}

/// As [`blk`], by a driver of this timeout, with something done after each turn.
pub fn life(bytes: &[u8], timeout: Duration, turn: fn(&Dma<Model>)) {
    let mut script = Script::new(bytes);
    let combination = Combination::ALL[script.below(4)];
    let machine = combination.model();
    expect_end(&machine, bytes);
    let system = dma_system(&machine, combination.secure);
    let bridge = machine.bridge(&system);
    let device = device(&machine, combination, &mut script);
    if script.one_in(16) {
        break_registers(&device, &mut script);
    }
    let dma = |translated| {
        system.device(DeviceId::from_routing(0, 8), translated, Some(&bridge)).map_err(BlkError::Dma)
    };
    let transport = Transport::begin(device.clone(), regions(), &machine).map_err(BlkError::from);
    if let Ok(mut driver) = transport.and_then(|transport| Blk::probe(transport, dma)) {
        driver.set_timeout(timeout);
        live(&machine, &system, &device, &mut driver, &mut script, turn);
        let dma = driver.dma().clone();
        drop(driver);
        device.registers().faults = crate::virtio_model::Faults::default();
        dma.reset_confirmed();
    }
    assert_given_back(&machine, &system, &device);
}

fn device(machine: &Model, combination: Combination, script: &mut Script<'_>) -> VirtioModel {
    let mut features = FEATURES;
    if script.one_in(8) {
        features ^= script.u64();
    }
    features = features & !(1 << 33) | u64::from(combination.access_platform) << 33;
    let mut config = SECTORS.to_le_bytes().to_vec();
    config.extend([0, 0, 0, 0, 254, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0]);
    // Hints and a write cache; then discard by 16 sectors in 4 ranges, write zeroes by 8 in 2.
    config.extend([3, 0, 8, 0, 128, 0, 0, 0, 1, 0, 1, 0]);
    config.extend([16, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0]);
    if script.one_in(8) {
        for byte in &mut config {
            *byte ^= script.byte();
        }
    }
    let queue = if script.one_in(8) { script.u16() } else { [256, 16, 4, 1][script.below(4)] };
    VirtioModel::new(machine, features, &[queue], &config)
}

fn live(
    machine: &Model,
    system: &DmaSystem<Model>,
    device: &VirtioModel,
    driver: &mut Blk<VirtioModel, Model>,
    script: &mut Script<'_>,
    turn: fn(&Dma<Model>),
) {
    let mut side = DeviceSide::new(machine, device, 0);
    let mut waiting = Waiting::new();
    device.registers().faults.no_reset |= script.one_in(4);
    // How often it violates the protocol: some never do.
    let temper = script.below(4);
    let most = MOST_REQUESTS.min(usize::from(driver.queue_size()) / 2);
    while !script.is_over() {
        if temper > 1 && script.one_in(128) {
            side.noise();
        }
        match script.below(16) {
            0..=4 => submit(driver, &mut side, &mut waiting, script),
            5..=6 => {
                side.repair();
                driver.kick();
                side.published();
            }
            7..=10 => serve(&mut side, temper, script),
            11..=12 => {
                if let Some(completion) = driver.poll() {
                    judge(completion, &mut waiting, &side);
                }
            }
            13 => driver.check_device(),
            14 if script.below(4) < temper => side.violate(script),
            15 if temper > 0 && script.one_in(8) => {
                side.honest = false;
                break_registers(device, script);
            }
            _ => {}
        }
        assert!(driver.in_flight() == waiting.len() && waiting.len() <= most);
        turn(driver.dma());
        // Each of these requests has one slot at most; the queue and the table of headers have one each.
        assert_bounded(&system.device_statistics(), most as u64 + 2);
    }
    driver.kick();
    while let Some(completion) = driver.wait() {
        judge(completion, &mut waiting, &side);
    }
    assert!(waiting.is_empty(), "{waiting:?}");
    let confirmed = driver.retry_reset();
    // By the device's own account, whatever the driver believes.
    let registers = device.registers();
    let reset = registers.status == 0 || !registers.faults.no_reset;
    drop(registers);
    if driver.broken().is_some() && !(confirmed && reset) {
        assert_kept_from_use(driver.dma(), &[side]);
    }
}

fn submit(
    driver: &mut Blk<VirtioModel, Model>,
    side: &mut DeviceSide,
    waiting: &mut Waiting,
    script: &mut Script<'_>,
) {
    let sector = if script.one_in(16) { script.number() } else { script.below(SECTORS as usize) as u64 };
    let len = 64 * (1 + script.below(12));
    let ranges: Vec<_> = (0..script.below(4))
        .map(|n| SectorRange { sector: sector.wrapping_add(8 * n as u64), sectors: script.below(20) as u64 })
        .collect();
    // The ranges are the driver's own words.
    let named = |submitted: Result<Token, Rejected>| match submitted {
        Ok(token) => Ok((token, Asked::Nothing)),
        Err(rejected) => Err(Rejected { buffer: Vec::new(), ..rejected }),
    };
    let submitted = match script.below(10) {
        8 => named(driver.submit_discard(&ranges)),
        9 => named(driver.submit_write_zeroes(&ranges, script.one_in(2))),
        0 => driver.submit_flush().map(|token| (token, Asked::Nothing)),
        1 => driver.submit_get_id().map(|token| (token, Asked::Name)),
        2..=4 => driver.submit_write(sector, WRITTEN.repeat(len)).map(|token| (token, Asked::Nothing)),
        _ => driver.submit_read(sector, PRIVATE.repeat(len)).map(|token| (token, Asked::Read(sector))),
    };
    match submitted {
        Ok((token, asked)) => {
            side.note_staged();
            assert_eq!(waiting.insert(token, asked), None);
        }
        // The buffer comes back as it was.
        Err(rejected) => {
            let buffer = rejected.buffer;
            let same = contains(&buffer, PRIVATE) || contains(&buffer, WRITTEN);
            assert!(same || buffer.is_empty() || buffer == [0; 20], "{}", rejected.error);
        }
    }
}

/// Byte offset of a sector, which may be any number: noise changes requests, and a disk may state any capacity.
fn byte_of(sector: u64) -> u64 {
    sector.wrapping_mul(512)
}

/// What an honest disk has from this byte on.
fn content(from: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| from.wrapping_add(at).wrapping_mul(0x9e37_79b9).to_be_bytes()[4]).collect()
}

fn serve(side: &mut DeviceSide, temper: usize, script: &mut Script<'_>) {
    let Some(chain) = side.waiting(script) else { return };
    let Chain { buffers, .. } = &chain;
    let [header, data @ .., status] = &buffers[..] else { panic!("a request of {buffers:x?}") };
    let answer = if script.one_in(8) { script.byte() } else { 0 };
    let mut written = 1;
    let mut at = byte_of(side.read64(header.bus + 8));
    let wants_name = side.read64(header.bus) as u32 == GET_ID;
    for buffer in data.iter().filter(|buffer| buffer.device_writes) {
        if wants_name {
            side.write(buffer.bus, script.take(buffer.len as usize));
        } else {
            side.write(buffer.bus, &content(at, buffer.len as usize));
        }
        at = at.wrapping_add(buffer.len.into());
        written += buffer.len;
    }
    side.write(status.bus, &[answer]);
    if temper > 0 && script.one_in(16) {
        side.honest = false;
        written = script.number() as u32;
    }
    side.complete_honestly(&chain, written);
}

fn judge(completion: Completion, waiting: &mut Waiting, side: &DeviceSide) {
    let Completion { token, result, buffer } = completion;
    let asked = waiting.remove(&token).expect("a completion of a request that is waiting");
    let Asked::Read(sector) = asked else {
        assert!(asked != Asked::Name || name(&buffer).to_string().len() <= 80);
        return;
    };
    assert!(!contains(&buffer, WRITTEN), "a write's data came back with a read");
    match result {
        Ok(()) => {
            assert!(
                !side.secure || !contains(&buffer, PRIVATE),
                "a read that succeeded has what was in the buffer before"
            );
            if side.honest {
                assert_eq!(buffer, content(byte_of(sector), buffer.len()));
            }
        }
        // What a device that was not reset may still write to is lost.
        Err(BlkError::Broken(BreakReason::Stopped)) => {}
        Err(_) => assert_eq!(buffer, vec![0; buffer.len()]),
    }
}
