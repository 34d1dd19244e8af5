//! A virtio-blk device in memory. It reaches memory only through descriptors and the machine's bus, so that it finds a
//! wrong address, length or direction of the driver.

use crate::model::{Combination, Model};
use crate::virtio_model::{Chain, DeviceQueue, VirtioModel, regions};
use std::sync::{Arc, Mutex, MutexGuard};
use std::vec;
use std::vec::Vec;
use virtio_pci::blk::bring_up::Queues;
use virtio_pci::blk::driver::Blk;
use virtio_pci::blk::error::BlkError;
use virtio_pci::virtio::transport::Transport;

pub const VERSION_1: u64 = 1 << 32;
pub const ACCESS_PLATFORM: u64 = 1 << 33;
pub const RO: u64 = 1 << 5;
pub const FLUSH: u64 = 1 << 9;

/// The device's behaviour and its record of requests.
pub struct Disk {
    pub bytes: Vec<u8>,
    /// Requests wait for the next notification, and are then answered in any order.
    pub shuffle: bool,
    /// Requests are taken and never answered.
    pub silent: bool,
    /// The status of every request.
    pub status: Option<u8>,
    /// The used length of every request.
    pub written: Option<u32>,
    /// Added to the used id.
    pub id_offset: u32,
    /// Every read from this sector on answers other bytes.
    pub corrupt_from: Option<u64>,
    pub name: Vec<u8>,
    pub flushes: u32,
    /// Limits of discard and of write zeroes requests: sectors and ranges. `None`: such requests are refused.
    pub limits: [Option<(u32, u32)>; 2],
    /// The ranges of all such requests: type of request, first sector, sectors, flags.
    pub ranges: Vec<(u32, u64, u32, u32)>,
    /// Data segments of the longest request, and the longest of them.
    pub most_segments: usize,
    pub longest_segment: u32,
    /// Most requests that the device held at once.
    pub most_held: usize,
    pub held: Vec<Chain>,
    random: u64,
}

impl Disk {
    fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            shuffle: false,
            silent: false,
            status: None,
            written: None,
            id_offset: 0,
            corrupt_from: None,
            name: b"disk".to_vec(),
            flushes: 0,
            limits: [None; 2],
            ranges: vec![],
            most_segments: 0,
            longest_segment: 0,
            most_held: 0,
            held: vec![],
            random: 1,
        }
    }

    fn notified(&mut self, queue: &mut DeviceQueue) {
        self.held.extend(queue.fetch());
        self.most_held = self.most_held.max(self.held.len());
        if self.silent {
            return;
        }
        while !self.held.is_empty() {
            let which = if self.shuffle { self.next_random() % self.held.len() } else { 0 };
            let chain = self.held.remove(which);
            self.serve(queue, &chain);
            if self.shuffle && self.next_random().is_multiple_of(4) {
                return;
            }
        }
    }

    fn next_random(&mut self) -> usize {
        self.random = postern_core::disk::pattern::splitmix64(self.random);
        (self.random >> 33) as usize
    }

    fn serve(&mut self, queue: &mut DeviceQueue, chain: &Chain) {
        let bus = queue.bus.clone();
        let [header, data @ .., status] = &chain.buffers[..] else { panic!("chain of {:?}", chain) };
        assert!(!header.device_writes && header.len == 16, "header {header:?}");
        assert!(status.device_writes && status.len == 1, "status {status:?}");
        self.most_segments = self.most_segments.max(data.len());
        self.longest_segment = data.iter().map(|b| b.len).fold(self.longest_segment, u32::max);
        let kind = bus.read32(header.bus).unwrap();
        assert_eq!(bus.read32(header.bus + 4), Ok(0), "reserved word");
        let sector = bus.read64(header.bus + 8).unwrap();
        let mut at = sector as usize * 512;
        let mut written = 1;
        let mut answer = 0;
        let mut ranges = Vec::new();
        for buffer in data {
            assert_eq!(
                buffer.device_writes,
                ![1, 11, 13].contains(&kind),
                "direction in a request of type {kind}"
            );
            let range = at..at + buffer.len as usize;
            match kind {
                11 | 13 => {
                    let bytes = bus.read(buffer.bus, buffer.len as usize).unwrap();
                    ranges.extend(bytes);
                }
                0 => {
                    let mut bytes = self.bytes[range].to_vec();
                    if self.corrupt_from.is_some_and(|from| sector >= from) {
                        bytes[0] ^= 0x80;
                    }
                    bus.write(buffer.bus, &bytes).unwrap();
                    written += buffer.len;
                }
                1 => {
                    let bytes = bus.read(buffer.bus, buffer.len as usize).unwrap();
                    self.bytes[range].copy_from_slice(&bytes);
                }
                8 => {
                    assert_eq!(buffer.len, 20);
                    let mut name = self.name.clone();
                    name.resize(20, 0);
                    bus.write(buffer.bus, &name).unwrap();
                    written += 20;
                }
                _ => answer = 2,
            }
            at += buffer.len as usize;
        }
        if kind == 11 || kind == 13 {
            self.serve_ranges(kind, &ranges);
        }
        if kind == 4 {
            assert!(data.is_empty());
            self.flushes += 1;
        }
        bus.write(status.bus, &[self.status.unwrap_or(answer)]).unwrap();
        queue.complete(u32::from(chain.head) + self.id_offset, self.written.unwrap_or(written));
    }
}

impl Disk {
    /// The content of discarded blocks is undefined: change it.
    fn serve_ranges(&mut self, kind: u32, ranges: &[u8]) {
        let (sectors, count) = self.limits[usize::from(kind == 13)].expect("a request that was not offered");
        assert!(ranges.len().is_multiple_of(16) && (1..=count as usize).contains(&(ranges.len() / 16)));
        for range in ranges.chunks(16) {
            let word = |at: usize| u32::from_le_bytes(range[at..at + 4].try_into().unwrap());
            let (sector, length, flags) = (u64::from(word(0)) | u64::from(word(4)) << 32, word(8), word(12));
            assert!((1..=sectors).contains(&length), "{length} sectors of {sectors}");
            assert!(flags == 0 || kind == 13 && flags == 1, "flags {flags:#x}");
            self.ranges.push((kind, sector, length, flags));
            let bytes = sector as usize * 512..(sector as usize + length as usize) * 512;
            self.bytes[bytes].fill(if kind == 13 { 0 } else { 0xdd });
        }
    }
}

/// A machine, its only device, and the disk behind it.
pub struct Rig {
    pub machine: Model,
    pub device: VirtioModel,
    disk: Arc<Mutex<Disk>>,
    access_platform: bool,
}

/// The device configuration.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub capacity: u64,
    pub size_max: Option<u32>,
    pub seg_max: Option<u32>,
    pub blk_size: Option<u32>,
    pub features: u64,
    pub queue: u16,
    /// Number of queues.
    pub queues: u16,
    /// Number of queues that the device claims; with this the device offers VIRTIO_BLK_F_MQ.
    pub num_queues: Option<u16>,
    /// Exponent of the physical block, offset, least and best length.
    pub topology: Option<(u8, u8, u16, u32)>,
    pub writeback: Option<u8>,
    /// Sectors, ranges, alignment.
    pub discard: Option<(u32, u32, u32)>,
    /// Sectors, ranges, whether blocks may be deallocated.
    pub write_zeroes: Option<(u32, u32, u8)>,
}

impl Config {
    /// As QEMU has it: a disk of `sectors`.
    pub fn sectors(capacity: u64) -> Self {
        Self {
            capacity,
            size_max: None,
            seg_max: Some(254),
            blk_size: Some(512),
            features: VERSION_1 | FLUSH,
            queue: 256,
            queues: 1,
            num_queues: None,
            topology: None,
            writeback: None,
            discard: None,
            write_zeroes: None,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.capacity.to_le_bytes().to_vec();
        bytes.extend(self.size_max.unwrap_or(0).to_le_bytes());
        bytes.extend(self.seg_max.unwrap_or(0).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.blk_size.unwrap_or(0).to_le_bytes());
        let (exponent, offset, least, best) = self.topology.unwrap_or_default();
        bytes.extend([exponent, offset]);
        bytes.extend(least.to_le_bytes());
        bytes.extend(best.to_le_bytes());
        bytes.extend([self.writeback.unwrap_or_default(), 0]);
        bytes.extend(self.num_queues.unwrap_or(0).to_le_bytes());
        let (sectors, ranges, alignment) = self.discard.unwrap_or_default();
        [sectors, ranges, alignment].iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        let (sectors, ranges, unmap) = self.write_zeroes.unwrap_or_default();
        [sectors, ranges].iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        bytes.extend([unmap, 0, 0, 0]);
        bytes
    }

    fn features(&self) -> u64 {
        let bit = |present: bool, bit: u32| u64::from(present) << bit;
        self.features
            | bit(self.size_max.is_some(), 1)
            | bit(self.seg_max.is_some(), 2)
            | bit(self.blk_size.is_some(), 6)
            | bit(self.topology.is_some(), 10)
            | bit(self.writeback.is_some(), 11)
            | bit(self.num_queues.is_some(), 12)
            | bit(self.discard.is_some(), 13)
            | bit(self.write_zeroes.is_some(), 14)
    }
}

/// Content that differs from block to block and is not the pattern of any small seed.
pub fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0] ^ (i >> 9) as u8).collect()
}

impl Rig {
    pub fn new(combination: Combination, config: Config) -> Self {
        let machine = combination.model();
        let features = config.features() | if combination.access_platform { ACCESS_PLATFORM } else { 0 };
        let queues = vec![config.queue; config.queues.into()];
        let device = VirtioModel::new(&machine, features, &queues, &config.bytes());
        let backing = usize::try_from(config.capacity.min(1 << 15)).unwrap() * 512;
        let mut disk = Disk::new(content(backing));
        disk.limits = [config.discard.map(|(s, r, _)| (s, r)), config.write_zeroes.map(|(s, r, _)| (s, r))];
        let disk = Arc::new(Mutex::new(disk));
        let served = Arc::clone(&disk);
        device.on_notify(move |queue, _| served.lock().unwrap().notified(queue));
        Self { machine, device, disk, access_platform: combination.access_platform }
    }

    /// A device in a normal guest without translation.
    pub fn plain(config: Config) -> Self {
        Self::new(Combination { secure: false, access_platform: false }, config)
    }

    /// A device in a secure guest.
    pub fn secure(config: Config) -> Self {
        Self::new(Combination { secure: true, access_platform: false }, config)
    }

    pub fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    pub fn disk_handle(&self) -> Arc<Mutex<Disk>> {
        Arc::clone(&self.disk)
    }

    pub fn probe(&self) -> Result<Blk<VirtioModel, Model>, BlkError> {
        let transport = Transport::begin(self.device.clone(), regions(), &self.machine)?;
        Blk::probe(transport, |access_platform| {
            assert_eq!(access_platform, self.access_platform);
            Ok(self.machine.dma(access_platform))
        })
    }

    /// With at most this many queues.
    pub fn probe_queues(&self, most: u16) -> Result<Queues<VirtioModel, Model>, BlkError> {
        self.probe_with(most, || ())
    }

    /// Calls `then` in the middle, after the features are negotiated.
    pub fn probe_with(&self, most: u16, then: impl FnOnce()) -> Result<Queues<VirtioModel, Model>, BlkError> {
        let transport = Transport::begin(self.device.clone(), regions(), &self.machine)?;
        Blk::probe_queues(transport, most, |access_platform| {
            then();
            Ok(self.machine.dma(access_platform))
        })
    }

    pub fn start(&self) -> Blk<VirtioModel, Model> {
        self.probe().unwrap()
    }
}
