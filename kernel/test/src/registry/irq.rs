//! Tests of each kind of interrupt.

use super::faults;
use super::guest::Guest;
use super::not_ok::NotOk;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use papr::clock::{Clock, Deadline, Wake, ticks};
use postern_kernel::arch::cpus;
use postern_kernel::devices::set::Disk;
use postern_kernel::platform::interrupts;
use postern_kernel::platform::pseries::Pseries;
use virtio_pci::interrupts::IrqSource;

/// Bound of each wait here; what is waited for normally comes at once.
const TIMEOUT: Duration = Duration::from_secs(3);
/// H_SIGNAL_SYS_RESET (PAPR+ 14.5.4.5.5): the target CPU's number.
const SIGNAL_SYS_RESET: u64 = 0x380;

/// Sleeps end by the timer, and none before its time.
pub fn decrementer() -> Result<(), NotOk> {
    const CEDE_INTERVAL: Duration = Duration::from_millis(2);
    let (mut by_timer, mut deadline) = (0u8, Deadline::after(&Pseries, TIMEOUT));
    while by_timer < 3 {
        let until = Pseries.now().saturating_add(ticks(&Pseries, CEDE_INTERVAL));
        let wake = Pseries.idle(until);
        let now = Pseries.now();
        if wake == Wake::Timer {
            by_timer = by_timer.saturating_add(1);
            if now < until {
                let what = "timebase at the end of a sleep";
                return Err(NotOk::Outside { what, found: now, least: until, most: u64::MAX });
            }
        }
        if deadline.expired(&Pseries) {
            return Err(NotOk::Late("a decrementer interrupt"));
        }
    }
    Ok(())
}

/// Reads from a disk until the driver has slept for a read and an interrupt has ended the sleep.
pub fn device(guest: &mut Guest<'_>, is: impl Fn(&Disk) -> bool) -> Result<(), NotOk> {
    let mut disks = guest.devices.disks.iter_mut().filter(|disk| is(disk));
    let disk = disks.next().ok_or(NotOk::Missing("disk with interrupts"))?;
    let arrivals = |line: Option<&IrqSource>| line.map_or(0, IrqSource::arrivals);
    let before = arrivals(disk.driver.line());
    let bytes = disk.driver.geometry().usable_bytes().min(1 << 20);
    let bytes = usize::try_from(bytes).unwrap_or(0);
    let mut deadline = Deadline::after(&Pseries, TIMEOUT);
    while arrivals(disk.driver.line()) == before {
        disk.driver.read(0, bytes)?;
        if deadline.expired(&Pseries) {
            return Err(NotOk::Late("an interrupt of the disk"));
        }
    }
    Ok(())
}

/// Number of requests (H_IPI) that CPUs have taken.
fn requests() -> Result<u64, NotOk> {
    interrupts::statistics().map(|seen| seen.ipis).ok_or(NotOk::Late("a look at the interrupt controller"))
}

/// A parked CPU takes a request, and answers.
pub fn ipi() -> Result<(), NotOk> {
    let worker = cpus::workers().next().ok_or(NotOk::Missing("second CPU"))?;
    let before = requests()?;
    worker.start(|| ()).wait(TIMEOUT).map_err(|why| NotOk::Cpu(worker.server(), why))?;
    // The work may have been found before the interrupt was taken, which is pending then.
    let mut deadline = Deadline::after(&Pseries, TIMEOUT);
    while requests()? == before {
        if deadline.expired(&Pseries) {
            return Err(NotOk::Late("an interrupt by H_IPI"));
        }
    }
    Ok(())
}

/// A system reset interrupts another CPU at work, which then finishes its work.
pub fn system_reset() -> Result<(), NotOk> {
    static AT_WORK: AtomicBool = AtomicBool::new(false);
    const WHAT: &str = "a system reset";
    let worker = cpus::workers().next().ok_or(NotOk::Missing("second CPU"))?;
    AT_WORK.store(false, Ordering::Relaxed);
    let pending = worker.start(|| {
        faults::expect();
        AT_WORK.store(true, Ordering::Release);
        let mut deadline = Deadline::after(&Pseries, TIMEOUT);
        while faults::seen().is_none() && !deadline.expired(&Pseries) {}
        faults::taken()
    });
    let mut deadline = Deadline::after(&Pseries, TIMEOUT);
    while !AT_WORK.load(Ordering::Acquire) {
        if deadline.expired(&Pseries) {
            return Err(NotOk::Late("a CPU that is given work"));
        }
    }
    // SAFETY: the call interrupts a CPU that expects it, and changes no memory but the RTAS area, which is the
    // hypervisor's.
    let (status, _) = unsafe { postern_arch::hcall(SIGNAL_SYS_RESET, [worker.server().into(), 0, 0, 0]) };
    super::not_ok::same("the status of H_SIGNAL_SYS_RESET", status.cast_unsigned(), 0)?;
    let fault = pending.wait(TIMEOUT.saturating_mul(2)).map_err(|why| NotOk::Cpu(worker.server(), why))?;
    match fault {
        Some(fault) if fault.vector == 0x100 => Ok(()),
        Some(fault) => Err(NotOk::OtherInterrupt(WHAT, fault)),
        None => Err(NotOk::NoInterrupt(WHAT)),
    }
}
