//! Drives a disk with the crate virtio-drivers instead of this kernel's driver: the same disk, the same pool, measured in
//! the same way. For comparisons only.

use crate::error::OtherError;
use crate::hal::{self, PoolHal};
use crate::registers::{Doorbell, Registers};
use alloc::vec;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use core::time::Duration;
use papr::addr::{FRAME_SIZE, GpaRange};
use papr::clock::{Clock, Deadline, ticks};
use postern_kernel::devices::DeviceError;
use postern_kernel::devices::set::Disk;
use postern_kernel::platform::pseries::Pseries;
use virtio_drivers::Error;
use virtio_drivers::device::blk::{BlkReq, BlkResp, VirtIOBlk};
use virtio_pci::blk::error::{BlkError, BreakReason};
use virtio_pci::blk::geometry::SECTOR;
use workloads::bench::{BenchError, Content, Measured};
use workloads::work::{Access, Work};

/// Descriptors of the crate's queue, which name requests.
const TOKENS: usize = 16;
/// After so long without an answer the device is notified again. The crate reads the device's event index without a
/// `sync` after its own store, so it may see an old value and skip a notification.
const SILENCE: Duration = Duration::from_millis(10);

/// How long the device may take over a request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A disk whose driver is the crate's.
pub struct Other {
    driver: VirtIOBlk<PoolHal, Registers>,
    doorbell: Doorbell,
    bounced: bool,
    notified_again: u64,
}

struct Request {
    head: BlkReq,
    answer: BlkResp,
    buffer: Vec<u8>,
    offset: u64,
}

struct Run {
    requests: Vec<Request>,
    spare: Vec<usize>,
    of_token: [Option<usize>; TOKENS],
    in_flight: usize,
    number: u64,
    measured: Measured,
}

impl Other {
    /// Resets the disk, and hands it to the crate's driver with the same part of the pool.
    ///
    /// # Errors
    /// A disk that the crate does not take.
    pub fn take(disk: &mut Disk, pool: Option<GpaRange>) -> Result<Self, OtherError> {
        if disk.driver.dma().translated() {
            // The device would refuse what the crate accepts, and the crate would not notice.
            return Err(DeviceError::Missing(
                "disk without ACCESS_PLATFORM, which virtio-drivers does not know",
            )
            .into());
        }
        let registers = disk.driver.registers()?;
        disk.driver.break_device(BreakReason::Stopped);
        if !disk.driver.retry_reset() {
            return Err(BlkError::Broken(BreakReason::Stopped).into());
        }
        let bounced = disk.driver.dma().bounced();
        hal::lend(disk.driver.dma().clone(), pool);
        let registers = Registers::new(registers);
        let doorbell = registers.doorbell(0);
        let driver = VirtIOBlk::new(registers).map_err(OtherError::Driver)?;
        Ok(Self { driver, doorbell, bounced, notified_again: 0 })
    }

    /// Does one piece of work; `None` when it cannot be done: the crate asks for one address for each buffer, and
    /// pieces of the pool are frames.
    ///
    /// # Errors
    /// The first request that failed or was answered wrongly.
    pub fn run(&mut self, work: Work, content: Content) -> Result<Option<Measured>, OtherError> {
        let len = work.bytes as usize;
        if self.bounced && len > FRAME_SIZE {
            return Ok(None);
        }
        let request = || Request {
            head: BlkReq::default(),
            answer: BlkResp::default(),
            buffer: vec![0; len],
            offset: 0,
        };
        let depth = usize::from(work.depth);
        // After an error the device may still use the requests in flight, so they are never freed.
        let mut run = ManuallyDrop::new(Run {
            requests: (0..depth).map(|_| request()).collect(),
            spare: (0..depth).collect(),
            of_token: [None; TOKENS],
            in_flight: 0,
            number: 0,
            measured: Measured { requests: 0, ticks: 0, idle: 0, depth: 0 },
        });
        self.all(&mut run, work, content)?;
        Ok(Some(ManuallyDrop::into_inner(run).measured))
    }

    fn all(&mut self, run: &mut Run, work: Work, content: Content) -> Result<(), OtherError> {
        let start = Pseries.now();
        let end = start.saturating_add(ticks(&Pseries, work.time));
        loop {
            if Pseries.now() < end {
                self.submit(run, work, content)?;
            }
            let Some(first) = self.wait(run)? else { break };
            let mut next = Some(first);
            while let Some(token) = next {
                self.complete(run, token, work, content)?;
                next = self.driver.peek_used();
            }
        }
        run.measured.ticks = Pseries.now().wrapping_sub(start);
        if self.notified_again > 0 {
            log::warn!("virtio-drivers: {} notifications repeated so far", self.notified_again);
        }
        Ok(())
    }

    /// Submits as many requests as there are buffers and room in its queue.
    fn submit(&mut self, run: &mut Run, work: Work, content: Content) -> Result<(), OtherError> {
        let bytes = self.driver.capacity().saturating_mul(SECTOR);
        while let Some(index) = run.spare.pop() {
            let offset =
                workloads::bench::other::offset(work, run.number, bytes).ok_or(BenchError::TooSmall)?;
            let Request { head, answer, buffer, offset: place } = &mut run.requests[index];
            content.ready(work.access, offset, buffer);
            let sector = (offset / SECTOR) as usize;
            // SAFETY: the request stays where it is, untouched, until `complete` gives the crate the same three parts:
            // what is in flight is not in `spare`, `requests` does not grow, and after an error it is never freed.
            let submitted = unsafe {
                match work.access {
                    Access::Read => self.driver.read_blocks_nb(sector, head, buffer, answer),
                    Access::Write => self.driver.write_blocks_nb(sector, head, buffer, answer),
                }
            };
            match submitted {
                Ok(token) => {
                    *place = offset;
                    run.of_token[usize::from(token)] = Some(index);
                    run.in_flight += 1;
                    run.number = run.number.wrapping_add(1);
                }
                Err(Error::QueueFull) => {
                    run.spare.push(index);
                    break;
                }
                Err(error) => return Err(OtherError::Driver(error)),
            }
        }
        run.measured.depth = run.measured.depth.max(run.in_flight);
        Ok(())
    }

    /// Waits for the next completion, and counts the time as idle; `None` if nothing is in flight.
    fn wait(&mut self, run: &mut Run) -> Result<Option<u16>, OtherError> {
        if run.in_flight == 0 {
            return Ok(None);
        }
        if let Some(token) = self.driver.peek_used() {
            return Ok(Some(token));
        }
        let since = Pseries.now();
        let silence = ticks(&Pseries, SILENCE);
        let mut again = since.saturating_add(silence);
        let mut deadline = Deadline::after(&Pseries, TIMEOUT);
        loop {
            let before = Pseries.now();
            if let Some(token) = self.driver.peek_used() {
                run.measured.idle = run.measured.idle.saturating_add(before.wrapping_sub(since));
                return Ok(Some(token));
            }
            if before >= again {
                again = before.saturating_add(silence);
                self.notified_again += 1;
                self.doorbell.ring();
            }
            if deadline.expired(&Pseries) {
                return Err(BlkError::Broken(BreakReason::Timeout).into());
            }
        }
    }

    fn complete(
        &mut self,
        run: &mut Run,
        token: u16,
        work: Work,
        content: Content,
    ) -> Result<(), OtherError> {
        let index = run.of_token.get_mut(usize::from(token)).and_then(Option::take);
        let index = index.ok_or(OtherError::Driver(Error::WrongToken))?;
        let Request { head, answer, buffer, offset } = &mut run.requests[index];
        // SAFETY: the three parts that this token was answered for.
        unsafe {
            match work.access {
                Access::Read => self.driver.complete_read_blocks(token, head, buffer, answer),
                Access::Write => self.driver.complete_write_blocks(token, head, buffer, answer),
            }
        }
        .map_err(OtherError::Driver)?;
        run.in_flight -= 1;
        if !content.accepts(work.access, *offset, buffer) {
            return Err(BenchError::Mismatch(*offset).into());
        }
        run.measured.requests = run.measured.requests.saturating_add(1);
        run.spare.push(index);
        Ok(())
    }
}
