//! `monitor`: runs commands that are typed on the console. In a secure guest the host types them, so they show nothing
//! that the summary does not show.

use crate::arch::cpus;
use crate::devices::DeviceError;
use crate::devices::set::Devices;
use crate::image::Image;
use crate::jobs::background::Background;
use crate::jobs::net::{LONGEST_SERVE, PING_WAIT, configure};
use crate::platform::console::{self, print_line};
use crate::platform::pseries::Pseries;
use crate::platform::{interrupts, logger};
use crate::report::{Report, live};
use alloc::string::String;
use core::fmt::Write;
use core::net::Ipv4Addr;
use core::time::Duration;
use log::LevelFilter;
use papr::clock::Deadline;
use papr::text::is_plain;
use postern_core::cmdline::Options;
use postern_core::facts::end;
use postern_core::monitor::commands::{COMMANDS, Command, parse};
use postern_core::monitor::editor::{Draw, Editor, Event};

/// Interval at which the console is polled.
const CONSOLE_POLL: Duration = Duration::from_millis(5);
/// Bytes of a sector, and of a line of it.
const SECTOR: usize = 512;
const ROW: usize = 16;

/// Runs commands until `off`, Ctrl-D or the end of `serve=`.
pub fn follow(
    options: &Options,
    image: &mut impl Image,
    devices: &mut Devices,
    report: &mut Report,
) -> Result<(), DeviceError> {
    let mut network = Background::begin(options, devices, report);
    report.fact_now(end::MONITOR, "ready");
    print_line(format_args!("monitor: help lists the commands"));
    let mut editor = Editor::default();
    let mut deadline = Deadline::after(&Pseries, options.serve.unwrap_or(LONGEST_SERVE));
    editor.show_prompt(&mut console::draw);
    'typing: loop {
        for byte in console::typed() {
            match editor.take(byte, &mut console::draw) {
                None => continue,
                Some(Event::End) => break 'typing,
                Some(Event::Line(line)) => {
                    if !obey(&line, options, image, devices, report) {
                        break 'typing;
                    }
                    editor.show_prompt(&mut console::draw);
                }
            }
        }
        network.serve(devices, report, CONSOLE_POLL);
        // The log, or the network, has printed something.
        if !console::is_edited() {
            editor.show_prompt(&mut console::draw);
        }
        if deadline.expired(&Pseries) {
            console::draw(Draw::NewLine);
            break;
        }
    }
    network.end(devices, report);
    report.fact_now(end::MONITOR, "done");
    Ok(())
}

/// Runs the command of a line. Returns false if it ends the monitor.
fn obey(
    line: &[u8],
    options: &Options,
    image: &mut impl Image,
    devices: &mut Devices,
    report: &mut Report,
) -> bool {
    let command = match parse(line) {
        Ok(command) => command,
        Err(error) => {
            print_line(format_args!("{error}"));
            return true;
        }
    };
    match command {
        Command::Nothing => {}
        Command::Off => return false,
        Command::Help => {
            for help in COMMANDS {
                print_line(format_args!("help: {:width$}  {}", help.usage, help.help, width = 36));
            }
        }
        Command::Devices => steps(report, &["blk", "net", "devices"]),
        Command::Net => {
            steps(report, &["net"]);
            cards(devices);
        }
        Command::Pool => {
            steps(report, &["pool"]);
            if let Some(pool) = devices.dma.pool_statistics() {
                print_line(format_args!("pool use: {}", live::pool(&pool)));
                print_line(format_args!("bounced: {}", live::copied(devices)));
            }
        }
        Command::Tce => {
            steps(report, &["tce"]);
            match live::exposed(devices) {
                Ok(Some(pages)) => {
                    print_line(format_args!("exposed: {pages} pages reachable besides the pool"))
                }
                Ok(None) => {}
                Err(error) => print_line(format_args!("exposed: {error}")),
            }
        }
        Command::Irq => match interrupts::statistics() {
            Some(seen) => print_line(format_args!("interrupts: {}", live::interrupts(&seen))),
            None => print_line(format_args!("interrupts: a CPU is stopped in the middle of one")),
        },
        Command::Cpus => {
            steps(report, &["cpu", "cpus"]);
            print_line(format_args!("cpus: {} besides the boot CPU can work", cpus::workers().count()));
            print_line(format_args!("calls: {}", live::calls()));
        }
        Command::Facts => {
            for (name, value) in report.stated() {
                print_line(format_args!("{}", name.line(value)));
            }
        }
        Command::BlkRead { .. } if devices.pool.is_some() => {
            print_line(format_args!("blk read: not in a secure guest: the console is the host's"));
        }
        Command::BlkRead { sector, disk } => blk_read(sector, disk, devices),
        Command::Ping(host) => {
            if let Err(error) = ping(host, devices, report) {
                print_line(format_args!("ping: {error}"));
            }
        }
        Command::Test(list) => {
            if let Err(error) = image.test(list, options, devices, report) {
                print_line(format_args!("test: {error}"));
            }
        }
        Command::Log(level) if devices.pool.is_some() && level > options.loglevel.max(LevelFilter::Info) => {
            print_line(format_args!(
                "log: in a secure guest no more than loglevel= asked for: the console is the host's"
            ));
        }
        Command::Log(level) => logger::set_console_level(level),
    }
    true
}

/// Prints the steps of the summary with these labels, with or without a number.
fn steps(report: &Report, labels: &[&str]) {
    for (label, text) in report.steps() {
        let kind = label.trim_end_matches(|c: char| c.is_ascii_digit());
        if labels.contains(&kind) {
            print_line(format_args!("{label}: {text}"));
        }
    }
}

fn cards(devices: &Devices) {
    if devices.cards.is_empty() {
        print_line(format_args!("net: there is no card"));
    }
    for card in &devices.cards {
        let frames = card.stack.counters().frames;
        print_line(format_args!(
            "net{}: link {}, {} frames received, {} sent",
            card.number,
            if card.stack.link_up() { "up" } else { "down or not looked at" },
            frames.received,
            frames.sent
        ));
    }
}

fn ping(host: Ipv4Addr, devices: &mut Devices, report: &mut Report) -> Result<(), DeviceError> {
    let card = devices.cards.first_mut().ok_or(DeviceError::Missing("network card"))?;
    configure(card, report)?;
    let time = card.stack.ping(&Pseries, host, PING_WAIT)?;
    print_line(format_args!("net{}: {host} answers a ping in {} us", card.number, time.as_micros()));
    Ok(())
}

fn blk_read(sector: u64, number: usize, devices: &mut Devices) {
    let Some(disk) = devices.disks.iter_mut().find(|disk| disk.number == number) else {
        print_line(format_args!("blk read: there is no blk{number}"));
        return;
    };
    let block = usize::try_from(disk.driver.geometry().block).unwrap_or(SECTOR).max(SECTOR);
    // A disk with larger blocks is read by whole blocks.
    let per_block = (block / SECTOR) as u64;
    let first = sector.checked_div(per_block).unwrap_or(0).saturating_mul(per_block);
    let skip = usize::try_from(sector.saturating_sub(first)).unwrap_or(0).saturating_mul(SECTOR);
    let data = match disk.driver.read(first, block) {
        Ok(data) => data,
        Err(error) => {
            print_line(format_args!("blk read: blk{number}: {error}"));
            return;
        }
    };
    let data = data.get(skip..).unwrap_or_default();
    for (row, bytes) in data.get(..SECTOR).unwrap_or(data).chunks(ROW).enumerate() {
        let mut hex = String::new();
        for byte in bytes {
            // A string takes everything.
            let _ = write!(hex, " {byte:02x}");
        }
        let plain: String =
            bytes.iter().map(|byte| if is_plain(*byte) { char::from(*byte) } else { '.' }).collect();
        print_line(format_args!("  {:03x} {hex}  {plain}", row.saturating_mul(ROW)));
    }
}
