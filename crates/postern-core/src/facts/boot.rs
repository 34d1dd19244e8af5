//! Image, firmware, processors, memory and mode.

use super::Stated::{Boot, SecureBoot, Words};
use super::Value::{Count, Digits, Hex, OneOf, Text};
use super::facts;

facts! {
    FDT_ADDR: 0 = "fdt.addr", Hex, Boot,
        "address of the flattened device tree of this entry; printed before the tree is checked, and again after UV_ESM";
    FDT_BYTES: 0 = "fdt.bytes", Count("bytes"), Boot, "size of that tree, printed with its address";
    IMAGE_NAME: 0 = "image.name", OneOf(&["postern", "postern-test", "postern-virtio-drivers"]), Boot, "name of the image";
    IMAGE_BUILD: 0 = "image.build", Digits(40), Boot,
        "the image's build id, as in the note of its file in `build/` (`readelf -n`)";
    FIRMWARE_CAS: 0 = "firmware.cas", OneOf(&["agreed", "refused", "unasked", "none"]), Boot,
        "how `ibm,client-architecture-support` ended; `unasked`: no radix on offer, `none`: no firmware";
    ENTRY: 0 = "entry", OneOf(&["slof", "vof", "fdt"]), Boot, "what entered the kernel: SLOF, VOF, or somebody with a flattened tree";
    CPU_PVR: 0 = "cpu.pvr", Hex, Boot, "processor version register";
    CPU_THREADS: 0 = "cpu.threads", Count("threads"), Boot, "hardware threads that the tree describes";
    MEMORY_BYTES: 0 = "memory.bytes", Count("bytes"), Boot, "memory that the tree describes";
    ENTROPY: 0 = "entropy", OneOf(&["darn", "darn,virtio-rng", "virtio-rng", "weak", "weak,virtio-rng"]), Boot,
        "where random numbers start: the CPU's own generator (`weak`: it gives nothing, and the timebase is all there is), and bytes of a virtio-rng, which a secure guest mixes in and counts for nothing";
    NMI_HANDLERS: 0 = "nmi.handlers", OneOf(&["registered", "vectors"]), Boot,
        "`registered` when `ibm,nmi-register` took the handlers of system reset and machine check";
    NMI_AREA: 0 = "nmi.area", Hex, Boot,
        "address of the RTAS area, where the hypervisor leaves the interrupted r3 and an error log; absent with `nmi.handlers=vectors`";
    MODE: 0 = "mode", OneOf(&["normal", "secure-hardware", "secure-emulated"]), Boot, "whether this is a secure guest, and of what";
    ESM_BASE: 0 = "esm.base", Hex, SecureBoot, "address at which UV_ESM was entered; absent when it was not";
    SECRET_FILE: 0 = "secret.file", Text("name"), Words(&["secret="]), "file of the ESM blob that arrived in private memory";
    SECRET_BYTES: 0 = "secret.bytes", Count("bytes"), Words(&["secret="]), "its length; what it holds is never shown";
    CPU_ONLINE: 0 = "cpu.online", Count("CPUs"), Boot, "CPUs that run";
    CPU_ANSWERED: 0 = "cpu.answered", Count("CPUs"), Boot, "CPUs besides the boot CPU that answered an interrupt from it";
    CPU_VECTORS: 0 = "cpu.vectors", Count("CPUs"), Boot, "CPUs that copy to and from the pool by vector registers";
    MEMORY_ACCEPTED: 0 = "memory.accepted", Count("bytes"), SecureBoot, "memory that was proved to be the VM's own";
    MEMORY_REFUSED: 0 = "memory.refused", Count("bytes"), SecureBoot, "memory that was not, and is never used";
    MEMORY_ACCEPT_CALLS: 0 = "memory.accept_calls", Count("ultracalls"), SecureBoot, "ultracalls that proving took";
    MEMORY_ACCEPT_US: 0 = "memory.accept_us", Count("microseconds"), SecureBoot, "time that proving took";
    MEMORY_ACCEPT_BY: 0 = "memory.accept_by", OneOf(&["vectors", "words"]), SecureBoot,
        "what makes the first access to unproved memory: `vectors`, which the ultravisor never emulates, or `words`, where the processor has none";
}
