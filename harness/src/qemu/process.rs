//! A running QEMU: its start, its output and its end.

use crate::guest::console::{self, Console, Live};
use crate::guest::firmware;
use crate::interrupt;
use crate::out;
use crate::qemu::command::Machine;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use std::fmt;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Interval of the checks of the process and of [`interrupt`].
const TICK: Duration = Duration::from_millis(20);

/// Why there is no running QEMU.
#[derive(Debug)]
pub enum StartError {
    /// The program does not exist or cannot be started.
    Spawn(PathBuf, io::Error),
    /// A pipe or a thread could not be made.
    Plumbing(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(program, error) if error.kind() == io::ErrorKind::NotFound => {
                write!(f, "{}: not found; `make setup` installs it, QEMU= names another", program.display())
            }
            Self::Spawn(program, error) => write!(f, "{}: {error}", program.display()),
            Self::Plumbing(error) => write!(f, "no pipe or thread for QEMU's output: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// How a QEMU ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this exit status.
    Exited(i32),
    /// By a signal of another process.
    Signalled(i32),
    /// It was killed at its time limit.
    TimedOut(Duration),
    /// It was killed after firmware had started this often without starting the guest.
    Firmware(u32),
    /// It was killed because a signal asked this program to stop.
    Interrupted,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "QEMU exited with {status}"),
            Self::Signalled(signal) => write!(f, "QEMU was ended by signal {signal}"),
            Self::TimedOut(after) => write!(f, "no end after {} s", after.as_secs()),
            Self::Firmware(starts) => {
                write!(f, "firmware started {starts} times and never reached the guest")
            }
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

/// A running QEMU. Dropping it kills it.
#[derive(Debug)]
pub struct Qemu {
    group: Group,
    input: Option<ChildStdin>,
    console: Console,
    errors: Console,
    started: Instant,
}

impl Qemu {
    /// Starts QEMU with this machine. With a `live` console, QEMU's own messages are shown at once, too.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(machine: &Machine, live: Option<Live>) -> Result<Self, StartError> {
        let mut command = Command::new(&machine.qemu);
        command.args(machine.arguments());
        Self::spawn(command, live)
    }

    /// Starts any command line of a QEMU, as [`Self::start`] does.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn spawn(mut command: Command, live: Option<Live>) -> Result<Self, StartError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // QEMU has its own process group, so a Ctrl-C at the terminal reaches only this program, which ends QEMU.
        command.process_group(0);
        // SAFETY: between fork and exec only one system call is made, which neither allocates nor locks.
        unsafe {
            command.pre_exec(|| {
                // If this program is killed, the kernel ends QEMU.
                Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
            });
        }
        let mut leader =
            command.spawn().map_err(|error| StartError::Spawn(command.get_program().into(), error))?;
        let pipes = (leader.stdin.take(), leader.stdout.take(), leader.stderr.take());
        let group = Group { leader, reaped: None };
        let (input, Some(output), Some(errors)) = pipes else {
            return Err(StartError::Plumbing(io::Error::other("a stream is missing")));
        };
        let said = live.is_some().then(console::standard_error);
        let console = Console::new(output, live).map_err(StartError::Plumbing)?;
        let errors = Console::new(errors, said).map_err(StartError::Plumbing)?;
        Ok(Self { group, input, console, errors, started: Instant::now() })
    }

    /// The guest's console.
    #[must_use]
    pub const fn console(&self) -> &Console {
        &self.console
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.group.leader.id()
    }

    /// Returns the guest's keyboard; from then on [`Self::type_in`] cannot type.
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.input.take()
    }

    /// Types at the guest's console.
    ///
    /// # Errors
    /// QEMU has ended.
    pub fn type_in(&mut self, text: &[u8]) -> io::Result<()> {
        match &mut self.input {
            Some(input) => input.write_all(text).and_then(|()| input.flush()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Whether the process has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.group.has_ended()
    }

    /// Waits for the end, until `limit` after the start; kills what has not ended by then.
    pub fn wait(mut self, limit: Duration) -> (Ended, Output) {
        let ended = loop {
            // A guest that serves without a limit ends when nobody reads its output.
            if interrupt::requested() || limit == Duration::MAX && out::has_no_reader() {
                break Ended::Interrupted;
            }
            if self.has_ended() {
                break self.group.end().map_or(Ended::Signalled(0), of_status);
            }
            // One more start shows that the last counted one failed.
            if self.console.idle_starts() > firmware::LIMIT {
                break Ended::Firmware(firmware::LIMIT);
            }
            if self.started.elapsed() >= limit {
                break Ended::TimedOut(limit);
            }
            std::thread::sleep(TICK);
        };
        (ended, self.stop())
    }

    /// Ends the process if it still runs, and returns its output.
    pub fn stop(mut self) -> Output {
        self.group.end();
        self.console.join();
        self.errors.join();
        Output { console: self.console.text(), errors: self.errors.text(), elapsed: self.started.elapsed() }
    }
}

/// A QEMU's output.
#[derive(Clone, Debug)]
pub struct Output {
    /// The guest's console.
    pub console: String,
    /// QEMU's standard error.
    pub errors: String,
    /// From the start to the end.
    pub elapsed: Duration,
}

fn of_status(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exited(code),
        (None, signal) => Ended::Signalled(signal.unwrap_or(0)),
    }
}

/// A process and the processes that it starts (`QEMU=` may be a wrapper). Dropping it ends them all.
#[derive(Debug)]
struct Group {
    leader: Child,
    reaped: Option<ExitStatus>,
}

impl Group {
    fn id(&self) -> Pid {
        Pid::from_child(&self.leader)
    }

    /// Whether the leader has ended. The leader is not reaped here, so that the group's id is not reused.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.reaped.is_some() || !matches!(rustix::process::waitid(WaitId::Pid(self.id()), options), Ok(None))
    }

    /// Kills the group and reaps its leader; returns the leader's exit status.
    fn end(&mut self) -> Option<ExitStatus> {
        if self.reaped.is_none() {
            // Fails only if the group has ended already.
            let _ = rustix::process::kill_process_group(self.id(), Signal::KILL);
            self.reaped = self.leader.wait().ok();
        }
        self.reaped
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Qemu {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Qemu::spawn(command, None).unwrap()
    }

    #[test]
    fn exit_status_and_both_streams_are_kept() {
        let (ended, output) = shell("echo out; echo err >&2; exit 3").wait(Duration::from_secs(120));
        assert_eq!(ended, Ended::Exited(3));
        assert_eq!((output.console.as_str(), output.errors.as_str()), ("out\n", "err\n"));
    }

    #[test]
    fn a_process_past_its_limit_is_killed_and_its_output_kept() {
        let (ended, output) = shell("echo here; exec sleep 600").wait(Duration::from_millis(300));
        assert_eq!(ended, Ended::TimedOut(Duration::from_millis(300)));
        assert_eq!(output.console, "here\n");
    }

    #[test]
    fn firmware_that_restarts_again_and_again_is_ended() {
        let start = "echo 'SLOF **********'; echo 'cannot, rebooting'; ";
        let (ended, output) =
            shell(&format!("{}exec sleep 600", start.repeat(4))).wait(Duration::from_secs(120));
        assert_eq!((ended, output.console.matches("SLOF").count()), (Ended::Firmware(3), 4));
        // The third start may still succeed.
        let (ended, _) =
            shell(&format!("{}exec sleep 600", start.repeat(3))).wait(Duration::from_millis(300));
        assert!(matches!(ended, Ended::TimedOut(_)));
        // A guest that prints is no firmware, however often it is reset.
        let guest = format!("{start}echo postern: fdt.addr=0x1; ");
        let (ended, _) = shell(&guest.repeat(5)).wait(Duration::from_secs(120));
        assert_eq!(ended, Ended::Exited(0));
    }

    #[test]
    fn an_end_by_signal_is_reported() {
        let (ended, _) = shell("kill -SEGV $$").wait(Duration::from_secs(120));
        assert_eq!(ended, Ended::Signalled(11));
    }

    #[test]
    fn dropping_leaves_no_process() {
        let qemu = shell("exec sleep 600");
        let id = qemu.id();
        drop(qemu);
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn processes_of_a_wrapper_end_with_it() {
        let qemu = shell("sleep 600 & echo $!; wait");
        let line = qemu.console().wait_for(Duration::from_secs(120), |_| true).unwrap();
        let (ended, _) = qemu.wait(Duration::from_millis(100));
        assert!(matches!(ended, Ended::TimedOut(_)));
        // Without a parent it may stay a zombie for a moment, until init reaps it.
        let gone = || {
            let status = std::fs::read_to_string(format!("/proc/{line}/stat")).unwrap_or_default();
            status.is_empty() || status.contains(") Z ")
        };
        let deadline = Instant::now() + Duration::from_secs(120);
        while !gone() && Instant::now() < deadline {
            std::thread::sleep(TICK);
        }
        assert!(gone());
    }

    #[test]
    fn typing_reaches_the_guest() {
        let mut qemu = shell("read line; echo \"got $line\"");
        qemu.type_in(b"q\n").unwrap();
        let (ended, output) = qemu.wait(Duration::from_secs(120));
        assert_eq!((ended, output.console.as_str()), (Ended::Exited(0), "got q\n"));
    }

    #[test]
    fn a_missing_program_is_one_line() {
        let machine = Machine::new("no-such-qemu".into(), "k".into(), "r".into());
        let error = Qemu::start(&machine, None).unwrap_err().to_string();
        assert_eq!(error, "no-such-qemu: not found; `make setup` installs it, QEMU= names another");
    }
}
