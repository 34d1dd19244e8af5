//! All devices of the machine, each with its driver: found, silenced, given addresses and DMA, started.

use crate::arch::cpus;
use crate::devices::DeviceError;
use crate::devices::bridge::{Bridge, is_serial};
use crate::devices::host_bridge::{self, HostBridge};
use crate::devices::interrupts;
use crate::memory::open::Pool;
use crate::platform::entropy;
use crate::platform::logger;
use crate::platform::pseries::Pseries;
use crate::platform::uart;
use crate::report::Report;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use netstack::settings::{Addressing, Settings};
use netstack::stack::Stack;
use papr::addr::GpaRange;
use papr::text::HostText;
use postern_core::cmdline::{Console, Ip, Irq, Options};
use pseries_tree::Machine;
use svm_dma::dma::DmaSystem;
use svm_dma::memory_map::MemoryMap;
use svm_dma::tce::Reach;
use virtio_pci::blk::bring_up::Queues;
use virtio_pci::blk::driver::Blk;
use virtio_pci::net::driver::NetDriver;
use virtio_pci::pci::command::disable_bus_master;
use virtio_pci::pci::functions::{Function, Header};
use virtio_pci::rng::reader::read_once;
use virtio_pci::virtio::features::DeviceType;
use virtio_pci::virtio::regions::Regions;
use virtio_pci::virtio::transport::Transport;

/// Longest that a source of random bytes may take.
const RANDOM: Duration = Duration::from_secs(2);

/// A disk and its driver.
#[derive(Debug)]
pub struct Disk {
    /// Number among the disks, in the order of PCI addresses.
    pub number: usize,
    /// The serial number that the device states.
    pub id: HostText,
    /// The driver of queue 0, for the boot CPU.
    pub driver: Blk<Pseries, Pseries>,
    /// Drivers of the other queues: at most one for each further CPU.
    pub others: Vec<Blk<Pseries, Pseries>>,
}

/// A network card and its driver.
pub struct Card {
    /// Number among the cards, in the order of PCI addresses.
    pub number: usize,
    /// The network on top of its driver.
    pub stack: Stack<NetDriver<Pseries, Pseries>>,
}

/// Counts of a device's random bytes, from which the bytes cannot be derived.
#[derive(Clone, Copy, Debug)]
pub struct RandomBytes {
    /// Number of bytes.
    pub count: usize,
    /// Number of different values.
    pub values: usize,
}

impl RandomBytes {
    fn of(bytes: &[u8]) -> Self {
        let values = (0..=u8::MAX).filter(|value| bytes.contains(value)).count();
        Self { count: bytes.len(), values }
    }
}

/// The devices that can be used.
pub struct Devices {
    /// The shared pool; none in normal mode.
    pub pool: Option<GpaRange>,
    /// The host bridges that are used.
    pub bridges: Vec<HostBridge>,
    /// What devices can reach through each host bridge, including those that were refused.
    pub reach: Vec<Reach>,
    /// DMA of all devices.
    pub dma: DmaSystem<Pseries>,
    /// The disks, by number.
    pub disks: Vec<Disk>,
    /// The network cards, by number.
    pub cards: Vec<Card>,
    /// The counts of the random device that was read last, if there was one.
    pub random: Option<RandomBytes>,
    /// Number of devices with a driver, and of bridges, that cannot be used; each was logged.
    pub refused: u64,
    /// Number of devices without a driver, or that nobody asked for; each was logged.
    pub unused: u64,
    /// Number of devices that appeared after boot; each was logged.
    pub appeared: u64,
    addressing: Addressing,
    irq: Irq,
    timeout: Option<Duration>,
}

impl Devices {
    /// Brings up every device that has a driver. A refused device does not stop the others.
    pub fn bring_up(
        machine: &Machine,
        map: &MemoryMap,
        options: &Options,
        pool: Option<Pool>,
        report: &mut Report,
    ) -> Self {
        let ram = map.memory();
        let mut bridges: Vec<Bridge> = Vec::new();
        let mut refused = machine.bridges_left_out;
        let mut reach = Vec::new();
        for description in &machine.bridges {
            match Bridge::find(description, machine.entry, map) {
                Ok(bridge) => {
                    refused = refused.saturating_add(bridge.left_alone());
                    bridges.push(bridge);
                }
                Err(error) => {
                    log::error!(
                        "host bridge {:04x}, {}: refused: {error}",
                        description.domain,
                        description.name
                    );
                    refused = refused.saturating_add(1);
                    reach.push(Reach::of(description.dma.into()));
                }
            }
        }
        // A virtio-rng is not counted: it gives its part of the pool back before the others start.
        let stays = |function: &&Function| {
            matches!(DeviceType::of(function), Some(DeviceType::Block | DeviceType::Net))
        };
        let wanted = bridges.iter().flat_map(Bridge::functions).filter(stays).count();
        let platform = Arc::new(Pseries);
        let pool_range = pool.as_ref().map(Pool::range);
        let dma = match pool {
            Some(pool) => DmaSystem::secure(platform, pool, wanted.max(1)),
            // SAFETY: there is a pool in secure mode, always. This is an ordinary guest, which trusts its devices.
            None => unsafe { DmaSystem::normal(platform) },
        };
        let mut devices = Self {
            pool: pool_range,
            bridges: Vec::new(),
            reach,
            dma,
            disks: Vec::new(),
            cards: Vec::new(),
            random: None,
            refused,
            unused: 0,
            appeared: 0,
            addressing: addressing(options.ip),
            irq: options.irq,
            timeout: options.device_timeout,
        };
        // First, because cards need random numbers for addresses and sequence numbers.
        for bridge in &mut bridges {
            devices.read_random(bridge, ram, report);
        }
        let mut uart = (options.console == Console::Uart).then_some(UartOutcome::Missing);
        for mut bridge in bridges {
            devices.bring_up_behind(&mut bridge, ram, &mut uart, report);
            devices.reach.push(bridge.reach());
            devices.bridges.push(bridge.into_kept());
        }
        devices.name_virtual_devices(machine);
        if let Some(outcome) = uart {
            report.uart(outcome == UartOutcome::Attached);
            if outcome == UartOutcome::Missing {
                log::error!("console=uart: there is no 16550 on a PCI card");
                devices.refused = devices.refused.saturating_add(1);
            }
        }
        devices
    }

    /// Logs and counts the devices that appeared after boot. They are not used.
    pub fn name_new(&mut self) {
        self.appeared = self.appeared.saturating_add(host_bridge::name_new(&mut self.bridges));
    }

    /// Logs and counts the devices of the hypervisor's own bus (`/vdevice`): none has a driver.
    fn name_virtual_devices(&mut self, machine: &Machine) {
        for device in &machine.virtual_devices {
            log::info!("vdevice {} {}: not used: no driver", device.name, device.kind);
        }
        if machine.virtual_devices_left_out > 0 {
            log::info!("vdevice: {} more are not used: no driver", machine.virtual_devices_left_out);
        }
        let unused = (machine.virtual_devices.len() as u64).saturating_add(machine.virtual_devices_left_out);
        self.unused = self.unused.saturating_add(unused);
    }

    fn bring_up_behind(
        &mut self,
        bridge: &mut Bridge,
        ram: &[GpaRange],
        uart: &mut Option<UartOutcome>,
        report: &mut Report,
    ) {
        for function in bridge.functions().to_vec() {
            let outcome = match DeviceType::of(&function) {
                Some(DeviceType::Block) => self.bring_up_disk(bridge, &function, ram, report),
                Some(DeviceType::Net) => self.bring_up_card(bridge, &function, ram, report),
                Some(DeviceType::Entropy) => Ok(()),
                None if function.header == Header::Bridge => {
                    log::info!("pci {function}");
                    Ok(())
                }
                None => match uart.as_mut().filter(|_| is_serial(&function)) {
                    Some(outcome) => attach_uart(bridge, &function, outcome),
                    None => {
                        let why =
                            if is_serial(&function) { "console=uart would use it" } else { "no driver" };
                        log::info!("pci {function}: not used: {why}");
                        self.unused = self.unused.saturating_add(1);
                        Ok(())
                    }
                },
            };
            if let Err(error) = outcome {
                log::error!("pci {function}: refused: {error}");
                self.refused = self.refused.saturating_add(1);
            }
        }
    }

    /// Reads each virtio-rng behind the bridge, and mixes its bytes into the kernel's random numbers.
    fn read_random(&mut self, bridge: &mut Bridge, ram: &[GpaRange], report: &mut Report) {
        let functions = bridge.functions().to_vec();
        for function in functions.iter().filter(|f| DeviceType::of(f) == Some(DeviceType::Entropy)) {
            match self.read_random_of(bridge, function, ram, report) {
                Ok(bytes) => {
                    entropy::stir_from_host(&bytes);
                    self.random = Some(RandomBytes::of(&bytes));
                    report.rng(function, bytes.len());
                }
                Err(error) => {
                    log::error!("pci {function}: refused: {error}");
                    self.refused = self.refused.saturating_add(1);
                }
            }
        }
    }

    fn read_random_of(
        &self,
        bridge: &mut Bridge,
        function: &Function,
        ram: &[GpaRange],
        report: &mut Report,
    ) -> Result<Vec<u8>, DeviceError> {
        let transport = connect(bridge, function, Irq::Poll, 1)?;
        let timeout = self.timeout.unwrap_or(RANDOM).min(RANDOM);
        let bytes = read_once(transport, timeout, |translated| {
            bridge.dma(function, translated, ram, &self.dma, report)
        });
        // It is reset, and gets no further request.
        let _ = disable_bus_master(bridge.config(), function.at);
        bytes
    }

    fn bring_up_disk(
        &mut self,
        bridge: &mut Bridge,
        function: &Function,
        ram: &[GpaRange],
        report: &mut Report,
    ) -> Result<(), DeviceError> {
        let cpus = u16::try_from(cpus::workers().count().saturating_add(1)).unwrap_or(u16::MAX);
        let transport = connect(bridge, function, self.irq, cpus)?;
        let Queues { first: mut driver, mut others } = Blk::probe_queues(transport, cpus, |translated| {
            bridge.dma(function, translated, ram, &self.dma, report)
        })?;
        if let Some(timeout) = self.timeout {
            core::iter::once(&mut driver).chain(&mut others).for_each(|queue| queue.set_timeout(timeout));
        }
        let id = driver.id().unwrap_or_else(|error| {
            log::info!("pci {function}: no serial number: {error}");
            HostText::default()
        });
        let disk = Disk { number: self.disks.len(), id, driver, others };
        report.disk(&disk);
        self.disks.push(disk);
        Ok(())
    }

    fn bring_up_card(
        &mut self,
        bridge: &mut Bridge,
        function: &Function,
        ram: &[GpaRange],
        report: &mut Report,
    ) -> Result<(), DeviceError> {
        let transport = connect(bridge, function, self.irq, 1)?;
        let mut driver = NetDriver::probe(transport, entropy::word(), |translated| {
            bridge.dma(function, translated, ram, &self.dma, report)
        })?;
        if let Some(timeout) = self.timeout {
            driver.set_timeout(timeout);
        }
        report.card(self.cards.len(), &driver);
        let stack = Stack::new(driver, self.addressing, entropy::generator(), &Pseries)?;
        let card = Card { number: self.cards.len(), stack };
        self.cards.push(card);
        Ok(())
    }
}

/// Enables the function's BARs, finds its virtio registers, resets it, and attaches interrupts for up to `queues` queues.
fn connect(
    bridge: &mut Bridge,
    function: &Function,
    irq: Irq,
    queues: u16,
) -> Result<Transport<Pseries>, DeviceError> {
    let bars = bridge.place(function.at)?;
    let regions = Regions::find(bridge.config(), function.at, &bars)?;
    let mut transport = Transport::begin(Pseries, regions, &Pseries)?;
    let queues = queues.min(transport.queues()?).max(1);
    interrupts::attach(bridge, function.at, &bars, &mut transport, irq, queues);
    Ok(transport)
}

fn addressing(ip: Ip) -> Addressing {
    match ip {
        Ip::Dhcp => Addressing::Dhcp,
        Ip::Static { address, prefix, gateway } => Addressing::Static(Settings { address, prefix, gateway }),
    }
}

/// What became of `console=uart`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UartOutcome {
    /// No card of the kind was found.
    Missing,
    /// A card was found that cannot be used; the error was logged.
    Refused,
    /// The console is written there, too.
    Attached,
}

fn attach_uart(bridge: &Bridge, function: &Function, outcome: &mut UartOutcome) -> Result<(), DeviceError> {
    if *outcome == UartOutcome::Missing {
        *outcome = UartOutcome::Refused;
    }
    let bars = bridge.place(function.at)?;
    let (_, registers) = bars.first_io().ok_or(DeviceError::NoUart)?;
    if !uart::attach(registers) {
        return Err(DeviceError::NoUart);
    }
    logger::replay(uart::put);
    *outcome = UartOutcome::Attached;
    Ok(())
}
