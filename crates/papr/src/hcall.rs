//! Hypervisor calls (`sc 1`): the closed list of calls that this kernel makes, and their status codes.
//!
//! Numbers and codes: PAPR+ 14.5; QEMU `include/hw/ppc/spapr.h`. The list is closed because the published
//! ultravisor aborts the host at a number outside its own table (`core/hcall.c`).

use thiserror::Error;

pub mod calls;

/// Every hcall this kernel makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Hcall {
    /// H_GET_TCE: liobn, ioba -> tce
    GetTce = 0x1c,
    /// H_PUT_TCE: liobn, ioba, tce
    PutTce = 0x20,
    /// H_LOGICAL_CI_LOAD: size, address -> value, as a big-endian CPU reads it
    LogicalCiLoad = 0x3c,
    /// H_LOGICAL_CI_STORE: size, address, value
    LogicalCiStore = 0x40,
    /// H_GET_TERM_CHAR: terminal -> length, 16 bytes
    GetTermChar = 0x54,
    /// H_PUT_TERM_CHAR: terminal, length (at most 16), 16 bytes
    PutTermChar = 0x58,
    /// H_EOI: xirr. Ends the interrupt and restores the priority in the top byte.
    Eoi = 0x64,
    /// H_CPPR: priority. Masks interrupts that are not more urgent.
    Cppr = 0x68,
    /// H_IPI: server, priority of its request (0xff: none)
    Ipi = 0x6c,
    /// H_XIRR: -> xirr. Accepts the most urgent pending interrupt.
    Xirr = 0x74,
    /// H_CEDE: gives the CPU up until an interrupt; returns with MSR\[EE\] set
    Cede = 0xe0,
    /// H_STUFF_TCE: liobn, ioba, tce, count
    StuffTce = 0x138,
    /// H_SET_MODE: flags, resource, value 1, value 2
    SetMode = 0x31c,
    /// H_REGISTER_PROC_TBL: flags, base, page size, log2 of the size less 12
    RegisterProcTbl = 0x37c,
    /// H_RTAS: address of the argument block
    Rtas = 0xf000,
}

/// An hcall that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HcallError {
    /// H_BUSY (1) or H_LONG_BUSY_* (9900..=9905): try again later.
    #[error("H_BUSY ({0})")]
    Busy(i64),
    /// H_CLOSED (2): the resource is closed.
    #[error("H_CLOSED")]
    Closed,
    /// H_NOT_AVAILABLE (3): the resource is not available.
    #[error("H_NOT_AVAILABLE")]
    NotAvailable,
    /// H_HARDWARE (-1): a hardware error.
    #[error("H_HARDWARE")]
    Hardware,
    /// H_FUNCTION (-2): the hypervisor does not have this call.
    #[error("H_FUNCTION")]
    Function,
    /// H_PRIVILEGE (-3): the caller must not make this call.
    #[error("H_PRIVILEGE")]
    Privilege,
    /// H_PARAMETER (-4), H_P2..H_P5 (-55..=-58): which argument was wrong, the first counted 1.
    #[error("H_P{0}")]
    Parameter(u8),
    /// H_AUTHORITY (-10): the caller has no authority over the resource.
    #[error("H_AUTHORITY")]
    Authority,
    /// H_PERMISSION (-11): the caller has no permission.
    #[error("H_PERMISSION")]
    Permission,
    /// H_RESOURCE (-16): the hypervisor is short of a resource.
    #[error("H_RESOURCE")]
    Resource,
    /// H_UNSUPPORTED (-67): the call is not supported in this state.
    #[error("H_UNSUPPORTED")]
    Unsupported,
    /// A status code with no name here.
    #[error("unknown hcall status {0}")]
    Unknown(i64),
}

/// Registers r3 to r7 after an hcall, not validated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HcallReturn {
    /// r3: the status.
    pub status: i64,
    /// r4..r7: the outputs.
    pub out: [u64; 4],
}

impl HcallReturn {
    /// The outputs, when the status is H_SUCCESS.
    ///
    /// # Errors
    /// Every other status, by its name.
    pub fn ok(self) -> Result<[u64; 4], HcallError> {
        Err(match self.status {
            0 => return Ok(self.out),
            busy @ (1 | 9900..=9905) => HcallError::Busy(busy),
            2 => HcallError::Closed,
            3 => HcallError::NotAvailable,
            -1 => HcallError::Hardware,
            -2 => HcallError::Function,
            -3 => HcallError::Privilege,
            -4 => HcallError::Parameter(1),
            -10 => HcallError::Authority,
            -11 => HcallError::Permission,
            -16 => HcallError::Resource,
            -55 => HcallError::Parameter(2),
            -56 => HcallError::Parameter(3),
            -57 => HcallError::Parameter(4),
            -58 => HcallError::Parameter(5),
            -67 => HcallError::Unsupported,
            other => HcallError::Unknown(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_cases::case;

    /// Whether the ultravisor passes the call on (`core/hcall-regs.c`). No wildcard: a call that is added has to
    /// be looked up there.
    fn passed_on(call: Hcall) -> bool {
        match call {
            Hcall::GetTce | Hcall::PutTce | Hcall::StuffTce => true,
            Hcall::LogicalCiLoad | Hcall::LogicalCiStore => true,
            Hcall::GetTermChar | Hcall::PutTermChar => true,
            Hcall::Eoi | Hcall::Cppr | Hcall::Ipi | Hcall::Xirr => true,
            Hcall::Cede | Hcall::SetMode | Hcall::RegisterProcTbl | Hcall::Rtas => true,
        }
    }

    #[test]
    fn every_call_is_one_that_the_ultravisor_passes_on() {
        case!("HC-12", Ignore);
        let calls = [
            (Hcall::GetTce, 0x1c),
            (Hcall::PutTce, 0x20),
            (Hcall::LogicalCiLoad, 0x3c),
            (Hcall::LogicalCiStore, 0x40),
            (Hcall::GetTermChar, 0x54),
            (Hcall::PutTermChar, 0x58),
            (Hcall::Eoi, 0x64),
            (Hcall::Cppr, 0x68),
            (Hcall::Ipi, 0x6c),
            (Hcall::Xirr, 0x74),
            (Hcall::Cede, 0xe0),
            (Hcall::StuffTce, 0x138),
            (Hcall::SetMode, 0x31c),
            (Hcall::RegisterProcTbl, 0x37c),
            (Hcall::Rtas, 0xf000),
        ];
        for (call, number) in calls {
            assert!(passed_on(call));
            assert_eq!(call as u64, number, "{call:?}");
        }
    }
}
