//! What the tests of `test=` work on.

use postern_core::cmdline::Options;
use postern_kernel::devices::set::Devices;
use postern_kernel::report::Report;

/// What a test works on.
pub struct Guest<'a> {
    /// The command line.
    pub options: &'a Options,
    /// The devices.
    pub devices: &'a mut Devices,
    /// Where an address by DHCP is stated.
    pub report: &'a mut Report,
    /// Whether the first card was refused an address before.
    pub no_address: bool,
}
