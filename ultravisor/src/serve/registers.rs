//! Registers of the stopped vCPU, by QEMU's gdb server, or by its monitor if the server has no number for them.

use super::Server;
use super::order::Order;
use crate::UvError;
use crate::gdb::GdbError;
use crate::gdb::target::Register;

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

impl Server {
    /// SRR0 and SRR1 of the stopped vCPU. QEMU 7.2 numbers the special purpose registers for its first vCPU only;
    /// those of any other it shows in the monitor.
    pub(super) fn save_restore(&mut self, order: Order, thread: &str) -> Result<(u64, u64), UvError> {
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

    /// PIDR of the stopped vCPU. QEMU 7.2 shows it for the first vCPU only; 0 for the others.
    pub(super) fn process(&mut self, order: Order) -> Result<u64, UvError> {
        let pid = self.client.register("pid")?;
        match self.client.read_register(pid) {
            Ok(bytes) => Ok(order.decode(&bytes)),
            Err(GdbError::Unexpected { .. }) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn order(&mut self) -> Result<Order, GdbError> {
        Ok(Order::of_msr(&self.client.read_register(self.registers.msr)?))
    }

    pub(super) fn read(&mut self, order: Order, register: Register) -> Result<u64, GdbError> {
        Ok(order.decode(&self.client.read_register(register)?))
    }

    pub(super) fn write(&mut self, order: Order, register: Register, value: u64) -> Result<(), GdbError> {
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
