//! The machine and what tests may ask or change of it.

use super::{ModelDevice, Refused};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use papr::addr::{FRAME_SHIFT, Gpa, GpaRange};
use papr::clock::ticks;
use papr::hcall::{Hcall, HcallReturn};
use papr::parts;
use papr::rtas::RtasError;
use papr::ultracall::Ultracall;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of memory.
pub const RAM: u64 = 64 << 20;
/// Where a pool goes: 8 MiB from here on are for it.
pub const POOL_BASE: Gpa = Gpa(8 << 20);
/// Where memory given by `Platform::allocate` lies.
pub const PRIVATE_BASE: u64 = 16 << 20;
/// Where buffers used in place appear.
pub const IN_PLACE_BASE: u64 = 32 << 20;

/// What the ultravisor leaves in r3 when a share succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UvBehaviour {
    /// The opcode, as the published source does.
    Published,
    /// 0, as the documentation says.
    Documented,
}

/// A TCE table.
pub struct Table {
    pub base: u64,
    pub size: u64,
    pub page_shift: u32,
    pub entries: BTreeMap<u64, u64>,
}

/// A buffer used in place: where the test process has it, and where the machine shows it.
pub struct InPlace {
    pub address: usize,
    pub len: usize,
    pub gpa: u64,
}

type HcallHook = Box<dyn FnMut(Hcall, [u64; 4]) -> Option<HcallReturn> + Send>;
type UltracallHook = Box<dyn FnMut(Ultracall, [u64; 2]) -> Option<i64> + Send>;
type IdleHook = Box<dyn FnMut() -> bool + Send>;
type RtasHook = Box<dyn FnMut(&'static str, &[u32], &mut [u32]) -> Option<Result<(), RtasError>> + Send>;

pub struct State {
    pub ram: Vec<u8>,
    pub secure: bool,
    pub behaviour: UvBehaviour,
    pub shared: BTreeSet<u64>,
    pub ultracalls: Vec<(Ultracall, [u64; 2])>,
    pub hcalls: Vec<(Hcall, [u64; 4])>,
    pub tables: BTreeMap<u64, Table>,
    pub dynamic_windows: bool,
    pub allocated: BTreeMap<u64, u64>,
    pub in_place: Vec<InPlace>,
    pub next_in_place: u64,
    pub now: u64,
    pub clock_runs: bool,
    /// When everything is to be over.
    pub last_moment: u64,
    pub refused: Vec<Refused>,
    /// A byte, and how often the guest has read it.
    pub watched: (u64, u32),
}

/// Kept apart from the state, so that a hook may use the machine.
#[derive(Default)]
pub struct Hooks {
    pub hcall: Option<HcallHook>,
    pub ultracall: Option<UltracallHook>,
    pub rtas: Option<RtasHook>,
    pub idle: Option<IdleHook>,
}

/// A machine; clones are the same one. It implements every trait of [`papr::platform`] but `Mmio`.
#[derive(Clone)]
pub struct Model {
    pub state: Arc<Mutex<State>>,
    pub hooks: Arc<Mutex<Hooks>>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Model")
    }
}

impl Model {
    /// A normal or a secure guest's machine, with one host bridge whose default window (liobn 0x8000_0000) is
    /// 1 GiB from bus address 0, and no dynamic windows.
    #[must_use]
    pub fn new(secure: bool) -> Self {
        let default = Table { base: 0, size: 1 << 30, page_shift: 12, entries: BTreeMap::new() };
        let state = State {
            ram: vec![0; parts::index(RAM)],
            secure,
            behaviour: UvBehaviour::Published,
            shared: BTreeSet::new(),
            ultracalls: Vec::new(),
            hcalls: Vec::new(),
            tables: BTreeMap::from([(u64::from(Self::LIOBN), default)]),
            dynamic_windows: false,
            allocated: BTreeMap::new(),
            in_place: Vec::new(),
            next_in_place: IN_PLACE_BASE,
            now: 0,
            clock_runs: true,
            last_moment: u64::MAX,
            refused: Vec::new(),
            watched: (u64::MAX, 0),
        };
        Self { state: Arc::new(Mutex::new(state)), hooks: Arc::default() }
    }

    /// The default window's table.
    pub const LIOBN: u32 = 0x8000_0000;

    /// The machine's memory.
    #[must_use]
    pub fn ram() -> [GpaRange; 1] {
        [GpaRange { start: Gpa(0), len: RAM }]
    }

    /// How a device with or without VIRTIO_F_ACCESS_PLATFORM sees memory.
    #[must_use]
    pub fn device(&self, access_platform: bool) -> ModelDevice {
        ModelDevice::new(self.clone(), access_platform)
    }

    /// Lets the bridge offer dynamic windows.
    pub fn offer_dynamic_windows(&self) {
        self.lock().dynamic_windows = true;
    }

    /// Sets what the ultravisor leaves in r3.
    pub fn set_behaviour(&self, behaviour: UvBehaviour) {
        self.lock().behaviour = behaviour;
    }

    /// Lets the clock stand still, or run again.
    pub fn set_clock_runs(&self, runs: bool) {
        self.lock().clock_runs = runs;
    }

    /// Lets this much time pass.
    pub fn skip(&self, time: Duration) {
        let ticks = ticks(self, time);
        let mut state = self.lock();
        state.now = state.now.saturating_add(ticks);
    }

    /// From now on, a wait that goes on after `time` is a panic: no wait of the guest is endless.
    pub fn expect_end_within(&self, time: Duration) {
        let ticks = ticks(self, time);
        let mut state = self.lock();
        state.last_moment = state.now.saturating_add(ticks);
    }

    /// Answers hcalls in the hypervisor's place; a `None` leaves the call to the machine.
    pub fn on_hcall(&self, hook: impl FnMut(Hcall, [u64; 4]) -> Option<HcallReturn> + Send + 'static) {
        self.hooks().hcall = Some(Box::new(hook));
    }

    /// Answers ultracalls in the ultravisor's place.
    pub fn on_ultracall(&self, hook: impl FnMut(Ultracall, [u64; 2]) -> Option<i64> + Send + 'static) {
        self.hooks().ultracall = Some(Box::new(hook));
    }

    /// Answers RTAS calls in the firmware's place.
    pub fn on_rtas(
        &self,
        hook: impl FnMut(&'static str, &[u32], &mut [u32]) -> Option<Result<(), RtasError>> + Send + 'static,
    ) {
        self.hooks().rtas = Some(Box::new(hook));
    }

    /// What happens while the CPU is given up; true when an interrupt comes.
    pub fn on_idle(&self, hook: impl FnMut() -> bool + Send + 'static) {
        self.hooks().idle = Some(Box::new(hook));
    }

    /// Ends all of the hooks.
    pub fn behave(&self) {
        *self.hooks() = Hooks::default();
    }

    /// Every ultracall made.
    #[must_use]
    pub fn ultracalls(&self) -> Vec<(Ultracall, [u64; 2])> {
        self.lock().ultracalls.clone()
    }

    /// Every hcall made.
    #[must_use]
    pub fn hcalls(&self) -> Vec<(Hcall, [u64; 4])> {
        self.lock().hcalls.clone()
    }

    /// The frames the ultravisor holds as shared.
    #[must_use]
    pub fn shared_frames(&self) -> Vec<u64> {
        self.lock().shared.iter().copied().collect()
    }

    /// Every entry of a table that is mapped: bus address and entry.
    #[must_use]
    pub fn tces(&self, liobn: u32) -> Vec<(u64, u64)> {
        let state = self.lock();
        let Some(table) = state.tables.get(&u64::from(liobn)) else { return Vec::new() };
        let at = |(page, tce): (&u64, &u64)| (table.base.wrapping_add(page << table.page_shift), *tce);
        table.entries.iter().map(at).collect()
    }

    /// Puts an entry as firmware might have left it.
    pub fn put_stale_tce(&self, liobn: u32, page: u64, tce: u64) {
        if let Some(table) = self.lock().tables.get_mut(&u64::from(liobn)) {
            table.entries.insert(page, tce);
        }
    }

    /// Accesses of devices that were refused.
    #[must_use]
    pub fn refused(&self) -> Vec<Refused> {
        self.lock().refused.clone()
    }

    /// Counts the guest's reads of the byte at `at` from now on.
    pub fn watch(&self, at: Gpa) {
        self.lock().watched = (at.0, 0);
    }

    /// How often the guest has read the byte that is watched.
    #[must_use]
    pub fn reads_of_watched(&self) -> u32 {
        self.lock().watched.1
    }

    pub fn note_read(&self, from: u64, len: usize) {
        let mut state = self.lock();
        if (from..from.saturating_add(len as u64)).contains(&state.watched.0) {
            state.watched.1 = state.watched.1.saturating_add(1);
        }
    }

    /// Pieces that `Platform::allocate` gave and did not get back.
    #[must_use]
    pub fn pieces_allocated(&self) -> usize {
        self.lock().allocated.len()
    }

    /// Reads any memory, for the test.
    #[must_use]
    pub fn peek(&self, at: Gpa, len: usize) -> Vec<u8> {
        let from = usize::try_from(at.0).unwrap_or(usize::MAX);
        let state = self.lock();
        state.ram.get(from..from.saturating_add(len)).map(<[u8]>::to_vec).unwrap_or_default()
    }

    /// Writes any memory, for the test: the host could write to shared memory only.
    pub fn poke(&self, at: Gpa, data: &[u8]) {
        let from = usize::try_from(at.0).unwrap_or(usize::MAX);
        let mut state = self.lock();
        if let Some(bytes) = state.ram.get_mut(from..from.saturating_add(data.len())) {
            bytes.copy_from_slice(data);
        }
    }

    pub fn hooks(&self) -> MutexGuard<'_, Hooks> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets the time come, if it is later than now and the clock runs.
    pub fn pass(&mut self, until: u64) {
        if self.clock_runs {
            self.now = self.now.max(until);
        }
        let over = self.now > self.last_moment;
        if over {
            // Fails only once: a driver that is dropped because of the panic waits for its device's reset.
            self.last_moment = u64::MAX;
        }
        assert!(!over, "a wait without end");
    }

    /// Whether a device may touch this byte: in a secure guest, only where the guest shared.
    pub fn visible(&self, at: u64) -> bool {
        !self.secure || self.shared.contains(&(at >> FRAME_SHIFT))
    }
}
