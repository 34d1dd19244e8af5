//! The call log: one JSON object per line, written as calls happen.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::call::{self, Code};
use super::esm::EsmReport;
use super::machine::{Call, Resume, Verdict, Violation};
use super::ultracalls::NextKernel;

/// One ultracall and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// Counted from 1.
    pub n: u64,
    /// The call.
    pub call: Call,
    /// The result.
    pub verdict: Verdict,
    /// Whether a fault replaced the call's work.
    pub faulted: bool,
    /// When it was done, just before the guest went on.
    pub at: SystemTime,
    /// From the stop of the guest to its resumption.
    pub duration: Duration,
    /// The vCPU, as the gdb server names it.
    pub thread: String,
    /// Its callers, innermost first; only for [`super::Guest::Any`].
    pub callers: Vec<String>,
}

impl CallRecord {
    /// What r3 held when the guest went on.
    #[must_use]
    pub fn r3(&self) -> u64 {
        match self.verdict.resume {
            Resume::Answer(code) | Resume::Data(code) => code.register(),
            Resume::Untouched | Resume::Never => self.call.opcode,
            Resume::Reenter { fdt, .. } => fdt,
        }
    }

    /// When it was done, in microseconds since 1970.
    #[must_use]
    pub fn micros(&self) -> u64 {
        let since = self.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    fn to_json(&self) -> Value {
        let count = call::Number::from_opcode(self.call.opcode).map_or(0, call::Number::arguments);
        let arguments: Vec<Value> = self.call.arguments.iter().take(count).map(|value| hex(*value)).collect();
        json!({
            "n": self.n,
            "call": call::name(self.call.opcode),
            "opcode": hex(self.call.opcode),
            "args": arguments,
            "r3": hex(self.r3()),
            "code": code_text(self.verdict.code),
            "reentered": matches!(self.verdict.resume, Resume::Reenter { .. }),
            "fault": self.faulted,
            "micros": u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX),
            "thread": self.thread,
            "at": self.micros(),
            "callers": self.callers,
        })
    }
}

fn hex(value: u64) -> Value {
    Value::String(format!("{value:#x}"))
}

fn code_text(code: Code) -> Value {
    Value::String(code.to_string())
}

fn esm_json(esm: &EsmReport) -> Value {
    let texts = |requirements: &[super::esm::Requirement]| {
        requirements.iter().map(|requirement| Value::String(requirement.to_string())).collect::<Vec<_>>()
    };
    json!({
        "esm": {
            "kernel_base": hex(esm.kernel_base),
            "fdt": hex(esm.fdt),
            "kernel_sha512": esm.kernel.memory_sha512,
            "file_sha512": esm.kernel.file_sha512,
            "kernel_equal": esm.kernel.is_equal(),
            "bootargs_sha512": esm.bootargs_sha512,
            "initrd_sha512": esm.initrd_sha512,
            "rtas_sha512": esm.rtas_sha512,
            "blob": esm.blob,
            "outcome": format!("{:?}", esm.outcome),
            "forgotten": esm.forgotten,
            "warned": texts(&esm.warned),
            "waived": texts(&esm.waived),
            "unmet": texts(&esm.unmet),
            "reserved": esm.reserved.iter().map(|address| hex(*address)).collect::<Vec<_>>(),
        }
    })
}

/// Where lines go: a file, or nowhere.
#[derive(Debug)]
pub(super) struct Log(Option<File>);

impl Log {
    pub(super) fn create(path: Option<&Path>) -> io::Result<Self> {
        path.map(File::create).transpose().map(Self)
    }

    pub(super) fn call(&mut self, record: &CallRecord) -> io::Result<()> {
        self.line(&record.to_json())
    }

    pub(super) fn esm(&mut self, report: &EsmReport) -> io::Result<()> {
        self.line(&esm_json(report))
    }

    pub(super) fn violation(&mut self, violation: &Violation) -> io::Result<()> {
        self.line(&json!({ "violation": violation.to_string() }))
    }

    pub(super) fn next_kernel(&mut self, next: &NextKernel) -> io::Result<()> {
        self.line(&json!({
            "kexec": {
                "kernel_base": hex(next.base),
                "fdt": hex(next.tree),
                "same_kernel": next.same,
                "tests": next.tests,
                "patched": next.patched,
            }
        }))
    }

    /// Writes each line at once, so that a run that is cut short leaves its calls so far.
    fn line(&mut self, value: &Value) -> io::Result<()> {
        match &mut self.0 {
            Some(file) => file.write_all(format!("{value}\n").as_bytes()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_one_line_with_what_r3_showed() {
        let call = Call { opcode: 0xf130, arguments: [0x100, 0x80, 3, 0, 0, 0, 0, 0, 0], msr: 0, pidr: 0 };
        let verdict = Verdict { code: Code::P2, resume: Resume::Untouched };
        let duration = Duration::from_micros(750);
        let (at, thread, callers) = (UNIX_EPOCH, "01".to_owned(), Vec::new());
        let record = CallRecord { n: 2, call, verdict, faulted: false, at, duration, thread, callers };
        let value = record.to_json();
        assert!(!value.to_string().contains('\n'));
        assert_eq!(value["call"], "UV_SHARE_PAGE");
        assert_eq!(value["args"], json!(["0x100", "0x80"]));
        assert_eq!((value["r3"].as_str(), value["code"].as_str()), (Some("0xf130"), Some("U_P2")));
        assert_eq!(value["micros"], 750);
        let refused = Verdict { code: Code::RETRY, resume: Resume::Answer(Code::RETRY) };
        let record = CallRecord { verdict: refused, ..record };
        assert_eq!(record.to_json()["r3"], "0xfffffffffffffffb");
    }
}
