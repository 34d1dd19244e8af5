//! Values of `bench=`: pieces of disk work, each measured by itself.
//!
//! The boot stage reads the command line before there is a heap, so nothing here allocates.

use core::fmt;
use core::time::Duration;

/// Most pieces of work in one `bench=`.
pub const MAX_WORK: usize = 32;
/// Most bytes of one request.
pub const MAX_BYTES: u32 = 4 << 20;
/// Most requests in flight.
pub const MAX_DEPTH: u16 = 256;

/// Reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads.
    Read,
    /// Writes.
    Write,
}

/// The request order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Sequential, from the start again after the end.
    Sequential,
    /// At offsets that a fixed seed chooses.
    Random,
}

/// One piece of work: `read|write:SIZE:DEPTH:seq|random:MILLISECONDS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Reads or writes.
    pub access: Access,
    /// Bytes of each request, whole sectors.
    pub bytes: u32,
    /// Requests in flight.
    pub depth: u16,
    /// The request order.
    pub order: Order,
    /// How long requests are submitted.
    pub time: Duration,
}

impl Work {
    /// Parses one piece of work; `None` if it does not have the form above.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(':');
        let mut next = || fields.next();
        let access = match next()? {
            "read" => Access::Read,
            "write" => Access::Write,
            _ => return None,
        };
        let bytes = number(next()?, MAX_BYTES.into()).filter(|bytes| bytes.is_multiple_of(512))?;
        let depth = number(next()?, MAX_DEPTH.into())?;
        let order = match next()? {
            "seq" => Order::Sequential,
            "random" => Order::Random,
            _ => return None,
        };
        let time = Duration::from_millis(number(next()?, 600_000)?);
        let (bytes, depth) = (u32::try_from(bytes).ok()?, u16::try_from(depth).ok()?);
        next().is_none().then_some(Self { access, bytes, depth, order, time })
    }
}

/// A decimal number from 1 to `most`.
fn number(text: &str, most: u64) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && (1..=most).contains(number))
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match self.access {
            Access::Read => "read",
            Access::Write => "write",
        };
        let order = match self.order {
            Order::Sequential => "seq",
            Order::Random => "random",
        };
        write!(f, "{access}:{}:{}:{order}:{}", self.bytes, self.depth, self.time.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::{Access, Order, Work};
    use core::time::Duration;
    use std::string::ToString;

    #[test]
    fn work_reads_back_as_it_is_shown() {
        let work = Work {
            access: Access::Write,
            bytes: 65536,
            depth: 8,
            order: Order::Sequential,
            time: Duration::from_millis(250),
        };
        assert_eq!(work.to_string(), "write:65536:8:seq:250");
        assert_eq!(Work::parse("write:65536:8:seq:250"), Some(work));
        assert_eq!(Work::parse("read:512:1:random:1").map(|work| work.order), Some(Order::Random));
    }

    #[test]
    fn what_is_not_of_the_form_is_refused() {
        for text in [
            "",
            "read",
            "erase:4096:1:seq:1",
            "read:4095:1:seq:1",
            "read:0:1:seq:1",
            "read:8388608:1:seq:1",
            "read:4096:0:seq:1",
            "read:4096:257:seq:1",
            "read:+512:1:seq:1",
            "read:4096:1:sideways:1",
            "read:4096:1:seq:0",
            "read:4096:1:seq:1:1",
        ] {
            assert_eq!(Work::parse(text), None, "{text}");
        }
    }
}
