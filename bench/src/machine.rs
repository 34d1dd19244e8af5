//! Describes the machine of the measurements, without its name.

use crate::guest::Parts;
use std::path::Path;
use std::process::Command;

/// Name and value of each property.
pub type Description = Vec<(&'static str, String)>;

/// The product, whose size is stated; the measurements use the test image.
const PRODUCT: &str = "build/postern.elf";

/// The properties, in the order of the report.
pub const NAMES: [&str; 12] = [
    "CPU",
    "CPUs",
    "memory",
    "host kernel",
    "QEMU",
    "load at the end",
    "Linux guest",
    "secure Linux guest",
    "date",
    "Postern image with symbols, bytes",
    "Postern image stripped, bytes",
    "Linux image stripped, bytes",
];

/// Describes this machine and the software of the measurements.
pub fn describe(parts: &Parts) -> Description {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let value = text.lines().find(|line| line.starts_with(name))?.split_once(':')?.1;
        Some(value.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let unknown = || "unknown".to_owned();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let value = |name| match name {
        "CPU" => Some(field(&file("/proc/cpuinfo"), "model name").unwrap_or_else(unknown)),
        "CPUs" => Some(cpus.to_string()),
        "memory" => Some(field(&file("/proc/meminfo"), "MemTotal").unwrap_or_else(unknown)),
        "host kernel" => Some(first_line("uname", &["-sr"])),
        "QEMU" => Some(first_line(&parts.qemu, &["--version"])),
        "load at the end" => file("/proc/loadavg").split(' ').next().map(str::to_owned),
        "Linux guest" => {
            Some(parts.linux.as_ref().map_or_else(|| "none".to_owned(), |linux| linux.version.clone()))
        }
        "secure Linux guest" => Some(parts.secure_linux.as_ref()?.version.clone()),
        "date" => Some(first_line("date", &["-u", "+%F"])),
        "Postern image with symbols, bytes" => Some(std::fs::metadata(PRODUCT).ok()?.len().to_string()),
        "Postern image stripped, bytes" => Some(stripped(Path::new(PRODUCT))?.to_string()),
        "Linux image stripped, bytes" => Some(stripped(&parts.linux.as_ref()?.kernel)?.to_string()),
        _ => None,
    };
    NAMES.into_iter().filter_map(|name| Some((name, value(name)?))).collect()
}

fn first_line(program: impl AsRef<std::ffi::OsStr>, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}

/// Bytes of an ELF file without symbols.
fn stripped(elf: &Path) -> Option<u64> {
    let out = Path::new("build/bench/stripped");
    let strip = Command::new("powerpc64le-linux-gnu-strip").arg("-o").arg(out).arg(elf).status();
    strip.ok().filter(|status| status.success())?;
    let bytes = std::fs::metadata(out).ok()?.len();
    // A leftover file does no harm.
    let _ = std::fs::remove_file(out);
    Some(bytes)
}
