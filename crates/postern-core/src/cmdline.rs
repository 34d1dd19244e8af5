//! The command line, `/chosen/bootargs`: text from the host in, typed options out.
//!
//! The boot stage reads it before there is a heap, so nothing here allocates.

mod error;
mod extra;
mod options;
mod steps;
mod uses;
mod values;
pub mod words;

pub use error::{CmdlineError, Fault};
pub use extra::{Extra, ExtraOption};
pub use options::{Console, DEFAULT_POOL, DEFAULT_SEED, Ip, Irq, MAX_STEPS, Options, ReportOption};
pub use steps::{ExtraStep, Step};
pub use uses::{Unused, Why, unused};
pub use values::{MAX_POOL, MAX_SECONDS, number};
pub use words::{OPTIONS, STEPS, TEST_OPTIONS, TEST_STEPS};

use arrayvec::ArrayVec;
use core::net::Ipv4Addr;
use pseries_tree::machine::MAX_LINE;

/// Most problems that are kept; more are only counted.
pub const MAX_ERRORS: usize = 8;

/// What a command line says, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// The options; an option that is not given, or wrong, has its default.
    pub options: Options,
    /// The first [`MAX_ERRORS`] wrong words, in order.
    pub errors: ArrayVec<CmdlineError<'a>, MAX_ERRORS>,
    /// Number of further errors.
    pub errors_left_out: usize,
}

impl<'a> Parsed<'a> {
    fn report(&mut self, word: Word<'a>, fault: Fault) {
        let error = CmdlineError { option: word.option, value: word.value, fault };
        if self.errors.try_push(error).is_err() {
            self.errors_left_out = self.errors_left_out.saturating_add(1);
        }
    }
}

#[derive(Clone, Copy)]
struct Word<'a> {
    option: &'a [u8],
    value: Option<&'a [u8]>,
}

/// Reads a command line as the product does: words between blanks, each `option=value`, up to the first NUL. If an
/// option is given twice, the later value counts.
#[must_use]
pub fn parse(line: &[u8]) -> Parsed<'_> {
    parse_with(line, &mut ())
}

/// Reads a command line as an image with words of its own does; their values go to `extra`.
#[must_use]
pub fn parse_with<'a>(line: &'a [u8], extra: &mut impl Extra) -> Parsed<'a> {
    let mut parsed = Parsed::default();
    let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
    if line.len() > MAX_LINE {
        parsed.report(Word { option: b"", value: None }, Fault::LineTooLong(line.len()));
        return parsed;
    }
    let (mut gateway, mut steps_given) = (None, false);
    for word in line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        let mut halves = word.splitn(2, |&byte| byte == b'=');
        let word = Word { option: halves.next().unwrap_or_default(), value: halves.next() };
        steps_given |= word.option == b"run";
        if let Err(fault) = apply(&mut parsed.options, extra, &mut gateway, word) {
            parsed.report(word, fault);
        }
    }
    if let Some((word, address)) = gateway
        && let Err(fault) = values::set_gateway(&mut parsed.options.ip, address)
    {
        parsed.report(word, fault);
    }
    if let Some(step) = extra.default_step().filter(|_| !steps_given) {
        parsed.options.run = core::iter::once(Step::Extra(step)).collect();
    }
    if let Err(fault) = extra.check(&parsed.options) {
        parsed.report(Word { option: b"run", value: None }, fault);
    }
    parsed
}

fn apply<'a>(
    options: &mut Options,
    extra: &mut impl Extra,
    gateway: &mut Option<(Word<'a>, Ipv4Addr)>,
    word: Word<'a>,
) -> Result<(), Fault> {
    let is_extra = extra.options().iter().any(|option| option.name == word.option);
    if !is_extra && !OPTIONS.contains(&word.option) {
        return Err(extra::unknown_option(word.option));
    }
    let value = word.value.filter(|value| !value.is_empty()).ok_or(Fault::NoValue)?;
    // Replace a value that is not UTF-8 by one that no option accepts.
    let value = core::str::from_utf8(value).unwrap_or("\0");
    if is_extra {
        return extra.set(word.option, value);
    }
    match word.option {
        b"svm" => options.svm = Some(values::svm(value)?),
        b"pool" => options.pool = values::pool(value)?,
        b"loglevel" => options.loglevel = values::loglevel(value)?,
        b"console" => options.console = values::console(value)?,
        b"run" => options.run = values::run(value, extra)?,
        b"ip" => options.ip = values::ip(value)?,
        b"gw" => *gateway = Some((word, value.parse().map_err(|_| Fault::Expected("A.B.C.D"))?)),
        b"irq" => options.irq = values::irq(value)?,
        b"report" => options.report = values::report(value)?,
        b"seed" => options.seed = values::number(value).ok_or(Fault::Expected("a 64-bit number"))?,
        b"secret" => options.secret = Some(values::file(value)?),
        b"http" => options.http = Some(values::switch(value)?),
        b"device-timeout" => options.device_timeout = Some(values::seconds(value)?),
        _ => options.serve = Some(values::seconds(value)?),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
