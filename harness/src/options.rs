//! The command line of the harness: a subcommand, variables (`NAME=VALUE` or `--name VALUE`), filters.

use crate::variable::{Cpu, Firmware, Net, Value, split};
use postern_ultravisor::{Behaviour, Faults};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;
pub use usage_error::UsageError;

mod usage_error;

/// Time limit of a guest without a `TIMEOUT`.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A subcommand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Boot one guest with its console live.
    Run,
    /// Run the boot tests.
    Test,
    /// Run the long soak.
    Soak,
    /// Print the names of the boot tests.
    List,
    /// Print the table of tests by QEMU version.
    Table,
    /// Print the version.
    Version,
    /// Print the help.
    Help,
}

const RUN: &[Action] = &[Action::Run];
const TEST: &[Action] = &[Action::Test];
const SOAK: &[Action] = &[Action::Soak];
const IMAGE: &[Action] = &[Action::Run, Action::Test];
const TESTS: &[Action] = &[Action::Test, Action::Soak];
const GUESTS: &[Action] = &[Action::Run, Action::Test, Action::Soak];

/// Every variable, with the subcommands that use it.
pub const VARIABLES: [(&str, &[Action]); 31] = [
    ("FIRMWARE", RUN),
    ("SVM", RUN),
    ("AP", RUN),
    ("CPU", RUN),
    ("SMP", RUN),
    ("MEM", RUN),
    ("DISK", RUN),
    ("DISK_WRITE", RUN),
    ("NET", RUN),
    ("PORT", RUN),
    ("ECHO_PORT", RUN),
    ("QEMU", GUESTS),
    ("APPEND", RUN),
    ("TIMEOUT", RUN),
    ("KERNEL", IMAGE),
    ("TEST_IMAGE", TESTS),
    ("ROM", GUESTS),
    ("SABOTAGE", TEST),
    ("SKIP_BOUNCE", TEST),
    ("CARELESS", TEST),
    ("BLOB", RUN),
    ("BEHAVIOUR", RUN),
    ("FAULTS", RUN),
    ("LOG", RUN),
    ("TIME", SOAK),
    ("SEED", SOAK),
    ("JOBS", TEST),
    ("RESULTS", IMAGE),
    ("EXCLUDE", TEST),
    ("REPEAT", TEST),
    ("LIMIT", TEST),
];

impl Action {
    /// Every subcommand.
    pub const ALL: [Self; 7] =
        [Self::Run, Self::Test, Self::Soak, Self::List, Self::Table, Self::Version, Self::Help];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Test => "test",
            Self::Soak => "soak",
            Self::List => "list",
            Self::Table => "table",
            Self::Version => "version",
            Self::Help => "help",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        match word {
            "--help" | "-h" => Some(Self::Help),
            "--version" | "-V" => Some(Self::Version),
            _ => Self::ALL.into_iter().find(|action| action.name() == word),
        }
    }

    /// Whether it accepts words that are no variables.
    const fn takes_words(self) -> bool {
        matches!(self, Self::Test | Self::List | Self::Table)
    }
}

/// All options of the command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// `FIRMWARE=slof|vof|bios`
    pub firmware: Firmware,
    /// `SVM=on|off`: whether there is an ultravisor.
    pub svm: bool,
    /// `AP=on|off`: whether devices offer VIRTIO_F_ACCESS_PLATFORM.
    pub access_platform: bool,
    /// `CPU=power9|power10|power11`
    pub cpu: Cpu,
    /// `SMP=N`
    pub smp: u32,
    /// `MEM=SIZE`, in bytes.
    pub memory: u64,
    /// `DISK=PATH`; `None`: a new image.
    pub disk: Option<PathBuf>,
    /// `DISK_WRITE=yes|no`: whether the guest's writes reach `DISK`.
    pub disk_write: bool,
    /// `NET=user|none|NETDEV`
    pub net: Net,
    /// `PORT=N`: the loopback port that is forwarded to the guest's status page, port 80.
    pub page_port: Option<u16>,
    /// `ECHO_PORT=N`: the same for its port 7.
    pub echo_port: Option<u16>,
    /// `QEMU=PROGRAM`
    pub qemu: PathBuf,
    /// `APPEND=WORDS`, added to the kernel command line.
    pub append: String,
    /// `TIMEOUT=SECONDS`
    pub timeout: Option<Duration>,
    /// `KERNEL=PATH`: the product.
    pub kernel: PathBuf,
    /// `TEST_IMAGE=PATH`: the image of a soak, and of the tests that need its words.
    pub test_image: PathBuf,
    /// `SABOTAGE=PATH`: the image that maps a private page, for `test`.
    pub sabotage: PathBuf,
    /// The test image that gives its devices private buffers.
    pub skip_bounce: PathBuf,
    /// The image that waits for locks without a limit and prints private data.
    pub careless: PathBuf,
    /// `ROM=PATH`
    pub rom: PathBuf,
    /// `BLOB=demo|none`: whether the guest gets an ESM blob with a secret in it.
    pub blob: bool,
    /// `BEHAVIOUR=published|documented`
    pub behaviour: Behaviour,
    /// `FAULTS=SPEC`
    pub faults: Faults,
    /// `LOG=PATH`: the ultravisor's call log.
    pub log: Option<PathBuf>,
    /// `TIME=SECONDS`: how long a soak disturbs its guest.
    pub time: Duration,
    /// `SEED=N`: the seed of a soak; if not given, a different one each time.
    pub seed: Option<u64>,
    /// `JOBS=N`: tests at a time.
    pub jobs: usize,
    /// `RESULTS=DIR`: the folder for the results of the tests and the facts.
    pub results: Option<PathBuf>,
    /// `EXCLUDE=WORD,...`: boot tests that are not run, named as in `words`.
    pub exclude: Vec<String>,
    /// `REPEAT=N`: how often each boot test is run.
    pub repeat: usize,
    /// `LIMIT=SECONDS`: time limit of each guest of a boot test; `None`: the test's own limit.
    pub guest_limit: Option<Duration>,
    /// Words that are no variables: for `test` and `list` parts of test names, or whole names after `=`; for `table` files
    /// of results.
    pub words: Vec<String>,
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
            page_port: None,
            echo_port: None,
            qemu: "qemu-system-ppc64".into(),
            append: String::new(),
            timeout: None,
            kernel: "build/postern.elf".into(),
            test_image: "build/postern-test.elf".into(),
            sabotage: "build/postern-sabotage.elf".into(),
            skip_bounce: "build/postern-skip-bounce.elf".into(),
            careless: "build/postern-careless.elf".into(),
            rom: "build/rom.bin".into(),
            blob: false,
            behaviour: Behaviour::Published,
            faults: Faults::none(),
            log: None,
            time: Duration::from_secs(180),
            seed: None,
            jobs: 2,
            results: None,
            exclude: Vec::new(),
            repeat: 1,
            guest_limit: None,
            words: Vec::new(),
        }
    }
}

/// Reads the words after the program's name.
///
/// # Errors
/// The first wrong word.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<(Action, Options), UsageError> {
    let mut words = words.into_iter();
    let action = words.next().ok_or(UsageError::NoAction)?;
    let unknown = || UsageError::UnknownAction(action.to_string_lossy().into_owned());
    let action = action.to_str().and_then(Action::from_word).ok_or_else(unknown)?;
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
        } else if action.takes_words() && is_no_variable(&word) {
            options.words.push(word.to_string_lossy().into_owned());
        } else {
            return Err(UsageError::Stray(word.to_string_lossy().into_owned()));
        }
    }
    options.check(action, &given)?;
    Ok((action, options))
}

/// Whether the word is not of the form `NAME=VALUE`. A test with `=` in its name has `/` before it; `=` before a name
/// selects exactly that test.
fn is_no_variable(word: &OsStr) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let mut bytes = word.as_bytes().iter().skip(1);
    bytes.find(|byte| matches!(byte, b'=' | b'/')) != Some(&b'=')
}

impl Options {
    /// Time limit of a guest of `run`; none if it serves until it is told to stop.
    #[must_use]
    pub fn limit(&self) -> Duration {
        let mut words = self.append.split_whitespace();
        let serves = |word: &str| {
            let steps = word.strip_prefix("run=").unwrap_or_default();
            steps.split(',').any(|step| matches!(step, "net-serve" | "net-bench" | "monitor"))
        };
        let served = words.clone().any(serves) && !words.any(|word| word.starts_with("serve="));
        self.timeout.unwrap_or(if served { Duration::MAX } else { TIMEOUT })
    }

    /// Whether the guest reads the keyboard.
    #[must_use]
    pub fn monitor(&self) -> bool {
        let mut steps = self.append.split_whitespace().filter_map(|word| word.strip_prefix("run="));
        steps.next_back().is_some_and(|steps| steps.split(',').any(|step| step == "monitor"))
    }

    /// Checks that each given variable has an effect.
    fn check(&self, action: Action, given: &[String]) -> Result<(), UsageError> {
        let takes = |given: &str| VARIABLES.iter().any(|(name, by)| *name == given && by.contains(&action));
        if let Some(name) = given.iter().find(|name| !takes(name)) {
            return Err(UsageError::NotHere(name.clone(), action));
        }
        let useless = [
            ("FAULTS", "SVM=on", !self.svm),
            ("BEHAVIOUR", "SVM=on", !self.svm),
            ("BLOB", "SVM=on", !self.svm && self.blob),
            ("LOG", "SVM=on", !self.svm && self.log.is_some()),
            ("DISK_WRITE", "DISK", self.disk_write && self.disk.is_none()),
            ("PORT", "NET=user", self.net != Net::User),
            ("ECHO_PORT", "NET=user", self.net != Net::User),
        ];
        let is_given = |name: &str| given.iter().any(|other| other == name);
        match useless.into_iter().find(|(name, _, useless)| *useless && is_given(name)) {
            Some((name, unless, _)) => Err(UsageError::NoEffect(name, unless)),
            None => Ok(()),
        }
    }

    fn set(&mut self, name: &str, text: OsString) -> Result<(), UsageError> {
        // Only variables of the list are accepted: the tests use the same list.
        if VARIABLES.iter().all(|(known, _)| *known != name) {
            return Err(UsageError::UnknownVariable(name.to_owned()));
        }
        let value = Value { name, text: &text };
        match name {
            "FIRMWARE" => self.firmware = value.firmware()?,
            "SVM" => self.svm = value.switch()?,
            "AP" => self.access_platform = value.switch()?,
            "CPU" => self.cpu = value.cpu()?,
            "SMP" => self.smp = value.cpus()?,
            "MEM" => self.memory = value.memory()?,
            // make passes an unset variable as an empty value.
            "DISK" if text.is_empty() => self.disk = None,
            "DISK" => self.disk = Some(value.file()?),
            "DISK_WRITE" => self.disk_write = value.yes_no()?,
            "NET" => self.net = value.net()?,
            "PORT" => self.page_port = Some(value.port()?),
            "ECHO_PORT" => self.echo_port = Some(value.port()?),
            "QEMU" if text.is_empty() => return Err(value.bad("a program").into()),
            "QEMU" => self.qemu = PathBuf::from(text),
            "APPEND" => self.append = value.line()?,
            "TIMEOUT" => self.timeout = Some(value.seconds()?),
            "KERNEL" => self.kernel = PathBuf::from(text),
            "TEST_IMAGE" => self.test_image = PathBuf::from(text),
            "SABOTAGE" => self.sabotage = PathBuf::from(text),
            "SKIP_BOUNCE" => self.skip_bounce = PathBuf::from(text),
            "CARELESS" => self.careless = PathBuf::from(text),
            "ROM" => self.rom = PathBuf::from(text),
            "BLOB" => {
                self.blob = match text.to_str() {
                    Some("demo") => true,
                    Some("none" | "") => false,
                    _ => return Err(value.bad("demo or none").into()),
                }
            }
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
            "RESULTS" if text.is_empty() => return Err(value.bad("a folder").into()),
            "RESULTS" => self.results = Some(PathBuf::from(text)),
            "EXCLUDE" => self.exclude = value.line()?.split(',').map(str::to_owned).collect(),
            "REPEAT" => self.repeat = value.times()?,
            "LIMIT" => self.guest_limit = Some(value.seconds()?),
            _ => return Err(UsageError::UnknownVariable(name.to_owned())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
