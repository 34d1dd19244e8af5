//! A virtio-net device between the driver and the wire, honest unless a test changes it.

use super::wire::{SharedWire, Turn, Wire};
use crate::model::{Combination, Model};
use crate::virtio_model::{Chain, VirtioModel, regions};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::vec::Vec;
use svm_dma::dma::{DeviceId, Dma, DmaSystem};
use virtio_pci::net::driver::NetDriver;
use virtio_pci::net::error::NetError;
use virtio_pci::net::features::{ANNOUNCING, MAC, MTU, STATUS};
use virtio_pci::net::link::{Frame, Link, MacAddr};
use virtio_pci::virtio::features::Features;
use virtio_pci::virtio::transport::Transport;

pub const SECURE: Combination = Combination { secure: true, access_platform: true };

pub const DEVICE_MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]);

/// Changes what the device has written for one frame: the header and the frame, and the length it claims.
pub type Mangle = fn(&mut Vec<u8>, &mut u32);

/// The device's answer to a command on its control queue.
#[derive(Clone, Copy)]
pub enum Answer {
    /// What the command is due.
    Honest,
    /// This status, and so many bytes written, of which it is the first.
    Wrong { status: u8, written: u32 },
    /// The right status, of a chain that is not there.
    OtherChain,
    /// None.
    Silence,
}

/// VIRTIO_NET_S_ANNOUNCE in the status word, whose offset in the configuration is 6.
pub const ANNOUNCE: u8 = 2;
pub const STATUS_AT: usize = 6;
/// The number of the control queue.
pub const CONTROL: usize = 2;

pub struct NetDevice {
    pub virtio: VirtioModel,
    pub wire: SharedWire,
    /// Receive buffers that the driver has posted.
    pub buffers: VecDeque<Chain>,
    /// Frames taken but not completed, when told to hold them.
    pub held: VecDeque<Chain>,
    pub hold_tx: bool,
    pub mangle: Option<Mangle>,
    /// How it answers commands.
    pub answer: Answer,
    /// The commands that came: class and command.
    pub commands: Vec<Vec<u8>>,
}

impl NetDevice {
    /// Takes what the driver sends, and delivers what is on the wire as far as there are buffers.
    pub fn turn(&mut self) {
        let mut registers = self.virtio.registers();
        if registers.status & 4 == 0 {
            self.buffers.clear();
            return;
        }
        let [rx, tx, ..] = &mut registers.queues[..] else { panic!("two queues") };
        for chain in tx.fetch() {
            let mut bytes = Vec::new();
            for buffer in &chain.buffers {
                assert!(!buffer.device_writes);
                bytes.extend(tx.bus.read(buffer.bus, buffer.len as usize).unwrap());
            }
            assert_eq!(bytes[..12], [0; 12], "no offload was agreed on");
            self.wire.borrow_mut().send(true, bytes[12..].to_vec());
            if self.hold_tx {
                self.held.push_back(chain);
            } else {
                tx.complete(chain.head.into(), 0);
            }
        }
        self.buffers.extend(rx.fetch());
        while !self.buffers.is_empty() {
            let Some(frame) = self.wire.borrow_mut().to_stack.pop_front() else { break };
            let chain = self.buffers.pop_front().unwrap();
            let mut bytes = std::vec![0; 12];
            bytes.extend(&frame);
            let mut written = bytes.len() as u32;
            if let Some(mangle) = self.mangle {
                mangle(&mut bytes, &mut written);
            }
            let mut rest = &bytes[..];
            for buffer in &chain.buffers {
                assert!(buffer.device_writes);
                let (now, later) = rest.split_at(rest.len().min(buffer.len as usize));
                rx.bus.write(buffer.bus, now).unwrap();
                rest = later;
            }
            rx.complete(chain.head.into(), written);
        }
    }

    /// Takes the commands on the control queue, and answers them. An acknowledged announcement is not asked for any
    /// more.
    pub fn obey(&mut self) {
        let mut registers = self.virtio.registers();
        if registers.status & 4 == 0 {
            return;
        }
        for chain in registers.queues[CONTROL].fetch() {
            let [command, answer] = &chain.buffers[..] else { panic!("{chain:?}") };
            assert!(!command.device_writes && answer.device_writes && answer.len == 1, "{chain:?}");
            let bus = registers.queues[CONTROL].bus.clone();
            let command = bus.read(command.bus, command.len as usize).unwrap();
            assert_eq!(bus.read(answer.bus, 1).unwrap(), [0xff], "no answer before the device's");
            let acknowledged = command == [3, 0] && registers.config[STATUS_AT] & ANNOUNCE != 0;
            self.commands.push(command);
            let head = chain.head.into();
            let (status, id, written) = match self.answer {
                Answer::Honest => {
                    registers.config[STATUS_AT] &= !ANNOUNCE;
                    (u8::from(!acknowledged), head, 1)
                }
                Answer::Wrong { status, written } => (status, head, written),
                Answer::OtherChain => (0, head ^ 1, 1),
                Answer::Silence => continue,
            };
            if written > 0 {
                bus.write(answer.bus, &[status]).unwrap();
            }
            registers.queues[CONTROL].complete(id, written);
        }
    }

    /// Completes the frames that were held, last first.
    pub fn release_held(&mut self) {
        let mut registers = self.virtio.registers();
        while let Some(chain) = self.held.pop_back() {
            registers.queues[1].complete(chain.head.into(), 0);
        }
    }
}

/// A machine with one network device, before its driver starts.
pub struct Machine {
    pub model: Model,
    pub system: DmaSystem<Model>,
    pub dma: Dma<Model>,
    pub virtio: VirtioModel,
    pub device: Rc<RefCell<NetDevice>>,
    pub wire: SharedWire,
}

pub type Driver = NetDriver<VirtioModel, Model>;

/// The configuration of the device.
#[derive(Clone, Copy)]
pub struct CardConfig {
    pub features: Features,
    pub queues: [u16; 2],
    /// Descriptors of the control queue; 0: there is none.
    pub control: u16,
    pub mac: MacAddr,
    pub mtu: u16,
    /// Frames of the pool that the device may hold.
    pub quota: u32,
}

impl Default for CardConfig {
    fn default() -> Self {
        let features = MAC | STATUS;
        Self { features, queues: [256, 256], control: 0, mac: DEVICE_MAC, mtu: 1500, quota: 32 }
    }
}

impl Machine {
    pub fn new(combination: Combination) -> Self {
        Self::with_config(combination, CardConfig::default())
    }

    pub fn with_config(combination: Combination, card: CardConfig) -> Self {
        let model = combination.model();
        let system = model.dma_system(1);
        let bridge = model.bridge(&system);
        let dma = system
            .device_with_quota(
                DeviceId::from_routing(0, 8),
                combination.access_platform,
                Some(&bridge),
                card.quota,
            )
            .unwrap();
        let mut offered = card.features | Features::VERSION_1;
        offered.set(Features::ACCESS_PLATFORM, combination.access_platform);
        let mut config = card.mac.0.to_vec();
        config.extend(1_u16.to_le_bytes());
        config.extend(1_u16.to_le_bytes());
        config.extend(card.mtu.to_le_bytes());
        let mut queues = card.queues.to_vec();
        queues.extend(Some(card.control).filter(|&size| size > 0));
        let virtio = VirtioModel::new(&model, offered.bits(), &queues, &config);
        let wire = Wire::shared();
        let device = Rc::new(RefCell::new(NetDevice {
            virtio: virtio.clone(),
            wire: wire.clone(),
            buffers: VecDeque::new(),
            held: VecDeque::new(),
            hold_tx: false,
            mangle: None,
            answer: Answer::Honest,
            commands: Vec::new(),
        }));
        Self { model, system, dma, virtio, device, wire }
    }

    /// Starts the driver, as the kernel does.
    pub fn start(&self) -> Result<Driver, NetError> {
        let transport = Transport::begin(self.virtio.clone(), regions(), &self.model)?;
        NetDriver::probe(transport, 0x1234_5678_9abc_def0, |_| Ok(self.dma.clone()))
    }

    pub fn turn(&self) {
        self.device.borrow_mut().turn();
    }

    /// Puts a frame on the wire and lets the device deliver it.
    pub fn deliver(&self, frame: &[u8]) {
        self.wire.borrow_mut().to_stack.push_back(frame.to_vec());
        self.turn();
    }

    /// Nothing of the device's memory is in use, lent or in quarantine.
    pub fn assert_all_given_back(&self) {
        assert_eq!(self.model.pieces_allocated(), 0);
        if let Some(pool) = self.system.pool_statistics() {
            assert_eq!((pool.slots_in_use, pool.bytes_quarantined, pool.mistakes), (0, 0, 0), "{pool:?}");
        }
    }

    /// The device was refused nothing: every address it was given it could reach.
    pub fn assert_nothing_refused(&self) {
        assert_eq!(self.model.refused(), []);
    }
}

/// A frame that is easy to recognise.
pub fn test_frame(n: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + n * 7) as u8).collect()
}

/// Sends `frame` through the driver.
pub fn send(driver: &mut Driver, frame: &[u8]) -> bool {
    if !driver.can_transmit() {
        return false;
    }
    let Some(mut room) = driver.frame(frame.len()) else { return false };
    assert_eq!(room.bytes(), std::vec![0; frame.len()]);
    room.bytes_mut().copy_from_slice(frame);
    driver.transmit(room);
    true
}

/// A driver whose device, and the host behind it, get a turn whenever it hands over.
pub struct Attached {
    pub driver: Driver,
    pub turn: Turn,
}

impl Link for Attached {
    type Error = NetError;
    fn mac(&self) -> MacAddr {
        self.driver.mac()
    }
    fn mtu(&self) -> u16 {
        self.driver.mtu()
    }
    fn is_up(&mut self) -> bool {
        self.driver.is_up()
    }
    fn wants_announcement(&self) -> bool {
        self.driver.wants_announcement()
    }
    fn announced(&mut self) {
        self.driver.announced();
    }
    fn receive(&mut self) -> Option<Frame> {
        self.driver.receive()
    }
    fn recycle(&mut self, frame: Frame) {
        self.driver.recycle(frame);
    }
    fn can_transmit(&mut self) -> bool {
        self.driver.can_transmit()
    }
    fn frame(&mut self, len: usize) -> Option<Frame> {
        self.driver.frame(len)
    }
    fn transmit(&mut self, frame: Frame) {
        self.driver.transmit(frame);
    }
    fn flush(&mut self) {
        self.driver.flush();
        (self.turn)();
    }
    fn failure(&self) -> Option<NetError> {
        self.driver.failure()
    }
}

/// All that the device may offer and the driver wants.
pub fn everything() -> CardConfig {
    let features = MAC | MTU | ANNOUNCING | Features::EVENT_IDX;
    CardConfig { features, control: 64, ..CardConfig::default() }
}

/// A device that may ask for announcements.
pub fn announcing() -> CardConfig {
    CardConfig { features: MAC | ANNOUNCING, control: 64, ..CardConfig::default() }
}
