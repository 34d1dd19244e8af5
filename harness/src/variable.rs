//! `NAME=VALUE` words, as typed after `make run`: the permitted values, and the error line for a wrong one.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use postern_ultravisor::Firmware;

/// A variable whose value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadVariable {
    /// The variable's name, as it was typed.
    pub name: String,
    /// The value that was refused.
    pub value: String,
    /// The accepted values.
    pub expected: &'static str,
}

impl fmt::Display for BadVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}: expected {}", self.name, self.value, self.expected)
    }
}

impl std::error::Error for BadVariable {}

/// The vCPU model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu {
    /// POWER9
    Power9,
    /// POWER10
    Power10,
    /// POWER11, of QEMU 10.
    Power11,
}

impl Cpu {
    /// Every model.
    pub const ALL: [Self; 3] = [Self::Power9, Self::Power10, Self::Power11];

    /// QEMU's name of the model.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Power9 => "power9",
            Self::Power10 => "power10",
            Self::Power11 => "power11",
        }
    }
}

/// The guest's network card, and its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Net {
    /// No card.
    None,
    /// QEMU's user networking, with the guest's port 7 (UDP and TCP) forwarded from free loopback ports.
    User,
    /// The same, with ports 9 and 19 as well.
    OneWay,
    /// Any other `-netdev` argument; the card's id is appended.
    Netdev(String),
    /// The vhost-user server behind this socket.
    Server(PathBuf),
}

/// Splits `NAME=VALUE`; `None` when the word is not of that form with an upper-case name.
#[must_use]
pub fn split(word: &OsStr) -> Option<(String, OsString)> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let bytes = word.as_bytes();
    let at = bytes.iter().position(|&b| b == b'=')?;
    let (name, rest) = bytes.split_at(at);
    let upper = |b: &u8| b.is_ascii_uppercase() || *b == b'_';
    if name.is_empty() || !name.iter().all(upper) {
        return None;
    }
    Some((String::from_utf8(name.to_vec()).ok()?, OsString::from_vec(rest[1..].to_vec())))
}

/// A `NAME=VALUE` word, before its value is parsed.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// The name, for the error.
    pub name: &'a str,
    /// The text after `=`.
    pub text: &'a OsStr,
}

impl Value<'_> {
    /// The error for this value.
    #[must_use]
    pub fn bad(&self, expected: &'static str) -> BadVariable {
        BadVariable { name: self.name.to_owned(), value: self.text.to_string_lossy().into_owned(), expected }
    }

    fn str(&self, expected: &'static str) -> Result<&str, BadVariable> {
        self.text.to_str().ok_or_else(|| self.bad(expected))
    }

    /// # Errors
    /// Not one of the three names.
    pub fn firmware(&self) -> Result<Firmware, BadVariable> {
        let expected = "slof, vof or bios";
        let text = self.str(expected)?;
        Firmware::ALL.into_iter().find(|f| f.name() == text).ok_or_else(|| self.bad(expected))
    }

    /// # Errors
    /// Neither `on` nor `off`.
    pub fn switch(&self) -> Result<bool, BadVariable> {
        match self.str("on or off")? {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(self.bad("on or off")),
        }
    }

    /// # Errors
    /// Neither `yes` nor `no`.
    pub fn yes_no(&self) -> Result<bool, BadVariable> {
        match self.str("yes or no")? {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => Err(self.bad("yes or no")),
        }
    }

    /// # Errors
    /// No model that the kernel runs on.
    pub fn cpu(&self) -> Result<Cpu, BadVariable> {
        let expected = "power9, power10 or power11";
        let text = self.str(expected)?;
        Cpu::ALL.into_iter().find(|c| c.name() == text).ok_or_else(|| self.bad(expected))
    }

    /// # Errors
    /// Not a number of 64 bits.
    pub fn number(&self) -> Result<u64, BadVariable> {
        let expected = "a number";
        self.str(expected)?.parse().map_err(|_| self.bad(expected))
    }

    /// # Errors
    /// Not a number from 1 to 64.
    pub fn cpus(&self) -> Result<u32, BadVariable> {
        let expected = "a number of vCPUs from 1 to 64";
        match self.str(expected)?.parse() {
            Ok(n @ 1..=64) => Ok(n),
            _ => Err(self.bad(expected)),
        }
    }

    /// Guest memory in bytes.
    ///
    /// # Errors
    /// Not a size, or one that the machine cannot have: it has whole blocks of 256 MiB.
    pub fn memory(&self) -> Result<u64, BadVariable> {
        let expected = "a multiple of 256M, such as 512M or 1G";
        let text = self.str(expected)?;
        let (digits, unit) = match text.as_bytes().last() {
            Some(b'M' | b'm') => (&text[..text.len() - 1], 1_u64 << 20),
            Some(b'G' | b'g') => (&text[..text.len() - 1], 1 << 30),
            _ => return Err(self.bad(expected)),
        };
        let bytes = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
        match bytes {
            Some(n) if n > 0 && n % (256 << 20) == 0 && n <= 1 << 40 => Ok(n),
            _ => Err(self.bad(expected)),
        }
    }

    /// # Errors
    /// Neither `user` nor `none`, nor in the form of a `-netdev` argument.
    pub fn net(&self) -> Result<Net, BadVariable> {
        let expected = "none, user, or a -netdev argument such as tap,ifname=tap0,script=no";
        match self.str(expected)? {
            "none" => Ok(Net::None),
            "user" => Ok(Net::User),
            text if text.contains(',') && text.contains('=') => Ok(Net::Netdev(text.to_owned())),
            _ => Err(self.bad(expected)),
        }
    }

    /// # Errors
    /// Not a valid port number.
    pub fn port(&self) -> Result<u16, BadVariable> {
        let expected = "a port from 1 to 65535";
        match self.str(expected)?.parse() {
            Ok(n @ 1..) => Ok(n),
            _ => Err(self.bad(expected)),
        }
    }

    /// # Errors
    /// Not a number of seconds above 0.
    pub fn seconds(&self) -> Result<Duration, BadVariable> {
        let expected = "a number of seconds from 1 to 86400";
        match self.str(expected)?.parse() {
            Ok(n @ 1..=86400) => Ok(Duration::from_secs(n)),
            _ => Err(self.bad(expected)),
        }
    }

    /// # Errors
    /// Not a number from 1 to 64.
    pub fn jobs(&self) -> Result<usize, BadVariable> {
        let expected = "a number of jobs from 1 to 64";
        match self.str(expected)?.parse() {
            Ok(n @ 1..=64) => Ok(n),
            _ => Err(self.bad(expected)),
        }
    }

    /// # Errors
    /// Not a number from 1 to 1000.
    pub fn times(&self) -> Result<usize, BadVariable> {
        let expected = "a number from 1 to 1000";
        match self.str(expected)?.parse() {
            Ok(n @ 1..=1000) => Ok(n),
            _ => Err(self.bad(expected)),
        }
    }

    /// # Errors
    /// The file does not exist.
    pub fn file(&self) -> Result<PathBuf, BadVariable> {
        let path = PathBuf::from(self.text);
        if path.is_file() { Ok(path) } else { Err(self.bad("the path of an existing file")) }
    }

    /// # Errors
    /// Not text, or more than one line.
    pub fn line(&self) -> Result<String, BadVariable> {
        let expected = "one line of text";
        let text = self.str(expected)?;
        if text.contains(['\n', '\0']) { Err(self.bad(expected)) } else { Ok(text.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value<'_> {
        Value { name: "X", text: OsStr::new(text) }
    }

    #[test]
    fn the_error_names_the_bad_value_and_the_accepted_ones() {
        let error = Value { name: "FIRMWARE", text: OsStr::new("seabios") }.firmware().unwrap_err();
        assert_eq!(error.to_string(), "FIRMWARE=seabios: expected slof, vof or bios");
    }

    #[test]
    fn memory_is_whole_blocks_of_256_mib() {
        assert_eq!(value("512M").memory(), Ok(512 << 20));
        assert_eq!(value("4G").memory(), Ok(4 << 30));
        for text in ["", "M", "0M", "300M", "512", "-1G", "1T", "99999999999999G"] {
            assert!(value(text).memory().is_err(), "{text}");
        }
    }

    #[test]
    fn only_upper_case_names_are_variables() {
        assert_eq!(split(OsStr::new("MEM=1G")), Some(("MEM".into(), "1G".into())));
        assert_eq!(split(OsStr::new("APPEND=run=demo")), Some(("APPEND".into(), "run=demo".into())));
        assert_eq!(split(OsStr::new("slof/secure")), None);
        assert_eq!(split(OsStr::new("=x")), None);
        assert_eq!(split(OsStr::new("mem=1G")), None);
    }

    #[test]
    fn each_model_of_cpu_is_known_by_its_name_alone() {
        for cpu in Cpu::ALL {
            assert_eq!(value(cpu.name()).cpu(), Ok(cpu));
        }
        for text in ["", "power8", "POWER9", "power12", "power11 ", "power11,compat"] {
            assert!(value(text).cpu().is_err(), "{text}");
        }
    }

    #[test]
    fn a_netdev_argument_is_passed_on() {
        assert_eq!(value("user").net(), Ok(Net::User));
        assert_eq!(value("tap,ifname=t0").net(), Ok(Net::Netdev("tap,ifname=t0".into())));
        assert!(value("wifi").net().is_err());
    }

    #[test]
    fn counts_have_limits() {
        assert_eq!(value("2").cpus(), Ok(2));
        assert!(value("0").cpus().is_err());
        assert!(value("two").jobs().is_err());
        assert!(value("0").seconds().is_err());
        assert_eq!(value("65535").port(), Ok(65535));
        assert!(value("0").port().is_err());
        assert!(value("65536").port().is_err());
    }
}
