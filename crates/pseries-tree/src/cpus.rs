//! The processors that a tree describes, and the number of the one that booted.

use super::guard::Tree;
use super::machine_error::MachineError;
use super::read::{self, Node};
use super::warnings::{Fault, Warnings};
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use papr::text::HostText;

/// Most hardware threads (the ultravisor's own limit, `svm/svm-fdt.c`).
const MAX_THREADS: usize = 4096;

/// Accepted timebase frequencies; POWER has 512 MHz. All timeouts are counted in its ticks: with 1 Hz each wait would
/// end at once, and with 2^63 Hz never.
const TIMEBASE_HZ: RangeInclusive<u64> = 1_000_000..=10_000_000_000;

/// What the kernel knows of the processors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus {
    /// Interrupt server numbers, one per hardware thread, in the tree's order; not empty.
    pub servers: Vec<u32>,
    /// Cores in `ibm,lrdr-capacity` times threads of the first processor, if the tree has them. The published
    /// ultravisor asserts if a CPU is started whose server number is not below this (`svm/svm-rtas.c`).
    pub server_limit: Option<u32>,
    /// The server number of the thread that booted.
    pub boot_server: u32,
    /// The processor's name in the tree, such as `POWER9`.
    pub model: HostText,
    /// The processor version register, if the tree has it.
    pub version: Option<u32>,
    /// Bytes in a data cache block, if the tree has them.
    pub cache_block: Option<u32>,
    /// `ibm,vmx`, if the tree has it: 1 for VMX, 2 for VMX and VSX.
    pub vectors: Option<u32>,
    /// Ticks of the timebase in a second: a million to ten thousand million.
    pub timebase_hz: u64,
}

pub(super) fn read(tree: &Tree<'_>, warnings: &mut Warnings) -> Result<Cpus, MachineError> {
    let parent = read::node_at(tree, "/cpus").ok_or(MachineError::NoCpu)?;
    let mut servers = Vec::new();
    let (mut model, mut version, mut timebase_hz) = (None, None, None);
    let (mut cache_block, mut vectors) = (None, None);
    for node in parent.children().filter(is_cpu) {
        let list = threads_of(node);
        let before = servers.len();
        servers.extend(list.into_iter().flat_map(read::words).take(MAX_THREADS.saturating_sub(before)));
        if servers.len() == before {
            warnings.add(node.name, Fault::Malformed("ibm,ppc-interrupt-server#s"));
            continue;
        }
        let boots = servers.iter().skip(before).any(|server| *server == tree.boot_cpu());
        if model.is_none() || boots {
            let name = read::base_name(node.name);
            model = Some(HostText::new(name.rsplit(',').next().unwrap_or(name).as_bytes()));
            version = read::word(node, "cpu-version");
            cache_block = read::word(node, "d-cache-block-size");
            vectors = read::word(node, "ibm,vmx");
            timebase_hz = read::number(node, "timebase-frequency");
        }
    }
    let first = *servers.first().ok_or(MachineError::NoCpu)?;
    let boot_server = if servers.contains(&tree.boot_cpu()) {
        tree.boot_cpu()
    } else {
        warnings.add("cpus", Fault::Dangling("boot_cpuid_phys"));
        first
    };
    let timebase_hz = timebase_hz.filter(|hz| *hz != 0).ok_or(MachineError::NoTimebase)?;
    if !TIMEBASE_HZ.contains(&timebase_hz) {
        return Err(MachineError::Timebase(timebase_hz));
    }
    let model = model.unwrap_or_default();
    let server_limit = server_limit(tree);
    Ok(Cpus { servers, server_limit, boot_server, model, version, cache_block, vectors, timebase_hz })
}

fn is_cpu(node: &Node<'_, '_>) -> bool {
    read::text(*node, "device_type") == Some("cpu")
}

/// The server numbers of a processor's threads, as the tree has them.
fn threads_of<'a>(node: Node<'_, 'a>) -> Option<&'a [u8]> {
    read::bytes(node, "ibm,ppc-interrupt-server#s").or_else(|| read::bytes(node, "reg"))
}

/// Whether the tree has a thread with this number; `None` if it has no thread at all, which is another fault.
pub(super) fn has_server(tree: &Tree<'_>, server: u32) -> Option<bool> {
    let nodes = read::node_at(tree, "/cpus")?.children().filter(is_cpu);
    let mut all = nodes.filter_map(threads_of).flat_map(read::words).peekable();
    all.peek()?;
    Some(all.any(|one| one == server))
}

/// See [`Cpus::server_limit`].
pub(super) fn server_limit(tree: &Tree<'_>) -> Option<u32> {
    let threads = read::node_at(tree, "/cpus")?.children().filter(is_cpu).find_map(threads_of)?.len() / 4;
    Some(cores(tree)?.saturating_mul(u32::try_from(threads).unwrap_or(u32::MAX)))
}

/// The number of cores, which follows an address and a size of the root's cells.
fn cores(tree: &Tree<'_>) -> Option<u32> {
    let root = read::root(tree)?;
    let cells = read::word(root, "#address-cells")?.checked_add(read::word(root, "#size-cells")?)?;
    let capacity = read::bytes(read::node_at(tree, "/rtas")?, "ibm,lrdr-capacity")?;
    read::words(capacity).nth(usize::try_from(cells).ok()?)
}
