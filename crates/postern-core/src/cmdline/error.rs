//! Errors of the command line.

use core::fmt;
use papr::text::Escaped;
use pseries_tree::machine::MAX_LINE;

/// One wrong word of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CmdlineError<'a> {
    /// The part before `=`, or the whole word.
    pub option: &'a [u8],
    /// The part after `=`.
    pub value: Option<&'a [u8]>,
    /// What is wrong with the word.
    pub fault: Fault,
}

/// What can be wrong with a word of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No image has this option.
    Unknown,
    /// The option needs a value.
    NoValue,
    /// The value is not of this form.
    Expected(&'static str),
    /// This item of a list, counted from 1, is not of this form.
    Item(usize, &'static str),
    /// The gateway is not another machine in the network of `ip=`.
    GatewayOutside,
    /// A step of `run=` needs this option.
    Needs(&'static str),
    /// Only the test image knows this option or step.
    TestImage(&'static str),
    /// `gw=` without a static `ip=`.
    GatewayWithoutIp,
    /// The line has this many bytes, more than [`MAX_LINE`]; none of it was read.
    LineTooLong(usize),
}

impl fmt::Display for CmdlineError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Fault::LineTooLong(len) = self.fault {
            return write!(f, "command line of {len} bytes, at most {MAX_LINE} are read");
        }
        write!(f, "{}", Escaped(self.option))?;
        if let Some(value) = self.value {
            write!(f, "={}", Escaped(value))?;
        }
        match self.fault {
            Fault::Unknown => f.write_str(": unknown option"),
            Fault::NoValue => f.write_str(": needs a value"),
            Fault::Expected(what) => write!(f, ": expected {what}"),
            Fault::Item(number, what) => write!(f, ": item {number}: expected {what}"),
            Fault::GatewayOutside => f.write_str(": no other host in the network of ip="),
            Fault::Needs(what) => write!(f, ": needs {what}"),
            Fault::TestImage(word) => write!(f, ": only the test image (postern-test) knows {word}"),
            Fault::GatewayWithoutIp => f.write_str(": needs ip=A.B.C.D/len"),
            Fault::LineTooLong(_) => Ok(()),
        }
    }
}
