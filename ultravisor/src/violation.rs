//! Rules that a guest breaks, by the ultravisor's account.

use super::call;
use std::fmt;

/// Something a correct guest never does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A number that no document lists.
    UnknownCall(u64),
    /// A call of the hypervisor's.
    HypervisorCall(u64),
    /// A call made from problem state.
    ProblemState(u64),
    /// A call with a register beyond its arguments that is not zero.
    Unscrubbed {
        /// The ultracall, or the hypercall.
        opcode: u64,
        /// The register's number.
        register: usize,
    },
    /// A hypercall that is not in the ultravisor's table.
    UnlistedHypercall(u64),
    /// An ultracall with interrupts enabled: one that arrives during it is lost.
    Interruptible(u64),
    /// The ultravisor's handler of this RTAS service copies private memory at this address to the host or from it, or
    /// starts a CPU there.
    Rtas(&'static str, u64),
    /// A share call before UV_ESM.
    NotSecure(u64),
    /// UV_ESM of a secure VM.
    AlreadySecure,
    /// A range of frames that is empty, wraps around or leaves RAM.
    BadRange {
        /// The call.
        opcode: u64,
        /// First frame.
        gfn: u64,
        /// Number of frames.
        count: u64,
    },
    /// A share or unshare of a frame that the ultravisor keeps for itself, or of the guest's RTAS area, where a share
    /// succeeds and does nothing.
    ReservedFrame {
        /// The call.
        opcode: u64,
        /// The first such frame.
        gfn: u64,
    },
    /// The kernel in memory differs from its file, first at this address.
    KernelDiffers(u64),
    /// The guest unshares frames in which the host could see more than the public word of a proof, first at this address.
    ShowedData(u64),
    /// The guest shares frames with its kernel or its tree in them, which begins at this address.
    SharesItself(u64),
    /// The ultravisor reserves a frame that holds the tree or the kernel, because the tree does not reserve it.
    ReservationHits(u64),
    /// An assertion of the ultravisor failed, or it killed the VM, for this reason.
    Dead(&'static str),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCall(opcode) => write!(f, "ultracall {opcode:#x} does not exist"),
            Self::HypervisorCall(opcode) => {
                write!(f, "{} ({opcode:#x}) is the hypervisor's", call::name(*opcode))
            }
            Self::ProblemState(opcode) => write!(f, "{} from problem state", call::name(*opcode)),
            Self::Unscrubbed { opcode, register } => {
                write!(f, "call {opcode:#x} leaves something in r{register}, beyond its arguments")
            }
            Self::UnlistedHypercall(number) => write!(f, "hypercall {number:#x} ends the ultravisor"),
            Self::Interruptible(opcode) => write!(f, "{} with interrupts enabled", call::name(*opcode)),
            Self::Rtas(service, address) => {
                write!(f, "a call has the token of {service}, whose handler uses {address:#x}")
            }
            Self::NotSecure(opcode) => write!(f, "{} by a VM that is not secure", call::name(*opcode)),
            Self::AlreadySecure => write!(f, "UV_ESM by a VM that is secure"),
            Self::BadRange { opcode, gfn, count } => {
                write!(f, "{} of {count:#x} frames from {gfn:#x}: not a range in RAM", call::name(*opcode))
            }
            Self::ReservedFrame { opcode, gfn } => {
                write!(f, "{} of frame {gfn:#x}, which is the ultravisor's or RTAS's", call::name(*opcode))
            }
            Self::KernelDiffers(address) => {
                write!(f, "the kernel in memory differs from its file at {address:#x}")
            }
            Self::ShowedData(address) => {
                write!(f, "data was in a frame while it was shared, at {address:#x}")
            }
            Self::SharesItself(address) => write!(f, "UV_SHARE_PAGE of kernel or tree, at {address:#x}"),
            Self::ReservationHits(address) => {
                write!(f, "the frame at {address:#x} is in use and not reserved, and the ultravisor takes it")
            }
            Self::Dead(reason) => write!(f, "the ultravisor ended: {reason}"),
        }
    }
}
