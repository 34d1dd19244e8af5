//! A hostile network card.

use super::accounts::{assert_bounded, assert_given_back, assert_kept_from_use, expect_end};
use super::device_side::{DeviceSide, PRIVATE, TIMEOUT, WRITTEN, break_registers, contains, dma_system};
use super::script::Script;
use crate::model::{Combination, Model};
use crate::unchecked::LetGo;
use crate::virtio_model::{Faults, VirtioModel, regions};
use alloc::vec::Vec;
use core::time::Duration;
use papr::clock::Clock;
use svm_dma::dma::{DeviceId, Dma, DmaSystem};
use virtio_pci::net::driver::NetDriver;
use virtio_pci::net::error::NetError;
use virtio_pci::net::features::{ANNOUNCING, MAC, MTU};
use virtio_pci::net::link::Link;
use virtio_pci::virtio::features::Features;
use virtio_pci::virtio::transport::Transport;

const HEADER: usize = 12;
/// Slots of the pool that both queues and a buffer for each of their descriptors need, and the control queue and its
/// command.
const MOST_SLOTS: u64 = 2 * 128 + 2 + 2;
/// VIRTIO_NET_S_ANNOUNCE, in the byte of the configuration that has it.
const ANNOUNCE: (usize, u8) = (6, 2);
/// The longest frame that any card here can be given.
const LONGEST: usize = 65_535;

type Driver = NetDriver<VirtioModel, Model>;

/// Drives a network device through a random life. See [`crate::hostile`].
pub fn net(bytes: &[u8]) {
    life(bytes, TIMEOUT, |_| {});
}

/// As [`net`], by a driver of this timeout, with something done after each turn.
pub fn life(bytes: &[u8], timeout: Duration, turn: fn(&Dma<Model>)) {
    let mut script = Script::new(bytes);
    let combination = Combination::ALL[script.below(4)];
    let machine = combination.model();
    expect_end(&machine, bytes);
    let system = dma_system(&machine, combination.secure);
    let bridge = machine.bridge(&system);
    let quota = if script.one_in(4) { 1 + script.below(7) as u32 } else { 8 };
    let dma = system
        .device_with_quota(DeviceId::from_routing(0, 8), combination.access_platform, Some(&bridge), quota)
        .unwrap();
    let device = device(&machine, combination, &mut script);
    if script.one_in(16) {
        break_registers(&device, &mut script);
    }
    let give = |translated| {
        assert!(translated == combination.access_platform);
        Ok::<_, NetError>(dma.clone())
    };
    let transport = Transport::begin(device.clone(), regions(), &machine).map_err(NetError::from);
    let started = transport.and_then(|transport| NetDriver::probe(transport, 1, give));
    if let Ok(mut driver) = started {
        driver.set_timeout(timeout);
        live(&machine, &system, &device, &mut driver, &mut script, turn);
        device.registers().faults = Faults::default();
        drop(driver);
        dma.reset_confirmed();
    }
    assert_given_back(&machine, &system, &device);
}

fn device(machine: &Model, combination: Combination, script: &mut Script<'_>) -> VirtioModel {
    let mut features = (MAC | ANNOUNCING | MTU | Features::EVENT_IDX | Features::VERSION_1).bits();
    if script.one_in(8) {
        features ^= script.u64();
    }
    features = features & !(1 << 33) | u64::from(combination.access_platform) << 33;
    let mut config = [0x52, 0x54, 0, 0x12, 0x34, 0x56, 1, 0, 1, 0, 0xdc, 5];
    if script.one_in(8) {
        for byte in &mut config {
            *byte ^= script.byte();
        }
    }
    let sizes = [256, 16, 4, 1];
    let queues = [sizes[script.below(4)], sizes[script.below(4)], 64];
    VirtioModel::new(machine, features, &queues, &config)
}

fn live(
    machine: &Model,
    system: &DmaSystem<Model>,
    device: &VirtioModel,
    driver: &mut Driver,
    script: &mut Script<'_>,
    turn: fn(&Dma<Model>),
) {
    let mut sides = [0, 1, 2].map(|index| DeviceSide::new(machine, device, index));
    let mut delivered: Vec<Vec<u8>> = Vec::new();
    device.registers().faults.no_reset |= script.one_in(4);
    for side in &mut sides {
        side.note();
    }
    // How often it violates the protocol: some never do.
    let temper = script.below(4);
    while !script.is_over() {
        if temper > 1 && script.one_in(128) {
            noise(&mut sides);
        }
        match script.below(16) {
            0..=3 => send(driver, script),
            4..=6 => flush(driver, &mut sides),
            7..=9 => delivered.extend(deliver(&mut sides[0], script)),
            10..=11 => transmit(&mut sides[1], script),
            12..=13 => receive(driver, &sides[0], &delivered),
            14 if script.below(4) < temper => violate(&mut sides, script),
            15 if temper > 0 && script.one_in(8) => {
                break_registers(device, script);
                look(driver, &mut sides);
            }
            15 => announce(device, driver, &mut sides, script),
            _ => {}
        }
        turn(driver.dma());
        assert_bounded(&system.device_statistics(), MOST_SLOTS);
        machine.relax();
    }
    end(machine, driver, &mut sides);
    let registers = device.registers();
    let reset = registers.status == 0 || !registers.faults.no_reset;
    drop(registers);
    if driver.failure().is_some() && !reset {
        assert_kept_from_use(driver.dma(), &sides);
    }
}

/// Looks at the link, as a stack does, and acknowledges an announcement.
fn look(driver: &mut Driver, sides: &mut [DeviceSide; 3]) {
    for side in sides.iter() {
        side.repair();
    }
    driver.is_up();
    if driver.wants_announcement() {
        driver.announced();
    }
    for side in sides.iter_mut() {
        side.note();
    }
}

/// The device asks for an announcement, or answers a command.
fn announce(device: &VirtioModel, driver: &mut Driver, sides: &mut [DeviceSide; 3], script: &mut Script<'_>) {
    let (at, bit) = ANNOUNCE;
    match sides[2].waiting(script) {
        Some(chain) => {
            let [command, answer] = &chain.buffers[..] else { panic!("{chain:?}") };
            assert!(!command.device_writes && answer.device_writes && answer.len == 1, "{chain:?}");
            let status = if script.one_in(8) { script.byte() } else { 0 };
            sides[2].honest &= status <= 1;
            sides[2].write(answer.bus, &[status]);
            sides[2].complete_honestly(&chain, 1);
            device.registers().config[at] &= !bit;
        }
        None => device.registers().config[at] |= bit,
    }
    look(driver, sides);
}

/// Noise reaches the rings of all queues.
fn noise(sides: &mut [DeviceSide; 3]) {
    for side in sides {
        side.noise();
    }
}

fn violate(sides: &mut [DeviceSide; 3], script: &mut Script<'_>) {
    let chosen = script.below(3);
    sides[chosen].violate(script);
    // It may have been noise over everything.
    for side in sides {
        side.honest = false;
        side.doubt();
    }
}

fn send(driver: &mut Driver, script: &mut Script<'_>) {
    let len = 14 + usize::from(script.u16()) % 1501;
    if driver.can_transmit()
        && let Some(mut frame) = driver.frame(len)
    {
        assert!(frame.bytes().iter().all(|byte| *byte == 0), "a frame begins empty");
        for (byte, from) in frame.bytes_mut().iter_mut().zip(WRITTEN.iter().cycle()) {
            *byte = *from;
        }
        driver.transmit(frame);
    }
}

/// Lets the driver publish, and notes what it does.
fn flush(driver: &mut Driver, sides: &mut [DeviceSide; 3]) {
    for side in sides.iter() {
        side.repair();
    }
    driver.flush();
    for side in sides.iter_mut() {
        side.note();
    }
}

/// What arrives in one frame: anything but what was sent.
fn arriving(len: usize, kind: u8) -> Vec<u8> {
    (0..len).map(|at| (at as u8) ^ kind).collect()
}

fn deliver(side: &mut DeviceSide, script: &mut Script<'_>) -> Option<Vec<u8>> {
    let chain = side.waiting(script)?;
    let room: usize = chain.buffers.iter().map(|buffer| buffer.len as usize).sum();
    let len = (usize::from(script.u16()) % 1600).min(room.saturating_sub(HEADER));
    let frame = arriving(len, script.byte());
    // An arbitrary header: no offload was negotiated, so that its fields have no effect.
    let mut bytes = [&[0; HEADER][..], &frame].concat();
    for (byte, from) in bytes.iter_mut().take(HEADER).zip(script.take(HEADER)) {
        *byte = *from;
    }
    let mut rest = &bytes[..];
    for buffer in &chain.buffers {
        assert!(buffer.device_writes);
        let (now, later) = rest.split_at(rest.len().min(buffer.len as usize));
        side.write(buffer.bus, now);
        rest = later;
    }
    side.complete_honestly(&chain, bytes.len() as u32);
    Some(frame)
}

fn transmit(side: &mut DeviceSide, script: &mut Script<'_>) {
    let Some(chain) = side.waiting(script) else { return };
    for buffer in &chain.buffers {
        assert!(!buffer.device_writes);
        assert!(!contains(&side.read(buffer.bus, buffer.len), PRIVATE));
    }
    side.complete_honestly(&chain, 0);
}

fn receive(driver: &mut Driver, side: &DeviceSide, delivered: &[Vec<u8>]) {
    let Some(frame) = driver.receive() else { return };
    let bytes = frame.bytes();
    assert!((14..=LONGEST).contains(&bytes.len()));
    assert!(!contains(bytes, WRITTEN), "what was sent came back");
    if side.honest {
        assert!(delivered.iter().any(|sent| sent == bytes), "a frame that was not delivered");
    }
    driver.recycle(frame);
}

/// The driver gives up waiting, whatever the device holds.
fn end(machine: &Model, driver: &mut Driver, sides: &mut [DeviceSide; 3]) {
    for _ in 0..100_000 {
        let held = sides[1].held.len();
        if driver.failure().is_some() || held == 0 {
            break;
        }
        flush(driver, sides);
        machine.relax();
    }
    let stuck = driver.failure().is_none() && sides[1].held.iter().any(super::device_side::Held::is_waiting);
    assert!(!stuck, "a transmission is waited for without end");
}
