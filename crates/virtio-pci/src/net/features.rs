//! What virtio-net offers and says of itself (virtio 1.2, 5.1.3 and 5.1.4).

use super::error::NetError;
use super::link::MacAddr;
use crate::virtio::error::TransportError;
use crate::virtio::features::Features;
use crate::virtio::transport::{DeviceConfig, Transport};
use papr::registers::Mmio;

/// Smallest MTU that the driver accepts (RFC 791: every host must accept 576 bytes).
pub const MIN_MTU: u16 = 576;

/// VIRTIO_NET_F_MTU: the device says how long a packet may be.
pub const MTU: Features = Features::from_bits_retain(1 << 3);
/// VIRTIO_NET_F_MAC: the device says what its address is.
pub const MAC: Features = Features::from_bits_retain(1 << 5);
/// VIRTIO_NET_F_STATUS: the device says whether its link is up.
pub const STATUS: Features = Features::from_bits_retain(1 << 16);

/// The features that this driver accepts. No offloads and no merged receive buffers: each adds a word of the host to
/// validate, and the stack reads the packets in any case. EVENT_IDX, because the interrupt flag causes an interrupt per
/// packet until the CPU is awake.
pub const WANTED: Features = MTU.union(MAC).union(STATUS).union(Features::EVENT_IDX);

/// VIRTIO_NET_S_LINK_UP in the status word.
const LINK_UP: u16 = 1;

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

/// Whether the link is up; always true without VIRTIO_NET_F_STATUS.
pub(super) fn link_up<M: Mmio>(transport: &mut Transport<M>) -> Result<bool, TransportError> {
    if !transport.features().contains(STATUS) {
        return Ok(true);
    }
    transport.config(|config| Ok(config.u16(6)? & LINK_UP != 0))
}
