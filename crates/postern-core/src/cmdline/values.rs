//! Parses the values of options.

use super::extra::{self, Extra};
use super::{Console, Fault, Ip, Irq, MAX_STEPS, ReportOption, STEPS, Step};
use crate::secure::SvmOption;
use arrayvec::ArrayVec;
use core::net::Ipv4Addr;
use core::time::Duration;
use log::LevelFilter;
use netstack::settings::{Settings, SettingsError};
use papr::addr::FRAME_SIZE;
use papr::ultracall::file::FileName;

/// Most bytes that `pool=` may ask for: what the default TCE window of a PHB covers.
pub const MAX_POOL: u64 = 1 << 30;
/// Longest time of `serve=` and `device-timeout=`: in ticks it fits 64 bits.
pub const MAX_SECONDS: u64 = u32::MAX as u64;

pub(super) fn svm(value: &str) -> Result<SvmOption, Fault> {
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

pub(super) fn pool(value: &str) -> Result<u64, Fault> {
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

pub(super) fn loglevel(value: &str) -> Result<LevelFilter, Fault> {
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

pub(super) fn console(value: &str) -> Result<Console, Fault> {
    match value {
        "hvc" => Ok(Console::Hvc),
        "uart" => Ok(Console::Uart),
        _ => Err(Fault::Expected("hvc or uart")),
    }
}

pub(super) fn irq(value: &str) -> Result<Irq, Fault> {
    match value {
        "auto" => Ok(Irq::Auto),
        "lsi" => Ok(Irq::Lsi),
        "poll" => Ok(Irq::Poll),
        _ => Err(Fault::Expected("auto, lsi or poll")),
    }
}

pub(super) fn report(value: &str) -> Result<ReportOption, Fault> {
    match value {
        "auto" => Ok(ReportOption::Auto),
        "full" => Ok(ReportOption::Full),
        _ => Err(Fault::Expected("auto or full")),
    }
}

const NO_STEP: &str = "a list of demo, blk-digest, blk-pattern, blk-smp, net-serve, monitor, map";

pub(super) fn run(value: &str, extra: &impl Extra) -> Result<ArrayVec<Step, MAX_STEPS>, Fault> {
    let mut steps = ArrayVec::new();
    for name in value.split(',') {
        let own = STEPS.iter().find(|(known, _)| *known == name).map(|(_, step)| *step);
        let step = own.or_else(|| extra.steps().find(|step| step.name == name).map(Step::Extra));
        let step = step.ok_or_else(|| extra::unknown_step(name, NO_STEP))?;
        steps.try_push(step).map_err(|_| Fault::Expected("at most 8 steps"))?;
    }
    Ok(steps)
}

/// An address follows the rules of a lease: [`Settings::check`].
pub(super) fn ip(value: &str) -> Result<Ip, Fault> {
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

pub(super) fn set_gateway(ip: &mut Ip, wanted: Ipv4Addr) -> Result<(), Fault> {
    let Ip::Static { address, prefix, gateway } = ip else {
        return Err(Fault::GatewayWithoutIp);
    };
    let settings = Settings { address: *address, prefix: *prefix, gateway: Some(wanted) };
    settings.check().map_err(|_| Fault::GatewayOutside)?;
    *gateway = Some(wanted);
    Ok(())
}

pub(super) fn switch(value: &str) -> Result<bool, Fault> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Fault::Expected("on or off")),
    }
}

pub(super) fn file(value: &str) -> Result<FileName, Fault> {
    FileName::new(value).map_err(|_| Fault::Expected("a file of the ESM blob, 1 to 63 of A-Za-z0-9,._+-"))
}

pub(super) fn seconds(value: &str) -> Result<Duration, Fault> {
    number(value)
        .filter(|seconds| (1..=MAX_SECONDS).contains(seconds))
        .map(Duration::from_secs)
        .ok_or(Fault::Expected("seconds, from 1 to 4294967295"))
}
