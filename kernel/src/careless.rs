//! Lines that the careless image of `make sabotage` prints on purpose. The tests must notice each of them.

use crate::devices::set::Devices;

unsafe extern "C" {
    /// The buffer of the tree, defined in `linker.ld`.
    static __fdt_buffer: u8;
}

/// Offset of the last word of a frame.
const LAST_WORD: usize = 0xfff8;

/// Prints a word from before UV_ESM that was neither measured nor written since: the last one of the tree's first frame,
/// behind the tree.
pub fn say_what_is_older() {
    let tree = (&raw const __fdt_buffer).addr();
    let at = core::ptr::with_exposed_provenance::<u64>(tree.wrapping_add(LAST_WORD));
    // SAFETY: the word is aligned and lies in `.noinit`, where the tree has 2 MiB; any bits are a number, and nothing
    // writes there any more.
    let word = unsafe { at.read_volatile() };
    log::warn!("sabotage: {word:#x} was there before");
}

/// Prints a stack address, and the first word of the first disk.
pub fn say_what_is_private(devices: &mut Devices) {
    let local = 0u64;
    log::warn!("sabotage: this is done at {:#018x}", (&raw const local).addr());
    let Some(disk) = devices.disks.first_mut() else { return };
    if let Ok(bytes) = disk.driver.read(0, 512)
        && let Some(word) = bytes.first_chunk::<8>()
    {
        log::warn!("sabotage: blk{} begins with {:#018x}", disk.number, u64::from_be_bytes(*word));
    }
}
