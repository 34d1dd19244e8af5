//! Rules of a host that answers hypercalls differently from QEMU, as a hostile hypervisor can. A secure guest accesses
//! device registers, config space and TCEs by hypercalls only, so rules can fake everything that a device or a bridge can
//! fake.

/// Which calls a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Calls of this number.
    Hcall(u64),
    /// Calls of this service of RTAS.
    Rtas(&'static str),
    /// Loads of a virtio register: offset in the device's BAR, bytes.
    Load {
        /// Devices count from 0 in the order in which the guest first touches their status.
        device: usize,
        /// Offset in the BAR.
        register: u64,
        /// Bytes.
        bytes: u64,
    },
    /// Stores to a virtio register.
    Store {
        /// As for loads.
        device: usize,
        /// Offset in the BAR.
        register: u64,
        /// Bytes.
        bytes: u64,
    },
    /// Reads of a register of config space.
    ConfigRead {
        /// Device number; the function is 0.
        slot: u8,
        /// Register; `None` is any.
        register: Option<u8>,
    },
    /// Writes to a register of config space.
    ConfigWrite {
        /// Device number; the function is 0.
        slot: u8,
        /// Register; `None` is any.
        register: Option<u8>,
    },
    /// Calls of RTAS that end the machine.
    End,
}

impl Subject {
    /// The numbers of the hypercalls that have to be inspected for it.
    #[must_use]
    pub fn numbers(self) -> &'static [u64] {
        match self {
            // A device is known by the first access to its status, which is a store.
            Self::Load { .. } | Self::Store { .. } => &[H_LOGICAL_CI_LOAD, H_LOGICAL_CI_STORE],
            Self::Rtas(_) | Self::ConfigRead { .. } | Self::ConfigWrite { .. } | Self::End => &[H_RTAS],
            Self::Hcall(H_PUT_TCE) => &[H_PUT_TCE],
            Self::Hcall(H_GET_TCE) => &[H_GET_TCE],
            Self::Hcall(H_STUFF_TCE) => &[H_STUFF_TCE],
            Self::Hcall(H_XIRR) => &[H_XIRR],
            Self::Hcall(H_RTAS) => &[H_RTAS],
            Self::Hcall(H_PUT_TERM_CHAR) => &[H_PUT_TERM_CHAR],
            Self::Hcall(H_LOGICAL_CI_STORE) => &[H_LOGICAL_CI_STORE],
            Self::Hcall(_) => &[],
        }
    }
}

/// H_GET_TCE: liobn, ioba -> tce
pub const H_GET_TCE: u64 = 0x1c;
/// H_PUT_TCE: liobn, ioba, tce
pub const H_PUT_TCE: u64 = 0x20;
/// H_LOGICAL_CI_LOAD: size, address -> value
pub const H_LOGICAL_CI_LOAD: u64 = 0x3c;
/// H_LOGICAL_CI_STORE: size, address, value
pub const H_LOGICAL_CI_STORE: u64 = 0x40;
/// H_PUT_TERM_CHAR: terminal, length, text
pub const H_PUT_TERM_CHAR: u64 = 0x58;
/// H_XIRR: -> the source that has arrived, and the priority before it
pub const H_XIRR: u64 = 0x74;
/// H_SIGNAL_SYS_RESET: server
pub const H_SIGNAL_SYS_RESET: u64 = 0x380;
/// H_STUFF_TCE: liobn, ioba, tce, count
pub const H_STUFF_TCE: u64 = 0x138;
/// H_RTAS: argument block
pub const H_RTAS: u64 = 0xf000;

/// What a word becomes. Registers of devices are little-endian numbers here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// This.
    Is(u64),
    /// Itself, with these bits set.
    With(u64),
    /// Itself, with these bits clear.
    Without(u64),
}

impl Value {
    /// What `word` becomes.
    #[must_use]
    pub const fn of(self, word: u64) -> u64 {
        match self {
            Self::Is(value) => value,
            Self::With(bits) => word | bits,
            Self::Without(bits) => word & !bits,
        }
    }
}

/// What the host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Makes the call honestly, and records it.
    Record,
    /// Does not make the call, and answers this: r3 and r4, or an RTAS call's status and its first word.
    Answer {
        /// r3, or RTAS's status word.
        status: i64,
        /// r4, or RTAS's first word after that.
        value: u64,
    },
    /// Makes the call, then changes r4, or RTAS's first word after its status.
    Result(Value),
    /// Makes the call, then sets r3 to this.
    R3(u64),
    /// For RTAS: now and then answers with random words of this seed instead of making the call.
    Noise(u64),
    /// Changes an argument (0 is r4), then makes the call.
    Argument(usize, Value),
}

/// One thing that the host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// With these calls.
    pub of: Subject,
    /// From this one on, counted from 1.
    pub from: u64,
    /// Up to and with this one.
    pub to: u64,
    /// This.
    pub what: What,
}

impl Rule {
    /// With every such call.
    #[must_use]
    pub const fn always(of: Subject, what: What) -> Self {
        Self { of, from: 1, to: u64::MAX, what }
    }

    /// From the n-th such call on.
    #[must_use]
    pub const fn from(of: Subject, n: u64, what: What) -> Self {
        Self { of, from: n, to: u64::MAX, what }
    }

    /// With the n-th such call alone.
    #[must_use]
    pub const fn nth(of: Subject, n: u64, what: What) -> Self {
        Self { of, from: n, to: n, what }
    }
}

/// A call that a rule matched, and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which rule, counted from 0.
    pub rule: usize,
    /// Which of its calls, counted from 1.
    pub nth: u64,
    /// The arguments as the guest gave them: registers from r4, or RTAS's words.
    pub arguments: Vec<u64>,
    /// r3, or RTAS's status word, as the guest got it.
    pub status: u64,
    /// r4, or RTAS's first word after its status, as the guest got it.
    pub value: u64,
    /// Whether the host did anything but make the call honestly.
    pub interfered: bool,
}
