//! The loop that meets the guest at its system-call vector, through QEMU's gdb server.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::call::Number;
use super::doctor::{self, Edit};
use super::fault::Faults;
use super::frames::{FrameState, ShareMap};
use super::guest::Guest;
use super::image::KernelImage;
use super::locks::Site;
use super::log::{CallRecord, Log};
use super::machine::{Call, Machine, Resume};
use super::ram::GuestRam;
use super::secure_bit::SecureBit;
use super::symbols::Symbols;
use super::tap::Tap;
use super::ultracalls::SC_2;
use super::{Config, End, Report, UvError};
use super::{poison, publish};
use crate::Firmware;
use crate::gdb::target::Register;
use crate::gdb::{Client, GdbError, Stop};
use attacks::Attacker;
use discipline::Discipline;
use order::Order;
use pauses::Frozen;

mod any;
mod attacks;
mod discipline;
mod entry;
mod hypercalls;
mod order;
mod pauses;
mod probe;
mod resets;
mod rtas;
mod strays;

/// Where `sc` arrives: with the MMU off, and with relocation on (AIL = 3).
const VECTORS: [u64; 2] = [0xc00, 0xc000_0000_0000_4c00];
/// Where QEMU loads an image that is started without firmware.
const BIOS_BASE: u64 = 0x40_0000;
const MSR_LE: u64 = 1;
const MSR_IR: u64 = 1 << 5;
const MSR_EE: u64 = 1 << 15;
/// In real mode the four top bits of an effective address are ignored.
const REAL_MODE_BITS: u64 = 0x0fff_ffff_ffff_ffff;
const SOCKET_PATIENCE: Duration = Duration::from_secs(120);

struct RegisterSet {
    /// r3 to r12.
    gpr: [Register; 10],
    pc: Register,
    msr: Register,
    srr0: Register,
    srr1: Register,
}

impl RegisterSet {
    fn find(client: &Client) -> Result<Self, GdbError> {
        const NAMES: [&str; 10] = ["r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12"];
        let mut gpr = [client.register(NAMES[0])?; 10];
        for (register, name) in gpr.iter_mut().zip(NAMES) {
            *register = client.register(name)?;
        }
        Ok(Self {
            gpr,
            pc: client.register("pc")?,
            msr: client.register("msr")?,
            srr0: client.register("srr0")?,
            srr1: client.register("srr1")?,
        })
    }
}

/// A register of one vCPU in the monitor's `info registers -a`. Threads are numbered from 1, vCPUs from 0.
fn monitor_register(text: &str, thread: &str, name: &str) -> Option<u64> {
    let thread = thread.rsplit('.').next().unwrap_or(thread);
    let cpu = u64::from_str_radix(thread, 16).ok()?.checked_sub(1)?;
    let title = format!("CPU#{cpu}");
    let section = text.lines().map(str::trim).skip_while(|line| *line != title).skip(1);
    let section = section.take_while(|line| !line.starts_with("CPU#"));
    let mut words = section.flat_map(str::split_whitespace).skip_while(|word| *word != name);
    words.nth(1).and_then(|value| u64::from_str_radix(value, 16).ok())
}

pub(super) struct Server {
    client: Client,
    registers: RegisterSet,
    ram: GuestRam,
    machine: Machine,
    faults: Faults,
    reserve: Vec<(u64, u64)>,
    tap: Tap,
    log: Log,
    /// Violations that are in the log.
    logged: usize,
    calls: Vec<CallRecord>,
    map: Arc<ShareMap>,
    /// How many calls of each number were made.
    counts: [u64; Number::ALL.len()],
    attacker: Option<Attacker>,
    discipline: Option<Discipline>,
    /// Hypercalls of which the first returns into a vector.
    exits: Vec<u64>,
    frozen: Option<Frozen>,
    /// Where locks are taken, while a vCPU is to be stopped with one.
    locks: HashMap<u64, Site>,
    /// How often the vCPU has taken it.
    takings: u32,
    /// An instruction of the guest's that makes a hypercall.
    call_site: Option<u64>,
    guest: Guest,
    symbols: Symbols,
    /// Where a guest of any kind makes ultracalls, and where its kernel is then.
    ultracalls: HashMap<u64, u64>,
    secure_bit: SecureBit,
    /// Tests of MSR\[S\] that were changed, by name.
    patched: Vec<String>,
    /// Programs ran before any UV_ESM.
    ordinary: bool,
    /// Where the kernel was at its last ultracall.
    kernel: u64,
}

impl Server {
    /// Everything up to the moment before the guest's first instruction.
    pub(super) fn prepare(
        socket: &Path,
        ram_file: &Path,
        ram_size: u64,
        config: Config,
    ) -> Result<Self, UvError> {
        let image = KernelImage::load(&config.kernel_elf).map_err(UvError::Kernel)?;
        let log = Log::create(config.log.as_deref()).map_err(UvError::Log)?;
        let client = Client::connect(socket, SOCKET_PATIENCE)?;
        let ram = GuestRam::open(ram_file, ram_size).map_err(UvError::Ram)?;
        let map = Arc::new(ShareMap::new(ram_size));
        let mut machine = Machine::new(config.behaviour, config.firmware, image, Arc::clone(&map));
        let conditions = &config.faults.conditions;
        for gfn in conditions.outside.iter().cloned().flatten() {
            map.set(gfn, FrameState::Outside);
        }
        if conditions.warn_only {
            machine.warn_only();
        }
        let symbols = match config.guest {
            Guest::Strict => Symbols::default(),
            Guest::Any { .. } => {
                machine.permit_moves();
                Symbols::load(&config.kernel_elf)
            }
        };
        if let Some(tpm) = config.tpm {
            machine.use_key(tpm);
        }
        if let Some(byte) = conditions.fill {
            poison::fill(&ram, byte).map_err(UvError::Ram)?;
        }
        let registers = RegisterSet::find(&client)?;
        let counts = [0; Number::ALL.len()];
        let calls = Vec::new();
        let (faults, tap, reserve) = (config.faults, Tap::new(config.host), config.reserve);
        let (attacker, frozen) = (config.attack.map(Attacker::new), None);
        let discipline = config.registers.map(Discipline::new);
        let mut server = Self {
            client,
            registers,
            ram,
            machine,
            faults,
            reserve,
            tap,
            log,
            logged: 0,
            calls,
            map,
            counts,
            attacker,
            exits: Vec::new(),
            frozen,
            locks: HashMap::new(),
            takings: 0,
            call_site: None,
            discipline,
            guest: config.guest,
            symbols,
            ultracalls: HashMap::new(),
            secure_bit: SecureBit::default(),
            patched: Vec::new(),
            ordinary: false,
            kernel: 0,
        };
        if config.firmware == Firmware::Bios {
            // An ordinary guest makes no UV_ESM that would tell where it is.
            if !server.is_pulled() {
                server.find_locks(BIOS_BASE)?;
            }
            server.change_tree(config.publish_node, &config.edits)?;
        }
        for vector in VECTORS {
            server.client.set_breakpoint(vector)?;
        }
        Ok(server)
    }

    pub(super) fn share_map(&self) -> Arc<ShareMap> {
        Arc::clone(&self.map)
    }

    /// At reset without firmware, r3 holds the address of the tree.
    fn change_tree(&mut self, publish_node: bool, edits: &[Edit]) -> Result<(), UvError> {
        let order = self.order()?;
        let address = self.read(order, self.registers.gpr[0])?;
        if publish_node {
            publish::add_to_tree(&self.ram, address).map_err(UvError::Ram)?.map_err(UvError::Publish)?;
        }
        if !self.reserve.is_empty() {
            publish::reserve(&self.ram, address, &self.reserve)
                .map_err(UvError::Ram)?
                .map_err(UvError::Publish)?;
        }
        if !edits.is_empty() {
            doctor::change(&self.ram, address, edits).map_err(UvError::Ram)?.map_err(UvError::Publish)?;
        }
        for edit in edits {
            if let Edit::Move(to) = edit {
                doctor::copy(&self.ram, address, *to).map_err(UvError::Ram)?.map_err(UvError::Publish)?;
                self.write(order, self.registers.gpr[0], *to)?;
            }
        }
        Ok(())
    }

    /// Serves until QEMU ends.
    pub(super) fn run(mut self) -> Report {
        let end = loop {
            let more = self.next_call();
            // Whatever ended the guest, the log says what it did.
            let logged = self.log_violations().map_err(UvError::Log);
            match more.and_then(|more| logged.map(|()| more)) {
                Ok(true) => {}
                Ok(false) | Err(UvError::Gdb(GdbError::Gone)) => break End::QemuEnded,
                Err(error) => break End::Failed(error),
            }
        };
        Report {
            end,
            secure: self.machine.is_secure(),
            calls: self.calls,
            esm: self.machine.esm,
            violations: self.machine.violations,
            host: self.tap.seen,
            disciplined: self.discipline.map_or(0, |discipline| discipline.calls),
            attacked: self.attacker.map(|attacker| attacker.seen).unwrap_or_default(),
            shared: self.map.shared_ranges(),
            ever_shared: self.map.ever_shared_ranges(),
            secure_bit: self.secure_bit,
            patched: self.patched,
            ordinary: self.ordinary,
            kernel: self.kernel,
        }
    }

    /// Waits for a stop and deals with it. False when QEMU says that it ends.
    fn next_call(&mut self) -> Result<bool, UvError> {
        let Some(stop) = self.stop()? else { return Ok(true) };
        let thread = match stop {
            Stop::Trap { thread } => thread,
            // Whoever stopped the guest lets it go on.
            Stop::Other { .. } => return Ok(true),
            Stop::Exited => return Ok(false),
        };
        let stopped = Instant::now();
        self.client.select_thread(&thread)?;
        let order = self.order()?;
        let pc = self.read(order, self.registers.pc)?;
        if self.ultracalls.contains_key(&pc) {
            if !self.meet_at_call(order, pc, &thread, stopped)? {
                return Ok(true);
            }
        } else if VECTORS.contains(&pc) {
            let (srr0, srr1) = self.save_restore(order, &thread)?;
            if self.is_ultracall(order, srr0, srr1)? {
                self.serve(order, srr0, srr1, &thread, stopped)?;
            } else {
                self.see_program(srr1)?;
                // The guest's own: its handler runs, from the instruction under the breakpoint on.
                match self.client.step(&thread)? {
                    Stop::Trap { .. } => {}
                    Stop::Other { .. } => return Ok(true),
                    Stop::Exited => return Ok(false),
                }
            }
        } else if self.exits.contains(&pc) {
            self.first_exit(order, &thread)?;
        } else if self.discipline.as_ref().is_some_and(|kept| kept.sites.contains(&pc)) {
            if !self.disciplined(pc, &thread)? {
                return Ok(true);
            }
        } else if self.locks.contains_key(&pc) {
            self.meet_with_lock(pc, &thread)?;
        } else if self.tap.is_watched(pc) && !self.hypercall(order, pc, &thread)? {
            return Ok(true);
        }
        self.resume()?;
        Ok(true)
    }

    /// SRR0 and SRR1 of the stopped vCPU. QEMU 7.2 numbers the special purpose registers for its first vCPU only;
    /// those of any other it shows in the monitor.
    fn save_restore(&mut self, order: Order, thread: &str) -> Result<(u64, u64), UvError> {
        match self.client.read_register(self.registers.srr0) {
            Ok(bytes) => Ok((order.decode(&bytes), self.read(order, self.registers.srr1)?)),
            Err(GdbError::Unexpected { command, answer }) => {
                let text = self.client.monitor("info registers -a")?;
                let found =
                    monitor_register(&text, thread, "SRR0").zip(monitor_register(&text, thread, "SRR1"));
                Ok(found.ok_or(GdbError::Unexpected { command, answer })?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the instruction before SRR0 is `sc 2`, in the byte order and address space of SRR1.
    fn is_ultracall(&mut self, order: Order, srr0: u64, srr1: u64) -> Result<bool, UvError> {
        let address = srr0.wrapping_sub(4);
        let bytes = if srr1 & MSR_IR == 0 {
            self.ram.read(address & REAL_MODE_BITS, 4).map_err(UvError::Ram)?
        } else {
            // The gdb server translates as MSR says now, so MSR is the caller's for the time of one read.
            let msr = self.client.read_register(self.registers.msr)?;
            let now = order.decode(&msr);
            self.client.write_register(self.registers.msr, &order.encode(srr1))?;
            let bytes = self.client.read_memory(address, 4);
            let order = if srr1 & MSR_LE != 0 { Order::Little } else { Order::Big };
            self.client.write_register(self.registers.msr, &order.encode(now))?;
            bytes?
        };
        let word = bytes.and_then(|bytes| bytes.try_into().ok());
        Ok(match word {
            Some(word) if srr1 & MSR_LE != 0 => u32::from_le_bytes(word) == SC_2,
            Some(word) => u32::from_be_bytes(word) == SC_2,
            None => false,
        })
    }

    fn serve(
        &mut self,
        order: Order,
        srr0: u64,
        srr1: u64,
        thread: &str,
        stopped: Instant,
    ) -> Result<(), UvError> {
        let opcode = self.read(order, self.registers.gpr[0])?;
        let number = Number::from_opcode(opcode);
        let mut arguments = [0; 9];
        for index in 0..number.map_or(0, Number::arguments) {
            arguments[index] = self.read(order, self.registers.gpr[index + 1])?;
        }
        let pidr = if number == Some(Number::EsmbGetFile) { self.process(order)? } else { 0 };
        let call = Call { opcode, arguments, msr: srr1, pidr };
        if self.guest == Guest::Strict {
            self.check_scrubbed(order, &call, number)?;
        }
        let callers = self.callers(order, number)?;
        let n = self.calls.len() as u64 + 1;
        let place = self.count(number);
        let fault = self.faults.effect(number, place, n);

        if number == Some(Number::Esm) {
            self.change_boot_cpu(call.arguments[1])?;
        }
        let entries = self.machine.esm.len();
        let verdict = self.machine.serve(&self.ram, &call, fault).map_err(UvError::Ram)?;
        let (pc, msr) = match verdict.resume {
            Resume::Answer(code) => {
                self.write(order, self.registers.gpr[0], code.register())?;
                (srr0, srr1)
            }
            Resume::Data(code) => {
                self.write(order, self.registers.gpr[0], code.register())?;
                for (register, value) in (1..).zip(self.machine.take_data().unwrap_or_default()) {
                    self.write(order, self.registers.gpr[register], value)?;
                }
                (srr0, srr1)
            }
            Resume::Untouched | Resume::Never => (srr0, srr1),
            Resume::Reenter { kernel_base, fdt } => {
                if let Guest::Any { patch_msr } = self.guest {
                    self.enter_any(kernel_base, srr1, patch_msr)?;
                }
                self.kernel = kernel_base;
                let pc = self.prepare_entry(order, kernel_base)?;
                let tree = self.faults.conditions.enter_with.unwrap_or(fdt);
                for (register, value) in (0..).zip([tree, kernel_base, 0]) {
                    self.write(order, self.registers.gpr[register], value)?;
                }
                if self.guest == Guest::Strict {
                    self.watch_hypercalls(kernel_base, fdt)?;
                }
                (pc, srr1 & !MSR_EE)
            }
        };
        self.write(order, self.registers.pc, pc)?;
        // Last, because it changes the byte order of all that follows.
        self.write(order, self.registers.msr, msr)?;

        let faulted = fault.is_some();
        let duration = stopped.elapsed();
        let (at, thread) = (SystemTime::now(), thread.to_owned());
        let record = CallRecord { n, call, verdict, faulted, at, duration, thread, callers };
        self.note(&record, entries).map_err(UvError::Log)?;
        self.calls.push(record);
        if verdict.resume == Resume::Never {
            self.end_machine()?;
        }
        Ok(())
    }

    /// PIDR of the stopped vCPU; 0 where QEMU 7.2 shows it nowhere, which is of every vCPU but the first.
    fn process(&mut self, order: Order) -> Result<u64, UvError> {
        let pid = self.client.register("pid")?;
        match self.client.read_register(pid) {
            Ok(bytes) => Ok(order.decode(&bytes)),
            Err(GdbError::Unexpected { .. }) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn note(&mut self, record: &CallRecord, entries: usize) -> io::Result<()> {
        self.log.call(record)?;
        for report in &self.machine.esm[entries..] {
            self.log.esm(report)?;
        }
        self.log_violations()
    }

    /// Writes what was found since the last time, at an ultracall or anywhere else.
    fn log_violations(&mut self) -> io::Result<()> {
        for violation in self.machine.violations.iter().skip(self.logged) {
            self.log.violation(violation)?;
            self.logged += 1;
        }
        Ok(())
    }

    /// Counts a call; gives its place among the calls of its number, from 1.
    fn count(&mut self, number: Option<Number>) -> u64 {
        let place = Number::ALL.iter().position(|known| Some(*known) == number);
        place.map_or(0, |place| {
            self.counts[place] += 1;
            self.counts[place]
        })
    }

    fn order(&mut self) -> Result<Order, GdbError> {
        Ok(Order::of_msr(&self.client.read_register(self.registers.msr)?))
    }

    fn read(&mut self, order: Order, register: Register) -> Result<u64, GdbError> {
        Ok(order.decode(&self.client.read_register(register)?))
    }

    fn write(&mut self, order: Order, register: Register, value: u64) -> Result<(), GdbError> {
        self.client.write_register(register, &order.encode(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_is_found_in_the_section_of_its_cpu() {
        let text = "\r\nCPU#0\r\nNIP 0000000000000c00   LR 0 CPU#0\r\n SRR0 0000000000000010  SRR1 8000000000000000\r\n\
                    \r\nCPU#1\r\nNIP 1 CPU#1\r\n SRR0 0000000000400020  SRR1 8000000000001001 PVR 4e1200\r\n";
        assert_eq!(monitor_register(text, "01", "SRR0"), Some(0x10));
        assert_eq!(monitor_register(text, "02", "SRR0"), Some(0x40_0020));
        assert_eq!(monitor_register(text, "p1.2", "SRR1"), Some(0x8000_0000_0000_1001));
        assert_eq!(monitor_register(text, "03", "SRR0"), None);
        assert_eq!(monitor_register(text, "01", "PVR"), None);
    }
}
