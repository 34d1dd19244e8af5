//! Message sources, by `ibm,change-msi` and `ibm,query-interrupt-source-number` (PAPR+ 7.3.10.5): firmware writes the
//! device's MSI-X table and returns the source numbers.

use alloc::vec::Vec;
use papr::device_id::DeviceId;
use papr::parts::cells;
use papr::platform::Rtas;
use papr::rtas::{RtasError, Service};
use thiserror::Error;

/// `ibm,change-msi` functions: as many message interrupts, of any kind, as the count says; MSI-X only.
const SET_ANY: u32 = 1;
const SET_MSI_X: u32 = 4;
/// Sequence number of a first call. If firmware wants another call, it gets the same number.
const SEQUENCE: u32 = 1;

/// Why a function has no message source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MsiError {
    /// The RTAS call failed.
    #[error(transparent)]
    Rtas(#[from] RtasError),
    /// Firmware grants none.
    #[error("no message interrupt granted")]
    None,
    /// Not a source number of XICS.
    #[error("interrupt source {0:#x}")]
    Source(u32),
    /// The source is not a message interrupt.
    #[error("message interrupt of type {0}")]
    NotEdge(u32),
}

/// The message services of one host bridge.
#[derive(Clone, Copy, Debug)]
pub struct MsiServices<R> {
    rtas: R,
    buid: u64,
}

impl<R: Rtas> MsiServices<R> {
    /// The services of the bridge whose BUID is `buid`.
    pub const fn new(rtas: R, buid: u64) -> Self {
        Self { rtas, buid }
    }

    /// Requests up to `most` MSI-X sources for the function; returns their numbers, vector 0 first.
    ///
    /// # Errors
    /// No source is usable, and the function has none.
    pub fn grant(&self, at: DeviceId, most: u16) -> Result<Vec<u32>, MsiError> {
        let granted = self.change(at, SET_MSI_X, most.max(1).into())?;
        if granted == 0 {
            return Err(MsiError::None);
        }
        let sources: Result<Vec<u32>, MsiError> =
            (0..granted).map(|vector| self.source(at, vector)).collect();
        if sources.is_err() {
            self.release(at);
        }
        sources
    }

    /// Releases the function's sources, as far as firmware does it.
    pub fn release(&self, at: DeviceId) {
        if let Err(error) = self.change(at, SET_ANY, 0) {
            log::debug!("pci {at}: message interrupts not released: {error}");
        }
    }

    fn change(&self, at: DeviceId, function: u32, count: u32) -> Result<u32, MsiError> {
        let [high, low] = self.buid();
        let mut answer = [0; 3];
        // Only setting MSI-X has a third output, the type that was set (QEMU `hw/ppc/spapr_pci.c`).
        let rets: &mut [u32] = if function == SET_MSI_X { &mut answer } else { answer.split_at_mut(2).0 };
        self.rtas.rtas(
            Service::ChangeMsi,
            &[at.config_addr(0), high, low, function, count, SEQUENCE],
            rets,
        )?;
        let [granted, ..] = answer;
        Ok(granted.min(count))
    }

    fn source(&self, at: DeviceId, vector: u32) -> Result<u32, MsiError> {
        let [high, low] = self.buid();
        let mut answer = [0; 2];
        self.rtas.rtas(
            Service::QueryInterruptSource,
            &[at.config_addr(0), high, low, vector],
            &mut answer,
        )?;
        let [source, kind] = answer;
        match (source, kind) {
            // 0 is nothing, 2 another CPU, and XICS numbers have 24 bits.
            (0..=2 | 0x0100_0000.., _) => Err(MsiError::Source(source)),
            (_, 1) => Ok(source),
            (_, kind) => Err(MsiError::NotEdge(kind)),
        }
    }

    fn buid(&self) -> [u32; 2] {
        cells(self.buid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::vec;
    use std::vec::Vec;

    /// Firmware that grants `granted` messages and says that the source is `source` of type `kind`.
    struct Firmware {
        granted: Result<u32, RtasError>,
        source: u32,
        kind: u32,
        calls: RefCell<Vec<(&'static str, Vec<u32>)>>,
    }

    impl Firmware {
        fn new(granted: Result<u32, RtasError>, source: u32, kind: u32) -> Self {
            Self { granted, source, kind, calls: RefCell::default() }
        }

        fn grant(&self) -> Result<u32, MsiError> {
            self.grant_up_to(1).map(|sources| sources[0])
        }

        fn grant_up_to(&self, most: u16) -> Result<Vec<u32>, MsiError> {
            MsiServices::new(self, 0x0800_0000_2000_0000).grant(DeviceId::new(0, 0, 1, 0).unwrap(), most)
        }

        fn released(&self) -> bool {
            self.calls
                .borrow()
                .iter()
                .any(|(service, args)| *service == "ibm,change-msi" && args[3..5] == [1, 0])
        }
    }

    impl Rtas for &Firmware {
        fn rtas(&self, service: Service, args: &[u32], rets: &mut [u32]) -> Result<(), RtasError> {
            self.calls.borrow_mut().push((service.name(), args.to_vec()));
            let answer = match service {
                Service::ChangeMsi => [self.granted?, 2, 4],
                _ => [self.source.wrapping_add(args[3]), self.kind, 0],
            };
            rets.copy_from_slice(&answer[..rets.len()]);
            Ok(())
        }
    }

    #[test]
    fn one_msi_x_message_is_asked_for_and_its_source_queried() {
        let firmware = Firmware::new(Ok(1), 0x1300, 1);
        assert_eq!(firmware.grant(), Ok(0x1300));
        let calls = firmware.calls.borrow();
        assert_eq!(calls[0], ("ibm,change-msi", [0x800, 0x0800_0000, 0x2000_0000, 4, 1, 1].to_vec()));
        let query = [0x800, 0x0800_0000, 0x2000_0000, 0].to_vec();
        assert_eq!(calls[1], ("ibm,query-interrupt-source-number", query));
    }

    #[test]
    fn each_vector_that_is_granted_has_its_own_source_and_no_more_than_asked_for_are_taken() {
        assert_eq!(Firmware::new(Ok(2), 0x1300, 1).grant_up_to(4), Ok(vec![0x1300, 0x1301]));
        assert_eq!(Firmware::new(Ok(u32::MAX), 0x1300, 1).grant_up_to(3), Ok(vec![0x1300, 0x1301, 0x1302]));
        let firmware = Firmware::new(Ok(2), 0x00ff_ffff, 1);
        assert_eq!(firmware.grant_up_to(2), Err(MsiError::Source(0x0100_0000)));
        assert!(firmware.released());
    }

    #[test]
    fn a_refusal_or_zero_granted_messages_are_an_error() {
        assert_eq!(Firmware::new(Ok(0), 0x1300, 1).grant(), Err(MsiError::None));
        let refused = Err(RtasError::Parameter);
        assert_eq!(Firmware::new(refused, 0, 0).grant(), Err(MsiError::Rtas(RtasError::Parameter)));
    }

    #[test]
    fn an_impossible_source_is_refused_and_the_message_released() {
        for source in [0, 1, 2, 0x0100_0000, u32::MAX] {
            let firmware = Firmware::new(Ok(1), source, 1);
            assert_eq!(firmware.grant(), Err(MsiError::Source(source)));
            assert!(firmware.released());
        }
        let firmware = Firmware::new(Ok(1), 0x1300, 0);
        assert_eq!(firmware.grant(), Err(MsiError::NotEdge(0)));
        assert!(firmware.released());
    }
}
