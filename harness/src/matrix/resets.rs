//! A system reset of one CPU at each stage, while another one works: the guest names it and ends, or its work is correct.
//! No register is shown, and exactly one line has the exit status.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, seed, verdict};
use crate::matrix::injection::shown;
use crate::matrix::runner::Test;
use crate::session::Finished;
use crate::variable::Firmware;
use postern_cases::case;
use postern_ultravisor::End;
use postern_ultravisor::host::What::{Answer, Record, Result as Changed};
use postern_ultravisor::host::{H_LOGICAL_CI_STORE, H_RTAS, H_XIRR, Rule, Subject, Value};
use postern_ultravisor::inject::{Act, Attack, Random, Reset, Trigger, When};
use std::time::Duration;

/// Bytes of a disk: so many that work is left at a reset in its middle.
const DATA_BYTES: u64 = (16 << 20) + 512;
/// The same for resets at a lock: the other CPU is stopped at each lock that it takes meanwhile.
const FEW_BYTES: u64 = (256 << 10) + 512;
/// Time limit of a guest: many times its usual duration on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);
/// Exit status: an unhandled exception.
const EXCEPTION: u8 = 8;
/// Approximate number of instructions from a CPU's start until it is parked.
const START: u64 = 400;
/// A notification of device 0, the boot CPU's disk.
const DOORBELL: Subject = Subject::Store { device: 0, register: 0x3000, bytes: 2 };
/// Requests after which both CPUs are at work.
const INTO_WORK: u32 = 4;
/// The lock that a CPU holds for an RTAS call. The second CPU makes one when it gets an interrupt whose source no device
/// has.
const RTAS: &str = "RTAS call";
const NOBODYS: u64 = 0x0500_1234;
/// How often the host does not end the machine when it is told to.
const REFUSALS: u64 = 3;

/// How the run has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// With a report.
    Exception,
    /// With a report, or with all the work done: a CPU that was not started may not notice.
    Either,
    /// As without the reset.
    Done,
}

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let start = Subject::Rtas("start-cpu");
    let config = Subject::Rtas("ibm,read-pci-config");
    let any = || Random::new(seed()).below(START);
    let mut tests = vec![
        test("before-start", Expected::Either, move || When::Before(start, 1)),
        test("start", Expected::Exception, move || When::After(start, 0)),
        test("start/any", Expected::Exception, move || When::After(start, any())),
        test("idle", Expected::Exception, move || When::Before(config, 3)),
        test("work", Expected::Exception, move || When::Before(DOORBELL, INTO_WORK)),
        test("end", Expected::Done, || When::Before(Subject::End, 1)),
    ];
    tests.extend(
        ["heap", "pool", "work of another CPU", "answer of another CPU", "interrupt controller", RTAS]
            .map(|lock| test(&format!("lock/{lock}"), Expected::Exception, move || When::Lock(lock))),
    );
    tests
}

fn test(name: &str, expected: Expected, when: impl Fn() -> When + Send + Sync + 'static) -> Test {
    let name = format!("injection/reset/{}", name.replace(' ', "-"));
    Test::new(name, move |context| reset(context, expected, when()))
}

fn reset(context: &Context, expected: Expected, when: When) -> Result<(), Failure> {
    case!("INJ-10", Halt, Q);
    let config = GuestConfig { smp: 2, ..GuestConfig::new(Firmware::Bios, true, false) };
    let mut fixture = Fixture::new(context, config)?;
    let bytes = if matches!(when, When::Lock(_)) { FEW_BYTES } else { DATA_BYTES };
    let data = fixture.data_disk(bytes)?;
    let job = if expected == Expected::Exception { "blk-smp" } else { "blk-digest" };
    fixture.word(&format!("run={job}"));
    let seed = seed();
    if let Some(protection) = &mut fixture.protection {
        let act = Act::Reset(Reset { cpu: 1, when });
        protection.attack =
            Some(Attack { seed, trigger: Trigger::at_esm(), gap: Duration::from_millis(100), act });
        if expected == Expected::Done {
            let refused = Answer { status: -1, value: 0 };
            protection.host.extend((1..=REFUSALS).map(|nth| Rule::nth(Subject::End, nth, refused)));
        }
        if when == When::Lock(RTAS) {
            protection.host.push(Rule::nth(Subject::Hcall(H_XIRR), 1, Changed(Value::Is(NOBODYS))));
        }
        let at_work = matches!(when, When::Before(DOORBELL, _));
        let seen = if at_work { H_LOGICAL_CI_STORE } else { H_RTAS };
        protection.host.push(Rule::always(Subject::Hcall(seen), Record));
    }
    let finished = fixture.start()?.finish(LIMIT);
    let mut findings = judge(&finished, expected);
    if finished.report.exit_status == Some(0) {
        findings.extend(judge::fact(&finished, "blk0.sha256", &digest(&data)?));
    }
    findings.extend((!findings.is_empty()).then_some(Finding::Seed(seed)));
    verdict(finished, findings)
}

fn judge(finished: &Finished, expected: Expected) -> Vec<Finding> {
    let status = finished.report.exit_status;
    let mut findings = match expected {
        Expected::Exception => judge::end(finished, EXCEPTION),
        Expected::Either if status == Some(EXCEPTION) => judge::end(finished, EXCEPTION),
        Expected::Either => judge::end(finished, 0),
        Expected::Done => judge::end_in_any_way(finished, 0),
    };
    let attacked = finished.ultravisor.as_ref().map(|report| report.attacked.clone()).unwrap_or_default();
    if let Some(End::Failed(error)) = finished.ultravisor.as_ref().map(|report| &report.end) {
        findings.push(Finding::Ultravisor(error.to_string()));
    }
    if attacked.moments.is_empty() {
        findings.push(Finding::Unnoticed);
    }
    findings.extend(shown(&finished.output.console, &attacked.moments));
    findings
}
