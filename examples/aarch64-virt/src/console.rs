//! The PL011 of the machine, which needs no set-up under QEMU.

use core::fmt;

const DATA: *mut u32 = 0x0900_0000 as *mut u32;

/// Writes to the console.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the data register of the PL011 (QEMU `hw/arm/virt.c`, `VIRT_UART`); a store sends a byte.
            unsafe { DATA.write_volatile(byte.into()) };
        }
        Ok(())
    }
}

/// Prints a fact.
macro_rules! say {
    ($($words:tt)*) => {{
        use core::fmt::Write;
        let _ = writeln!(crate::console::Console, "second: {}", format_args!($($words)*));
    }};
}
pub(crate) use say;
