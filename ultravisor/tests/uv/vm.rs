//! QEMU with a raw ROM, its RAM in a file, and an ultravisor attached.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use postern_ultravisor::{Config, Report, ShareMap, Ultravisor, attach};
use tempfile::TempDir;

use super::asm::Asm;

/// Bytes of guest RAM.
pub const RAM_SIZE: u64 = 256 << 20;
/// Where QEMU puts a kernel's lowest segment.
pub const KERNEL_BASE: u64 = 0x40_0000;
/// Where guests leave their results: a flag, then doublewords.
pub const RESULTS: u64 = 0x1_0000;
/// What the guest's own system-call vector puts in r3.
pub const OWN_VECTOR: u64 = 0x77;
/// A radix process table whose only process maps the first 1 GiB at 0 and at 0xc000...
pub const PROCESS_TABLE: u64 = 0x100_0000;

const ROM_SIZE: usize = 0x5000;
const TIMEOUT: Duration = Duration::from_secs(600);

/// The RAM file of a guest.
pub struct Ram(File);

impl Ram {
    pub fn read(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, address).expect("RAM file");
        bytes
    }

    pub fn read_u64(&self, address: u64) -> u64 {
        u64::from_be_bytes(self.read(address, 8).try_into().expect("eight bytes"))
    }

    pub fn write_u64(&self, address: u64, value: u64) {
        self.0.write_all_at(&value.to_be_bytes(), address).expect("RAM file");
    }
}

/// A running guest. Dropping it ends QEMU.
pub struct Vm {
    qemu: Child,
    ultravisor: Option<Ultravisor>,
    pub ram: Ram,
    _files: TempDir,
}

fn rom_bytes(code: &Asm) -> Vec<u8> {
    let mut rom = vec![0; ROM_SIZE];
    rom[0x100..0x100 + code.bytes.len()].copy_from_slice(&code.bytes);
    assert!(code.bytes.len() < 0xb00, "the ROM's code reaches its vector");
    for (vector, little) in [(0xc00, false), (0x4c00, true)] {
        let mut handler = Asm::big(vector);
        if little {
            handler.little();
        }
        handler.load(3, OWN_VECTOR);
        handler.return_from_interrupt();
        let at = usize::try_from(vector).expect("low");
        rom[at..at + handler.bytes.len()].copy_from_slice(&handler.bytes);
    }
    rom
}

/// An ELF file with one segment.
fn elf(code: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 120];
    file[..7].copy_from_slice(b"\x7fELF\x02\x02\x01");
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(16, &[0, 2, 0, 21, 0, 0, 0, 1]);
    put(32, &64_u64.to_be_bytes());
    put(52, &[0, 64, 0, 56, 0, 1]);
    put(64, &[0, 0, 0, 1, 0, 0, 0, 7]);
    put(72, &120_u64.to_be_bytes());
    for size in [96, 104] {
        put(size, &(code.len() as u64).to_be_bytes());
    }
    put(112, &1_u64.to_be_bytes());
    file.extend_from_slice(code);
    file
}

/// Radix tables: process table entry 0, a root of 2^13 entries, and one 1 GiB leaf.
fn write_tables(ram: &Ram) {
    let (root, level) = (PROCESS_TABLE + 0x1_0000, PROCESS_TABLE + 0x2_0000);
    ram.write_u64(PROCESS_TABLE, 2 << 61 | 5 << 5 | root | 13);
    ram.write_u64(root, 1 << 63 | level | 9);
    // Valid leaf, referenced, changed; privileged read, write, execute.
    ram.write_u64(level, 3 << 62 | 0x180 | 0xf);
}

impl Vm {
    /// Starts a guest with a ROM that is entered at 0x100 and a kernel at [`KERNEL_BASE`].
    pub fn start(rom: &Asm, kernel: &Asm, config: Config, cpus: u32) -> Self {
        let files = tempfile::tempdir().expect("scratch directory");
        let path = |name: &str| files.path().join(name);
        std::fs::write(path("rom"), rom_bytes(rom)).expect("ROM");
        let code = if kernel.bytes.is_empty() { &[0; 4] } else { kernel.bytes.as_slice() };
        std::fs::write(path("kernel"), elf(code)).expect("kernel");
        std::fs::write(path("initrd"), b"initrd").expect("initrd");
        let ram = OpenOptions::new().read(true).write(true).create_new(true).open(path("ram")).expect("RAM");
        ram.set_len(RAM_SIZE).expect("RAM size");
        let ram = Ram(ram);
        write_tables(&ram);
        let text = |name: &str| path(name).display().to_string();
        let qemu = Command::new("qemu-system-ppc64")
            .args(["-machine", "pseries,memory-backend=m,cap-cfpc=broken,cap-sbbc=broken"])
            .args(["-machine", "cap-ibs=broken,cap-ccf-assist=off", "-cpu", "power9"])
            .args(["-m", "256M", "-smp", &cpus.to_string(), "-nodefaults", "-display", "none", "-S"])
            .args(["-vga", "none", "-append", "svm=on"])
            .args([
                "-object",
                &format!("memory-backend-file,id=m,size=256M,mem-path={},share=on", text("ram")),
            ])
            .args(["-chardev", &format!("socket,id=g,path={},server=on,wait=off", text("gdb"))])
            .args(["-gdb", "chardev:g", "-bios", &text("rom")])
            .args(["-kernel", &text("kernel"), "-initrd", &text("initrd")])
            .stdin(Stdio::null())
            .spawn()
            .expect("qemu-system-ppc64 starts");
        let config = Config { kernel_elf: path("kernel"), ..config };
        let mut vm = Self { qemu, ultravisor: None, ram, _files: files };
        let files = vm._files.path();
        let ultravisor = attach(&files.join("gdb"), &files.join("ram"), RAM_SIZE, config);
        vm.ultravisor = Some(ultravisor.expect("ultravisor"));
        vm
    }

    /// Waits for the guest's flag.
    pub fn wait_until_done(&mut self) {
        let deadline = Instant::now() + TIMEOUT;
        while self.ram.read_u64(RESULTS) == 0 {
            assert!(Instant::now() < deadline, "the guest did not finish");
            let ended = self.qemu.try_wait().expect("QEMU's state");
            assert!(ended.is_none(), "QEMU ended: {ended:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The first results, as big-endian doublewords.
    pub fn results(&self, count: u64) -> Vec<u64> {
        (1..=count).map(|n| self.ram.read_u64(RESULTS + 8 * n)).collect()
    }

    pub fn share_map(&self) -> Arc<ShareMap> {
        self.ultravisor.as_ref().expect("attached").share_map()
    }

    /// Kills QEMU and asks the ultravisor what happened.
    pub fn stop(mut self) -> Report {
        self.end_qemu();
        self.ultravisor.take().expect("attached").join()
    }

    fn end_qemu(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.end_qemu();
    }
}
