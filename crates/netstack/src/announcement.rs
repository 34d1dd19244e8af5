//! An ARP announcement (RFC 5227, section 3): whoever hears it learns where the address is now, above all the switches on
//! the way.

use core::net::Ipv4Addr;
use virtio_pci::net::link::MacAddr;

/// Bytes of the frame.
pub(super) const LEN: usize = 42;

/// The frame: an ARP request (RFC 826) to everybody, from the address and for it.
pub(super) fn frame(mac: MacAddr, address: Ipv4Addr) -> [u8; LEN] {
    let MacAddr([a, b, c, d, e, f]) = mac;
    let [w, x, y, z] = address.octets();
    [
        // To everybody, from the card, EtherType.
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, a, b, c, d, e, f, 0x08, 0x06,
        // Ethernet, IPv4, lengths of their addresses, request.
        0x00, 0x01, 0x08, 0x00, 6, 4, 0x00, 0x01, // The sender's addresses, and the target's.
        a, b, c, d, e, f, w, x, y, z, 0, 0, 0, 0, 0, 0, w, x, y, z,
    ]
}
