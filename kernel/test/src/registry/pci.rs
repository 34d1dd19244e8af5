//! Tests of config space, by RTAS.

use super::guest::Guest;
use super::not_ok::{NotOk, same};
use alloc::vec::Vec;
use papr::device_id::DeviceId;
use papr::platform::Width;
use postern_kernel::platform::pseries::Pseries;
use virtio_pci::pci::config::{ConfigError, ConfigSpace, RtasConfig};

/// virtio's vendor number, and the device numbers of each kind: 0x1040 and the kind, and the one of a transitional device
/// (virtio 1.2, 4.1.2).
const VENDOR: u32 = 0x1af4;
const NET: [u32; 2] = [0x1041, 0x1000];
const BLOCK: [u32; 2] = [0x1042, 0x1001];
const COMMAND: u16 = 4;
/// Memory space, and bus master.
const WORKS: u32 = 0b110;
/// The interrupt line register, in which the device has no say (PCI 3.0, 6.2.4).
const LINE: u16 = 0x3c;

/// Each device that is used, and the PCI device ids of its kind.
fn devices(guest: &mut Guest<'_>) -> Vec<(DeviceId, [u32; 2])> {
    let disks = guest.devices.disks.iter().map(|disk| (disk.driver.dma().id(), BLOCK));
    let cards = guest.devices.cards.iter_mut().map(|card| (card.stack.link().dma().id(), NET));
    disks.chain(cards).collect()
}

fn space(guest: &Guest<'_>, at: DeviceId) -> Result<RtasConfig<Pseries>, NotOk> {
    let mut bridges = guest.devices.bridges.iter().map(|bridge| bridge.config);
    bridges.find(|config| config.domain() == at.domain()).ok_or(NotOk::Missing("host bridge of the device"))
}

/// Config space shows each device's kind and command bits, and keeps what is written.
pub fn config(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    for (at, ids) in devices(guest) {
        let config = space(guest, at)?;
        let found = config.read(at, 0, Width::W32)?;
        let [modern, transitional] = ids.map(|id| VENDOR | id << 16);
        if found != transitional {
            same("vendor and device", found.into(), modern.into())?;
        }
        let command = config.read(at, COMMAND, Width::W16)?;
        same("memory and bus master in the command register", (command & WORKS).into(), WORKS.into())?;
        let before = config.read(at, LINE, Width::W8)?;
        let other = before ^ 0x5a;
        config.write(at, LINE, Width::W8, other)?;
        let found = config.read(at, LINE, Width::W8)?;
        config.write(at, LINE, Width::W8, before)?;
        same("the interrupt line register", found.into(), other.into())?;
    }
    Ok(())
}

/// A device number that no device has (31) reads as all ones or is refused.
pub fn absent(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let (at, _) = devices(guest).into_iter().next().ok_or(NotOk::Missing("device"))?;
    let config = space(guest, at)?;
    let at = DeviceId::new(at.domain(), at.bus(), 31, 0).ok_or(NotOk::Missing("device number 31"))?;
    match config.read(at, 0, Width::W32) {
        Ok(u32::MAX) | Err(ConfigError::Rtas(_)) => Ok(()),
        Ok(found) => {
            Err(NotOk::Differs { what: "what is not there", found: found.into(), wanted: u32::MAX.into() })
        }
        Err(error) => Err(error.into()),
    }
}
