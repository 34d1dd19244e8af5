//! Ordinary programs as the guest's peers, in a network namespace of the test: DHCP servers, ping, arping, curl, socat. If a
//! program is missing, or no namespace can be made, the test is skipped with that reason.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::boot_matrix::SERVING;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, verdict};
use crate::matrix::runner::Test;
use crate::pattern;
use crate::peer::namespace::{GUEST, HOST, Namespace, NamespaceError, TAP, is_there};
use crate::qemu::monitor::Monitor;
use crate::session::Session;
use crate::variable::{Firmware, Net};
use postern_cases::case;
use std::net::Ipv4Addr;

/// A program and the package of Debian's that has it.
type Program = (&'static str, &'static str);

const PING: Program = ("ping", "iputils-ping");
const ARPING: Program = ("arping", "iputils-arping");
const CURL: Program = ("curl", "curl");
const SOCAT: Program = ("socat", "socat");
const DNSMASQ: Program = ("dnsmasq", "dnsmasq-base");
const BUSYBOX: Program = ("busybox", "busybox");
const DHCPD: Program = ("dhcpd", "isc-dhcp-server");

/// The addresses that each DHCP server gives out.
const FIRST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const LAST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 110);
/// Connections to a card with two pairs of queues.
const FLOWS: usize = 16;
/// Bytes that curl and socat send to the TCP echo.
const STREAM: usize = 200_000;
/// Bytes of a datagram that fills a frame.
const DATAGRAM: usize = 1472;
/// Bytes of an echo request that fills a frame, of one that needs three, of the longest that is put together and of one
/// more.
const WHOLE: &str = "1472";
const FRAGMENTED: &str = "4000";
const LONGEST: &str = "8184";
const TOO_LONG: &str = "8185";

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("peers/ping", ping),
        Test::new("peers/curl", curl),
        Test::new("peers/socat", socat),
        Test::new("peers/two-queues", two_queues),
        Test::new("peers/dnsmasq", |context| leased(context, DNSMASQ, dnsmasq)),
        Test::new("peers/udhcpd", |context| leased(context, BUSYBOX, udhcpd)),
        Test::new("peers/dhcpd", |context| leased(context, DHCPD, dhcpd)),
    ]
}

/// A guest inside a network of its own, if these programs exist and the network can be made.
fn inside(context: &Context, programs: &[Program]) -> Result<(Namespace, Fixture), Failure> {
    inside_of(context, programs, Namespace::new)
}

/// As [`inside`], in this network.
fn inside_of(
    context: &Context,
    programs: &[Program],
    network: fn() -> Result<Namespace, NamespaceError>,
) -> Result<(Namespace, Fixture), Failure> {
    let tools = [("unshare", "util-linux"), ("nsenter", "util-linux"), ("ip", "iproute2")];
    let missing = programs.iter().chain(&tools).find(|(program, _)| !is_there(program));
    if let Some((program, package)) = missing {
        return Err(Finding::Skipped(format!("no {program} (package {package})")).into());
    }
    let namespace = network().map_err(|error| Finding::Skipped(error.to_string()))?;
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, false, true))?;
    let root = fixture.dir.root().to_path_buf();
    namespace.take(&mut fixture).map_err(|error| Finding::File(root, error))?;
    Ok((namespace, fixture))
}

/// A guest that serves at [`GUEST`]; returns once it does.
fn serving(fixture: &mut Fixture) -> Result<Session, Failure> {
    fixture.word(&format!("run=net-serve serve=100 ip={GUEST}/24 gw={HOST}"));
    let session = fixture.start()?;
    match session.qemu.console().wait_for(LIMIT, |line| line == SERVING) {
        Some(_) => Ok(session),
        None => Err(Finding::NeverSaid(SERVING).into()),
    }
}

/// Runs a peer to its end; a finding if its exit status is another one.
fn peer(namespace: &Namespace, program: &'static str, arguments: &[&str], status: i32) -> Option<Finding> {
    match namespace.run(program, arguments, &[]) {
        Ok(output) if output.status.code() == Some(status) => None,
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).trim_end().to_owned();
            Some(Finding::Program(format!("{program} {}: {}: {said}", arguments.join(" "), output.status)))
        }
        Err(error) => Some(Finding::File(program.into(), error)),
    }
}

/// Small and full frames are answered, and fragments of up to 8 KiB; longer ones are dropped, and nothing else suffers.
fn ping(context: &Context) -> Result<(), Failure> {
    case!("NET-19", Work, Q);
    let (namespace, mut fixture) = inside(context, &[PING, ARPING])?;
    let mut session = serving(&mut fixture)?;
    let mut findings = Vec::new();
    let asks = |size: &'static str, status| {
        peer(&namespace, "ping", &["-n", "-c", "3", "-i", "0.1", "-W", "2", "-s", size, GUEST], status)
    };
    findings.extend(peer(&namespace, "arping", &["-c", "2", "-I", TAP, GUEST], 0));
    findings.extend(asks("56", 0));
    findings.extend(asks(WHOLE, 0));
    findings.extend(asks(FRAGMENTED, 0));
    findings.extend(asks(LONGEST, 0));
    findings.extend(asks(TOO_LONG, 1));
    findings.extend(asks("56", 0));
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    // Three requests each of 3, of 6 and of 6 fragments.
    findings.extend(judge::fact(&finished, "net0.fragments", "45"));
    findings.extend(judge::fact(&finished, "net0.fragmented_pings", "6"));
    verdict(finished, findings)
}

/// curl as a browser of the status page, and as a plain TCP client of the echo.
fn curl(context: &Context) -> Result<(), Failure> {
    let (namespace, mut fixture) = inside(context, &[CURL])?;
    let mut session = serving(&mut fixture)?;
    let mut sent = vec![0; STREAM];
    pattern::fill(7, &mut sent);
    // Telnet has a meaning for the byte 0xff.
    sent.iter_mut().for_each(|byte| *byte = b'a' + *byte % 26);
    let page = format!("http://{GUEST}/facts.json");
    let page = namespace.run("curl", &["--silent", "--fail", "--max-time", "20", &page], &[]);
    let url = format!("telnet://{GUEST}:7");
    // curl waits for more after its input has ended, until its time limit: exit status 28.
    let answer = namespace.run("curl", &["--silent", "--max-time", "5", "--no-buffer", &url], &sent);
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    let mut findings = judge::end(&finished, 0);
    match page {
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains("\"image.build\"") => {}
        Ok(output) => findings.push(Finding::Program(format!("curl of the status page: {}", output.status))),
        Err(error) => findings.push(Finding::File("curl".into(), error)),
    }
    match answer {
        Ok(output) if output.stdout == sent => {}
        Ok(output) => findings.push(Finding::Program(format!(
            "curl got {} bytes of {STREAM}, {}: {}",
            output.stdout.len(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ))),
        Err(error) => findings.push(Finding::File("curl".into(), error)),
    }
    verdict(finished, findings)
}

/// A card that offers two pairs of queues, on a tap device that has them. The guest takes one pair: what either queue of
/// the host has reaches it, and it finds the control queue behind its own pair.
fn two_queues(context: &Context) -> Result<(), Failure> {
    let (namespace, mut fixture) = inside_of(context, &[CURL, PING], Namespace::with_queues)?;
    fixture.machine.net = Net::Netdev(format!("tap,ifname={TAP},script=no,downscript=no,queues=2"));
    fixture.machine.extra.extend(["-global", "virtio-net-pci.mq=on"].map(str::to_owned));
    let socket = fixture.dir.path("monitor");
    fixture.machine.monitor = Some(socket.clone());
    let mut session = serving(&mut fixture)?;
    let mut findings = Vec::new();
    // The host chooses a queue by the connection: sixteen of them would not all choose the same.
    let page = format!("http://{GUEST}/facts.json");
    let mut arguments = vec!["--silent", "--fail", "--max-time", "20", "--parallel", "--parallel-max", "4"];
    arguments.extend([page.as_str(); FLOWS]);
    match namespace.run("curl", &arguments, &[]) {
        Ok(output) if String::from_utf8_lossy(&output.stdout).matches("\"image.build\"").count() == FLOWS => {
        }
        Ok(output) => findings.push(Finding::Program(format!("curl of {FLOWS} pages: {}", output.status))),
        Err(error) => findings.push(Finding::File("curl".into(), error)),
    }
    let announced = Monitor::connect(&socket).and_then(|mut monitor| monitor.announce());
    findings.extend(announced.err().map(Finding::Monitor));
    // A guest that answers the last of these has looked at its link since, which it does every 100 ms.
    findings.extend(peer(&namespace, "ping", &["-n", "-c", "5", "-i", "0.1", "-W", "2", GUEST], 0));
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    findings.extend(judge::fact(&finished, "net0.announced", "1"));
    verdict(finished, findings)
}

/// socat as a client of both echoes: a stream whose sending half it closes, and one datagram that fills a frame.
fn socat(context: &Context) -> Result<(), Failure> {
    let (namespace, mut fixture) = inside(context, &[SOCAT])?;
    let mut session = serving(&mut fixture)?;
    let mut sent = vec![0; STREAM];
    pattern::fill(8, &mut sent);
    let datagram = sent.get(..DATAGRAM).unwrap_or(&sent);
    let mut findings = Vec::new();
    // It waits for so many seconds for more after its input has ended; a stream ends with the guest's FIN.
    for (wait, to, input) in [("20", "TCP4", &*sent), ("1", "UDP4", datagram)] {
        match namespace.run("socat", &["-t", wait, "-", &format!("{to}:{GUEST}:7")], input) {
            Ok(output) if output.status.success() && output.stdout == input => {}
            Ok(output) => findings.push(Finding::Program(format!(
                "socat by {to} got {} bytes of {}, {}: {}",
                output.stdout.len(),
                input.len(),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            ))),
            Err(error) => findings.push(Finding::File("socat".into(), error)),
        }
    }
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    verdict(finished, findings)
}

/// The program, its arguments, and the files that they name.
struct Server {
    program: &'static str,
    arguments: Vec<String>,
}

/// The guest's address, mask and gateway come from this server, and its gateway answers.
fn leased(
    context: &Context,
    program: Program,
    server: fn(&Fixture) -> Result<Server, Finding>,
) -> Result<(), Failure> {
    let (namespace, mut fixture) = inside(context, &[program])?;
    let Server { program, arguments } = server(&fixture)?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let served =
        namespace.serve(program, &arguments).map_err(|error| Finding::File(program.into(), error))?;
    fixture.word("run=demo");
    let finished = fixture.boot()?;
    drop(served);
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "net0.gateway", HOST));
    findings.extend(judge::positive(&finished, "net0.ping_us"));
    let given = finished.report.fact("net0.ip").and_then(|ip| ip.parse::<Ipv4Addr>().ok());
    if !given.is_some_and(|ip| (FIRST..=LAST).contains(&ip)) {
        findings.push(Finding::Fact {
            key: "net0.ip",
            expected: format!("{FIRST} to {LAST}"),
            found: finished.report.fact("net0.ip").map(str::to_owned),
        });
    }
    verdict(finished, findings)
}

fn dnsmasq(fixture: &Fixture) -> Result<Server, Finding> {
    let leases = format!("--dhcp-leasefile={}", fixture.dir.path("leases").display());
    let range = format!("--dhcp-range={FIRST},{LAST},255.255.255.0,1h");
    let router = format!("--dhcp-option=option:router,{HOST}");
    let interface = format!("--interface={TAP}");
    let options = ["--no-daemon", "--conf-file=/dev/null", "--port=0", "--bind-interfaces", "--user="];
    let arguments = options.map(str::to_owned).into_iter().chain([interface, range, router, leases]);
    Ok(Server { program: "dnsmasq", arguments: arguments.collect() })
}

fn written(fixture: &Fixture, name: &str, text: &str) -> Result<String, Finding> {
    let path = fixture.dir.path(name);
    std::fs::write(&path, text).map_err(|error| Finding::File(path.clone(), error))?;
    Ok(path.display().to_string())
}

fn udhcpd(fixture: &Fixture) -> Result<Server, Finding> {
    let leases = written(fixture, "leases", "")?;
    let text = format!(
        "interface {TAP}\nstart {FIRST}\nend {LAST}\noption router {HOST}\noption subnet 255.255.255.0\n\
         option lease 3600\nlease_file {leases}\npidfile {}\n",
        fixture.dir.path("pid").display()
    );
    let file = written(fixture, "udhcpd.conf", &text)?;
    Ok(Server { program: "busybox", arguments: ["udhcpd".to_owned(), "-f".to_owned(), file].to_vec() })
}

fn dhcpd(fixture: &Fixture) -> Result<Server, Finding> {
    let leases = written(fixture, "leases", "")?;
    let text = format!(
        "default-lease-time 3600;\nauthoritative;\nsubnet 192.0.2.0 netmask 255.255.255.0 {{\n  range {FIRST} {LAST};\n  \
         option routers {HOST};\n}}\n"
    );
    let file = written(fixture, "dhcpd.conf", &text)?;
    let pid = fixture.dir.path("pid").display().to_string();
    let arguments = ["-4", "-f", "-d", "-cf", &file, "-lf", &leases, "-pf", &pid, TAP].map(str::to_owned);
    Ok(Server { program: "dhcpd", arguments: arguments.to_vec() })
}
