//! A network for one test: a network namespace with one tap device, in which QEMU and ordinary programs run. It is not
//! visible outside, and ends with its first process.

use crate::matrix::fixture::Fixture;
use crate::variable::Net;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The host's address on the network; [`GUEST`] is the guest's if it is static.
pub const HOST: &str = "192.0.2.1";
/// See [`HOST`].
pub const GUEST: &str = "192.0.2.2";
/// The tap device, inside.
pub const TAP: &str = "tap0";
/// The script that makes it, with a word for the kind of tap device, and then waits for the end of its input, which comes
/// at the latest with this process's end.
const SETUP: &str = "ip tuntap add dev tap0 mode tap $0 && ip addr add 192.0.2.1/24 dev tap0 && ip link set lo up && \
                     ip link set tap0 up && echo ready && exec cat";
const READY: &str = "ready";

/// Why the network could not be made.
#[derive(Debug)]
pub enum NamespaceError {
    /// A program could not be started.
    Spawn(&'static str, io::Error),
    /// `unshare` or `ip` said this.
    Refused(String),
}

impl fmt::Display for NamespaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(program, error) => write!(f, "no network of its own: {program}: {error}"),
            Self::Refused(words) if words.is_empty() => {
                f.write_str("no network of its own, and no reason was printed")
            }
            Self::Refused(words) => write!(f, "no network of its own: {words}"),
        }
    }
}

/// The network.
#[derive(Debug)]
pub struct Namespace {
    keeper: Child,
}

impl Namespace {
    /// Makes one.
    ///
    /// # Errors
    /// This machine, or this user's rights, do not allow it.
    pub fn new() -> Result<Self, NamespaceError> {
        Self::with_tap("")
    }

    /// As [`Self::new`], with a tap device that can have several queues.
    ///
    /// # Errors
    /// As there.
    pub fn with_queues() -> Result<Self, NamespaceError> {
        Self::with_tap("multi_queue")
    }

    fn with_tap(kind: &str) -> Result<Self, NamespaceError> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", SETUP, kind]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let keeper = command.spawn().map_err(|error| NamespaceError::Spawn("unshare", error))?;
        let mut namespace = Self { keeper };
        let mut line = String::new();
        if let Some(output) = namespace.keeper.stdout.take() {
            drop(BufReader::new(output).read_line(&mut line));
        }
        if line.trim_end() == READY {
            return Ok(namespace);
        }
        let mut said = String::new();
        if let Some(mut errors) = namespace.keeper.stderr.take() {
            drop(errors.read_to_string(&mut said));
        }
        Err(NamespaceError::Refused(said.lines().last().unwrap_or_default().to_owned()))
    }

    /// A program inside.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.keeper.id().to_string(), "--", program]);
        command
    }

    /// Runs a program inside to its end, with `input` as its standard input.
    ///
    /// # Errors
    /// It could not be started.
    pub fn run(&self, program: &str, arguments: &[&str], input: &[u8]) -> io::Result<Output> {
        let mut command = self.command(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut pipe = child.stdin.take();
        std::thread::scope(|scope| {
            scope.spawn(move || drop(pipe.as_mut().map(|pipe| pipe.write_all(input))));
            child.wait_with_output()
        })
    }

    /// Starts a server inside, which ends when the returned value is dropped.
    ///
    /// # Errors
    /// It could not be started.
    pub fn serve(&self, program: &str, arguments: &[&str]) -> io::Result<Server> {
        let mut command = self.command(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Server(command.spawn()?))
    }

    /// Puts the guest's QEMU inside, with its card at the tap device.
    ///
    /// # Errors
    /// The script that starts it could not be written.
    pub fn take(&self, fixture: &mut Fixture) -> io::Result<()> {
        let script = fixture.dir.path("qemu-inside");
        let qemu = fixture.machine.qemu.display().to_string().replace('\'', r"'\''");
        let enter = format!("nsenter --net --target {}", self.keeper.id());
        std::fs::write(&script, format!("#!/bin/sh\nexec {enter} -- '{qemu}' \"$@\"\n"))?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        fixture.machine.qemu = script;
        fixture.machine.net = Net::Netdev(format!("tap,ifname={TAP},script=no,downscript=no"));
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.keeper.kill());
        drop(self.keeper.wait());
    }
}

/// A server inside a namespace.
#[derive(Debug)]
pub struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whether a program is in one of the usual folders.
#[must_use]
pub fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([Path::new("/usr/sbin").to_owned()]);
    folders.map(|folder| folder.join(program)).any(|file| file.is_file())
}
