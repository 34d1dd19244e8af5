//! Matches each hypercall with the rules of a hostile host.

use super::host::{H_LOGICAL_CI_LOAD, H_LOGICAL_CI_STORE, H_RTAS, Rule, Seen, Subject, Value, What};
use super::ram::GuestRam;
use super::rtas::HANDLERS;
use super::sites::Site;
use std::collections::HashMap;
use std::io;

/// A virtio device's registers are in a BAR of 16 KiB (QEMU's virtio-pci), its status is the byte here.
const BAR: u64 = 16 << 10;
const STATUS: u64 = 0x14;
/// A call site of unknown number is no longer watched after so many calls that no rule is about.
const PROBATION: u32 = 24;
/// Most words that an argument block of this kernel has after its head.
const MOST_WORDS: u32 = 16;

/// An RTAS argument block in guest memory.
#[derive(Clone, Debug)]
pub(super) struct Block {
    address: u64,
    service: Option<&'static str>,
    arguments: Vec<u64>,
}

impl Block {
    /// Where the argument word with this number is.
    pub(super) fn argument(&self, index: usize) -> u64 {
        self.address + 12 + 4 * index as u64
    }

    /// Where the status word is; the others follow it.
    pub(super) fn status(&self) -> u64 {
        self.argument(self.arguments.len())
    }
}

/// A hypercall as it is about to be made.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) number: u64,
    /// r4 to r7.
    pub(super) registers: [u64; 4],
    pub(super) block: Option<Block>,
}

impl Call {
    /// Values of device registers arrive as a big-endian CPU would see them.
    pub(super) fn swapped(&self, value: u64) -> u64 {
        match self.registers[0] {
            2 => u64::from((value as u16).swap_bytes()),
            4 => u64::from((value as u32).swap_bytes()),
            8 => value.swap_bytes(),
            _ => value,
        }
    }

    /// Where its argument block is, if it has one.
    pub(super) fn block_address(&self) -> Option<u64> {
        self.block.as_ref().map(|block| block.address)
    }

    /// Whether it ends the machine.
    pub(super) fn is_end(&self) -> bool {
        self.block.as_ref().and_then(|block| block.service).is_some_and(|service| ENDS.contains(&service))
    }

    /// Where its status word is, likewise.
    pub(super) fn status_address(&self) -> Option<u64> {
        self.block.as_ref().map(Block::status)
    }

    pub(super) fn is_device(&self) -> bool {
        matches!(self.number, H_LOGICAL_CI_LOAD | H_LOGICAL_CI_STORE)
    }

    /// What a word of this call becomes.
    pub(super) fn changed(&self, value: Value, word: u64) -> u64 {
        if self.is_device() { self.swapped(value.of(self.swapped(word))) } else { value.of(word) }
    }

    fn arguments(&self) -> Vec<u64> {
        self.block.as_ref().map_or(self.registers.to_vec(), |block| block.arguments.clone())
    }
}

/// The rules, and the calls that they matched.
#[derive(Debug, Default)]
pub(super) struct Tap {
    rules: Vec<Rule>,
    counts: Vec<u64>,
    /// Start of each device's BAR, in the order in which the guest accessed them.
    devices: Vec<u64>,
    tokens: HashMap<u32, &'static str>,
    sites: HashMap<u64, u32>,
    pub(super) seen: Vec<Seen>,
}

/// The services that rules speak of.
const SERVICES: [&str; 12] = [
    "ibm,read-pci-config",
    "ibm,write-pci-config",
    "ibm,query-pe-dma-window",
    "ibm,create-pe-dma-window",
    "ibm,remove-pe-dma-window",
    "ibm,change-msi",
    "ibm,query-interrupt-source-number",
    "ibm,set-xive",
    "ibm,int-off",
    "ibm,nmi-register",
    ENDS[0],
    ENDS[1],
];
/// The services that end the machine.
const ENDS: [&str; 2] = ["power-off", "ibm,os-term"];
const START_CPU: &str = "start-cpu";

impl Tap {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        let counts = vec![0; rules.len()];
        Self { rules, counts, ..Self::default() }
    }

    /// Takes RTAS's tokens from the guest's tree.
    pub(super) fn learn(&mut self, token: impl Fn(&str) -> Option<u32>) {
        // If several services have one token, the one with a handler of the ultravisor counts.
        let handled = HANDLERS.iter().map(|handler| handler.service);
        let names = SERVICES.into_iter().chain(handled).chain([START_CPU]);
        self.tokens = names.filter_map(|name| Some((token(name)?, name))).collect();
    }

    /// Looks at every call of RTAS from now on, for [`Self::started`].
    pub(super) fn follow_starts(&mut self) {
        let record = Rule::always(Subject::Hcall(H_RTAS), What::Record);
        if self.rules.contains(&record) {
            return;
        }
        self.rules.push(record);
        self.counts.push(0);
    }

    /// The server number of the CPU that this call starts.
    pub(super) fn started(&self, call: &Call) -> Option<u64> {
        let block = call.block.as_ref().filter(|block| block.service == Some(START_CPU))?;
        block.arguments.first().copied()
    }

    /// Where the CPU that this call starts begins.
    pub(super) fn start_address(&self, call: &Call) -> Option<u64> {
        let block = call.block.as_ref().filter(|block| block.service == Some(START_CPU))?;
        block.arguments.get(1).copied()
    }

    /// The argument of the CPU that this call starts.
    pub(super) fn start_argument(&self, call: &Call) -> Option<u64> {
        let block = call.block.as_ref().filter(|block| block.service == Some(START_CPU))?;
        block.arguments.get(2).copied()
    }

    /// What the published ultravisor's handler of the called service does to guest memory: the service, the address.
    pub(super) fn handled(&self, call: &Call) -> Option<(&'static str, u64)> {
        let block = call.block.as_ref()?;
        let service = block.service?;
        let argument = |at: usize| block.arguments.get(at).copied();
        let handler = HANDLERS.iter().find(|handler| handler.service == service);
        Some((service, argument(handler?.buffer)?))
    }

    /// The call sites that need a breakpoint.
    pub(super) fn watch(&mut self, sites: &[Site]) -> Vec<u64> {
        let wanted: Vec<u64> = self.rules.iter().flat_map(|rule| rule.of.numbers()).copied().collect();
        // A call that has known sites is hardly made elsewhere.
        let known = wanted.iter().all(|wanted| sites.iter().any(|site| site.number == Some(*wanted)));
        let fits = |site: &&Site| !wanted.is_empty() && site.number.is_none_or(|n| wanted.contains(&n));
        self.sites = sites
            .iter()
            .filter(fits)
            .map(|site| (site.at, if known && site.number.is_none() { PROBATION } else { u32::MAX }))
            .collect();
        self.sites.keys().copied().collect()
    }

    pub(super) fn is_watched(&self, address: u64) -> bool {
        self.sites.contains_key(&address)
    }

    /// Records that a site made a call that no rule is about. True if its breakpoint is no longer needed.
    pub(super) fn dismiss(&mut self, address: u64) -> bool {
        let Some(left) = self.sites.get_mut(&address) else { return false };
        if *left != u32::MAX {
            *left -= 1;
        }
        *left == 0 && self.sites.remove(&address).is_some()
    }

    /// The sites that are still watched, if all rules are over; else none.
    pub(super) fn finished(&mut self) -> Vec<u64> {
        let over = |(rule, count): (&Rule, &u64)| rule.to <= *count;
        if self.rules.iter().zip(&self.counts).all(over) {
            return self.sites.drain().map(|(address, _)| address).collect();
        }
        Vec::new()
    }

    /// Reads a call with these registers, and its argument block.
    pub(super) fn read(&self, ram: &GuestRam, number: u64, registers: [u64; 4]) -> io::Result<Call> {
        let mut call = Call { number, registers, block: None };
        if number == H_RTAS {
            let address = registers[0];
            let word = |index: u64| -> io::Result<u32> {
                let bytes = ram.read(address + 4 * index, 4)?.unwrap_or_default();
                Ok(bytes.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes)))
            };
            let service = self.tokens.get(&word(0)?).copied();
            let count = word(1)?.min(MOST_WORDS);
            let arguments = (0..u64::from(count)).map(|index| Ok(u64::from(word(3 + index)?)));
            let arguments = arguments.collect::<io::Result<_>>()?;
            call.block = Some(Block { address, service, arguments });
        }
        Ok(call)
    }

    /// The rules that match the call, each with the number of the match. The first rule that is not over comes first and
    /// decides.
    pub(super) fn judge(&mut self, call: &Call) -> Vec<(usize, u64, What)> {
        if call.is_device() && call.registers[0] == 1 && call.registers[1] % BAR == STATUS {
            let base = call.registers[1] - STATUS;
            if !self.devices.contains(&base) {
                self.devices.push(base);
            }
        }
        let mut hits = Vec::new();
        for index in 0..self.rules.len() {
            let rule = self.rules[index];
            if self.fits(rule.of, call) {
                self.counts[index] += 1;
                let nth = self.counts[index];
                if (rule.from..=rule.to).contains(&nth) {
                    hits.push((index, nth, rule.what));
                }
            }
        }
        hits.sort_by_key(|(_, _, what)| *what == What::Record);
        hits
    }

    /// Whether a call is one of these.
    pub(super) fn fits(&self, subject: Subject, call: &Call) -> bool {
        let access = |number, device: usize, register, bytes| {
            let base = self.devices.get(device);
            let [size, address, ..] = call.registers;
            call.number == number && size == bytes && base.is_some_and(|base| *base + register == address)
        };
        let service = call.block.as_ref().and_then(|block| block.service);
        let config = |name, slot: u8, register: Option<u8>| {
            let address = call.block.as_ref().and_then(|block| block.arguments.first()).copied();
            let Some(address) = address.filter(|_| service == Some(name)) else { return false };
            address & 0xf0ff_ff00 == u64::from(slot) << 11
                && register.is_none_or(|register| address & 0xff == u64::from(register))
        };
        match subject {
            Subject::Hcall(number) => call.number == number,
            Subject::Rtas(name) => service == Some(name),
            Subject::Load { device, register, bytes } => access(H_LOGICAL_CI_LOAD, device, register, bytes),
            Subject::Store { device, register, bytes } => access(H_LOGICAL_CI_STORE, device, register, bytes),
            Subject::ConfigRead { slot, register } => config("ibm,read-pci-config", slot, register),
            Subject::ConfigWrite { slot, register } => config("ibm,write-pci-config", slot, register),
            Subject::End => call.is_end(),
        }
    }

    /// Records the result of a call.
    pub(super) fn note(&mut self, call: &Call, hits: &[(usize, u64, What)], status: u64, value: u64) {
        let decided = hits.first().filter(|(_, _, what)| *what != What::Record).map(|(rule, ..)| *rule);
        self.seen.extend(hits.iter().map(|&(rule, nth, _)| Seen {
            rule,
            nth,
            arguments: call.arguments(),
            status,
            value,
            interfered: decided == Some(rule),
        }));
    }
}

#[cfg(test)]
#[path = "tap/tests.rs"]
mod tests;
