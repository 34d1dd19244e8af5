//! The loop that stops the guest at its system-call vector, through QEMU's gdb server, and serves its ultracalls.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::call::Number;
use super::fault::Faults;
use super::frames::{FrameState, ShareMap};
use super::guest::Guest;
use super::image::KernelImage;
use super::locks::Site;
use super::log::{CallRecord, Log};
use super::machine::Machine;
use super::poison;
use super::ram::GuestRam;
use super::secure_bit::SecureBit;
use super::symbols::Symbols;
use super::tap::Tap;
use super::ultracalls::NextKernel;
use super::wiring::Wiring;
use super::{Config, End, Report, UvError};
use crate::Firmware;
use crate::gdb::{Client, GdbError};
use attacker::Attacker;
use discipline::Discipline;
use frozen::Frozen;
use leaving::Leaving;
use live::Live;
use register_set::RegisterSet;

mod any;
mod attacker;
mod attacks;
mod discipline;
mod entry;
mod frozen;
mod hypercall_registers;
mod hypercalls;
mod leaving;
mod live;
mod live_hypercalls;
mod msr;
mod next_kernel;
mod order;
mod pauses;
mod probe;
mod register_set;
mod registers;
mod resets;
mod rtas;
mod stops;
mod strays;
mod tree;
mod ultracall;

/// Where `sc` arrives: with the MMU off, and with relocation on (AIL = 3).
const VECTORS: [u64; 2] = [0xc00, 0xc000_0000_0000_4c00];
/// Where QEMU loads an image that is started without firmware.
const BIOS_BASE: u64 = 0x40_0000;
/// In real mode the four top bits of an effective address are ignored.
const REAL_MODE_BITS: u64 = 0x0fff_ffff_ffff_ffff;
const SOCKET_TIMEOUT: Duration = Duration::from_secs(120);

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
    /// Addresses of hypercalls; the first one that is made returns into a vector.
    exits: Vec<u64>,
    frozen: Option<Frozen>,
    /// Where locks are taken, while a vCPU is to be stopped with one.
    locks: HashMap<u64, Site>,
    /// How often the vCPU has taken the lock that the attack waits for.
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
    live: Option<Live>,
    wiring: Wiring,
    leaving: Leaving,
    /// Frames that were shared until each time when a guest of any kind took all back.
    left_shared: Vec<Vec<Range<u64>>>,
    /// Kernels that the guest left for.
    next_kernels: Vec<NextKernel>,
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
        let mut client = Client::connect(socket, SOCKET_TIMEOUT)?;
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
        let (symbols, wiring) = match config.guest {
            Guest::Strict => Default::default(),
            Guest::Any { .. } => {
                machine.permit_moves();
                (Symbols::load(&config.kernel_elf), Wiring::parse(&client.monitor("info qtree")?))
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
            live: config.live_hcalls.then(Live::default),
            wiring,
            leaving: Leaving::Not,
            left_shared: Vec::new(),
            next_kernels: Vec::new(),
        };
        if config.firmware == Firmware::Bios {
            // An ordinary guest makes no UV_ESM, so its address has to be assumed.
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

    /// Serves until QEMU ends.
    pub(super) fn run(mut self) -> Report {
        let end = loop {
            let more = self.next_call();
            // The violations are logged in any case.
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
            cut_short: self.live.and_then(|live| live.cut_short),
            wiring: self.wiring,
            left_shared: self.left_shared,
            next_kernels: self.next_kernels,
        }
    }
}
