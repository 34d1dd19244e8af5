//! A small assembler for the guests of these tests.
//!
//! Source: Power ISA v3.0B, instruction formats.

/// MSR\[SF\]: 64-bit mode.
pub const SF: u64 = 1 << 63;
/// MSR\[ME\].
pub const ME: u64 = 1 << 12;

/// Code that is placed at one address.
#[derive(Clone)]
pub struct Asm {
    /// Address of the first byte, as the code itself sees it.
    pub base: u64,
    /// The code.
    pub bytes: Vec<u8>,
    little: bool,
}

impl Asm {
    /// Code that starts big-endian.
    pub fn big(base: u64) -> Self {
        Self { base, bytes: Vec::new(), little: false }
    }

    /// What follows is little-endian.
    pub fn little(&mut self) {
        self.little = true;
    }

    fn here(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    fn put(&mut self, word: u32) {
        self.bytes.extend(if self.little { word.to_le_bytes() } else { word.to_be_bytes() });
    }

    fn immediate(&mut self, opcode: u32, t: u32, a: u32, value: u64) {
        self.put(opcode << 26 | t << 21 | a << 16 | (value & 0xffff) as u32);
    }

    fn extended(&mut self, s: u32, a: u32, b: u32, function: u32) {
        self.put(31 << 26 | s << 21 | a << 16 | b << 11 | function << 1);
    }

    /// register := value
    pub fn load(&mut self, register: u32, value: u64) {
        self.immediate(15, register, 0, value >> 48);
        self.immediate(24, register, register, value >> 32);
        self.put(0x7800_07c6 | register << 21 | register << 16);
        self.immediate(25, register, register, value >> 16);
        self.immediate(24, register, register, value);
    }

    /// to := from
    pub fn move_register(&mut self, to: u32, from: u32) {
        self.or(to, from, from);
    }

    /// to := a | b
    pub fn or(&mut self, to: u32, a: u32, b: u32) {
        self.extended(a, to, b, 444);
    }

    /// to := a ^ b
    pub fn xor(&mut self, to: u32, a: u32, b: u32) {
        self.extended(a, to, b, 316);
    }

    /// MSR := register
    pub fn write_msr(&mut self, register: u32) {
        self.extended(register, 0, 0, 178);
    }

    /// register := MSR
    pub fn read_msr(&mut self, register: u32) {
        self.extended(register, 0, 0, 83);
    }

    /// Stores a register at the address in another, plus an offset.
    pub fn store_at(&mut self, register: u32, address: u32, offset: u16) {
        self.immediate(62, register, address, u64::from(offset));
    }

    /// Stores a register at the address in another.
    pub fn store_doubleword(&mut self, register: u32, address: u32) {
        self.store_at(register, address, 0);
    }

    /// Loads a register from the address in another.
    pub fn load_doubleword(&mut self, register: u32, address: u32) {
        self.immediate(58, register, address, 0);
    }

    /// Stores a register as the n-th result; r30 holds the results' address.
    pub fn store_result(&mut self, n: u16, register: u32) {
        self.store_at(register, 30, 8 * (n + 1));
    }

    fn call(&mut self, opcode: u64, arguments: &[u64], instruction: u32) {
        self.load(3, opcode);
        for (register, argument) in (4..).zip(arguments) {
            self.load(register, *argument);
        }
        self.put(instruction);
    }

    /// `sc 2`
    pub fn ultracall(&mut self) {
        self.put(0x4400_0042);
    }

    /// An ultracall with its registers.
    pub fn ultracall_with(&mut self, opcode: u64, arguments: &[u64]) {
        self.call(opcode, arguments, 0x4400_0042);
    }

    /// A hypercall with its registers.
    pub fn hypercall_with(&mut self, opcode: u64, arguments: &[u64]) {
        self.call(opcode, arguments, 0x4400_0022);
    }

    /// `sc 0`
    pub fn system_call(&mut self) {
        self.put(0x4400_0002);
    }

    /// `rfid`
    pub fn return_from_interrupt(&mut self) {
        self.put(0x4c00_0024);
    }

    /// Goes on at the next instruction, at its address by `base`, with another MSR.
    pub fn enter_with_msr(&mut self, msr: u64) {
        const LOAD: u64 = 5 * 4;
        self.load(8, msr);
        let target = self.here() + LOAD + 3 * 4;
        self.load(9, target);
        self.put(0x7c1a_03a6 | 9 << 21);
        self.put(0x7c1b_03a6 | 8 << 21);
        self.return_from_interrupt();
    }

    /// Runs a body a number of times.
    pub fn repeat(&mut self, times: u64, body: impl FnOnce(&mut Self)) {
        self.load(10, times);
        self.put(0x7c09_03a6 | 10 << 21);
        let start = self.bytes.len();
        body(self);
        let back = start.wrapping_sub(self.bytes.len());
        self.put(0x4200_0000 | (back & 0xfffc) as u32);
    }

    /// Waits until the n-th result is not zero.
    pub fn wait_for_result(&mut self, n: u16) {
        self.immediate(58, 11, 30, u64::from(8 * (n + 1)));
        // cmpdi r11, 0; beq back to the load
        self.put(0x2c2b_0000);
        self.put(0x4182_fff8);
    }

    /// Tells the host that all results are there, and stays.
    pub fn done(&mut self) {
        self.load(3, u64::MAX);
        self.store_at(3, 30, 0);
        self.forever();
    }

    /// A branch to itself.
    pub fn forever(&mut self) {
        self.put(0x4800_0000);
    }
}
