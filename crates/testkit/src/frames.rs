//! Ethernet frames as a peer would send them.

use crate::peer::STACK_IP;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Packet, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    UdpPacket, UdpRepr,
};

/// The guest's.
pub const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

pub fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = MAC.to_vec();
    frame.extend([2, 0, 0, 0, 0, 2]);
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

pub fn ipv4(source: Ipv4Addr, to: Ipv4Addr, next_header: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let header =
        Ipv4Repr { src_addr: source, dst_addr: to, next_header, payload_len: payload.len(), hop_limit: 64 };
    let mut packet = std::vec![0; 20 + payload.len()];
    header.emit(&mut Ipv4Packet::new_unchecked(&mut packet), &ChecksumCapabilities::default());
    packet[20..].copy_from_slice(payload);
    ethernet(0x0800, &packet)
}

pub fn udp(source: Ipv4Addr, to: Ipv4Addr, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let header = UdpRepr { src_port: ports.0, dst_port: ports.1 };
    let mut bytes = std::vec![0; 8 + payload.len()];
    header.emit(
        &mut UdpPacket::new_unchecked(&mut bytes),
        &IpAddress::Ipv4(source),
        &IpAddress::Ipv4(to),
        payload.len(),
        |room| room.copy_from_slice(payload),
        &ChecksumCapabilities::default(),
    );
    ipv4(source, to, IpProtocol::Udp, &bytes)
}

pub fn arp(source: Ipv4Addr, operation: u16) -> Vec<u8> {
    let mut packet = std::vec![0, 1, 8, 0, 6, 4];
    packet.extend(operation.to_be_bytes());
    packet.extend([2, 0, 0, 0, 0, 2]);
    packet.extend(source.octets());
    packet.extend([0; 6]);
    packet.extend(STACK_IP.octets());
    ethernet(0x0806, &packet)
}

/// Makes the checksums of an IPv4 frame right, its own and that of what it carries.
pub fn fill_checksums(frame: &mut [u8]) {
    if frame.len() < 34 || frame[12..14] != [8, 0] {
        return;
    }
    let Ok(mut packet) = Ipv4Packet::new_checked(&mut frame[14..]) else { return };
    packet.fill_checksum();
    let (from, to) = (IpAddress::Ipv4(packet.src_addr()), IpAddress::Ipv4(packet.dst_addr()));
    match packet.next_header() {
        IpProtocol::Tcp => {
            if let Ok(mut segment) = TcpPacket::new_checked(packet.payload_mut()) {
                segment.fill_checksum(&from, &to);
            }
        }
        IpProtocol::Udp => {
            if let Ok(mut datagram) = UdpPacket::new_checked(packet.payload_mut()) {
                datagram.fill_checksum(&from, &to);
            }
        }
        IpProtocol::Icmp => {
            if let Ok(mut message) = Icmpv4Packet::new_checked(packet.payload_mut()) {
                message.fill_checksum();
            }
        }
        _ => {}
    }
}

/// A segment that asks for a connection and does not go on.
pub fn syn(from: (Ipv4Addr, u16), to_port: u16) -> Vec<u8> {
    let segment = TcpRepr {
        src_port: from.1,
        dst_port: to_port,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(i32::from(from.1) << 8),
        ack_number: None,
        window_len: 64240,
        window_scale: Some(7),
        max_seg_size: Some(1460),
        sack_permitted: true,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: b"",
    };
    let mut bytes = std::vec![0; segment.buffer_len()];
    let (source, to) = (IpAddress::Ipv4(from.0), IpAddress::Ipv4(STACK_IP));
    segment.emit(&mut TcpPacket::new_unchecked(&mut bytes), &source, &to, &ChecksumCapabilities::default());
    ipv4(from.0, STACK_IP, IpProtocol::Tcp, &bytes)
}
