//! Conditions of a whole run: of the machine, of the ultravisor, of memory. Faults of single calls are in [`super::fault`].
//!
//! | text | effect |
//! |---|---|
//! | `esm:warn-only` | a development build of the ultravisor: a wrong or missing ESM blob is logged, all memory is kept |
//! | `esm:poison=code` | at the entry after UV_ESM, registers, low memory and all unmeasured memory hold addresses and code of the host, which prints HOST CODE RAN |
//! | `esm:poison=0xff` | the same with this byte |
//! | `esm:exit=0x500` | the first hypercall after UV_ESM returns into this interrupt vector, as `uv_return` may |
//! | `esm:boot-cpu=3` | the host writes this boot CPU into the tree's header just before UV_ESM reads it |
//! | `ram:fill=0x5a` | memory that is not used at reset holds this byte |
//! | `ram:outside=0x10000000+0x10000` | this range, whole 64 KiB frames, is in none of the VM's memory slots |

use std::fmt;
use std::ops::Range;

use super::fault::FaultError;
use super::frames::{FRAME_SHIFT, FRAME_SIZE};
use super::inject::{SLOT, SLOTS_END};

/// What memory and registers hold that the guest must overwrite before it uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poison {
    /// This byte.
    Byte(u8),
    /// Code that prints [`super::poison::MARKER`], and addresses of it.
    HostCode,
}

/// The conditions of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// ESM_BLOB_CHK_WARN_ONLY.
    pub warn_only: bool,
    /// What unmeasured memory and registers hold when the guest is entered.
    pub poison: Option<Poison>,
    /// Where the first hypercall after UV_ESM returns to: a multiple of 32 below 0x2000.
    pub exit: Option<u64>,
    /// The boot CPU that UV_ESM reads in the tree's header.
    pub boot_cpu: Option<u32>,
    /// What unused memory holds at reset.
    pub fill: Option<u8>,
    /// Frames outside the VM's memory slots, as guest frame numbers.
    pub outside: Vec<Range<u64>>,
    /// Where the guest is entered after UV_ESM, instead of at the kernel's base. Set by tests only, which have to see the
    /// poison's marker once.
    pub enter_at: Option<u64>,
    /// What r3 holds then, instead of the address of UV_ESM's tree. Set by tests only.
    pub enter_with: Option<u64>,
}

impl Conditions {
    /// Parses a condition. False if the text is not one.
    pub(super) fn take(&mut self, text: &str) -> Result<bool, FaultError> {
        let bad = || FaultError::BadCondition(text.to_owned());
        if text == "esm:warn-only" {
            self.warn_only = true;
        } else if let Some(what) = text.strip_prefix("esm:poison=") {
            self.poison = Some(match what {
                "code" => Poison::HostCode,
                byte => Poison::Byte(byte_of(byte).ok_or_else(bad)?),
            });
        } else if let Some(slot) = text.strip_prefix("esm:exit=") {
            let is_slot = |slot: &u64| *slot < SLOTS_END && slot.is_multiple_of(SLOT);
            self.exit = Some(number(slot).filter(is_slot).ok_or_else(bad)?);
        } else if let Some(cpu) = text.strip_prefix("esm:boot-cpu=") {
            self.boot_cpu = Some(number(cpu).and_then(|cpu| cpu.try_into().ok()).ok_or_else(bad)?);
        } else if let Some(byte) = text.strip_prefix("ram:fill=") {
            self.fill = Some(byte_of(byte).ok_or_else(bad)?);
        } else if let Some(range) = text.strip_prefix("ram:outside=") {
            self.outside.push(frames_of(range).ok_or_else(bad)?);
        } else if text.starts_with("ram:") {
            return Err(bad());
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// The texts that ask for these.
    pub(super) fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        if self.warn_only {
            texts.push("esm:warn-only".to_owned());
        }
        match self.poison {
            Some(Poison::HostCode) => texts.push("esm:poison=code".to_owned()),
            Some(Poison::Byte(byte)) => texts.push(format!("esm:poison={byte:#04x}")),
            None => {}
        }
        texts.extend(self.exit.map(|slot| format!("esm:exit={slot:#x}")));
        texts.extend(self.boot_cpu.map(|cpu| format!("esm:boot-cpu={cpu}")));
        texts.extend(self.fill.map(|byte| format!("ram:fill={byte:#04x}")));
        let range = |frames: &Range<u64>| {
            let (start, size) = (frames.start << FRAME_SHIFT, (frames.end - frames.start) << FRAME_SHIFT);
            format!("ram:outside={start:#x}+{size:#x}")
        };
        texts.extend(self.outside.iter().map(range));
        texts
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn byte_of(text: &str) -> Option<u8> {
    number(text)?.try_into().ok()
}

fn frames_of(text: &str) -> Option<Range<u64>> {
    let (start, size) = text.split_once('+')?;
    let (start, size) = (number(start)?, number(size)?);
    let whole = start.is_multiple_of(FRAME_SIZE) && size.is_multiple_of(FRAME_SIZE) && size > 0;
    let end = start.checked_add(size).filter(|_| whole)?;
    Some(start >> FRAME_SHIFT..end >> FRAME_SHIFT)
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_is_read_and_written_back() {
        let texts = [
            "esm:warn-only",
            "esm:poison=code",
            "esm:poison=0x05",
            "esm:exit=0x500",
            "esm:boot-cpu=3",
            "ram:fill=0x5a",
            "ram:outside=0x10000000+0x20000",
        ];
        for text in texts {
            let mut conditions = Conditions::default();
            assert_eq!(conditions.take(text), Ok(true));
            assert_eq!(conditions.to_string(), text);
        }
        let mut conditions = Conditions::default();
        assert_eq!(conditions.take("ram:outside=65536+131072"), Ok(true));
        assert_eq!(conditions.outside.first(), Some(&(1..3)));
        assert_eq!(conditions.take("esm:after"), Ok(false));
    }

    #[test]
    fn a_bad_condition_is_refused_by_name() {
        let texts = [
            "esm:poison=",
            "esm:poison=256",
            "esm:poison=Code",
            "esm:exit=0x510",
            "esm:exit=0x2000",
            "esm:boot-cpu=-1",
            "esm:boot-cpu=4294967296",
            "ram:fill=none",
            "ram:outside=0x10000",
            "ram:outside=0x10001+0x10000",
            "ram:outside=0x10000+0",
            "ram:outside=0xffffffffffff0000+0x10000",
            "ram:full",
        ];
        for text in texts {
            let refused = Conditions::default().take(text);
            assert_eq!(refused, Err(FaultError::BadCondition(text.to_owned())), "{text}");
        }
    }
}
