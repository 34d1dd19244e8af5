//! A wire with arbitrary frames for the stack.

use super::script::Script;
use crate::frames::fill_checksums;
use crate::model::Model;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use netstack::random::Generator;
use netstack::settings::{Addressing, Settings};
use netstack::stack::Stack;
use papr::clock::Clock;
use virtio_pci::net::link::{Frame, Link, MacAddr};

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
/// Frames that one poll may send: bounded work.
const MOST_SENT: usize = 4096;

/// Frames in, and how many came out.
#[derive(Default)]
struct Wire {
    arriving: VecDeque<Vec<u8>>,
    sent: usize,
}

impl Link for Wire {
    type Error = core::fmt::Error;

    fn mac(&self) -> MacAddr {
        MAC
    }
    fn mtu(&self) -> u16 {
        1500
    }
    fn is_up(&mut self) -> bool {
        true
    }
    fn receive(&mut self) -> Option<Frame> {
        let frame = self.arriving.pop_front()?;
        let len = frame.len();
        Frame::new(frame, 0, len)
    }
    fn recycle(&mut self, _: Frame) {}
    fn can_transmit(&mut self) -> bool {
        true
    }
    fn frame(&mut self, len: usize) -> Option<Frame> {
        Frame::new(vec![0; len], 0, len)
    }
    fn transmit(&mut self, frame: Frame) {
        assert!((14..=1514).contains(&frame.bytes().len()));
        self.sent += 1;
    }
    fn flush(&mut self) {}
    fn failure(&self) -> Option<Self::Error> {
        None
    }
}

/// Gives frames to a stack with a static address, or one that asks for a lease.
pub fn frames(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let clock = Model::new(false);
    let own = Ipv4Addr::new(10, 0, 2, 15);
    let settings = Settings { address: own, prefix: 24, gateway: Some(Ipv4Addr::new(10, 0, 2, 2)) };
    let lease = script.one_in(4);
    let addressing = if lease { Addressing::Dhcp } else { Addressing::Static(settings) };
    let Ok(mut stack) = Stack::new(Wire::default(), addressing, Generator::new(&[1]), &clock) else { return };
    while !script.is_over() {
        let kind = script.byte();
        let len = usize::from(script.u16()) % 1600;
        let mut frame = script.take(len).to_vec();
        if kind & 1 == 0 {
            frame = [&MAC.0[..], &[2, 0, 0, 0, 0, 2], &[8, 0], &frame].concat();
        }
        if kind & 2 == 0 {
            repair(&mut frame);
        }
        stack.link().arriving.push_back(frame);
        let before = stack.link().sent;
        let _ = stack.poll(&clock);
        assert!(stack.link().sent - before <= MOST_SENT);
        for _ in 0..kind >> 4 {
            clock.relax();
        }
    }
}

/// Corrects lengths and checksums, so that the content is parsed.
fn repair(frame: &mut [u8]) {
    if frame.len() < 34 || frame[12..14] != [8, 0] {
        return;
    }
    let total = (frame.len() - 14) as u16;
    frame[14] = 0x45;
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    frame[20..22].fill(0);
    frame[30..34].copy_from_slice(&[10, 0, 2, 15]);
    fill_checksums(frame);
}
