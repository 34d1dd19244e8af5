//! The functions that may access memory, so that whoever ends the run can take that from them first.

use crate::devices::DeviceError;
use crate::platform::lock;
use crate::platform::pseries::Pseries;
use papr::device_id::DeviceId;
use papr::lock::Lock;
use virtio_pci::pci::command::{disable_bus_master, enable_bus_master};
use virtio_pci::pci::config::RtasConfig;

/// Most of them; a device beyond is refused.
const MOST: usize = 256;

type Master = (RtasConfig<Pseries>, DeviceId);

static MASTERS: Lock<[Option<Master>; MOST]> = Lock::new("list of devices", [None; MOST]);

/// Lets a function access memory: what it may reach is in place.
///
/// # Errors
/// A command register that does not take, or no room to remember it.
pub fn enable(config: &RtasConfig<Pseries>, at: DeviceId) -> Result<(), DeviceError> {
    remember(config, at)?;
    Ok(enable_bus_master(config, at)?)
}

/// A bridge is before several devices, and stands in the list once.
fn remember(config: &RtasConfig<Pseries>, at: DeviceId) -> Result<(), DeviceError> {
    let mut masters = lock::or_end(&MASTERS);
    if masters.iter().flatten().any(|(_, other)| *other == at) {
        return Ok(());
    }
    let free = masters.iter_mut().find(|entry| entry.is_none());
    *free.ok_or(DeviceError::TooManyMasters(MOST))? = Some((*config, at));
    Ok(())
}

/// Takes memory from every device; before a report that may come from the middle of anything, so nothing is
/// waited for: when the list is in use, it stays as it is.
pub fn disable_all() {
    let Some(mut masters) = MASTERS.try_take(&Pseries) else { return };
    let (mut silent, mut all) = (0u64, 0u64);
    for (config, at) in masters.iter_mut().filter_map(Option::take) {
        all = all.saturating_add(1);
        silent = silent.saturating_add(disable_bus_master(&config, at).is_ok().into());
    }
    if all > 0 {
        log::info!("devices: memory taken from {silent} of {all}");
    }
}
