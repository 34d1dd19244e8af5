//! The firmware that starts a guest, as far as it matters to an ultravisor.

/// Who takes the machine from reset to the kernel's first instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// SLOF, QEMU's default.
    Slof,
    /// QEMU's virtual Open Firmware (`x-vof=on`).
    Vof,
    /// No firmware: a ROM that jumps to the kernel with a flat device tree in r3.
    Bios,
}

impl Firmware {
    /// Every firmware.
    pub const ALL: [Self; 3] = [Self::Slof, Self::Vof, Self::Bios];

    /// Its name in options.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slof => "slof",
            Self::Vof => "vof",
            Self::Bios => "bios",
        }
    }
}
