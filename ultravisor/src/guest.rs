//! What kind of kernel an ultravisor meets.

/// What is known of the guest's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guest {
    /// It stays where UV_ESM entered it, and makes each ultracall with interrupts off and nothing in registers beyond
    /// the arguments. Whatever it does otherwise is a violation.
    Strict,
    /// Any kernel. It may move, and its programs make system calls: after UV_ESM it is stopped at its ultracalls and
    /// not at its vectors.
    Any {
        /// Whether its tests of MSR\[S\] are changed, which TCG always reads as 0, so that they find 1.
        patch_msr: bool,
    },
}
