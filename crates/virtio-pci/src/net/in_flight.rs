//! In-flight FIFO: the oldest chain that a device holds, in whatever order it returns them.

use alloc::vec::Vec;

/// Chains by head, linked in the order of submission. Each is added and removed in constant time.
pub(super) struct InFlight {
    links: Vec<Link>,
    first: Option<u16>,
    last: Option<u16>,
    /// Chains so far.
    count: u64,
}

#[derive(Clone, Copy, Default)]
struct Link {
    before: Option<u16>,
    after: Option<u16>,
    serial: u64,
}

impl InFlight {
    /// For heads below `size`.
    pub fn new(size: u16) -> Self {
        Self { links: alloc::vec![Link::default(); usize::from(size)], first: None, last: None, count: 0 }
    }

    /// Adds a chain that is not in flight yet.
    pub fn add(&mut self, head: u16) {
        self.count = self.count.wrapping_add(1);
        let link = Link { before: self.last, after: None, serial: self.count };
        let Some(place) = self.links.get_mut(usize::from(head)) else { return };
        *place = link;
        match self.last.and_then(|last| self.links.get_mut(usize::from(last))) {
            Some(last) => last.after = Some(head),
            None => self.first = Some(head),
        }
        self.last = Some(head);
    }

    /// Removes a chain that is in flight.
    pub fn remove(&mut self, head: u16) {
        let Some(&Link { before, after, .. }) = self.links.get(usize::from(head)) else { return };
        match before.and_then(|before| self.links.get_mut(usize::from(before))) {
            Some(before) => before.after = after,
            None => self.first = after,
        }
        match after.and_then(|after| self.links.get_mut(usize::from(after))) {
            Some(after) => after.before = before,
            None => self.last = before,
        }
    }

    /// The serial number of the oldest chain in flight.
    pub fn oldest(&self) -> Option<u64> {
        self.first.and_then(|first| self.links.get(usize::from(first))).map(|link| link.serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use testkit::wire::Random;

    #[test]
    fn the_oldest_is_the_least_serial_of_those_held_in_whatever_order_they_leave() {
        let mut order = InFlight::new(8);
        let mut held = BTreeMap::new();
        let mut random = Random(7);
        let mut serial = 0;
        for _ in 0..10_000 {
            let head = random.below(8) as u16;
            if held.remove(&head).is_some() {
                order.remove(head);
            } else {
                serial += 1;
                held.insert(head, serial);
                order.add(head);
            }
            assert_eq!(order.oldest(), held.values().min().copied());
        }
    }
}
