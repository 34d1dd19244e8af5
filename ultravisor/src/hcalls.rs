//! The hypercalls that the published ultravisor passes on for a secure VM, and what the host gets with each.
//!
//! Source: open-power/ultravisor `core/hcall-regs.c` (a number that is missing there, or has no register
//! counts, aborts the ultravisor and with it the machine), `include/hvcall.h`; arguments: PAPR+ 14.5.

/// A register that holds an argument: 0 is r4.
type Argument = usize;

/// What the host can do with the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hands {
    /// Numbers.
    Values,
    /// The address of an argument block, which the ultravisor copies: it may be private.
    RtasBlock,
    /// The address of a device's register.
    DeviceAddress(Argument),
    /// A buffer that the host reads or writes itself.
    Buffer {
        /// The register with its address.
        address: Argument,
        /// Its least size in bytes.
        bytes: u64,
    },
    /// H_REGISTER_VPA: a buffer when it registers one, by the sub-function in the first argument.
    Vpa(Argument),
    /// I/O addresses, which are translated like a device's: the accesses are in the trace of the I/O memory management
    /// unit.
    IoAddresses,
    /// Addresses of kinds that are not judged here. Making such a call is a finding.
    Addresses,
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// r3.
    pub number: u64,
    /// Its name in PAPR+.
    pub name: &'static str,
    /// What the arguments are.
    pub hands: Hands,
}

impl Listed {
    /// Of these arguments, the address of the buffer that the host gets.
    #[must_use]
    pub fn buffer(&self, arguments: &[u64]) -> Option<u64> {
        match self.hands {
            Hands::Buffer { address, .. } | Hands::Vpa(address) => arguments.get(address).copied(),
            _ => None,
        }
    }
}

const fn values(number: u64, name: &'static str) -> Listed {
    Listed { number, name, hands: Hands::Values }
}

const fn with(number: u64, name: &'static str, hands: Hands) -> Listed {
    Listed { number, name, hands }
}

/// Bytes of the page that a list of TCEs fills, and of a queue.
const PAGE: u64 = 4096;

/// All of them, by number, without the ultravisor's own calls in its table (H_SVM_*), which a guest must not make.
pub const LISTED: [Listed; 96] = [
    values(0x04, "H_REMOVE"),
    values(0x08, "H_ENTER"),
    values(0x0c, "H_READ"),
    values(0x10, "H_CLEAR_MOD"),
    values(0x14, "H_CLEAR_REF"),
    values(0x18, "H_PROTECT"),
    values(0x1c, "H_GET_TCE"),
    values(0x20, "H_PUT_TCE"),
    values(0x24, "H_SET_SPRG0"),
    values(0x28, "H_SET_DABR"),
    with(0x2c, "H_PAGE_INIT", Hands::Buffer { address: 1, bytes: PAGE }),
    with(0x3c, "H_LOGICAL_CI_LOAD", Hands::DeviceAddress(1)),
    with(0x40, "H_LOGICAL_CI_STORE", Hands::DeviceAddress(1)),
    values(0x54, "H_GET_TERM_CHAR"),
    values(0x58, "H_PUT_TERM_CHAR"),
    values(0x60, "H_HYPERVISOR_DATA"),
    values(0x64, "H_EOI"),
    values(0x68, "H_CPPR"),
    values(0x6c, "H_IPI"),
    values(0x70, "H_IPOLL"),
    values(0x74, "H_XIRR"),
    values(0x78, "H_MIGRATE_DMA"),
    values(0x7c, "H_PERFMON"),
    with(0xdc, "H_REGISTER_VPA", Hands::Vpa(2)),
    values(0xe0, "H_CEDE"),
    values(0xe4, "H_CONFER"),
    values(0xe8, "H_PROD"),
    values(0xec, "H_GET_PPP"),
    values(0xf0, "H_SET_PPP"),
    values(0xf4, "H_PURR"),
    values(0xf8, "H_PIC"),
    with(0xfc, "H_REG_CRQ", Hands::IoAddresses),
    values(0x100, "H_FREE_CRQ"),
    values(0x104, "H_VIO_SIGNAL"),
    with(0x108, "H_SEND_CRQ", Hands::IoAddresses),
    with(0x110, "H_COPY_RDMA", Hands::IoAddresses),
    with(0x114, "H_REGISTER_LOGICAL_LAN", Hands::IoAddresses),
    values(0x118, "H_FREE_LOGICAL_LAN"),
    with(0x11c, "H_ADD_LOGICAL_LAN_BUFFER", Hands::IoAddresses),
    with(0x120, "H_SEND_LOGICAL_LAN", Hands::IoAddresses),
    values(0x124, "H_BULK_REMOVE"),
    values(0x130, "H_MULTICAST_CTRL"),
    values(0x134, "H_SET_XDABR"),
    values(0x138, "H_STUFF_TCE"),
    with(0x13c, "H_PUT_TCE_INDIRECT", Hands::Buffer { address: 2, bytes: PAGE }),
    values(0x14c, "H_CHANGE_LOGICAL_LAN_MAC"),
    with(0x150, "H_VTERM_PARTNER_INFO", Hands::Buffer { address: 3, bytes: PAGE }),
    values(0x154, "H_REGISTER_VTERM"),
    values(0x158, "H_FREE_VTERM"),
    values(0x1c8, "H_GET_CPU_CHARACTERISTICS"),
    values(0x1d4, "H_FREE_LOGICAL_LAN_BUFFER"),
    values(0x1d8, "H_POLL_PENDING"),
    values(0x244, "H_ILLAN_ATTRIBUTES"),
    values(0x298, "H_JOIN"),
    values(0x2a4, "H_VASI_STATE"),
    with(0x2a8, "H_VIOCTL", Hands::Addresses),
    values(0x2b0, "H_ENABLE_CRQ"),
    values(0x2b8, "H_GET_EM_PARMS"),
    values(0x2d0, "H_SET_MPP"),
    values(0x2d4, "H_GET_MPP"),
    with(0x2dc, "H_REG_SUB_CRQ", Hands::IoAddresses),
    values(0x2e0, "H_FREE_SUB_CRQ"),
    with(0x2e4, "H_SEND_SUB_CRQ", Hands::IoAddresses),
    with(0x2e8, "H_SEND_SUB_CRQ_INDIRECT", Hands::IoAddresses),
    values(0x2ec, "H_HOME_NODE_ASSOCIATIVITY"),
    values(0x2f4, "H_BEST_ENERGY"),
    values(0x2fc, "H_XIRR_X"),
    values(0x300, "H_RANDOM"),
    with(0x304, "H_COP", Hands::Addresses),
    values(0x314, "H_GET_MPP_X"),
    values(0x31c, "H_SET_MODE"),
    values(0x328, "H_BLOCK_REMOVE"),
    values(0x358, "H_CLEAR_HPT"),
    values(0x36c, "H_RESIZE_HPT_PREPARE"),
    values(0x370, "H_RESIZE_HPT_COMMIT"),
    values(0x37c, "H_REGISTER_PROC_TBL"),
    values(0x380, "H_SIGNAL_SYS_RESET"),
    values(0x3a8, "H_INT_GET_SOURCE_INFO"),
    values(0x3ac, "H_INT_SET_SOURCE_CONFIG"),
    values(0x3b4, "H_INT_GET_QUEUE_INFO"),
    with(0x3b8, "H_INT_SET_QUEUE_CONFIG", Hands::Buffer { address: 3, bytes: PAGE }),
    values(0x3c8, "H_INT_ESB"),
    values(0x3cc, "H_INT_SYNC"),
    values(0x3d0, "H_INT_RESET"),
    values(0x3e4, "H_SCM_READ_METADATA"),
    values(0x3e8, "H_SCM_WRITE_METADATA"),
    values(0x3ec, "H_SCM_BIND_MEM"),
    values(0x3f0, "H_SCM_UNBIND_MEM"),
    with(0xf000, "H_RTAS", Hands::RtasBlock),
    with(0xf078, "H_GET_24X7_CATALOG_PAGE", Hands::Buffer { address: 0, bytes: PAGE }),
    with(0xf07c, "H_GET_24X7_DATA", Hands::Addresses),
    with(0xf080, "H_GET_PERF_COUNTER_INFO", Hands::Buffer { address: 0, bytes: PAGE }),
    with(0xf800, "H_SET_PARTITION_TABLE", Hands::Addresses),
    with(0xf804, "H_ENTER_NESTED", Hands::Addresses),
    values(0xf808, "H_TLB_INVALIDATE"),
    with(0xf80c, "H_COPY_TOFROM_GUEST", Hands::Addresses),
];

/// The call with this number, if a secure VM may make it at all.
#[must_use]
pub fn listed(number: u64) -> Option<&'static Listed> {
    LISTED.binary_search_by_key(&number, |call| call.number).ok().map(|index| &LISTED[index])
}

/// Whether the number is one of QEMU's and KVM's own calls, most of them for firmware: H_CAS, H_UPDATE_DT, VOF's client
/// interface and others.
#[must_use]
pub const fn is_firmwares(number: u64) -> bool {
    matches!(number, 0xf001..=0xf00f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend() {
        assert!(LISTED.is_sorted_by(|a, b| a.number < b.number));
    }

    #[test]
    fn calls_that_abort_the_ultravisor_are_not_listed() {
        // H_LOGICAL_CACHE_LOAD, H_REAL_TO_LOGICAL, H_CLEAN_SLB, H_INVALIDATE_PID, H_RPT_INVALIDATE, H_WATCHDOG,
        // H_INT_GET_SOURCE_CONFIG, H_CAS, H_SVM_INIT_ABORT, and an ultracall's number.
        for number in [0x44, 0x5c, 0x374, 0x378, 0x448, 0x45c, 0x3b0, 0xf002, 0xef14, 0xf130] {
            assert_eq!(listed(number), None, "{number:#x}");
        }
    }

    #[test]
    fn firmware_has_its_own_numbers() {
        assert!(
            is_firmwares(0xf002) && is_firmwares(0xf005) && !is_firmwares(0xf000) && !is_firmwares(0xf110)
        );
    }
}
