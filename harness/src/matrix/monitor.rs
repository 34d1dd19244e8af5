//! The monitor, with input from a user, a script and a hostile host.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::disclosure;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, MONITOR, seed, verdict};
use crate::matrix::runner::Test;
use crate::pattern;
use crate::peer::echo;
use crate::peer::page::Client;
use crate::qemu::monitor::Monitor;
use crate::session::{Finished, Session};
use crate::variable::{Firmware, Net};
use postern_cases::case;
use std::path::PathBuf;

const NO_COMMAND: &str = "no command; help lists them";
const HALP: &str = "halp: no command; help lists them";
/// Random bytes that a host types.
const NOISE: usize = 4096;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("monitor/typed", typed),
        Test::new("monitor/serves", serves),
        Test::new("monitor/noise", noise),
        Test::new("monitor/secure", secure),
    ]
}

/// Boots, types when the monitor is ready, and waits for the end.
fn type_at(
    context: &Context,
    config: GuestConfig,
    keys: &[u8],
) -> Result<(Finished, PathBuf, Vec<Finding>), Failure> {
    type_after(context, config, keys, |_| Ok(()))
}

/// As [`type_at`]; calls `before` once the monitor is ready.
fn type_after(
    context: &Context,
    config: GuestConfig,
    keys: &[u8],
    before: impl FnOnce(&Session) -> Result<(), Finding>,
) -> Result<(Finished, PathBuf, Vec<Finding>), Failure> {
    let mut fixture = Fixture::new(context, config)?;
    let data = fixture.data_disk(1 << 20)?;
    fixture.machine.net = Net::User;
    fixture.word("run=monitor ip=10.0.2.15/24 gw=10.0.2.2");
    let mut session = fixture.start()?;
    let mut findings = Vec::new();
    if session.qemu.console().wait_for(LIMIT, |line| line == MONITOR).is_none() {
        findings.push(Finding::NeverSaid(MONITOR));
    } else {
        findings.extend(before(&session).err());
    }
    // A guest that has ended already is checked by its end.
    drop(session.qemu.type_in(keys));
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    findings.extend(judge::fact(&finished, "monitor", "done"));
    // The image is copied for the comparison: the fixture's folder is removed with it.
    let copy = std::env::temp_dir().join(format!("postern-monitor-{}-{}", std::process::id(), seed()));
    std::fs::copy(&data, &copy).map_err(|error| Finding::File(data, error))?;
    Ok((finished, copy, findings))
}

fn said(finished: &Finished, lines: &[&'static str]) -> Vec<Finding> {
    let never = lines.iter().filter(|line| !finished.output.console.contains(**line));
    never.map(|line| Finding::NeverSaid(line)).collect()
}

/// Commands with typing errors, by completion and from history.
fn typed(context: &Context) -> Result<(), Failure> {
    let keys = b"hepl\x7f\x7flp\rrq\x1b[D\x1b[Di\rcpu\x1b[D\x1b[Cs\rbl\tre\t0\rping 10.0.2.2\r\
                 halp\rpool\r\x1b[A\x1b[A\rwrong\x15net\rblk read 0 7\rtest all\rfacts\roff\r";
    let (finished, data, mut findings) =
        type_at(context, GuestConfig::new(Firmware::Vof, false, false), keys)?;
    findings.extend(said(
        &finished,
        &[
            "help: ping A.B.C.D ",
            "interrupts: ",
            "cpus: ",
            "net0: link up, ",
            "net0: 10.0.2.2 answers a ping in ",
            "blk read: there is no blk7",
            "test: this image has no tests; postern-test has them",
        ],
    ));
    // The wrong command was typed once and brought back once by an arrow. All other keys led to valid commands.
    let wrong: Vec<&str> = finished.output.console.lines().filter(|line| line.contains(NO_COMMAND)).collect();
    if wrong != [HALP; 2] {
        findings.push(Finding::OtherWords {
            expected: Some([HALP; 2].join("; ")),
            found: Some(wrong.join("; ")),
        });
    }
    // The sector is the image's.
    let image = std::fs::read(&data).map_err(|error| Finding::File(data.clone(), error))?;
    let row: String = image.iter().take(16).map(|byte| format!(" {byte:02x}")).collect();
    if !finished.output.console.contains(&format!("  000 {row}  ")) {
        findings.push(Finding::NeverSaid("the first sector of the disk"));
    }
    drop(std::fs::remove_file(data));
    verdict(finished, findings)
}

/// While the monitor waits for keys, the guest serves the network and the status page. The test image runs tests by name.
fn serves(context: &Context) -> Result<(), Failure> {
    let keys = b"test blk/read,console/*\rtest nothing\rnet\roff\r";
    let config = GuestConfig::new(Firmware::Vof, false, false);
    let (finished, data, mut findings) = type_after(&context.on_test_image(), config, keys, |session| {
        let socket = session.machine.monitor.clone().unwrap_or_default();
        let mut qemu = Monitor::connect(&socket).map_err(Finding::Monitor)?;
        let ports = qemu.forwarded().map_err(Finding::Monitor)?;
        echo::all(ports, seed()).map_err(Finding::Echo)?;
        let page = Client(qemu.page().map_err(Finding::Monitor)?);
        let ask = b"GET /facts.json HTTP/1.1\r\nHost: guest\r\n\r\n";
        page.expect("/facts.json", &[ask], "\"monitor\"").map(drop).map_err(Finding::Page)
    })?;
    findings.extend(said(
        &finished,
        &[
            "ok 1 - console/terminal",
            "ok 2 - blk/read",
            "# 2 tests: 2 ok, 0 not ok, 0 skipped",
            "test: item 1 of the list names no test; docs/tests.tsv lists them",
        ],
    ));
    findings.extend(judge::fact(&finished, "net0.page", "on"));
    findings.extend(judge::fact(&finished, "net0.page_answered", "1"));
    findings.extend(judge::fact(&finished, "work.done", "1"));
    drop(std::fs::remove_file(data));
    verdict(finished, findings)
}

/// Whatever is typed, the guest goes on and ends when told.
fn noise(context: &Context) -> Result<(), Failure> {
    let _ = case!("OUT-10", Work, Q);
    let mut keys = vec![0; NOISE];
    pattern::fill(seed(), &mut keys);
    // Without Ctrl-D, which ends the monitor: the commands after the noise have to work.
    keys.iter_mut().filter(|byte| **byte == 4).for_each(|byte| *byte = b'x');
    keys.extend(b"\x1b[\x03halp\roff\r");
    let (finished, data, mut findings) =
        type_at(context, GuestConfig::new(Firmware::Vof, false, false), &keys)?;
    findings.extend(said(&finished, &[HALP]));
    drop(std::fs::remove_file(data));
    verdict(finished, findings)
}

/// In a secure guest the host types: it sees the same as in the summary, and no block of a disk.
fn secure(context: &Context) -> Result<(), Failure> {
    let _ = case!("OUT-10", Fail, Q);
    let keys =
        b"help\rdevices\rpool\rtce\rirq\rcpus\rnet\rblk read 0\rlog trace\rlog warn\rping 10.0.2.2\rtest all\rfacts\r\
                 \x1b]0;x\x07EXIT: STATUS=0\roff\r";
    let (finished, data, mut findings) =
        type_at(context, GuestConfig::new(Firmware::Bios, true, true), keys)?;
    findings.extend(said(
        &finished,
        &[
            "blk read: not in a secure guest: the console is the host's",
            "log: in a secure guest no more than loglevel= asked for",
            "pool use: ",
            "exposed: 0 pages reachable besides the pool",
        ],
    ));
    findings.extend(judge::exposure(&finished, true));
    findings.extend(disclosure::shown(context, &finished, &data, 0)?);
    drop(std::fs::remove_file(data));
    verdict(finished, findings)
}
