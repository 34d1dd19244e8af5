//! The status page of `net-serve`: read by curl, and by clients that are slow, malformed or many.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::boot_matrix::{PAGE, SERVING};
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, verdict};
use crate::matrix::runner::Test;
use crate::peer::page::{Client, PageError, counter, has_curl};
use crate::qemu::monitor::Monitor;
use crate::session::{Finished, Session};
use crate::variable::{Firmware, Net};
use postern_cases::case;
use std::net::TcpStream;

const ORDINARY: GuestConfig = GuestConfig::new(Firmware::Vof, false, false);
const SECURE: GuestConfig = GuestConfig::new(Firmware::Vof, true, true);
/// Connections without a request: more than the four that are served at once. QEMU's user networking opens connections
/// slowly; `status-page/half-open-flood` has hundreds.
const IDLE: usize = 10;
/// A valid request.
const WELL: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: guest\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK";
const RECEIVED: &str = "postern_received_frames_total{device=\"net0\"}";

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let test = |name: &str, body: fn(&Context) -> Result<(), Failure>| {
        Test::new(format!("status-page/{name}"), body)
    };
    vec![test("curl", curl), test("rude", rude), test("secure", secure), test("secure/off", off)]
}

/// Boots a guest, calls `requests` with a client of its page, and ends the guest.
fn with_page(
    context: &Context,
    config: GuestConfig,
    words: &str,
    requests: impl FnOnce(Client, &mut Session) -> Result<(), PageError>,
) -> Result<(Finished, Vec<Finding>), Failure> {
    let mut fixture = Fixture::new(context, config)?;
    fixture.data_disk(1 << 20)?;
    fixture.machine.net = Net::User;
    fixture.word(&format!("run=net-serve ip=10.0.2.15/24 gw=10.0.2.2 {words}"));
    let mut session = fixture.start()?;
    let mut findings = Vec::new();
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_none() {
        findings.push(Finding::NeverSaid(SERVING));
    } else if let Some(socket) = &session.machine.monitor {
        match Monitor::connect(socket).and_then(|mut monitor| monitor.page()) {
            Ok(port) => findings.extend(requests(Client(port), &mut session).err().map(Finding::Page)),
            Err(error) => findings.push(Finding::Monitor(error)),
        }
    }
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    Ok((finished, findings))
}

/// Valid and wrong requests of a browser and of a scraper.
fn curl(context: &Context) -> Result<(), Failure> {
    if !has_curl() {
        return Err(Finding::Skipped("no curl; the package curl has it".to_owned()).into());
    }
    let mut facts = String::new();
    let (finished, mut findings) = with_page(context, ORDINARY, "", |client, _| {
        client.curl("/", &[], "<h2>Network card net0</h2>")?;
        client.curl("/", &["--http1.0"], OK)?;
        client.curl("/", &["--head"], OK)?;
        let before = client.curl("/metrics", &[], RECEIVED)?;
        let after = client.curl("/metrics", &[], RECEIVED)?;
        if counter(&after, RECEIVED) <= counter(&before, RECEIVED) {
            return Err(PageError::Stands(RECEIVED));
        }
        facts = client.curl("/facts.json", &[], "application/json")?;
        client.curl("/nothing", &[], "HTTP/1.1 404 ")?;
        client.curl("/", &["--data", "x"], "HTTP/1.1 405 ")?;
        client.curl("/", &["--header", &format!("X: {}", "x".repeat(5000))], "HTTP/1.1 431 ")?;
        Ok(())
    })?;
    // The page and the console agree.
    let body = facts.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let read: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    for key in ["image.build", "memory.bytes", "blk0.id", "net0.mac"] {
        let stated = read["facts"][key].as_str().unwrap_or_default();
        findings.extend(judge::fact(&finished, key, stated));
    }
    findings.extend(judge::fact(&finished, "net0.page_answered", "6"));
    findings.extend(judge::fact(&finished, "net0.page_refused", "3"));
    verdict(finished, findings)
}

/// Clients that split requests, stall, flood and send invalid data; a correct client is served all the time.
fn rude(context: &Context) -> Result<(), Failure> {
    let _ = case!("NET-30", Work, Q);
    let _ = case!("NET-31", Work, Q);
    let (finished, mut findings) = with_page(context, ORDINARY, "", |client, _| {
        let bytes: Vec<&[u8]> = WELL.chunks(1).collect();
        client.expect("byte by byte", &bytes, OK)?;
        let head = client.expect("HEAD", &[b"HEAD / HTTP/1.1\r\nHost: guest\r\n\r\n"], OK)?;
        if !head.ends_with("\r\n\r\n") {
            return Err(PageError::Body);
        }
        let two = client.expect("two requests at once", &[&[WELL, WELL].concat()], OK)?;
        if two.matches(OK).count() != 1 {
            return Err(PageError::Second);
        }
        client.expect("a head of 4096 bytes without an end", &[&[b'x'; 4096]], "HTTP/1.1 431 ")?;
        client.expect("a megabyte of nonsense", &[&vec![b'\n'; 1 << 20], b"x\n\n"], "HTTP/1.1 4")?;
        client.expect("TLS", &[b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], "HTTP/1.1 400 ")?;
        let many: Result<Vec<TcpStream>, PageError> = (0..IDLE).map(|_| client.connect()).collect();
        client.expect("beside many that ask nothing", &[WELL], OK)?;
        drop(many);
        client.expect("after them", &[WELL], OK)?;
        Ok(())
    })?;
    // Idle connections made room: no client waited for the five seconds of a request's time limit.
    findings.extend(judge::positive(&finished, "net0.page_displaced"));
    verdict(finished, findings)
}

/// A secure guest serves the page if the command line says so, and exposes nothing more for it.
fn secure(context: &Context) -> Result<(), Failure> {
    let (finished, mut findings) = with_page(context, SECURE, "http=on", |client, _| {
        client.expect("/metrics", &[WELL], "postern_pool_frames 128\n")?;
        client.expect("/", &[b"GET / HTTP/1.0\r\n\r\n"], "secure-emulated guest")?;
        Ok(())
    })?;
    findings.extend(judge::exposure(&finished, true));
    findings.extend(judge::fact(&finished, "net0.page_answered", "2"));
    verdict(finished, findings)
}

/// By default a secure guest serves no page: connections are refused.
fn off(context: &Context) -> Result<(), Failure> {
    let (finished, mut findings) = with_page(context, SECURE, "", |client, session| {
        let answer = client.ask(&[WELL])?;
        let said = session.qemu.console().text().contains(PAGE);
        if answer.is_empty() && !said { Ok(()) } else { Err(PageError::Served) }
    })?;
    findings.extend(judge::fact(&finished, "net0.page", "off"));
    verdict(finished, findings)
}
