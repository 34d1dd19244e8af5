//! Image, firmware, processors, memory and mode.

use super::Stated::{Boot, SecureBoot, Words};
use super::Value::{Count, Digits, Hex, OneOf, Text};
use super::facts;

facts! {
    FDT_ADDR: 0 = "fdt.addr", Hex, Boot,
        "address of the flattened device tree at this entry; printed before the tree is checked, and again after UV_ESM";
    FDT_BYTES: 0 = "fdt.bytes", Count("bytes"), Boot, "size of that tree, printed with its address";
    IMAGE_NAME: 0 = "image.name", OneOf(&["postern", "postern-test", "postern-virtio-drivers"]), Boot, "name of the image";
    IMAGE_BUILD: 0 = "image.build", Digits(40), Boot,
        "the image's build id, equal to the one of its file in `build/` (`readelf -n`)";
    FIRMWARE_CAS: 0 = "firmware.cas", OneOf(&["agreed", "refused", "unasked", "none"]), Boot,
        "result of `ibm,client-architecture-support`; `unasked`: not called, because the firmware does not offer radix translation; `none`: there is no firmware";
    ENTRY: 0 = "entry", OneOf(&["slof", "vof", "fdt"]), Boot, "how the kernel was entered: by SLOF, by VOF, or with a flattened tree";
    CPU_PVR: 0 = "cpu.pvr", Hex, Boot, "processor version register";
    CPU_THREADS: 0 = "cpu.threads", Count("threads"), Boot, "hardware threads that the tree describes";
    MEMORY_BYTES: 0 = "memory.bytes", Count("bytes"), Boot, "memory that the tree describes";
    ENTROPY: 0 = "entropy", OneOf(&["darn", "darn,virtio-rng", "virtio-rng", "weak", "weak,virtio-rng"]), Boot,
        "sources of the first random numbers: the CPU's `darn` instruction (`weak`: it returned nothing, and only the timebase is left), and the bytes of a virtio-rng; a secure guest mixes these in but does not count them as a source";
    NMI_HANDLERS: 0 = "nmi.handlers", OneOf(&["registered", "vectors"]), Boot,
        "`registered`: `ibm,nmi-register` accepted the handlers of system reset and machine check; `vectors`: these interrupts arrive at the exception vectors";
    NMI_AREA: 0 = "nmi.area", Hex, Boot,
        "address of the RTAS area, in which the hypervisor stores the interrupted r3 and an error log; absent with `nmi.handlers=vectors`";
    MODE: 0 = "mode", OneOf(&["normal", "secure-hardware", "secure-emulated"]), Boot, "`normal`: an ordinary guest; `secure-hardware`: a secure guest, `MSR[S]` is 1; `secure-emulated`: a secure guest of an emulated ultravisor, which protects nothing";
    ESM_BASE: 0 = "esm.base", Hex, SecureBoot, "address at which the kernel was entered after UV_ESM; absent if the guest did not call it";
    SECRET_FILE: 0 = "secret.file", Text("name"), Words(&["secret="]), "file of the ESM blob that the guest has read into private memory";
    SECRET_BYTES: 0 = "secret.bytes", Count("bytes"), Words(&["secret="]), "its length; the guest never shows its content";
    CPU_ONLINE: 0 = "cpu.online", Count("CPUs"), Boot, "CPUs that are running";
    CPU_ANSWERED: 0 = "cpu.answered", Count("CPUs"), Boot, "CPUs besides the boot CPU that answered an interrupt from it";
    CPU_VECTORS: 0 = "cpu.vectors", Count("CPUs"), Boot, "CPUs that use vector registers to copy to and from the pool";
    MEMORY_ACCEPTED: 0 = "memory.accepted", Count("bytes"), SecureBoot, "memory that the guest has proved to be its own";
    MEMORY_REFUSED: 0 = "memory.refused", Count("bytes"), SecureBoot, "memory without this proof; the guest never uses it";
    MEMORY_ACCEPT_CALLS: 0 = "memory.accept_calls", Count("ultracalls"), SecureBoot, "ultracalls that the proof took";
    MEMORY_ACCEPT_US: 0 = "memory.accept_us", Count("microseconds"), SecureBoot, "time that the proof took";
    MEMORY_ACCEPT_BY: 0 = "memory.accept_by", OneOf(&["vectors", "words"]), SecureBoot,
        "instructions of the first access to unproved memory: those of vector registers (`vectors`), which the ultravisor never emulates, or of words (`words`), on a processor without vector registers";
}
