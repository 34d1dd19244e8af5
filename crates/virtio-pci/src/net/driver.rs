//! The virtio-net driver (virtio 1.2, 5.1): one receive and one transmit queue, no offloads; a control queue for
//! announcements.
//!
//! What the device writes is copied, by the driver's own length, into private memory and read only there. The first
//! protocol violation ends the use of the device, not the guest.

#![allow(unsafe_code, reason = "what the device held is given back once its reset is confirmed")]

use super::control::ControlQueue;
use super::error::NetError;
use super::features::{self, GUEST_ANNOUNCE, NetConfig, NetStatus};
use super::link::{Frame, Link, MacAddr};
use super::rx::Receiver;
use super::statistics::{NetStatistics, count};
use super::tx::Transmitter;
use crate::interrupts::{Delivery, IrqSource};
use crate::virtio::error::TransportError;
use crate::virtio::features::Features;
use crate::virtio::life::{Life, reset_after_failed_set_up};
use crate::virtio::transport::Transport;
use core::time::Duration;
use papr::clock::{Clock, Wake};
use papr::platform::Platform;
use papr::registers::Mmio;
use svm_dma::dma::Dma;

/// Longest sleep for an interrupt before the driver polls again.
const CEDE_INTERVAL: Duration = Duration::from_millis(20);
/// Interval between two polls of a device without interrupts: this after a frame, and twice as long after each poll
/// that finds none, up to the second value.
const POLLED_INTERVAL: Duration = Duration::from_micros(500);
const LONGEST_POLLED_INTERVAL: Duration = Duration::from_millis(4);

/// The queues of a working device.
struct Queues<P: Platform> {
    rx: Receiver<P>,
    tx: Transmitter<P>,
    /// For a device that may ask for announcements.
    control: Option<ControlQueue<P>>,
}

impl<P: Platform> Queues<P> {
    /// Gives the memory back, or keeps it from use until a reset is confirmed.
    ///
    /// # Safety
    /// `reset_confirmed` is true only if the device's reset was confirmed.
    unsafe fn free_memory(self, reset_confirmed: bool) {
        let Self { rx, tx, control } = self;
        // SAFETY: as the caller promises.
        unsafe { rx.free_memory(reset_confirmed) };
        // SAFETY: as above.
        unsafe { tx.free_memory(reset_confirmed) };
        if let Some(control) = control {
            // SAFETY: as above.
            unsafe { control.free_memory(reset_confirmed) };
        }
    }
}

/// A virtio-net device.
pub struct NetDriver<M: Mmio, P: Platform> {
    transport: Transport<M>,
    dma: Dma<P>,
    config: NetConfig,
    queue_sizes: (u16, u16),
    life: Life<Queues<P>, NetError>,
    link_up: bool,
    /// The device wants an announcement.
    announce: bool,
    statistics: NetStatistics,
    /// Number of interrupts when the driver last enabled them.
    arrivals: u32,
    /// The next interval while there are no interrupts.
    polled_interval: Duration,
}

impl<M: Mmio, P: Platform> NetDriver<M, P> {
    /// Brings a device up after [`Transport::begin`]. `dma` makes the device's DMA, for a device with or without
    /// VIRTIO_F_ACCESS_PLATFORM, and enables bus mastering. `seed` makes an Ethernet address if the device has none.
    ///
    /// # Errors
    /// The device is refused. It has been reset, or the memory that it may still use is never used again.
    pub fn probe<E: From<NetError>>(
        mut transport: Transport<M>,
        seed: u64,
        dma: impl FnOnce(bool) -> Result<Dma<P>, E>,
    ) -> Result<Self, E> {
        transport.negotiate_with(features::wanted).map_err(NetError::from)?;
        let dma = dma(transport.access_platform())?;
        Ok(Self::start(transport, dma, seed)?)
    }

    fn start(mut transport: Transport<M>, dma: Dma<P>, seed: u64) -> Result<Self, NetError> {
        let (config, queues) = match Self::set_up(&mut transport, &dma, seed) {
            Ok(set_up) => set_up,
            Err(error) => {
                reset_after_failed_set_up(&mut transport, dma.platform(), [&dma]);
                return Err(error);
            }
        };
        let mut driver = Self {
            transport,
            dma,
            config,
            queue_sizes: (queues.rx.size(), queues.tx.size()),
            life: Life::new(queues),
            link_up: false,
            announce: false,
            statistics: NetStatistics::default(),
            arrivals: 0,
            polled_interval: POLLED_INTERVAL,
        };
        match driver.go() {
            Ok(()) => Ok(driver),
            Err(error) => {
                driver.end(error);
                Err(error)
            }
        }
    }

    fn set_up(
        transport: &mut Transport<M>,
        dma: &Dma<P>,
        seed: u64,
    ) -> Result<(NetConfig, Queues<P>), NetError> {
        let config = NetConfig::read(transport, seed)?;
        let rx = Receiver::new(transport, dma, config.mtu)?;
        let tx = match Transmitter::new(transport, dma, config.mtu) {
            Ok(tx) => tx,
            Err(error) => {
                // SAFETY: `false`: no memory is freed.
                unsafe { rx.free_memory(false) };
                return Err(error);
            }
        };
        let mut queues = Queues { rx, tx, control: None };
        if transport.features().contains(GUEST_ANNOUNCE) {
            match ControlQueue::new(transport, dma) {
                Ok(control) => queues.control = Some(control),
                Err(error) => {
                    // SAFETY: `false`: no memory is freed.
                    unsafe { queues.free_memory(false) };
                    return Err(error);
                }
            }
        }
        Ok((config, queues))
    }

    /// Buffers first, then DRIVER_OK, then the first notification (virtio 1.2, 3.1.1).
    fn go(&mut self) -> Result<(), NetError> {
        let queues = self.life.live_mut()?;
        let reserved = queues.tx.reserve()?;
        let filled = queues.rx.fill();
        queues.tx.release(reserved);
        filled?;
        self.transport.start()?;
        queues.rx.refill(&self.transport, &mut self.statistics)?;
        self.link_up = features::status(&mut self.transport)?.contains(NetStatus::LINK_UP);
        Ok(())
    }

    /// The features agreed on.
    #[must_use]
    pub fn features(&self) -> Features {
        self.transport.features()
    }

    /// Descriptors of the receive and of the transmit queue.
    #[must_use]
    pub fn queue_sizes(&self) -> (u16, u16) {
        self.queue_sizes
    }

    /// Whether the driver made the address because the device has no usable one.
    #[must_use]
    pub fn mac_made_up(&self) -> bool {
        self.config.mac_made_up
    }

    /// The transport, for the boot summary.
    #[must_use]
    pub fn transport(&self) -> &Transport<M> {
        &self.transport
    }

    /// The device's DMA: whether it is bounced and translated, and how much was copied.
    #[must_use]
    pub fn dma(&self) -> &Dma<P> {
        &self.dma
    }

    /// The driver's counters.
    #[must_use]
    pub fn statistics(&self) -> NetStatistics {
        self.statistics
    }

    /// Receive buffers that the device holds.
    #[must_use]
    pub fn receive_buffers_posted(&self) -> u16 {
        self.life.live().map_or(0, |queues| queues.rx.posted())
    }

    /// Sets how long a frame may stay with the device before the device counts as broken.
    pub fn set_timeout(&mut self, timeout: Duration) {
        if let Ok(queues) = self.life.live_mut() {
            queues.tx.timeout = timeout;
        }
    }

    /// Resets the device and frees all memory that it held. Dropping the driver does the same.
    pub fn shut_down(&mut self) {
        if self.life.ended().is_none() {
            return self.end(NetError::Stopped);
        }
        let Self { life, transport, dma, .. } = self;
        // SAFETY: the closure resets this device and returns its result.
        unsafe { life.retry_reset(dma, || is_reset(transport, dma.platform())) };
    }

    /// Ends the use of the device for `reason`.
    fn end(&mut self, reason: NetError) {
        let Self { life, transport, dma, .. } = self;
        let reset = || {
            if reason != NetError::Stopped {
                log::error!("net: {reason}; the device is not used any more");
            }
            (reason, is_reset(transport, dma.platform()))
        };
        // SAFETY: `reset_confirmed` is the result of this device's reset.
        let free = |queues: Queues<P>, reset_confirmed| unsafe { queues.free_memory(reset_confirmed) };
        // SAFETY: the closure resets this device and returns its result.
        unsafe { life.end(dma, reset, free) };
    }

    /// Resets the device and brings it up again. Frames in flight are lost.
    ///
    /// # Errors
    /// The device failed before, the reset is not confirmed, or the device is refused: it is not used any more.
    pub fn restart(&mut self, seed: u64) -> Result<(), NetError>
    where
        M: Clone,
    {
        let timeout = self.life.live().ok().map(|queues| queues.tx.timeout);
        self.shut_down();
        self.life.may_restart(NetError::Stopped)?;
        let mut transport = self.transport.reopen().begin(self.dma.platform())?;
        transport.negotiate_with(features::wanted)?;
        *self = Self::start(transport, self.dma.clone(), seed)?;
        if let Some(timeout) = timeout {
            self.set_timeout(timeout);
        }
        Ok(())
    }

    /// Runs `work` on the queues of a working device; an error ends the use of the device.
    fn with<R>(
        &mut self,
        work: impl FnOnce(&mut Queues<P>, &mut Transport<M>, &mut NetStatistics) -> Result<R, NetError>,
    ) -> Option<R> {
        let queues = self.life.live_mut().ok()?;
        match work(queues, &mut self.transport, &mut self.statistics) {
            Ok(result) => Some(result),
            Err(error) => {
                self.end(error);
                None
            }
        }
    }
}

impl<M: Mmio, P: Platform> Link for NetDriver<M, P> {
    type Error = NetError;

    fn mac(&self) -> MacAddr {
        self.config.mac
    }

    fn mtu(&self) -> u16 {
        self.config.mtu
    }

    /// Also checks that the device is alive, and judges its answer on the control queue.
    fn is_up(&mut self) -> bool {
        let now = self.with(|queues, transport, statistics| {
            transport.alive()?;
            if let Some(control) = &mut queues.control
                && control.poll(transport, queues.tx.timeout)?
            {
                count(&mut statistics.refused_commands);
            }
            match features::status(transport) {
                Ok(status) => Ok(Some(status)),
                // A word that keeps changing says nothing.
                Err(TransportError::ConfigUnstable) => Ok(None),
                Err(error) => Err(error.into()),
            }
        });
        match now {
            Some(Some(status)) => {
                self.link_up = status.contains(NetStatus::LINK_UP);
                self.announce = status.contains(NetStatus::ANNOUNCE);
            }
            Some(None) => {}
            None => (self.link_up, self.announce) = (false, false),
        }
        self.link_up
    }

    /// Not before the device has answered that it knows of the last one.
    fn wants_announcement(&self) -> bool {
        let control = self.life.live().ok().and_then(|queues| queues.control.as_ref());
        self.announce && control.is_some_and(ControlQueue::is_idle)
    }

    fn announced(&mut self) {
        self.announce = false;
        self.with(|queues, transport, _| match &mut queues.control {
            Some(control) if control.is_idle() => {
                control.acknowledge_announcement(transport, queues.tx.timeout)
            }
            _ => Ok(()),
        });
    }

    fn receive(&mut self) -> Option<Frame> {
        let frame = self.with(|queues, _, statistics| queues.rx.receive(statistics)).flatten();
        if frame.is_some() {
            self.polled_interval = POLLED_INTERVAL;
        }
        frame
    }

    fn recycle(&mut self, frame: Frame) {
        if let Ok(queues) = self.life.live_mut() {
            queues.rx.recycle(frame);
        }
    }

    fn can_transmit(&mut self) -> bool {
        self.with(|queues, _, statistics| queues.tx.has_room(statistics)).unwrap_or(false)
    }

    fn frame(&mut self, len: usize) -> Option<Frame> {
        self.life.live_mut().ok()?.tx.frame(len)
    }

    fn transmit(&mut self, frame: Frame) {
        if let Ok(queues) = self.life.live_mut() {
            queues.tx.transmit(frame);
        }
    }

    fn flush(&mut self) {
        self.with(|queues, transport, statistics| {
            queues.tx.flush(transport, statistics)?;
            queues.rx.refill(transport, statistics)
        });
    }

    /// Only reception has an interrupt. A caller that waits for room to transmit has work to do.
    fn arm(&mut self) -> Option<Duration> {
        let delivery = self.transport.delivery();
        let queues = self.life.live_mut().ok()?;
        if delivery == Delivery::Poll {
            let interval = self.polled_interval;
            self.polled_interval = interval.saturating_mul(2).min(LONGEST_POLLED_INTERVAL);
            return Some(interval);
        }
        self.arrivals = self.transport.line().map_or(0, IrqSource::arrivals);
        (!queues.rx.arm()).then_some(CEDE_INTERVAL)
    }

    fn disarm(&mut self, wake: Wake) {
        let (Ok(queues), Some(line)) = (self.life.live_mut(), self.transport.line()) else { return };
        // Frames have arrived, and no interrupt announced them.
        let missed = wake == Wake::Timer && line.delivery() != Delivery::Poll && queues.rx.arm();
        queues.rx.disarm();
        if missed && line.arrivals() == self.arrivals && line.missed() {
            log::warn!("net: interrupts do not come, polled from now on");
        }
    }

    fn failure(&self) -> Option<NetError> {
        self.life.ended()
    }
}

impl<M: Mmio, P: Platform> Drop for NetDriver<M, P> {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Resets the device. Returns whether it confirmed that: only then may its memory be used again.
fn is_reset<M: Mmio>(transport: &mut Transport<M>, clock: &impl Clock) -> bool {
    let reset = transport.reset(clock);
    if let Err(error) = reset {
        log::error!("net: {error}; what the device held is not used any more");
    }
    reset.is_ok()
}
