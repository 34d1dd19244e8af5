//! The list of bus masters, so that a report can disable all of them before it ends the run.

use crate::devices::DeviceError;
use crate::platform::lock;
use crate::platform::pseries::Pseries;
use papr::device_id::DeviceId;
use papr::lock::Lock;
use virtio_pci::pci::command::{disable_bus_master, enable_bus_master};
use virtio_pci::pci::config::RtasConfig;

/// Capacity of the list; a further device is refused.
const MOST: usize = 256;

type Master = (RtasConfig<Pseries>, DeviceId);

static MASTERS: Lock<[Option<Master>; MOST]> = Lock::new("list of devices", [None; MOST]);

/// Enables bus mastering of a function. Its DMA window must be ready.
///
/// # Errors
/// The command register does not keep what was written, or the list is full.
pub fn enable(config: &RtasConfig<Pseries>, at: DeviceId) -> Result<(), DeviceError> {
    remember(config, at)?;
    Ok(enable_bus_master(config, at)?)
}

/// Adds the function to the list, unless it is there: a bridge comes once for each device behind it.
fn remember(config: &RtasConfig<Pseries>, at: DeviceId) -> Result<(), DeviceError> {
    let mut masters = lock::or_end(&MASTERS);
    if masters.iter().flatten().any(|(_, other)| *other == at) {
        return Ok(());
    }
    let free = masters.iter_mut().find(|entry| entry.is_none());
    *free.ok_or(DeviceError::TooManyMasters(MOST))? = Some((*config, at));
    Ok(())
}

/// Disables bus mastering of every listed function. For reports, which can interrupt any code: does not wait, and has no
/// effect while the list is in use.
pub fn disable_all() {
    let Some(mut masters) = MASTERS.try_take(&Pseries) else { return };
    let (mut silent, mut all) = (0u64, 0u64);
    for (config, at) in masters.iter_mut().filter_map(Option::take) {
        all = all.saturating_add(1);
        silent = silent.saturating_add(disable_bus_master(&config, at).is_ok().into());
    }
    if all > 0 {
        log::info!("devices: bus mastering off in {silent} of {all}");
    }
}
