//! The command line of the harness: a subcommand, variables (`NAME=VALUE` or `--name VALUE`), filters.

use crate::ultravisor::{Behaviour, FaultError, Faults};
use crate::variable::{BadVariable, Cpu, Firmware, Net, Value, split};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How long a guest may take that was given no limit.
const TIMEOUT: Duration = Duration::from_secs(300);

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Boot one guest in front of a person.
    Run,
    /// Run the boot tests.
    Test,
    /// Run the long soak.
    Soak,
    /// Name the boot tests.
    List,
    /// Say what there is.
    Help,
}

impl Action {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Test => "test",
            Self::Soak => "soak",
            Self::List => "list",
            Self::Help => "help",
        }
    }

    /// Whether the variable means something to it.
    fn takes(self, name: &str) -> bool {
        match name {
            "JOBS" | "SABOTAGE" | "SKIP_BOUNCE" => self == Self::Test,
            "TIME" | "SEED" => self == Self::Soak,
            "QEMU" | "KERNEL" | "ROM" => true,
            _ => self == Self::Run,
        }
    }
}

/// Everything that the command line can say.
#[derive(Clone, Debug)]
pub struct Options {
    /// `FIRMWARE=slof|vof|bios`
    pub firmware: Firmware,
    /// `SVM=on|off`: whether there is an ultravisor.
    pub svm: bool,
    /// `AP=on|off`: whether devices offer VIRTIO_F_ACCESS_PLATFORM.
    pub access_platform: bool,
    /// `CPU=power9|power10`
    pub cpu: Cpu,
    /// `SMP=N`
    pub smp: u32,
    /// `MEM=SIZE`, in bytes.
    pub memory: u64,
    /// `DISK=PATH`; none: an image made on the spot.
    pub disk: Option<PathBuf>,
    /// `DISK_WRITE=yes|no`: whether the guest's writes reach `DISK`.
    pub disk_write: bool,
    /// `NET=user|none|NETDEV`
    pub net: Net,
    /// `PORT=N`: where the guest's port 7 is reached on loopback.
    pub port: Option<u16>,
    /// `QEMU=PROGRAM`
    pub qemu: PathBuf,
    /// `APPEND=WORDS`, added to the kernel command line.
    pub append: String,
    /// `TIMEOUT=SECONDS`
    pub timeout: Option<Duration>,
    /// `KERNEL=PATH`
    pub kernel: PathBuf,
    /// `SABOTAGE=PATH`: the image that maps a private page, for `test`.
    pub sabotage: PathBuf,
    /// The image that lends its devices private buffers.
    pub skip_bounce: PathBuf,
    /// `ROM=PATH`
    pub rom: PathBuf,
    /// `BEHAVIOUR=published|documented`
    pub behaviour: Behaviour,
    /// `FAULTS=SPEC`
    pub faults: Faults,
    /// `LOG=PATH`: the ultravisor's call log.
    pub log: Option<PathBuf>,
    /// `TIME=SECONDS`: how long a soak disturbs its guest.
    pub time: Duration,
    /// `SEED=N`: what decides a soak; another one each time if not given.
    pub seed: Option<u64>,
    /// `JOBS=N`: tests at a time.
    pub jobs: usize,
    /// Parts of test names; a test runs if its name contains one of them, or if there are none.
    pub filters: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            firmware: Firmware::Slof,
            svm: true,
            access_platform: true,
            cpu: Cpu::Power9,
            smp: 1,
            memory: 1 << 30,
            disk: None,
            disk_write: false,
            net: Net::User,
            port: None,
            qemu: "qemu-system-ppc64".into(),
            append: String::new(),
            timeout: None,
            kernel: "build/postern.elf".into(),
            sabotage: "build/postern-sabotage.elf".into(),
            skip_bounce: "build/postern-skip-bounce.elf".into(),
            rom: "build/rom.bin".into(),
            behaviour: Behaviour::Published,
            faults: Faults::none(),
            log: None,
            time: Duration::from_secs(180),
            seed: None,
            jobs: 2,
            filters: Vec::new(),
        }
    }
}

/// Why the command line cannot be followed; one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageError {
    /// No subcommand.
    NoAction,
    /// A subcommand that does not exist.
    UnknownAction(String),
    /// A variable that does not exist.
    UnknownVariable(String),
    /// `--name` at the end.
    NoValue(String),
    /// A word that is no variable where only variables are taken.
    Stray(String),
    /// A variable that another subcommand has.
    NotHere(String, Action),
    /// A variable that has no effect unless this is so.
    NoEffect(&'static str, &'static str),
    /// A variable's value.
    Bad(BadVariable),
    /// `FAULTS=`.
    Faults(FaultError),
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAction => f.write_str("what to do? run, test, soak, list or help"),
            Self::UnknownAction(word) => write!(f, "{word}: expected run, test, soak, list or help"),
            Self::UnknownVariable(name) => write!(f, "{name}: no such variable; `help` lists them"),
            Self::NoValue(name) => write!(f, "{name}: no value given"),
            Self::Stray(word) => write!(f, "{word}: expected NAME=VALUE"),
            Self::NotHere(name, action) => {
                write!(f, "{name}: no variable of `{}`; `help` lists them", action.name())
            }
            Self::NoEffect(name, unless) => write!(f, "{name}: has no effect without {unless}"),
            Self::Bad(bad) => write!(f, "{bad}"),
            Self::Faults(error) => write!(f, "FAULTS: {error}"),
        }
    }
}

impl std::error::Error for UsageError {}

impl From<BadVariable> for UsageError {
    fn from(bad: BadVariable) -> Self {
        Self::Bad(bad)
    }
}

/// Reads the words after the program's name.
///
/// # Errors
/// The first word that cannot be followed.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<(Action, Options), UsageError> {
    let mut words = words.into_iter();
    let action = words.next().ok_or(UsageError::NoAction)?;
    let action = match action.to_str() {
        Some("run") => Action::Run,
        Some("test") => Action::Test,
        Some("soak") => Action::Soak,
        Some("list") => Action::List,
        Some("help" | "--help" | "-h") => Action::Help,
        _ => return Err(UsageError::UnknownAction(action.to_string_lossy().into_owned())),
    };
    let mut options = Options::default();
    let mut given = Vec::new();
    while let Some(word) = words.next() {
        if let Some((name, value)) = split(&word) {
            options.set(&name, value)?;
            given.push(name);
        } else if let Some(flag) = word.to_str().and_then(|text| text.strip_prefix("--")) {
            let name = flag.to_ascii_uppercase().replace('-', "_");
            let value = words.next().ok_or_else(|| UsageError::NoValue(name.clone()))?;
            options.set(&name, value)?;
            given.push(name);
        } else if action == Action::Test || action == Action::List {
            options.filters.push(word.to_string_lossy().into_owned());
        } else {
            return Err(UsageError::Stray(word.to_string_lossy().into_owned()));
        }
    }
    options.check(action, &given)?;
    Ok((action, options))
}

impl Options {
    /// How long a guest of `run` may take: without end where it serves until it is told to stop.
    #[must_use]
    pub fn limit(&self) -> Duration {
        let mut words = self.append.split_whitespace();
        let serves = |word: &str| {
            let steps = word.strip_prefix("run=").unwrap_or_default();
            steps.split(',').any(|step| matches!(step, "net-serve" | "net-bench"))
        };
        let served = words.clone().any(serves) && !words.any(|word| word.starts_with("serve="));
        self.timeout.unwrap_or(if served { Duration::MAX } else { TIMEOUT })
    }

    /// Nothing that was given is without effect.
    fn check(&self, action: Action, given: &[String]) -> Result<(), UsageError> {
        if let Some(name) = given.iter().find(|name| !action.takes(name)) {
            return Err(UsageError::NotHere(name.clone(), action));
        }
        let useless = [
            ("FAULTS", "SVM=on", !self.svm),
            ("BEHAVIOUR", "SVM=on", !self.svm),
            ("LOG", "SVM=on", !self.svm && self.log.is_some()),
            ("DISK_WRITE", "DISK", self.disk_write && self.disk.is_none()),
            ("PORT", "NET=user", self.net != Net::User),
        ];
        let is_given = |name: &str| given.iter().any(|other| other == name);
        match useless.into_iter().find(|(name, _, useless)| *useless && is_given(name)) {
            Some((name, unless, _)) => Err(UsageError::NoEffect(name, unless)),
            None => Ok(()),
        }
    }

    fn set(&mut self, name: &str, text: OsString) -> Result<(), UsageError> {
        let value = Value { name, text: &text };
        match name {
            "FIRMWARE" => self.firmware = value.firmware()?,
            "SVM" => self.svm = value.switch()?,
            "AP" => self.access_platform = value.switch()?,
            "CPU" => self.cpu = value.cpu()?,
            "SMP" => self.smp = value.cpus()?,
            "MEM" => self.memory = value.memory()?,
            // An empty value is what an unset variable of make's comes down to.
            "DISK" if text.is_empty() => self.disk = None,
            "DISK" => self.disk = Some(value.file()?),
            "DISK_WRITE" => self.disk_write = value.yes_no()?,
            "NET" => self.net = value.net()?,
            "PORT" => self.port = Some(value.port()?),
            "QEMU" if text.is_empty() => return Err(value.bad("a program").into()),
            "QEMU" => self.qemu = PathBuf::from(text),
            "APPEND" => self.append = value.line()?,
            "TIMEOUT" => self.timeout = Some(value.seconds()?),
            "KERNEL" => self.kernel = PathBuf::from(text),
            "SABOTAGE" => self.sabotage = PathBuf::from(text),
            "SKIP_BOUNCE" => self.skip_bounce = PathBuf::from(text),
            "ROM" => self.rom = PathBuf::from(text),
            "BEHAVIOUR" => {
                self.behaviour = match text.to_str() {
                    Some("published") => Behaviour::Published,
                    Some("documented") => Behaviour::Documented,
                    _ => return Err(value.bad("published or documented").into()),
                }
            }
            "FAULTS" => self.faults = value.line()?.parse().map_err(UsageError::Faults)?,
            "LOG" if text.is_empty() => self.log = None,
            "LOG" => self.log = Some(PathBuf::from(text)),
            "TIME" => self.time = value.seconds()?,
            "SEED" => self.seed = Some(value.number()?),
            "JOBS" => self.jobs = value.jobs()?,
            _ => return Err(UsageError::UnknownVariable(name.to_owned())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<(Action, Options), UsageError> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn variables_come_in_both_forms() {
        for words in [
            &["run", "FIRMWARE=vof", "SVM=off", "APPEND=run=demo"][..],
            &["run", "--firmware", "vof", "--svm", "off", "--append", "run=demo", "--disk", ""],
        ] {
            let (action, options) = parsed(words).unwrap();
            assert_eq!((action, options.firmware, options.svm), (Action::Run, Firmware::Vof, false));
            assert_eq!(options.append, "run=demo");
            assert_eq!(options.disk, None);
        }
    }

    #[test]
    fn what_cannot_be_followed_is_one_line_with_its_name() {
        for (words, line) in [
            (&["run", "FIRMWARE=x"][..], "FIRMWARE=x: expected slof, vof or bios"),
            (&["run", "--mem", "5"], "MEM=5: expected a multiple of 256M, such as 512M or 1G"),
            (&["run", "DISK=/nowhere"], "DISK=/nowhere: expected the path of an existing file"),
            (&["run", "JOBS=2"], "JOBS: no variable of `run`; `help` lists them"),
            (&["test", "MEM=1G"], "MEM: no variable of `test`; `help` lists them"),
            (&["run", "SVM=off", "FAULTS=share:silent"], "FAULTS: has no effect without SVM=on"),
            (&["run", "LOG=calls", "SVM=off"], "LOG: has no effect without SVM=on"),
            (&["run", "DISK_WRITE=yes"], "DISK_WRITE: has no effect without DISK"),
            (&["run", "PORT=5555", "NET=none"], "PORT: has no effect without NET=user"),
            (&["run", "COLOUR=red"], "COLOUR: no such variable; `help` lists them"),
            (&["run", "--mem"], "MEM: no value given"),
            (&["run", "fast"], "fast: expected NAME=VALUE"),
            (&["walk"], "walk: expected run, test, soak, list or help"),
            (&["run", "FAULTS=share"], "FAULTS: fault `share`: expected CALL:WHEN=WHAT"),
            (&[], "what to do? run, test, soak, list or help"),
        ] {
            assert_eq!(parsed(words).unwrap_err().to_string(), line);
        }
    }

    #[test]
    fn a_guest_that_serves_until_it_is_told_to_stop_has_no_limit() {
        let limit = |words: &[&str]| parsed(words).unwrap().1.limit();
        assert_eq!(limit(&["run"]), TIMEOUT);
        assert_eq!(limit(&["run", "APPEND=run=demo,net-serve"]), Duration::MAX);
        assert_eq!(limit(&["run", "APPEND=run=net-serve serve=5"]), TIMEOUT);
        assert_eq!(limit(&["run", "APPEND=run=net-serve", "TIMEOUT=7"]), Duration::from_secs(7));
    }

    #[test]
    fn other_words_filter_tests() {
        let (action, options) = parsed(&["test", "slof/secure", "JOBS=1"]).unwrap();
        assert_eq!((action, options.jobs), (Action::Test, 1));
        assert_eq!(options.filters, ["slof/secure"]);
    }
}
