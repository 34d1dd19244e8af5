//! The command line, `/chosen/bootargs`: text from the host in, typed options out.
//!
//! The boot stage reads it before there is a heap, so nothing here allocates.

use crate::secure::SvmOption;
use arrayvec::ArrayVec;
use core::fmt;
use core::net::Ipv4Addr;
use core::time::Duration;
use log::LevelFilter;
use netstack::settings::{Settings, SettingsError};
use papr::addr::FRAME_SIZE;
use papr::text::Escaped;
use pseries_tree::machine::MAX_LINE;

/// Most steps in one `run=`.
pub const MAX_STEPS: usize = 8;
/// Most problems that are kept; more are only counted.
pub const MAX_ERRORS: usize = 8;
/// Bytes of the pool when `pool=` is not given.
pub const DEFAULT_POOL: u64 = 8 << 20;
/// Most bytes that `pool=` may ask for: what the default TCE window of a PHB covers.
pub const MAX_POOL: u64 = 1 << 30;
/// Longest time that `serve=` and `patience=` take: any of it in ticks fits 64 bits.
pub const MAX_SECONDS: u64 = u32::MAX as u64;
/// `seed=` when it is not given.
pub const DEFAULT_SEED: u64 = 1;

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// The hypervisor console.
    Hvc,
    /// The hypervisor console and a 16550 on `pci-serial`.
    Uart,
}

/// What the report of a crash shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportOption {
    /// All, in an ordinary guest; vector, place and status in a secure one.
    Auto,
    /// All, unless the hardware makes this a secure VM.
    Full,
}

/// Which interrupts devices may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Irq {
    /// The best that each has.
    Auto,
    /// Level interrupts, else none.
    Lsi,
    /// None.
    Poll,
}

/// One thing to do after boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What a person wants to see.
    Demo,
    /// SHA-256 of each whole data disk.
    BlkDigest,
    /// A seeded pattern over the whole of the scratch disk, read back.
    BlkPattern,
    /// Each data disk read and each scratch disk overwritten, every CPU a share of its own.
    BlkSmp,
    /// Answer ARP, ICMP, UDP and TCP echo.
    NetServe,
    /// State the memory map, for a check from outside.
    Map,
    /// A step of this image's own.
    Extra(ExtraStep),
}

/// Every option of the product; what is neither here nor one of an image's own is unknown.
pub const OPTIONS: [&[u8]; 12] = [
    b"svm",
    b"pool",
    b"loglevel",
    b"console",
    b"run",
    b"ip",
    b"gw",
    b"irq",
    b"report",
    b"seed",
    b"serve",
    b"patience",
];

/// Every step of the product with the name it has in `run=`.
pub const STEPS: [(&str, Step); 6] = [
    ("demo", Step::Demo),
    ("blk-digest", Step::BlkDigest),
    ("blk-pattern", Step::BlkPattern),
    ("blk-smp", Step::BlkSmp),
    ("net-serve", Step::NetServe),
    ("map", Step::Map),
];

impl Step {
    /// Whether it writes to disks named `scratch`.
    #[must_use]
    pub const fn writes_scratch(self) -> bool {
        match self {
            Self::BlkPattern | Self::BlkSmp => true,
            Self::Extra(step) => step.writes_scratch,
            _ => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extra(step) => f.write_str(step.name),
            own => f.write_str(STEPS.iter().find(|(_, step)| step == own).map_or("", |(name, _)| name)),
        }
    }
}

/// How the network device gets its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ip {
    /// From a DHCP server.
    Dhcp,
    /// This one.
    Static {
        /// The address.
        address: Ipv4Addr,
        /// Bits of the network, 1..=32.
        prefix: u8,
        /// `gw=`, inside the network.
        gateway: Option<Ipv4Addr>,
    },
}

/// What the command line says, but for the options of an image's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `svm=on|off|emulated`, when given.
    pub svm: Option<SvmOption>,
    /// `pool=SIZE`: bytes, whole 64 KiB frames, at least one, at most [`MAX_POOL`].
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
    /// `seed=N`: of the pattern that `blk-pattern` writes.
    pub seed: u64,
    /// `serve=SECONDS`: how long `net-serve` lasts; not given: until power-off is asked for.
    pub serve: Option<Duration>,
    /// `patience=SECONDS`: how long a device may take over a request; not given: what each driver allows.
    pub patience: Option<Duration>,
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
            patience: None,
        }
    }
}

/// One word of the command line that cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CmdlineError<'a> {
    /// What stands before `=`, or the whole word.
    pub option: &'a [u8],
    /// What stands after `=`.
    pub value: Option<&'a [u8]>,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a word of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no such option.
    Unknown,
    /// The option needs a value.
    NoValue,
    /// The value is not of this form.
    Expected(&'static str),
    /// The gateway is no other machine in the network of `ip=`.
    GatewayOutside,
    /// A step of `run=` needs this beside it.
    Needs(&'static str),
    /// Only the test image knows this option or step.
    TestImage(&'static str),
    /// `gw=` without a static `ip=`.
    GatewayWithoutIp,
    /// The line has this many bytes, more than [`MAX_LINE`]; none of it was read.
    LineTooLong(usize),
}

impl fmt::Display for CmdlineError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Fault::LineTooLong(len) = self.fault {
            return write!(f, "command line of {len} bytes, at most {MAX_LINE} are read");
        }
        write!(f, "{}", Escaped(self.option))?;
        if let Some(value) = self.value {
            write!(f, "={}", Escaped(value))?;
        }
        match self.fault {
            Fault::Unknown => f.write_str(": unknown option"),
            Fault::NoValue => f.write_str(": needs a value"),
            Fault::Expected(what) => write!(f, ": expected {what}"),
            Fault::GatewayOutside => f.write_str(": no other host in the network of ip="),
            Fault::Needs(what) => write!(f, ": needs {what}"),
            Fault::TestImage(word) => write!(f, ": only the test image (postern-test) knows {word}"),
            Fault::GatewayWithoutIp => f.write_str(": needs ip=A.B.C.D/len"),
            Fault::LineTooLong(_) => Ok(()),
        }
    }
}

/// What a command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// The options; those not given, and those in error, have their defaults.
    pub options: Options,
    /// The words that cannot be followed, in order, the first [`MAX_ERRORS`] of them.
    pub errors: ArrayVec<CmdlineError<'a>, MAX_ERRORS>,
    /// How many more there were.
    pub errors_left_out: usize,
}

impl<'a> Parsed<'a> {
    fn report(&mut self, word: Word<'a>, fault: Fault) {
        let error = CmdlineError { option: word.option, value: word.value, fault };
        if self.errors.try_push(error).is_err() {
            self.errors_left_out = self.errors_left_out.saturating_add(1);
        }
    }
}

#[derive(Clone, Copy)]
struct Word<'a> {
    option: &'a [u8],
    value: Option<&'a [u8]>,
}

/// Reads a command line as the product does: words between blanks, each `option=value`, up to the first NUL. Of an
/// option given twice the later value counts.
#[must_use]
pub fn parse(line: &[u8]) -> Parsed<'_> {
    parse_with(line, &mut ())
}

/// Reads a command line as an image with words of its own does; their values go to `extra`.
#[must_use]
pub fn parse_with<'a>(line: &'a [u8], extra: &mut impl Extra) -> Parsed<'a> {
    let mut parsed = Parsed::default();
    let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
    if line.len() > MAX_LINE {
        parsed.report(Word { option: b"", value: None }, Fault::LineTooLong(line.len()));
        return parsed;
    }
    let mut gateway = None;
    for word in line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        let mut halves = word.splitn(2, |&byte| byte == b'=');
        let word = Word { option: halves.next().unwrap_or_default(), value: halves.next() };
        if let Err(fault) = apply(&mut parsed.options, extra, &mut gateway, word) {
            parsed.report(word, fault);
        }
    }
    if let Some((word, address)) = gateway
        && let Err(fault) = set_gateway(&mut parsed.options.ip, address)
    {
        parsed.report(word, fault);
    }
    if let Err(fault) = extra.check(&parsed.options) {
        parsed.report(Word { option: b"run", value: None }, fault);
    }
    parsed
}

fn apply<'a>(
    options: &mut Options,
    extra: &mut impl Extra,
    gateway: &mut Option<(Word<'a>, Ipv4Addr)>,
    word: Word<'a>,
) -> Result<(), Fault> {
    let is_extra = extra.options().iter().any(|option| option.name == word.option);
    if !is_extra && !OPTIONS.contains(&word.option) {
        return Err(extra::unknown_option(word.option));
    }
    let value = word.value.filter(|value| !value.is_empty()).ok_or(Fault::NoValue)?;
    // A value that is not UTF-8 is of no form that is expected below.
    let value = core::str::from_utf8(value).unwrap_or("\0");
    if is_extra {
        return extra.set(word.option, value);
    }
    match word.option {
        b"svm" => options.svm = Some(svm(value)?),
        b"pool" => options.pool = pool(value)?,
        b"loglevel" => options.loglevel = loglevel(value)?,
        b"console" => options.console = console(value)?,
        b"run" => options.run = run(value, extra)?,
        b"ip" => options.ip = ip(value)?,
        b"gw" => *gateway = Some((word, value.parse().map_err(|_| Fault::Expected("A.B.C.D"))?)),
        b"irq" => options.irq = irq(value)?,
        b"report" => options.report = report(value)?,
        b"seed" => options.seed = number(value).ok_or(Fault::Expected("a 64-bit number"))?,
        b"patience" => options.patience = Some(seconds(value)?),
        _ => options.serve = Some(seconds(value)?),
    }
    Ok(())
}

fn svm(value: &str) -> Result<SvmOption, Fault> {
    match value {
        "on" => Ok(SvmOption::On),
        "off" => Ok(SvmOption::Off),
        "emulated" => Ok(SvmOption::Emulated),
        _ => Err(Fault::Expected("on, off or emulated")),
    }
}

/// A number of 64 bits: decimal, or hexadecimal after `0x`; `None` for anything else.
#[must_use]
pub fn number(value: &str) -> Option<u64> {
    let (digits, radix) = value.strip_prefix("0x").map_or((value, 10), |hex| (hex, 16));
    // `from_str_radix` would take a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

fn pool(value: &str) -> Result<u64, Fault> {
    let units = [("K", 10), ("k", 10), ("M", 20), ("m", 20), ("G", 30), ("g", 30)];
    let (count, shift) = units
        .iter()
        .find_map(|(suffix, shift)| Some((value.strip_suffix(suffix)?, *shift)))
        .unwrap_or((value, 0_u32));
    number(count)
        .and_then(|count| count.checked_mul(1_u64.checked_shl(shift)?))
        .filter(|bytes| (1..=MAX_POOL).contains(bytes) && bytes.is_multiple_of(FRAME_SIZE as u64))
        .ok_or(Fault::Expected("a multiple of 64K from 64K to 1G"))
}

fn loglevel(value: &str) -> Result<LevelFilter, Fault> {
    Ok(match value {
        "off" => LevelFilter::Off,
        "error" => LevelFilter::Error,
        "warn" => LevelFilter::Warn,
        "info" => LevelFilter::Info,
        "debug" => LevelFilter::Debug,
        "trace" => LevelFilter::Trace,
        _ => return Err(Fault::Expected("off, error, warn, info, debug or trace")),
    })
}

fn console(value: &str) -> Result<Console, Fault> {
    match value {
        "hvc" => Ok(Console::Hvc),
        "uart" => Ok(Console::Uart),
        _ => Err(Fault::Expected("hvc or uart")),
    }
}

fn irq(value: &str) -> Result<Irq, Fault> {
    match value {
        "auto" => Ok(Irq::Auto),
        "lsi" => Ok(Irq::Lsi),
        "poll" => Ok(Irq::Poll),
        _ => Err(Fault::Expected("auto, lsi or poll")),
    }
}

fn report(value: &str) -> Result<ReportOption, Fault> {
    match value {
        "auto" => Ok(ReportOption::Auto),
        "full" => Ok(ReportOption::Full),
        _ => Err(Fault::Expected("auto or full")),
    }
}

const NO_STEP: &str = "a list of demo, blk-digest, blk-pattern, blk-smp, net-serve, map";

fn run(value: &str, extra: &impl Extra) -> Result<ArrayVec<Step, MAX_STEPS>, Fault> {
    let mut steps = ArrayVec::new();
    for name in value.split(',') {
        let own = STEPS.iter().find(|(known, _)| *known == name).map(|(_, step)| *step);
        let step = own.or_else(|| extra.steps().find(|step| step.name == name).map(Step::Extra));
        let step = step.ok_or_else(|| extra::unknown_step(name, NO_STEP))?;
        steps.try_push(step).map_err(|_| Fault::Expected("at most 8 steps"))?;
    }
    Ok(steps)
}

/// The rule for an address is that for a lease: [`Settings::check`].
fn ip(value: &str) -> Result<Ip, Fault> {
    const FORM: Fault = Fault::Expected("dhcp or A.B.C.D/len");
    if value == "dhcp" {
        return Ok(Ip::Dhcp);
    }
    let (address, prefix) = value.split_once('/').ok_or(FORM)?;
    let address: Ipv4Addr = address.parse().map_err(|_| FORM)?;
    let prefix = number(prefix).and_then(|bits| u8::try_from(bits).ok()).ok_or(FORM)?;
    match (Settings { address, prefix, gateway: None }).check() {
        Ok(()) => Ok(Ip::Static { address, prefix, gateway: None }),
        Err(SettingsError::Prefix(_)) => Err(Fault::Expected("a length from 1 to 32")),
        Err(_) => Err(Fault::Expected("the address of one host")),
    }
}

fn set_gateway(ip: &mut Ip, wanted: Ipv4Addr) -> Result<(), Fault> {
    let Ip::Static { address, prefix, gateway } = ip else {
        return Err(Fault::GatewayWithoutIp);
    };
    let settings = Settings { address: *address, prefix: *prefix, gateway: Some(wanted) };
    settings.check().map_err(|_| Fault::GatewayOutside)?;
    *gateway = Some(wanted);
    Ok(())
}

fn seconds(value: &str) -> Result<Duration, Fault> {
    number(value)
        .filter(|seconds| (1..=MAX_SECONDS).contains(seconds))
        .map(Duration::from_secs)
        .ok_or(Fault::Expected("seconds, from 1 to 4294967295"))
}

mod extra;
mod uses;

pub use extra::{Extra, ExtraOption, ExtraStep, TEST_OPTIONS, TEST_STEPS};
pub use uses::{Unused, Why, unused};

#[cfg(test)]
mod tests;
