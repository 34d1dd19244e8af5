//! Host side of Postern, as a program: `run`, `test`, `soak`, `list`, `table`, `version`, `help`.

use postern_harness::options::{self, Action};
use postern_harness::{interrupt, matrix, out, run, say, versions};
use std::process::ExitCode;

/// Exit status: wrong command line.
const USAGE: u8 = 2;

const HELP: &str = "\
postern-harness run  [NAME=VALUE]...            boot one guest and show its console
postern-harness test [NAME=VALUE]... [PART]...  run the boot tests whose names contain a PART; =NAME is one test
postern-harness soak [NAME=VALUE]...            random work and disturbances for TIME seconds, all given back
postern-harness list [PART]...                  name them
postern-harness table [RESULTS]...              docs/qemu-versions.md with the results of these boot.tsv in it
postern-harness version                         which version this is; --version, too
postern-harness help                            this text; --help and -h, too

Variables (`--name VALUE` means the same)       default
  FIRMWARE=slof|vof|bios                        slof
  SVM=on|off             an ultravisor beside   on
  AP=on|off              ACCESS_PLATFORM        on
  CPU=power9|power10|power11  power11: QEMU 10  power9
  SMP=N                                         1
  MEM=SIZE               whole 256M             1G
  DISK=PATH              never written          an image made on the spot
  DISK_WRITE=yes|no      unless told so         no
  NET=user|none|NETDEV   a -netdev argument     user
  PORT=N                 on loopback, to port 80 any free one
  ECHO_PORT=N            the same, to port 7    any free one
  QEMU=PROGRAM                                  qemu-system-ppc64
  APPEND=WORDS           kernel command line
  TIMEOUT=SECONDS        of run                 300; none when it serves
  BLOB=none|demo                                 none
  BEHAVIOUR=published|documented                published
  FAULTS=CALL:WHEN=WHAT,...                     none; docs/ultravisor.md lists what a run can be like
  LOG=PATH               ultracalls, JSON lines
  KERNEL=PATH  ROM=PATH                         build/postern.elf, rom.bin
  TEST_IMAGE=PATH                               build/postern-test.elf, for the tests that need its words
  SABOTAGE=PATH  SKIP_BOUNCE=PATH               build/postern-sabotage.elf, postern-skip-bounce.elf
  CARELESS=PATH                                 build/postern-careless.elf
  JOBS=N                 tests at a time        2
  EXCLUDE=PART,...       tests to leave out     none
  REPEAT=N               runs of each test      1
  LIMIT=SECONDS          of each guest          as its test says
  RESULTS=DIR            leave there, of a test, boot.xml (JUnit), boot.tsv, boot.jsonl and facts.jsonl (JSON lines); of
                         a run, tests.xml, tests.jsonl, facts.jsonl and console.log
                         ROM and QEMU are for run, test and soak, KERNEL and RESULTS for run and test, TEST_IMAGE for
                         test and soak, TIME and SEED for a soak, JOBS, EXCLUDE, REPEAT, LIMIT, SABOTAGE, SKIP_BOUNCE
                         and CARELESS for a test, the others for a run
  TIME=SECONDS SEED=N    of a soak              180, another each time

Exit status of run: the guest's own (docs/exit-codes.md); 1 the runner's verdict is bad or there was no
guest; 2 this command line; 124 no end within TIMEOUT; 125 SLOF reset the
machine before the kernel's first line, or did three times; 130 interrupted, or nobody reads what a guest says
that serves without end. 1, too, where output could not be written, and nothing worse was to be said.
Exit status of test: 0 when all passed, 1 when one failed, 2 and 130 as above; 130 when nobody reads its output.
";

fn main() -> ExitCode {
    let (action, options) = match options::parse(std::env::args_os().skip(1)) {
        Ok(parsed) => parsed,
        Err(error) => {
            eprintln!("postern: {error}");
            return ExitCode::from(USAGE);
        }
    };
    if let Err(error) = interrupt::watch() {
        eprintln!("postern: cannot watch for Ctrl-C: {error}");
        return ExitCode::from(run::FAILED);
    }
    let status = match action {
        Action::Help => {
            out::write(format_args!("{HELP}"));
            0
        }
        Action::Version => {
            say!("postern-harness {}", env!("CARGO_PKG_VERSION"));
            0
        }
        Action::Table => match versions::table(&options.words) {
            Ok(page) => {
                out::write(format_args!("{page}"));
                0
            }
            Err(error) => {
                eprintln!("postern: {error}");
                run::FAILED
            }
        },
        Action::List => matrix::runner::list(&options),
        Action::Test => matrix::runner::test(&options),
        Action::Soak => matrix::runner::soak(&options),
        Action::Run => run::run(&options).unwrap_or_else(|error| {
            eprintln!("postern: {error}");
            run::FAILED
        }),
    };
    ExitCode::from(with_output_errors(status))
}

/// The exit status, which is a failure if some output could not be written.
fn with_output_errors(status: u8) -> u8 {
    let Some(error) = out::lost() else { return status };
    eprintln!("postern: standard output: {error}; all later output is lost");
    status.max(run::FAILED)
}
