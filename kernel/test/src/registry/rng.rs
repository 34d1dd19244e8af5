//! A source of random bytes.

use super::guest::Guest;
use super::not_ok::NotOk;
use postern_kernel::devices::set::RandomBytes;

/// At least one in this number of bytes must have a new value. Of 64 random bytes about 57 have.
const NEW_OF: usize = 4;

/// A source that repeats the same bytes is broken. Other faults of random bytes cannot be detected here.
pub fn bytes(guest: &Guest<'_>) -> Result<(), NotOk> {
    let RandomBytes { count, values } = guest.devices.random.ok_or(NotOk::Missing("virtio-rng"))?;
    let least = count.div_ceil(NEW_OF);
    if values >= least {
        return Ok(());
    }
    let [found, least, most] = [values, least, count].map(|number| number as u64);
    Err(NotOk::Outside { what: "different values of the random bytes", found, least, most })
}
