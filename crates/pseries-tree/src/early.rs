//! What the boot stage reads of the tree before there is a heap.

use super::guard::Tree;
use super::{cpus, read};
use core::fmt;
use papr::cas::{Outcome, PLATFORM_SUPPORT};
use thiserror::Error;

/// Property of `/chosen` by which the boot stage tells the kernel which firmware started it.
pub const ENTRY_PROPERTY: &str = "postern,entry";
/// Property of `/chosen` by which the boot stage tells the kernel how the negotiation with firmware ended.
pub const CAS_PROPERTY: &str = "postern,cas";
/// Property of `/chosen` that the boot stage writes before UV_ESM: the kernel base, 64 bits.
pub const ESM_PROPERTY: &str = "postern,esm";
/// Name, and `compatible`, of the root node by which an emulated ultravisor announces itself.
pub const MARKER: &str = "ibm,ultravisor";

/// Highest byte of a logical processor version (PAPR+ B.6.2.1).
const LOGICAL: u32 = 0x0f;

/// What entered the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// SLOF, with the Open Firmware client interface.
    Slof,
    /// QEMU's own firmware, with the same interface.
    Vof,
    /// A loader that passed a flattened tree.
    Fdt,
}

impl fmt::Display for Entry {
    /// The value of `postern: entry=`, and of [`ENTRY_PROPERTY`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slof => "slof",
            Self::Vof => "vof",
            Self::Fdt => "fdt",
        })
    }
}

/// Why a CPU cannot be the boot CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BootCpuError {
    /// No processor of the tree has this server number. The kernel would start the CPU on which it runs.
    #[error("device tree names CPU {0} as the one that booted, and describes no such CPU")]
    Unknown(u32),
    /// The ultravisor expects numbers below the limit, and otherwise aborts UV_ESM at its end.
    #[error("CPU {server} booted, and the ultravisor takes only numbers below {limit}")]
    NoRoom {
        /// The number that the tree names.
        server: u32,
        /// Cores in `ibm,lrdr-capacity` times threads of the first processor.
        limit: u32,
    },
}

/// Checks that the boot CPU, `boot_cpuid_phys` of the header, is in the tree. A tree without any CPU passes here;
/// [`super::Machine::read`] refuses it.
///
/// # Errors
/// The tree has CPUs, but not this one.
pub fn check_boot_cpu(tree: &Tree<'_>) -> Result<(), BootCpuError> {
    let server = tree.boot_cpu();
    if cpus::has_server(tree, server) == Some(false) { Err(BootCpuError::Unknown(server)) } else { Ok(()) }
}

/// Checks the boot CPU as the published ultravisor does (`svm/svm-rtas.c`), which counts cores and threads.
///
/// # Errors
/// The number is too high for the ultravisor.
pub fn check_boot_cpu_for_esm(tree: &Tree<'_>) -> Result<(), BootCpuError> {
    let server = tree.boot_cpu();
    match cpus::server_limit(tree) {
        Some(limit) if server >= limit => Err(BootCpuError::NoRoom { server, limit }),
        _ => Ok(()),
    }
}

/// The command line, without its NUL; empty when there is none.
#[must_use]
pub fn bootargs<'a>(tree: &Tree<'a>) -> &'a [u8] {
    let value = read::node_at(tree, "/chosen").and_then(|chosen| read::bytes(chosen, "bootargs"));
    value.and_then(|value| value.split(|&byte| byte == 0).next()).unwrap_or_default()
}

/// Whether an emulated ultravisor announces itself: see `postern_core::secure::Evidence`.
#[must_use]
pub fn marker(tree: &Tree<'_>) -> bool {
    read::root(tree)
        .and_then(|root| read::child(root, MARKER))
        .is_some_and(|node| read::lists(node, "compatible", MARKER))
}

/// The kernel base that was passed to UV_ESM, if the boot stage has called it.
#[must_use]
pub fn esm_base(tree: &Tree<'_>) -> Option<u64> {
    let value = read::bytes(read::node_at(tree, "/chosen")?, ESM_PROPERTY)?;
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

/// What started the image; anything but the names of the two firmwares is [`Entry::Fdt`].
#[must_use]
pub fn entry(tree: &Tree<'_>) -> Entry {
    match read::node_at(tree, "/chosen").and_then(|chosen| read::text(chosen, ENTRY_PROPERTY)) {
        Some("slof") => Entry::Slof,
        Some("vof") => Entry::Vof,
        _ => Entry::Fdt,
    }
}

/// How the negotiation with firmware ended; [`Outcome::NoFirmware`] without a valid note of the boot stage.
#[must_use]
pub fn cas(tree: &Tree<'_>) -> Outcome {
    let word = read::node_at(tree, "/chosen").and_then(|chosen| read::text(chosen, CAS_PROPERTY));
    word.and_then(Outcome::of_word).unwrap_or(Outcome::NoFirmware)
}

/// The platform's offer, for [`papr::cas::Request::of_offer`]; empty if the tree has none.
#[must_use]
pub fn offer<'a>(tree: &Tree<'a>) -> &'a [u8] {
    let value = read::node_at(tree, "/chosen").and_then(|chosen| read::bytes(chosen, PLATFORM_SUPPORT));
    value.unwrap_or_default()
}

/// The compatibility mode of the first CPU, as a logical processor version; `None` without one, when `cpu-version` is
/// the CPU's own version.
#[must_use]
pub fn compatibility(tree: &Tree<'_>) -> Option<u32> {
    let cpus = read::node_at(tree, "/cpus")?;
    let cpu = cpus.children().find(|node| read::text(*node, "device_type") == Some("cpu"))?;
    read::word(cpu, "cpu-version").filter(|version| version >> 24 == LOGICAL)
}

/// The token of an RTAS service. `None` if another property of the node has the same word, or if there are several such
/// nodes: see [`super::rtas`].
#[must_use]
pub fn rtas_token(tree: &Tree<'_>, service: &str) -> Option<u32> {
    let mut nodes = read::children(read::root(tree)?, "rtas");
    let (node, None) = (nodes.next()?, nodes.next()) else { return None };
    let token = read::word(node, service)?;
    let others = node.properties().filter(|property| property.name != service);
    let shared = others.filter_map(|property| read::words(property.value).next()).any(|word| word == token);
    (token != 0 && !shared).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::{
        BootCpuError, Entry, Outcome, bootargs, cas, check_boot_cpu, check_boot_cpu_for_esm, compatibility,
        entry, esm_base, marker, offer, rtas_token,
    };
    use crate::Tree;
    use papr::cas::{Request, Unasked};
    use postern_cases::case;
    use testkit::trees::{Builder, POWER9_256M, POWER9_512M_INITRD};

    #[test]
    fn properties_of_a_real_tree_are_read() {
        let tree = Tree::check(POWER9_512M_INITRD).unwrap();
        assert_eq!(bootargs(&tree), b"svm=emulated run=blk-digest");
        assert!(!marker(&tree));
        assert_eq!(esm_base(&tree), None);
        assert_eq!(entry(&tree), Entry::Fdt);
        assert_eq!(rtas_token(&tree, "ibm,os-term"), Some(0x201f));
        assert_eq!(rtas_token(&tree, "no-such-service"), None);
        assert_eq!(bootargs(&Tree::check(POWER9_256M).unwrap()), b"");
    }

    #[test]
    fn a_token_of_two_services_is_none() {
        case!("RTA-07", Halt);
        let token = |name: &str, value: &[u32], own: u32| {
            let rtas = Builder::new().node("").node("rtas").cells("ibm,os-term", &[own]);
            let blob = rtas.cells(name, value).end().end().blob();
            rtas_token(&Tree::check(&blob).unwrap(), "ibm,os-term")
        };
        assert_eq!(token("start-cpu", &[0x2006], 0x201f), Some(0x201f));
        assert_eq!(token("start-cpu", &[0x201f], 0x201f), None);
        // An ultravisor may read the first word of a longer value.
        assert_eq!(token("nvram-store", &[0x201f, 1], 0x201f), None);
        assert_eq!(token("start-cpu", &[0x2006], 0), None);
        let two = Builder::new().node("").node("rtas@1").cells("ibm,os-term", &[0x2006]).end();
        let two = two.node("rtas").cells("ibm,os-term", &[0x201f]).end().end().blob();
        assert_eq!(rtas_token(&Tree::check(&two).unwrap(), "ibm,os-term"), None);
    }

    #[test]
    fn a_missing_or_unsupported_boot_cpu_is_named() {
        case!("DT-22", Halt);
        let tree = |boot: u32, servers: &[u32], cores: u32| {
            let root = Builder::new().boot_cpu(boot).node("");
            let root = root.cells("#address-cells", &[2]).cells("#size-cells", &[2]).node("cpus");
            let cpus = servers.chunks(2).enumerate().fold(root, |cpus, (number, pair)| {
                let cpu = cpus.node(&std::format!("PowerPC,POWER9@{number}")).prop("device_type", b"cpu\0");
                cpu.cells("ibm,ppc-interrupt-server#s", pair).end()
            });
            cpus.end().node("rtas").cells("ibm,lrdr-capacity", &[0, 0, 0, 0, cores]).end().end().blob()
        };
        let judged = |boot: u32, servers: &[u32], cores: u32| {
            let blob = tree(boot, servers, cores);
            let tree = Tree::check(&blob).unwrap();
            (check_boot_cpu(&tree), check_boot_cpu_for_esm(&tree))
        };
        assert_eq!(judged(3, &[0, 1, 2, 3], 2), (Ok(()), Ok(())));
        assert_eq!(judged(8, &[0, 1, 8, 9], 2), (Ok(()), Err(BootCpuError::NoRoom { server: 8, limit: 4 })));
        assert_eq!(
            judged(4, &[0, 1, 2, 3], 2),
            (Err(BootCpuError::Unknown(4)), Err(BootCpuError::NoRoom { server: 4, limit: 4 }))
        );
        assert_eq!(judged(4, &[0, 1, 2, 3], 8), (Err(BootCpuError::Unknown(4)), Ok(())));
        assert_eq!(judged(0, &[], 2).0, Ok(()), "no CPU at all is another fault");
        let real = Tree::check(POWER9_512M_INITRD).unwrap();
        assert_eq!((check_boot_cpu(&real), check_boot_cpu_for_esm(&real)), (Ok(()), Ok(())));
    }

    #[test]
    fn dt_10_a_tree_without_chosen_has_no_arguments() {
        let blob = Builder::new().node("").end().blob();
        let tree = Tree::check(&blob).unwrap();
        assert_eq!(bootargs(&tree), b"");
        assert_eq!(esm_base(&tree), None);
        assert_eq!(entry(&tree), Entry::Fdt);
        assert!(!marker(&tree));
    }

    #[test]
    fn an_alias_that_names_itself_is_not_followed() {
        let blob = Builder::new()
            .node("")
            .node("aliases")
            .prop("/chosen", b"/chosen\0")
            .prop("/rtas", b"/rtas\0")
            .end()
            .end()
            .blob();
        let tree = Tree::check(&blob).unwrap();
        assert_eq!(bootargs(&tree), b"");
        assert_eq!(rtas_token(&tree, "power-off"), None);
    }

    #[test]
    fn the_marker_is_a_root_child_of_that_name_and_kind() {
        let with = |name: &str, compatible: &[u8]| {
            let blob = Builder::new().node("").node(name).prop("compatible", compatible).end().end().blob();
            marker(&Tree::check(&blob).unwrap())
        };
        assert!(with("ibm,ultravisor", b"ibm,ultravisor\0"));
        assert!(with("ibm,ultravisor@0", b"ibm,uv-firmware\0ibm,ultravisor\0"));
        assert!(!with("ibm,ultravisor", b"ibm,uv-firmware\0"));
        assert!(!with("ultravisor", b"ibm,ultravisor\0"));
        let deeper = Builder::new()
            .node("")
            .node("vdevice")
            .node("ibm,ultravisor")
            .prop("compatible", b"ibm,ultravisor\0")
            .end()
            .end()
            .end()
            .blob();
        assert!(!marker(&Tree::check(&deeper).unwrap()));
    }

    #[test]
    fn the_notes_of_the_boot_stage_are_read() {
        let with = |name: &str, value: &[u8]| {
            Builder::new().node("").node("chosen").prop(name, value).end().end().blob()
        };
        let blob = with("postern,esm", &[0, 0, 0, 0, 0, 0x40, 0, 0]);
        assert_eq!(esm_base(&Tree::check(&blob).unwrap()), Some(0x40_0000));
        let blob = with("postern,esm", &[0, 0x40, 0, 0]);
        assert_eq!(esm_base(&Tree::check(&blob).unwrap()), None);
        for (value, want) in [(&b"slof\0"[..], Entry::Slof), (b"vof\0", Entry::Vof), (b"bios\0", Entry::Fdt)]
        {
            let blob = with("postern,entry", value);
            assert_eq!(entry(&Tree::check(&blob).unwrap()), want);
        }
        for (value, want) in [(&b"agreed\0"[..], Outcome::Agreed), (b"perhaps\0", Outcome::NoFirmware)] {
            let blob = with("postern,cas", value);
            assert_eq!(cas(&Tree::check(&blob).unwrap()), want);
        }
    }

    #[test]
    fn a_machine_without_radix_says_so_and_in_which_mode() {
        let real = Tree::check(POWER9_512M_INITRD).unwrap();
        assert_eq!(Request::of_offer(offer(&real)), Ok(Request { xive: false, invalidates: true }));
        assert_eq!(compatibility(&real), None);
        // As QEMU 7.2 and 10.0 have it under `max-cpu-compat=power8`.
        let blob = Builder::new()
            .node("")
            .node("cpus")
            .node("l2-cache")
            .prop("cpu-version", &[0; 4])
            .end()
            .node("PowerPC,POWER9@0")
            .prop("device_type", b"cpu\0")
            .prop("cpu-version", &[0x0f, 0, 0, 4])
            .end()
            .end()
            .node("chosen")
            .prop("ibm,arch-vec-5-platform-support", &[0x17, 0, 0x18, 0, 0x19, 0, 0x1a, 0x40])
            .end()
            .end()
            .blob();
        let tree = Tree::check(&blob).unwrap();
        assert_eq!(Request::of_offer(offer(&tree)), Err(Unasked::NoRadix));
        assert_eq!(compatibility(&tree), Some(0x0f00_0004));
        let blob = Builder::new().node("").end().blob();
        let silent = Tree::check(&blob).unwrap();
        assert_eq!(Request::of_offer(offer(&silent)), Err(Unasked::NoOffer));
    }
}
