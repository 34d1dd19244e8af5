//! What waits, each within a given time: for an address, for the answer to a ping, for work of the services.

use super::Stack;
use crate::dhcp::{self, LeaseError};
use crate::lease::Dhcp;
use crate::link_state::LINK_POLL;
use crate::ping::{self, Question};
use crate::settings::{Addressing, Settings};
use crate::stack::Counters;
use crate::stack_error::StackError;
use core::net::Ipv4Addr;
use core::time::Duration;
use papr::clock::{Clock, Deadline, duration};
use virtio_pci::net::link::Link;

impl<L: Link> Stack<L> {
    /// Gets an address: a DHCP lease within `wait`, or at once the static one.
    ///
    /// # Errors
    /// No usable lease in time, or the link is gone.
    pub fn configure(
        &mut self,
        clock: &impl Clock,
        wait: Duration,
    ) -> Result<Settings, StackError<L::Error>> {
        if let Addressing::Static(settings) = self.addressing {
            self.apply(settings);
            return Ok(settings);
        }
        if self.dhcp.is_none() {
            let client = dhcp::Client::new(self.phy.link.mac(), self.random.fork());
            self.dhcp = Some(Dhcp::new(client, &mut self.sockets.udp));
        }
        let mut deadline = Deadline::after(clock, wait);
        loop {
            self.poll(clock)?;
            if let Some(settings) = self.phy.settings {
                return Ok(settings);
            }
            if self.rest(clock, &mut deadline) {
                return Err(StackError::NoLease {
                    waited: wait,
                    link_up: self.link_state.up,
                    refused: self.refused(),
                });
            }
        }
    }

    /// What was wrong with the last answer of a DHCP server.
    fn refused(&self) -> Option<LeaseError> {
        self.dhcp.as_ref().and_then(|dhcp| dhcp.client.refused)
    }

    /// Sends one echo request to `host` and returns the round-trip time.
    ///
    /// # Errors
    /// No address, no route, no answer within `wait`, or the link is gone.
    pub fn ping(
        &mut self,
        clock: &impl Clock,
        host: Ipv4Addr,
        wait: Duration,
    ) -> Result<Duration, StackError<L::Error>> {
        self.ping_with(clock, host, ping::PAYLOAD, wait)
    }

    /// [`Self::ping`] with so many bytes of payload, which have to fit one frame.
    ///
    /// # Errors
    /// As for [`Self::ping`].
    pub fn ping_with(
        &mut self,
        clock: &impl Clock,
        host: Ipv4Addr,
        bytes: usize,
        wait: Duration,
    ) -> Result<Duration, StackError<L::Error>> {
        let settings = self.phy.settings.ok_or(StackError::NotConfigured)?;
        if !settings.is_local(host) && settings.gateway.is_none() {
            return Err(StackError::NoRoute(host));
        }
        let question = self.pinger.ask(&mut self.sockets.icmp, host, bytes);
        let result = self.wait_for_answer(&question, clock, Deadline::after(clock, wait));
        question.end(&mut self.sockets.icmp);
        match result? {
            Ok(time) => Ok(time),
            Err(sent) => Err(StackError::NoAnswer { host, waited: wait, sent }),
        }
    }

    /// The round-trip time; without an answer, whether the request was sent at all.
    fn wait_for_answer(
        &mut self,
        question: &Question,
        clock: &impl Clock,
        mut deadline: Deadline,
    ) -> Result<Result<Duration, bool>, StackError<L::Error>> {
        let mut left_at = None;
        loop {
            let before = clock.now();
            self.poll(clock)?;
            if left_at.is_none() && question.asked(&self.sockets.icmp) {
                left_at = Some(before);
            }
            if question.answered(&mut self.sockets.icmp, &self.pinger) {
                let ticks = clock.now().saturating_sub(left_at.unwrap_or(before));
                return Ok(Ok(duration(clock, ticks)));
            }
            if self.rest(clock, &mut deadline) {
                return Ok(Err(left_at.is_some()));
            }
        }
    }

    /// Serves ARP, ICMP, UDP and TCP until `wait` has passed or `stop` returns true. `stop` gets the stack after each
    /// step.
    ///
    /// # Errors
    /// The link is gone.
    pub fn serve(
        &mut self,
        clock: &impl Clock,
        wait: Duration,
        mut stop: impl FnMut(&mut Self) -> bool,
    ) -> Result<Counters, StackError<L::Error>> {
        let mut deadline = Deadline::after(clock, wait);
        loop {
            self.poll(clock)?;
            if stop(self) || self.rest(clock, &mut deadline) {
                return Ok(self.counters());
            }
        }
    }

    /// Cedes the CPU until a frame arrives or something is due. True if the wait is over.
    pub(super) fn rest(&mut self, clock: &impl Clock, deadline: &mut Deadline) -> bool {
        // No interrupt announces the frames that the last step left over.
        if self.phy.is_exhausted() {
            return deadline.expired(clock);
        }
        let now = self.time.instant(clock);
        let due = self.sockets.due(&mut self.interface, now).map_or(LINK_POLL, |due| {
            let micros = due.total_micros().saturating_sub(now.total_micros());
            Duration::from_micros(u64::try_from(micros).unwrap_or(0))
        });
        let asks = self.dhcp.as_ref().map_or(self.link_state.next_poll, |dhcp| dhcp.client.due());
        let ends = self.services.due().unwrap_or(Duration::MAX);
        let due = due.min(self.link_state.next_poll.min(asks).min(ends).saturating_sub(self.time.elapsed));
        if due.is_zero() {
            return deadline.expired(clock);
        }
        let Some(interval) = self.phy.link.arm() else { return deadline.expired(clock) };
        let (over, wake) = deadline.expired_after_cede(clock, interval.min(due));
        self.phy.link.disarm(wake);
        over
    }
}
