//! The optional second console: a 16550 on a PCI card (`-device pci-serial`), reached by H_LOGICAL_CI_*.

use crate::platform::pseries::Pseries;
use core::time::Duration;
use papr::clock::Deadline;
use papr::lock::Lock;
use papr::parts::low_u8;
use papr::platform::Width;
use papr::registers::Mmio;
use papr::registers::Registers;
use uart_16550::{Config, Uart16550, backend::Backend};

/// Output that the card does not take within this time is dropped.
const TIMEOUT: Duration = Duration::from_millis(50);

/// The card's eight registers, in the host bridge's I/O window. A read that the hypervisor refuses gives 0xff, as from a
/// missing card.
#[derive(Debug)]
struct Card(Registers);

impl Backend for Card {
    unsafe fn read(&mut self, register_offset: u8) -> u8 {
        let register = self.0.register(register_offset.into(), Width::W8);
        register.and_then(|register| Pseries.load(register).ok()).map_or(0xff, low_u8)
    }

    unsafe fn write(&mut self, register_offset: u8, value: u8) {
        // A write that is refused is lost, as it would be on a card that is not there.
        if let Some(register) = self.0.register(register_offset.into(), Width::W8) {
            let _ = Pseries.store(register, u64::from(value));
        }
    }
}

static UART: Lock<Option<Uart16550<Card>>> = Lock::new("serial card", None);

/// Adds the 16550 with these registers to the consoles; false when none answers there.
pub fn attach(registers: Registers) -> bool {
    // SAFETY: the backend reaches bytes of `registers` and no others, through hcalls: they lie in a window outside of all
    // memory, and an offset beyond them is refused. Nothing else drives the card: its BAR was given out once.
    let mut uart = unsafe { Uart16550::new_with_backend(Card(registers)) };
    if uart.init(Config::default()).is_err() {
        return false;
    }
    let Ok(mut place) = UART.take(&Pseries) else { return false };
    *place = Some(uart);
    drop(place);
    true
}

/// Writes to the card, when there is one.
pub fn put(bytes: &[u8]) {
    // An exception or panic inside `put` reports on the terminal only.
    let Some(mut uart) = UART.try_take(&Pseries) else { return };
    let Some(uart) = uart.as_mut() else { return };
    let mut deadline = Deadline::after(&Pseries, TIMEOUT);
    for byte in bytes {
        while uart.try_send_byte(*byte).is_err() {
            if deadline.expired(&Pseries) {
                return;
            }
        }
    }
}
