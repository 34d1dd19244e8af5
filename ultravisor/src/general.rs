//! The general registers of a stopped little-endian vCPU in one piece, as QEMU's gdb server packs them: r0 to r31,
//! PC, MSR, CR, LR, CTR, XER (its `power64-core.xml`).

const PC: usize = 32 * 8;
const MSR: usize = PC + 8;
const CR: usize = MSR + 8;
const LR: usize = CR + 4;
const CTR: usize = LR + 8;
const XER: usize = CTR + 8;
const SIZE: usize = XER + 4;

/// Registers that a handler has to leave alone, besides r0 to r31: name, place, size.
const OTHERS: [(&str, usize, usize); 4] = [("CR", CR, 4), ("LR", LR, 8), ("CTR", CTR, 8), ("XER", XER, 4)];

/// The registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct General(Vec<u8>);

impl General {
    /// From the server's answer; `None` if it is too short to be one.
    pub(super) fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() >= SIZE).then_some(Self(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn word(&self, at: usize) -> u64 {
        self.0.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    fn put(&mut self, at: usize, value: u64) {
        if let Some(bytes) = self.0.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *bytes = value.to_le_bytes();
        }
    }

    pub(super) fn gpr(&self, number: usize) -> u64 {
        self.word(8 * number)
    }

    pub(super) fn set_gpr(&mut self, number: usize, value: u64) {
        self.put(8 * number, value);
    }

    pub(super) fn gprs(&self) -> Vec<u64> {
        (0..32).map(|number| self.gpr(number)).collect()
    }

    pub(super) fn pc(&self) -> u64 {
        self.word(PC)
    }

    pub(super) fn set_pc(&mut self, value: u64) {
        self.put(PC, value);
    }

    pub(super) fn msr(&self) -> u64 {
        self.word(MSR)
    }

    pub(super) fn set_msr(&mut self, value: u64) {
        self.put(MSR, value);
    }

    pub(super) fn set_lr_ctr(&mut self, lr: u64, ctr: u64) {
        self.put(LR, lr);
        self.put(CTR, ctr);
    }

    /// The first register that differs, PC and MSR aside.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        let gpr = (0..32).find(|number| self.gpr(*number) != other.gpr(*number));
        gpr.map(|number| format!("r{number}")).or_else(|| {
            let differs = |(_, at, size): &&(&str, usize, usize)| {
                self.0.get(*at..at + size) != other.0.get(*at..at + size)
            };
            OTHERS.iter().find(differs).map(|(name, ..)| (*name).to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named() {
        let before = General::new(vec![0; SIZE]).expect("registers");
        assert_eq!(General::new(vec![0; SIZE - 1]), None);
        let mut after = before.clone();
        after.set_pc(4);
        after.set_msr(1);
        assert_eq!(before.difference(&after), None);
        after.set_lr_ctr(0, 1);
        assert_eq!(before.difference(&after).as_deref(), Some("CTR"));
        after.set_gpr(13, 1);
        assert_eq!(before.difference(&after).as_deref(), Some("r13"));
        assert_eq!((after.pc(), after.msr(), after.gpr(13), after.gprs().len()), (4, 1, 1, 32));
    }
}
