//! What virtio-net offers and says of itself (virtio 1.2, 5.1.3 and 5.1.4).

use super::error::NetError;
use super::link::MacAddr;
use crate::virtio::error::TransportError;
use crate::virtio::features::Features;
use crate::virtio::transport::{DeviceConfig, Transport};
use bitflags::bitflags;
use papr::registers::Mmio;

/// Smallest MTU that the driver accepts (RFC 791: every host must accept 576 bytes).
pub const MIN_MTU: u16 = 576;

/// VIRTIO_NET_F_MTU: the device says how long a packet may be.
pub const MTU: Features = Features::from_bits_retain(1 << 3);
/// VIRTIO_NET_F_MAC: the device says what its address is.
pub const MAC: Features = Features::from_bits_retain(1 << 5);
/// VIRTIO_NET_F_STATUS: the device says whether its link is up.
pub const STATUS: Features = Features::from_bits_retain(1 << 16);
/// VIRTIO_NET_F_CTRL_VQ: the device has a control queue.
pub const CTRL_VQ: Features = Features::from_bits_retain(1 << 17);
/// VIRTIO_NET_F_GUEST_ANNOUNCE: the device asks the driver to announce its address.
pub const GUEST_ANNOUNCE: Features = Features::from_bits_retain(1 << 21);
/// What announcements need: the device asks in the status word, and is told on the control queue that it was done.
pub const ANNOUNCING: Features = STATUS.union(CTRL_VQ).union(GUEST_ANNOUNCE);

/// The features that this driver accepts besides [`ANNOUNCING`]. No offloads and no merged receive buffers: each adds a
/// word of the host to validate, and the stack reads the packets in any case. EVENT_IDX, because the interrupt flag
/// causes an interrupt per packet until the CPU is awake.
pub const WANTED: Features = MTU.union(MAC).union(STATUS).union(Features::EVENT_IDX);

/// The features to accept of those `offered`: the control queue only for announcements, and these only if the device
/// offers all that they need (virtio 1.2, 5.1.3.1).
pub(super) fn wanted(offered: Features) -> Features {
    if offered.contains(ANNOUNCING) { WANTED | ANNOUNCING } else { WANTED }
}

bitflags! {
    /// The device's status word (virtio 1.2, 5.1.4).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct NetStatus: u16 {
        /// VIRTIO_NET_S_LINK_UP.
        const LINK_UP = 1;
        /// VIRTIO_NET_S_ANNOUNCE: the driver is to announce its address.
        const ANNOUNCE = 2;
        const _ = !0;
    }
}

/// The MTU of Ethernet, for a device that names none.
const ETHERNET_MTU: u16 = 1500;
/// The largest MTU that the driver uses, even if the device allows more.
const LARGEST_MTU: u16 = 9000;

/// The device configuration, read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NetConfig {
    pub mac: MacAddr,
    /// The device has no usable address.
    pub mac_made_up: bool,
    pub mtu: u16,
}

impl NetConfig {
    /// Reads the fields of the accepted features. Makes an address of `seed` if the device has no usable one.
    pub fn read<M: Mmio>(transport: &mut Transport<M>, seed: u64) -> Result<Self, NetError> {
        let features = transport.features();
        let (named, mtu) = if features.intersects(MAC | MTU) {
            transport.config(|config| Ok((named_mac(config, features)?, named_mtu(config, features)?)))?
        } else {
            (None, ETHERNET_MTU)
        };
        if mtu < MIN_MTU {
            return Err(NetError::Mtu(mtu));
        }
        let named = named.filter(MacAddr::is_station);
        let mac = named.unwrap_or_else(|| MacAddr::local(seed));
        Ok(Self { mac, mac_made_up: named.is_none(), mtu: mtu.min(LARGEST_MTU) })
    }
}

fn named_mac<M: Mmio>(
    config: &DeviceConfig<'_, M>,
    features: Features,
) -> Result<Option<MacAddr>, TransportError> {
    if !features.contains(MAC) {
        return Ok(None);
    }
    let mut mac = [0; 6];
    for (byte, offset) in mac.iter_mut().zip(0..) {
        *byte = config.u8(offset)?;
    }
    Ok(Some(MacAddr(mac)))
}

fn named_mtu<M: Mmio>(config: &DeviceConfig<'_, M>, features: Features) -> Result<u16, TransportError> {
    if features.contains(MTU) { config.u16(10) } else { Ok(ETHERNET_MTU) }
}

/// The status word; without VIRTIO_NET_F_STATUS, that of a link that is always up.
pub(super) fn status<M: Mmio>(transport: &mut Transport<M>) -> Result<NetStatus, TransportError> {
    if !transport.features().contains(STATUS) {
        return Ok(NetStatus::LINK_UP);
    }
    transport.config(|config| Ok(NetStatus::from_bits_retain(config.u16(6)?)))
}
