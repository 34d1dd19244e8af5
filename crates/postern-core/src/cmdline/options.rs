//! The options of the command line, as types.

use super::steps::Step;
use crate::secure::SvmOption;
use arrayvec::ArrayVec;
use core::net::Ipv4Addr;
use core::time::Duration;
use log::LevelFilter;
use papr::ultracall::file::FileName;

/// Most steps in one `run=`.
pub const MAX_STEPS: usize = 8;
/// Bytes of the pool when `pool=` is not given.
pub const DEFAULT_POOL: u64 = 8 << 20;
/// `seed=` when it is not given.
pub const DEFAULT_SEED: u64 = 1;

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// The hypervisor's terminal.
    Hvc,
    /// The hypervisor console and a 16550 on `pci-serial`.
    Uart,
}

/// What a crash report shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportOption {
    /// Everything in a normal guest; vector, offset and status in a secure one.
    Auto,
    /// Everything, unless the hardware makes this a secure VM.
    Full,
}

/// Which interrupts devices may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Irq {
    /// The best interrupts that each device has.
    Auto,
    /// Level interrupts, else none.
    Lsi,
    /// No interrupts: devices are polled.
    Poll,
}

/// How the network device gets its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ip {
    /// The address comes from a DHCP server.
    Dhcp,
    /// A static address.
    Static {
        /// The card's address.
        address: Ipv4Addr,
        /// Bits of the network, 1..=32.
        prefix: u8,
        /// `gw=`, inside the network.
        gateway: Option<Ipv4Addr>,
    },
}

/// The options that every image has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `svm=on|off|emulated`, when given.
    pub svm: Option<SvmOption>,
    /// `pool=SIZE`: bytes, whole 64 KiB frames, at least one, at most [`MAX_POOL`](super::MAX_POOL).
    pub pool: u64,
    /// `loglevel=off|error|warn|info|debug|trace`
    pub loglevel: LevelFilter,
    /// `console=hvc|uart`
    pub console: Console,
    /// `run=a,b,..`, in order; not empty.
    pub run: ArrayVec<Step, MAX_STEPS>,
    /// `ip=dhcp|A.B.C.D/len`, with `gw=A.B.C.D`
    pub ip: Ip,
    /// `irq=auto|lsi|poll`
    pub irq: Irq,
    /// `report=auto|full`
    pub report: ReportOption,
    /// `seed=N`: seed of the pattern that `blk-pattern` writes.
    pub seed: u64,
    /// `serve=SECONDS`: how long `net-serve` lasts; `None`: until the user ends it.
    pub serve: Option<Duration>,
    /// `http=on|off`: whether `net-serve` has a status page; `None`: only in a normal guest.
    pub http: Option<bool>,
    /// `device-timeout=SECONDS`: timeout of a request to a device; `None`: the driver's own.
    pub device_timeout: Option<Duration>,
    /// `secret=NAME`: a file of the ESM blob.
    pub secret: Option<FileName>,
}

impl Default for Options {
    fn default() -> Self {
        let mut run = ArrayVec::new();
        run.push(Step::Demo);
        Self {
            svm: None,
            pool: DEFAULT_POOL,
            loglevel: LevelFilter::Info,
            console: Console::Hvc,
            run,
            ip: Ip::Dhcp,
            irq: Irq::Auto,
            report: ReportOption::Auto,
            seed: DEFAULT_SEED,
            serve: None,
            http: None,
            device_timeout: None,
            secret: None,
        }
    }
}
