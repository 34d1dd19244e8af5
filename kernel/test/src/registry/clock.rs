//! Tests of the timebase and of RTAS's clock.

use super::not_ok::NotOk;
use core::time::Duration;
use papr::clock::{Clock, Deadline, duration};
use papr::platform::Rtas;
use papr::rtas::Service;
use postern_kernel::platform::pseries::Pseries;

/// Reads of the timebase in a row.
const SAMPLES: usize = 10_000;
/// Milliseconds of the timebase that a second of RTAS's clock may take, if both are read each [`POLL_INTERVAL`].
const SECOND: core::ops::RangeInclusive<u64> = 900..=1100;
/// How often RTAS is asked.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How long the next second may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most seconds that are measured: a busy host makes some of them long or short, but not all.
const TRIES: usize = 4;

/// Year, month, day, hour, minute, second.
type Date = [u32; 6];

/// The date that RTAS states.
fn now() -> Result<Date, NotOk> {
    let mut words = [0; 7];
    Pseries.rtas(Service::GetTimeOfDay, &[], &mut words)?;
    let [year, month, day, hour, minute, second, _] = words;
    Ok([year, month, day, hour, minute, second])
}

/// Waits for RTAS's next second.
fn next_second() -> Result<(), NotOk> {
    let first = now()?;
    let mut deadline = Deadline::after(&Pseries, TIMEOUT);
    while now()? == first {
        if deadline.expired_after_cede(&Pseries, POLL_INTERVAL).0 {
            return Err(NotOk::Late("the next second of RTAS's clock"));
        }
    }
    Ok(())
}

/// The timebase never goes backwards, and runs as fast as the tree says, by RTAS's clock.
pub fn timebase() -> Result<(), NotOk> {
    let mut last = Pseries.now();
    for _ in 0..SAMPLES {
        let now = Pseries.now();
        if now < last {
            return Err(NotOk::Outside { what: "timebase", found: now, least: last, most: u64::MAX });
        }
        last = now;
    }
    next_second()?;
    let mut found = 0;
    for _ in 0..TRIES {
        let start = Pseries.now();
        next_second()?;
        let took = duration(&Pseries, Pseries.now().wrapping_sub(start));
        found = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if SECOND.contains(&found) {
            return Ok(());
        }
    }
    let what = "milliseconds of the timebase in a second of RTAS's clock";
    Err(NotOk::Outside { what, found, least: *SECOND.start(), most: *SECOND.end() })
}

/// RTAS's date is valid, and does not go backwards.
pub fn date() -> Result<(), NotOk> {
    let first = now()?;
    let [year, month, day, hour, minute, second] = first;
    let ranges = [
        ("year", year, 1970, 9999),
        ("month", month, 1, 12),
        ("day", day, 1, 31),
        ("hour", hour, 0, 23),
        ("minute", minute, 0, 59),
        ("second", second, 0, 60),
    ];
    for (what, found, least, most) in ranges {
        if !(least..=most).contains(&found) {
            let [found, least, most] = [found, least, most].map(u64::from);
            return Err(NotOk::Outside { what, found, least, most });
        }
    }
    // Dates as numbers in the order of time.
    let number =
        |date: Date| date.iter().fold(0u64, |sum, part| sum.wrapping_mul(100).wrapping_add((*part).into()));
    let (least, found) = (number(first), number(now()?));
    if found < least {
        return Err(NotOk::Outside { what: "date", found, least, most: u64::MAX });
    }
    Ok(())
}
