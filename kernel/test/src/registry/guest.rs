//! The machine that the tests of `test=` run on.

use core::net::Ipv4Addr;
use postern_core::cmdline::Options;
use postern_kernel::devices::set::Devices;
use postern_kernel::report::Report;

/// The parts of the guest that a test uses.
pub struct Guest<'a> {
    /// The command line.
    pub options: &'a Options,
    /// A host that echoes TCP.
    pub echo: Option<Ipv4Addr>,
    /// The devices.
    pub devices: &'a mut Devices,
    /// The report, which gets an address that DHCP gives.
    pub report: &'a mut Report,
    /// Whether a test has failed to get an address for the first card.
    pub no_address: bool,
}
