//! The result of a run, as text and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::absent::{Absent, Kernel};
use super::hypercalls::Hypercalls;
use super::servers::Account;
use super::small_pages::SmallPages;
use crate::Firmware;
use crate::call;
use crate::cut_short::CutShort;
use crate::devices::Devices;
use crate::frames::FRAME_SIZE;
use crate::{CallRecord, End, Report};

/// Most frames and runs that are listed.
const LISTED: usize = 6;

/// All that was seen.
#[derive(Debug)]
pub struct Summary {
    /// The ultravisor's part.
    pub report: Report,
    /// What devices reached, if there was a log of it.
    pub devices: Option<Devices>,
    /// The hypercalls that it made, likewise.
    pub hypercalls: Option<Hypercalls>,
    /// What came of servers in its devices' places.
    pub accounts: Vec<Account>,
    /// The hypercall for which the run was ended.
    pub cut_short: Option<CutShort>,
    /// The kernel's command line.
    pub append: String,
    /// What the kernel's file says about it.
    pub kernel: Kernel,
    /// What started the guest.
    pub firmware: Firmware,
    /// virtio devices whose accesses are not observed.
    pub bypassing: Vec<String>,
}

impl Summary {
    /// What is wrong, one sentence each; empty for a secure guest whose devices accessed only shared memory.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        // First, because it explains what follows.
        let mut findings: Vec<String> = self.small_pages().into_iter().collect();
        findings.extend(self.report.violations.iter().map(ToString::to_string));
        if !self.report.secure {
            findings.push(self.never_secure());
        }
        if let Some(devices) = &self.devices
            && let Some(first) = &devices.first
        {
            let (private, all) = (devices.private_accesses(), devices.accesses());
            findings.push(format!(
                "{private} of {all} device accesses were to memory that was not shared, the first {} after UV_ESM: \
                 guest address {:#x}, by I/O address {:#x} of bus {:#x}{}",
                self.since(first.at),
                first.address,
                first.ioba,
                first.liobn,
                self.report.wiring.sentence(first.liobn)
            ));
            findings.extend(self.unaware());
        }
        findings.extend(self.accounts.iter().flat_map(Account::findings));
        if let Some(hypercalls) = &self.hypercalls {
            findings.extend(hypercalls.wrong.iter().map(ToString::to_string));
            if hypercalls.unread > 0 {
                findings.push(format!("{} lines of QEMU's interrupt log cannot be read", hypercalls.unread));
            }
        }
        findings.extend(
            self.cut_short.iter().map(|call| format!("the guest was ended for this at once: {call}")),
        );
        if let Some(unread) = self.devices.as_ref().map(|devices| devices.unread).filter(|unread| *unread > 0)
        {
            findings.push(format!("{unread} lines of QEMU's trace cannot be read"));
        }
        if let End::Failed(error) = &self.report.end {
            findings.push(error.to_string());
        }
        findings
    }

    fn small_pages(&self) -> Option<String> {
        let (devices, hypercalls) = (self.devices.as_ref(), self.hypercalls.as_ref());
        let found = SmallPages::find(&self.report.calls, &self.kernel, devices, hypercalls)?;
        Some(found.to_string())
    }

    /// Why a secure guest does not know that it is secure, and shares nothing.
    fn unaware(&self) -> Option<String> {
        let tests = self.report.secure_bit.tests.len();
        (self.report.secure && tests > 0 && self.report.patched.is_empty()).then(|| {
            format!("the kernel tests MSR[S] in {tests} places and finds 0 there (--no-patch): it does not know that it is secure")
        })
    }

    fn never_secure(&self) -> String {
        if !self.report.esm.is_empty() {
            return "UV_ESM failed: the guest is an ordinary VM".to_owned();
        }
        Absent { kernel: &self.kernel, firmware: self.firmware, append: &self.append }.to_string()
    }

    /// A time since UV_ESM.
    fn since(&self, at: u64) -> String {
        let entered = self.report.calls.iter().rfind(|record| call::name(record.call.opcode) == "UV_ESM");
        let micros = at.saturating_sub(entered.map_or(at, CallRecord::micros));
        format!("{}.{:03} s", micros / 1_000_000, micros / 1000 % 1000)
    }

    /// Calls by who made them: name of the call, callers, how many, and how many frames.
    fn by_caller(&self) -> BTreeMap<(&str, String), (u64, u64)> {
        let mut table = BTreeMap::new();
        for record in &self.report.calls {
            let name = call::name(record.call.opcode);
            let entry: &mut (u64, u64) = table.entry((name, record.callers.join(" < "))).or_default();
            entry.0 += 1;
            entry.1 += if name.ends_with("SHARE_PAGE") { record.call.arguments[1] } else { 0 };
        }
        table
    }

    /// Private accesses by bus, with the devices that may have made them.
    fn private_by_bus(&self, devices: &Devices) -> Vec<Value> {
        let one = |(liobn, count): (&u64, &u64)| {
            json!({
                "liobn": format!("{liobn:#x}"),
                "accesses": count,
                "devices": self.report.wiring.behind(*liobn),
            })
        };
        devices.by_unit.iter().map(one).collect()
    }

    fn shared_frames(&self) -> u64 {
        self.report.shared.iter().map(|run| run.end - run.start).sum()
    }

    /// Appends the summary to the file that has the calls.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_json(&self, path: &Path) -> io::Result<()> {
        let runs = self.report.shared.iter().map(|run| json!([run.start, run.end])).collect::<Vec<_>>();
        let callers = self.by_caller().into_iter().map(|((name, by), (calls, frames))| {
            json!({ "call": name, "by": by, "calls": calls, "frames": frames })
        });
        let first = self.devices.iter().find_map(|devices| devices.first.as_ref()).map(|first| {
            json!({
                "at": first.at,
                "liobn": format!("{:#x}", first.liobn),
                "ioba": format!("{:#x}", first.ioba),
                "address": format!("{:#x}", first.address),
            })
        });
        let value = json!({
            "summary": {
                "secure": self.report.secure,
                "callers": callers.collect::<Vec<_>>(),
                "shared_frames": runs,
                "mfmsr": self.report.secure_bit.reads,
                "patched": self.report.patched,
                "device_accesses": self.devices.as_ref().map(|devices| json!({
                    "before_esm": devices.before,
                    "shared": devices.shared,
                    "private": devices.private_accesses(),
                    "first_private": first,
                    "private_by_bus": self.private_by_bus(devices),
                })),
                "hypercalls": self.hypercalls.as_ref().map(|hypercalls| json!({
                    "made": hypercalls.made,
                    "wrong": hypercalls.json(),
                })),
                "stand_ins": self.accounts.iter().map(Account::json).collect::<Vec<_>>(),
                "cut_short": self.cut_short.as_ref().map(|cut| &cut.what),
                "cut_short_by": self.cut_short.as_ref().map(|cut| &cut.by),
                "unseen_devices": self.bypassing,
                "findings": self.findings(),
            }
        });
        writeln!(OpenOptions::new().append(true).open(path)?, "{value}")
    }
}

impl Summary {
    fn show_devices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(devices) = &self.devices else { return Ok(()) };
        let all = devices.accesses();
        writeln!(f, "devices: {all} accesses, {} of them to shared memory", devices.shared)?;
        for (gfn, count) in devices.private.iter().take(LISTED) {
            writeln!(f, "  private frame {:#x}: {count} accesses", gfn * FRAME_SIZE)?;
        }
        for (liobn, count) in &devices.by_unit {
            let device = self.report.wiring.sentence(*liobn);
            writeln!(f, "  private, by bus {liobn:#x}: {count} accesses{device}")?;
        }
        for account in &self.accounts {
            writeln!(f, "{account}")?;
        }
        let all = all + self.accounts.iter().map(Account::accesses).sum::<u64>();
        let kept_to =
            devices.all_shared() && self.accounts.iter().all(|account| account.findings().is_empty());
        if all > 0 && kept_to && self.bypassing.is_empty() {
            writeln!(f, "every device access was shared")?;
        }
        Ok(())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for esm in &self.report.esm {
            writeln!(f, "{esm}")?;
        }
        let bit = &self.report.secure_bit;
        if self.report.secure {
            let (patched, tests) = (&self.report.patched, bit.tests.len());
            writeln!(
                f,
                "MSR[S]: {} reads of MSR, {tests} of them tested for it, {} changed to find it set",
                bit.reads,
                patched.len()
            )?;
            if tests == 0 {
                writeln!(
                    f,
                    "  the kernel has no test that is known here: it may not notice that it is secure"
                )?;
            }
            for name in patched {
                writeln!(f, "  {name}")?;
            }
        }
        for next in &self.report.next_kernels {
            writeln!(f, "{next}")?;
        }
        for ((name, by), (calls, frames)) in self.by_caller() {
            write!(f, "{name}: {calls} calls")?;
            if frames > 0 {
                write!(f, ", {frames} frames")?;
            }
            writeln!(f, ", by {by}")?;
        }
        if self.report.secure {
            let show = |run: &std::ops::Range<u64>| {
                format!("{:#x} to {:#x}", run.start * FRAME_SIZE, run.end * FRAME_SIZE)
            };
            let runs: Vec<_> = self.report.shared.iter().take(LISTED).map(show).collect();
            let more = self.report.shared.len().saturating_sub(LISTED);
            write!(f, "shared at the end: {} frames of 64 KiB: {}", self.shared_frames(), runs.join(", "))?;
            writeln!(f, "{}", if more > 0 { format!(" and {more} more ranges") } else { String::new() })?;
            self.show_devices(f)?;
            if let Some(hypercalls) = &self.hypercalls {
                writeln!(f, "{hypercalls}")?;
            }
            if self.devices.is_none() || self.hypercalls.is_none() {
                writeln!(f, "devices and hypercalls: not looked at, without QEMU's log")?;
            }
        }
        for finding in self.findings() {
            writeln!(f, "FOUND: {finding}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "summary/tests.rs"]
mod tests;
