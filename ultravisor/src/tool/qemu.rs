//! Parses a user's QEMU command line, and makes the options that are added to it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::Firmware;
use crate::devices::EVENT;
use postern_adversary::violation::ProtocolViolation;

/// Memory of a pseries without `-m` (`hw/ppc/spapr.c`).
const DEFAULT_MEMORY: u64 = 512 << 20;

/// Why a command line cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is none.
    Empty,
    /// An option with no value after it.
    NoValue(String),
    /// An option that stands in the way, and why.
    Option(String, &'static str),
    /// A machine that is no pseries.
    Machine(String),
    /// A size of memory that cannot be read.
    Memory(String),
    /// A device that a secure guest cannot have.
    Device(String, &'static str),
    /// No kernel to compare memory with.
    NoKernel,
    /// A protocol violation that no device of the command line can commit.
    Violation(ProtocolViolation),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "no QEMU command line after `--`"),
            Self::NoValue(option) => write!(f, "QEMU's {option} has no value"),
            Self::Option(option, why) => write!(f, "QEMU's {option}: {why}"),
            Self::Machine(machine) => write!(f, "-machine {machine}: only a pseries can be a secure VM"),
            Self::Memory(size) => write!(f, "-m {size}: not a size of memory"),
            Self::Device(device, why) => write!(f, "-device {device}: {why}"),
            Self::Violation(violation) => {
                write!(f, "--lie {}: no device in QEMU's command line can commit it", violation.name())
            }
            Self::NoKernel => write!(
                f,
                "no -kernel in QEMU's command line: say with --kernel which file UV_ESM has to find"
            ),
        }
    }
}

impl std::error::Error for Refused {}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The program and its arguments, as they were typed.
    pub words: Vec<OsString>,
    /// `-kernel`.
    pub kernel: Option<PathBuf>,
    /// `-append`.
    pub append: String,
    /// Whether there is an initrd.
    pub initrd: bool,
    /// Bytes of guest memory.
    pub memory: u64,
    /// What starts the guest.
    pub firmware: Firmware,
    /// `-D`: the trace goes there, too.
    pub log: Option<PathBuf>,
    /// `-d`, to which the interrupts are added.
    pub logged: Option<String>,
    /// virtio devices without ACCESS_PLATFORM, which bypass the I/O memory management unit.
    pub bypassing: Vec<String>,
}

impl CommandLine {
    /// Reads a command line.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn read(words: &[OsString]) -> Result<Self, Refused> {
        if words.is_empty() {
            return Err(Refused::Empty);
        }
        let mut line = Self {
            words: words.to_vec(),
            kernel: None,
            append: String::new(),
            initrd: false,
            memory: DEFAULT_MEMORY,
            firmware: Firmware::Slof,
            log: None,
            logged: None,
            bypassing: Vec::new(),
        };
        let mut rest = words[1..].iter();
        while let Some(word) = rest.next() {
            let text = word.to_string_lossy().into_owned();
            let Some(option) = text.strip_prefix('-') else { continue };
            let option = option.strip_prefix('-').unwrap_or(option);
            let mut value = || rest.next().ok_or_else(|| Refused::NoValue(text.clone()));
            match option {
                "S" | "s" | "gdb" => {
                    return Err(Refused::Option(text, "is the ultravisor's own; see `attach`"));
                }
                "enable-kvm" => return Err(Refused::Option(text, "the ultravisor needs TCG")),
                "daemonize" | "incoming" | "loadvm" | "mem-path" => {
                    return Err(Refused::Option(text, "cannot be served"));
                }
                "accel" if value()?.to_string_lossy().starts_with("kvm") => {
                    return Err(Refused::Option("-accel kvm".to_owned(), "the ultravisor needs TCG"));
                }
                "kernel" => line.kernel = Some(value()?.into()),
                "append" => line.append = value()?.to_string_lossy().into_owned(),
                "initrd" => {
                    value()?;
                    line.initrd = true;
                }
                "bios" => {
                    value()?;
                    line.firmware = Firmware::Bios;
                }
                "d" => line.logged = Some(value()?.to_string_lossy().into_owned()),
                "D" => line.log = Some(value()?.into()),
                "m" => line.memory = memory(&value()?.to_string_lossy())?,
                "M" | "machine" => line.machine(&value()?.to_string_lossy())?,
                "numa" if value()?.to_string_lossy().contains("memdev=") => {
                    return Err(Refused::Option(
                        "-numa memdev=".to_owned(),
                        "memory must be in one file, which is added",
                    ));
                }
                "device" => line.device(&value()?.to_string_lossy())?,
                "name" | "drive" | "netdev" | "chardev" | "object" | "fw_cfg" => {
                    value()?;
                }
                _ => {}
            }
        }
        if line.logged.is_some() && line.log.is_none() {
            return Err(Refused::Option("-d".to_owned(), "its log would be lost; add -D FILE"));
        }
        Ok(line)
    }

    fn machine(&mut self, value: &str) -> Result<(), Refused> {
        for (index, part) in value.split(',').enumerate() {
            let kind = part.strip_prefix("type=").or((index == 0 && !part.contains('=')).then_some(part));
            if kind.is_some_and(|kind| !kind.starts_with("pseries")) {
                return Err(Refused::Machine(value.to_owned()));
            }
            if part.starts_with("memory-backend=") {
                return Err(Refused::Option(
                    format!("-machine {part}"),
                    "memory must be in a file that is added",
                ));
            }
            if part == "x-vof=on" {
                self.firmware = Firmware::Vof;
            }
        }
        Ok(())
    }

    fn device(&mut self, value: &str) -> Result<(), Refused> {
        let name = value.split(',').next().unwrap_or_default();
        let platform =
            value.split(',').any(|part| part == "iommu_platform=on" || part == "iommu_platform=true");
        if name.starts_with("vhost-user") && !platform {
            let why = "its server would see all memory; add iommu_platform=on";
            return Err(Refused::Device(name.to_owned(), why));
        }
        if name.starts_with("virtio-") && !platform {
            self.bypassing.push(name.to_owned());
        }
        Ok(())
    }

    /// The options that are added: gdb server, memory in a file, trace of device accesses, log of hypercalls.
    #[must_use]
    pub fn added(&self, socket: &Path, ram: &Path, log: &Path) -> Vec<OsString> {
        let mut added: Vec<OsString> = vec!["-S".into(), "-chardev".into()];
        added.push(with_path("socket,id=postern-gdb,server=on,wait=off,path=", socket));
        added.extend(["-gdb", "chardev:postern-gdb", "-object"].map(OsString::from));
        let memory = format!("memory-backend-file,id=postern-ram,share=on,size={},mem-path=", self.memory);
        added.push(with_path(&memory, ram));
        added.extend(["-machine", "memory-backend=postern-ram", "-trace", EVENT].map(OsString::from));
        let logged = self.logged.iter().map(String::as_str).chain(["int"]).collect::<Vec<_>>().join(",");
        added.extend(["-d".into(), OsString::from(logged)]);
        added.extend(["-msg", "timestamp=on"].map(OsString::from));
        if self.log.is_none() {
            added.push("-D".into());
            added.push(log.into());
        }
        added
    }
}

/// An option list that ends with a path; a comma in it is doubled, as QEMU wants it.
fn with_path(before: &str, path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut value = before.as_bytes().to_vec();
    for byte in path.as_os_str().as_bytes() {
        value.push(*byte);
        if *byte == b',' {
            value.push(*byte);
        }
    }
    OsString::from_vec(value)
}

/// `1G`, `1024` (MiB), `size=1G,slots=2`.
fn memory(value: &str) -> Result<u64, Refused> {
    let bad = || Refused::Memory(value.to_owned());
    let first = value.split(',').next().unwrap_or_default();
    let size = first.strip_prefix("size=").unwrap_or(first);
    let (digits, shift) = match size.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&size[..at], 10),
        Some((at, 'm' | 'M')) => (&size[..at], 20),
        Some((at, 'g' | 'G')) => (&size[..at], 30),
        Some((at, 't' | 'T')) => (&size[..at], 40),
        _ => (size, 20),
    };
    let number: u64 = digits.parse().map_err(|_| bad())?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0).ok_or_else(bad)
}

/// Words as a shell would take them.
#[must_use]
pub fn shown(words: &[OsString]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    let word = |word: &OsStr| {
        let text = word.to_string_lossy();
        if !text.is_empty() && text.chars().all(plain) {
            text.into_owned()
        } else {
            format!("'{}'", text.replace('\'', "'\\''"))
        }
    };
    words.iter().map(|each| word(each)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<CommandLine, Refused> {
        CommandLine::read(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_usual_command_line_is_understood() {
        let line =
            read("qemu-system-ppc64 -M pseries,x-vof=on -m 2G -kernel vmlinux -initrd i -append svm=on")
                .expect("line");
        assert_eq!(
            (line.memory, line.firmware, line.kernel),
            (2 << 30, Firmware::Vof, Some("vmlinux".into()))
        );
        assert_eq!((line.append.as_str(), line.initrd), ("svm=on", true));
        for (text, bytes) in [("1024", 1 << 30), ("size=768M,slots=2,maxmem=4G", 768 << 20), ("1G", 1 << 30)]
        {
            assert_eq!(memory(text), Ok(bytes), "{text}");
        }
        assert_eq!(read("qemu-system-ppc64").expect("line").memory, 512 << 20);
    }

    #[test]
    fn an_unsupported_option_is_named() {
        for (line, named) in [
            ("q -S", "-S"),
            ("q -gdb tcp::1234", "-gdb"),
            ("q -M powernv9", "powernv9"),
            ("q -accel kvm", "kvm"),
            ("q -m lots", "lots"),
            ("q -m 0", "0"),
            ("q -kernel", "-kernel"),
            ("q -d cpu_reset", "-D FILE"),
            ("q -machine pseries,memory-backend=m", "memory-backend=m"),
            ("q -device vhost-user-blk-pci,chardev=c", "vhost-user-blk-pci"),
        ] {
            let refused = read(line).expect_err(line).to_string();
            assert!(refused.contains(named), "{line}: {refused}");
        }
        assert_eq!(read(""), Err(Refused::Empty));
    }

    #[test]
    fn values_are_not_taken_for_options() {
        let line =
            read("q -append -S -kernel k -device virtio-blk-pci,drive=d,iommu_platform=on").expect("line");
        assert_eq!((line.append.as_str(), line.bypassing), ("-S", Vec::<String>::new()));
        assert_eq!(read("q -device virtio-net-pci").expect("line").bypassing, ["virtio-net-pci"]);
    }

    #[test]
    fn what_is_added_ends_with_the_log_unless_there_is_one() {
        let added =
            |line: &str| shown(&read(line).expect("line").added("g,1".as_ref(), "r".as_ref(), "l".as_ref()));
        assert!(added("q").ends_with("-D l") && added("q").contains("path=g,,1"));
        assert!(added("q -m 1G").contains("size=1073741824,mem-path=r"));
        assert!(!added("q -D mine").contains("-D"));
        // QEMU takes the last -d alone.
        assert!(added("q").contains(" -d int ") && added("q -D mine -d in_asm").contains(" -d in_asm,int "));
    }
}
