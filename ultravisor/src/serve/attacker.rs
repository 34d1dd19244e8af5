//! The state of an attack.

use crate::inject::{Act, Attack, Attacked, Place as Where, Random};
use std::time::{Duration, Instant};

/// Most comparisons of the CPUs' stacks.
const POLLS: u32 = 200;
/// Interval at which an attack that has not begun checks whether it may.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// An attack and how far it is.
pub(super) struct Attacker {
    pub(super) attack: Attack,
    pub(super) random: Random,
    /// Moments that are left.
    pub(super) left: u32,
    /// When the next one is.
    pub(super) next: Option<Instant>,
    /// Whether breakpoints for it are set. Each stop costs time, so those at locks are set from the trigger on.
    pub(super) armed: bool,
    /// Whether they are set when another CPU is about to start.
    pub(super) at_start: bool,
    /// The argument of the last CPU that the guest started, and the thread of the one that it did not.
    pub(super) earlier: Option<u64>,
    pub(super) stray: Option<String>,
    pub(super) seen: Attacked,
}

impl Attacker {
    pub(super) fn new(attack: Attack) -> Self {
        let left = match &attack.act {
            Act::Interrupt(interrupts) => interrupts.count,
            Act::Probe(count) | Act::Nest(count) => *count,
            Act::Pause(pauses) => pauses.count,
            Act::Stray(_) => POLLS,
            Act::Reset(_) => 1,
        };
        let random = Random::new(attack.seed);
        let armed = attack.act.lock().is_none();
        Self {
            random,
            attack,
            left,
            next: None,
            armed,
            at_start: false,
            earlier: None,
            stray: None,
            seen: Attacked::default(),
        }
    }

    /// Takes a moment that a call of the guest offers. Returns whether the attack wants it.
    pub(super) fn take_turn(&mut self) -> bool {
        let now = self.left > 0 && self.attack.trigger.is_pulled();
        self.left -= u32::from(now);
        now
    }

    /// How long the guest may run until something happens.
    pub(super) fn wait(&mut self) -> Option<Duration> {
        let at_calls = match &self.attack.act {
            Act::Pause(pauses) => pauses.place != Where::Anywhere,
            Act::Reset(_) => true,
            _ => false,
        };
        if self.left == 0 || (at_calls && (self.armed || self.at_start)) {
            return None;
        }
        if !self.attack.trigger.is_pulled() {
            return Some(POLL_INTERVAL);
        }
        let gap = u64::try_from(self.attack.gap.as_micros()).unwrap_or(u64::MAX);
        let random = &mut self.random;
        let next =
            *self.next.get_or_insert_with(|| Instant::now() + Duration::from_micros(random.below(gap)));
        Some(next.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::{Pauses, Trigger};

    #[test]
    fn an_attack_has_so_many_moments_and_no_more() {
        let act = Act::Pause(Pauses { cpu: 1, count: 1, length: None, place: Where::Rtas });
        let attack = Attack { seed: 1, trigger: Trigger::later(), gap: Duration::from_secs(9), act };
        let mut attacker = Attacker::new(attack);
        assert!(!attacker.take_turn(), "it has not begun");
        attacker.attack.trigger.pull();
        assert!(attacker.take_turn());
        assert!(!attacker.take_turn());
        assert_eq!(attacker.wait(), None);
    }

    #[test]
    fn an_attack_that_waits_looks_whether_it_may_begin() {
        let attack =
            Attack { seed: 1, trigger: Trigger::later(), gap: Duration::from_secs(9), act: Act::Probe(1) };
        let mut attacker = Attacker::new(attack);
        assert_eq!(attacker.wait(), Some(POLL_INTERVAL));
        attacker.attack.trigger.pull();
        assert!(attacker.wait().is_some_and(|wait| wait < Duration::from_secs(9)));
    }
}
