//! The list. Sources: virtio 1.2; PAPR+; Devicetree Specification 0.4; the published ultravisor's sources; published
//! attacks on guest drivers (VIA, arXiv 2109.10660; Heckler, 2404.03387) and the fixes in Linux. Missing numbers belong to
//! devices or features that this kernel does not have.

mod block;
mod calls;
mod entry;
mod esm;
mod injection;
mod interrupts;
mod life;
mod locks;
mod memory;
mod negotiation;
mod network;
mod output;
mod pci;
mod queues;
mod random;
mod ring;
mod row;
mod rtas;
mod tce;
mod tree;
mod ultravisor;

use crate::Family;

/// Every case, by family.
pub const FAMILIES: &[Family] = &[
    Family { title: "PCI configuration space, capabilities, BARs", cases: pci::CASES },
    Family { title: "Features and queue set-up", cases: negotiation::CASES },
    Family { title: "Rings", cases: ring::CASES },
    Family { title: "Block", cases: block::CASES },
    Family { title: "Several queues", cases: queues::CASES },
    Family { title: "Network", cases: network::CASES },
    Family { title: "Vectors, entry, crash reports", cases: entry::CASES },
    Family { title: "Interrupts and time", cases: interrupts::CASES },
    Family { title: "Registers, interrupts and pauses of the hypervisor's choice", cases: injection::CASES },
    Family { title: "Hypercalls and RTAS", cases: calls::CASES },
    Family { title: "RTAS services", cases: rtas::CASES },
    Family { title: "Locks", cases: locks::CASES },
    Family { title: "Device tree", cases: tree::CASES },
    Family { title: "Ultracalls and the pool", cases: ultravisor::CASES },
    Family { title: "Memory", cases: memory::CASES },
    Family { title: "UV_ESM", cases: esm::CASES },
    Family { title: "TCE tables", cases: tce::CASES },
    Family { title: "Reset, removal, order", cases: life::CASES },
    Family { title: "Output and exit status", cases: output::CASES },
    Family { title: "Random numbers", cases: random::CASES },
];
