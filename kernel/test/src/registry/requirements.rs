//! Whether this machine has what a test requires.

use super::guest::Guest;
use postern_core::cmdline::Ip;
use postern_kernel::arch::cpus;
use postern_kernel::devices::set::Disk;
use postern_kernel::jobs::blk::SCRATCH;
use svm_dma::tce::{PhbWindow, WindowKind};
use virtio_pci::blk::abilities::TOPOLOGY;
use virtio_pci::blk::geometry::SEG_MAX;
use virtio_pci::interrupts::Delivery;
use workloads::registry::Requirement;

/// Whether the machine has it.
pub fn met(requirement: Requirement, guest: &mut Guest<'_>) -> bool {
    if requirement == Requirement::Resized {
        return guest.devices.disks.iter_mut().any(was_resized);
    }
    let guest = &*guest;
    let secure = guest.devices.pool.is_some();
    let disks = &guest.devices.disks;
    let any = |has: fn(&Disk) -> bool| disks.iter().any(has);
    match requirement {
        Requirement::Disk => !disks.is_empty(),
        Requirement::ScratchDisk => any(is_scratch),
        Requirement::WriteCache => any(|disk| is_scratch(disk) && disk.driver.geometry().flush),
        Requirement::ReadOnlyDisk => any(|disk| disk.driver.geometry().read_only),
        Requirement::Discard => any(takes_discards),
        Requirement::WriteZeroes => any(takes_zeroes),
        Requirement::Resized => false,
        Requirement::SegmentLimit => any(limits_segments),
        Requirement::Topology => any(has_topology),
        Requirement::SecondQueue => any(|disk| !disk.others.is_empty()),
        Requirement::Interrupts => any(has_interrupts),
        Requirement::Messages => any(|disk| delivers(disk, Delivery::MsiX)),
        Requirement::Levels => any(|disk| delivers(disk, Delivery::Level)),
        Requirement::Random => guest.devices.random.is_some(),
        Requirement::Card => !guest.devices.cards.is_empty(),
        Requirement::Dhcp => !guest.devices.cards.is_empty() && guest.options.ip == Ip::Dhcp,
        Requirement::Gateway => has_gateway(guest),
        Requirement::Echo => !guest.devices.cards.is_empty() && guest.echo.is_some(),
        Requirement::Device => !disks.is_empty() || !guest.devices.cards.is_empty(),
        Requirement::SecondCpu => cpus::workers().next().is_some(),
        Requirement::Ordinary => !secure,
        Requirement::Secure => secure,
        Requirement::PoolWindow => window(guest, WindowKind::Pool).is_some(),
        Requirement::DirectWindow => window(guest, WindowKind::Direct).is_some(),
        Requirement::OnDemandWindow => window(guest, WindowKind::OnDemand).is_some(),
    }
}

/// Whether a disk may be overwritten.
pub fn is_scratch(disk: &Disk) -> bool {
    disk.id == *SCRATCH && !disk.driver.geometry().read_only
}

/// Whether a disk may be overwritten and discards.
pub fn takes_discards(disk: &Disk) -> bool {
    is_scratch(disk) && disk.driver.abilities().discard.limits().is_some()
}

/// Whether a disk may be overwritten and writes zeros.
pub fn takes_zeroes(disk: &Disk) -> bool {
    is_scratch(disk) && disk.driver.abilities().write_zeroes.limits().is_some()
}

/// Whether a disk limits the segments of a request.
pub fn limits_segments(disk: &Disk) -> bool {
    disk.driver.features().contains(SEG_MAX)
}

/// Whether a disk states preferred request sizes.
pub fn has_topology(disk: &Disk) -> bool {
    disk.driver.features().contains(TOPOLOGY)
}

/// Whether a disk's capacity has changed since it was found.
pub fn was_resized(disk: &mut Disk) -> bool {
    disk.driver.refresh().is_ok() && disk.driver.resizes() > 0
}

/// Whether completions of a disk come by interrupt.
pub fn has_interrupts(disk: &Disk) -> bool {
    delivers(disk, Delivery::MsiX) || delivers(disk, Delivery::Level)
}

/// Whether a disk's completions are delivered in this way.
pub fn delivers(disk: &Disk, delivery: Delivery) -> bool {
    disk.driver.line().is_some() && disk.driver.delivery() == delivery
}

/// The first window of this kind.
pub fn window<'a>(guest: &'a Guest<'_>, kind: WindowKind) -> Option<&'a PhbWindow> {
    let mut windows = guest.devices.bridges.iter().filter_map(|bridge| bridge.window.as_ref());
    windows.find(|window| window.report().kind == kind)
}

/// Whether the first card's network has a gateway. A card that has no address yet may have one: the test gets it.
fn has_gateway(guest: &Guest<'_>) -> bool {
    let Some(card) = guest.devices.cards.first() else { return false };
    match (guest.options.ip, card.stack.settings()) {
        (_, Some(settings)) => settings.gateway.is_some(),
        (Ip::Static { gateway, .. }, None) => gateway.is_some(),
        (Ip::Dhcp, None) => true,
    }
}
