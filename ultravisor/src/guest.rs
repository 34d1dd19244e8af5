//! The kind of kernel that an ultravisor serves.

/// What is known of the guest's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guest {
    /// A kernel that stays where UV_ESM entered it, and makes each ultracall with interrupts off and zeros in registers
    /// beyond the arguments. Anything else is a violation.
    Strict,
    /// Any kernel. It may move, and its programs make system calls, so after UV_ESM it is stopped at its ultracalls, not
    /// at its vectors.
    Any {
        /// Whether its tests of MSR\[S\] are patched to find 1; TCG reads the bit as 0.
        patch_msr: bool,
    },
}
