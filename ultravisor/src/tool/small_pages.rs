//! Recognizes a guest that counts pages of 4 KiB where UV_SHARE_PAGE takes frames of 64 KiB: it names other memory than it
//! means, at 16 times the address.
//!
//! Source: open-power/ultravisor `include/svm_host.h` (SVM_PAGESHIFT). Linux passes its own page numbers
//! (`arch/powerpc/include/asm/svm.h`, `arch/powerpc/platforms/pseries/svm.c`).

use std::fmt;

use super::absent::Kernel;
use super::hypercalls::Hypercalls;
use crate::CallRecord;
use crate::call::{Code, Number};
use crate::devices::Devices;
use crate::frames::FRAME_SHIFT;
use crate::hcalls;
use crate::strict::Breach;

/// log2 of the other size.
const PAGE_SHIFT: u32 = 12;

/// A share whose number is that of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmallPages {
    /// Version of the Linux whose file says that it has such pages.
    pub linux: Option<String>,
    /// First number and count of the share.
    pub share: (u64, u64),
    /// An address among those pages that the guest gave to the host, and that stayed private.
    pub handed: Option<u64>,
    /// The ultravisor refused the range, which is not in RAM.
    pub refused: bool,
}

impl SmallPages {
    /// Looks for one: among the calls of a Linux with such pages it is the first share; of another guest, one that fits
    /// all that stayed private and was given to the host. If any device accessed shared memory, that guest counts frames.
    #[must_use]
    pub fn find(
        calls: &[CallRecord],
        kernel: &Kernel,
        devices: Option<&Devices>,
        hypercalls: Option<&Hypercalls>,
    ) -> Option<Self> {
        let is_share =
            |record: &&CallRecord| Number::from_opcode(record.call.opcode) == Some(Number::SharePage);
        let mut shares = calls.iter().filter(is_share);
        let given = given(devices, hypercalls);
        let names = |share: &CallRecord, address: u64| {
            let [first, count, ..] = share.call.arguments;
            let page = address >> PAGE_SHIFT;
            page >= first && page - first < count
        };
        let of = |share: &CallRecord, linux| {
            let [first, count, ..] = share.call.arguments;
            let handed = given.iter().copied().find(|address| names(share, *address));
            Self { linux, share: (first, count), handed, refused: share.verdict.code != Code::SUCCESS }
        };
        if let Kernel::Linux { version, page: Some(page), .. } = kernel {
            let all: Vec<_> = shares.filter(|_| *page == 1 << PAGE_SHIFT).collect();
            let best = all.iter().find(|share| given.iter().any(|address| names(share, *address)));
            return best.or(all.first()).map(|share| of(share, Some(version.clone())));
        }
        let by_page = |address: &u64| calls.iter().filter(is_share).any(|share| names(share, *address));
        if given.is_empty() || !given.iter().all(by_page) || devices.is_some_and(|devices| devices.shared > 0)
        {
            return None;
        }
        shares.find(|share| names(share, given[0])).map(|share| of(share, None))
    }
}

/// Private addresses that the guest gave to the host.
fn given(devices: Option<&Devices>, hypercalls: Option<&Hypercalls>) -> Vec<u64> {
    let wrong = hypercalls.into_iter().flat_map(|hypercalls| &hypercalls.wrong);
    let buffers = wrong.filter_map(|wrong| match wrong.breach {
        Breach::PrivateAddress(_, call) => hcalls::listed(call.number)?.buffer(&call.arguments),
        _ => None,
    });
    let accessed = devices.and_then(|devices| devices.first.as_ref()).map(|first| first.address);
    buffers.chain(accessed).collect()
}

impl fmt::Display for SmallPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { linux, share: (first, count), handed, refused } = self;
        match linux {
            Some(version) => {
                write!(f, "the kernel, Linux {version}, was built with CONFIG_PPC_4K_PAGES and")?
            }
            None => f.write_str("the guest")?,
        }
        let at = u128::from(*first) << FRAME_SHIFT;
        write!(
            f,
            " counts pages of 4 KiB, but UV_SHARE_PAGE takes frames of 64 KiB: with {first:#x}, {count:#x} it names the \
             memory at {at:#x}, "
        )?;
        f.write_str(if *refused {
            "which is not all RAM, and nothing is shared"
        } else {
            "which is zeroed and shared"
        })?;
        if let Some(handed) = handed {
            write!(f, "; {handed:#x}, which it gave to the host, stays private")?;
        }
        if linux.is_some() {
            f.write_str("; CONFIG_PPC_64K_PAGES avoids this")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "small_pages/tests.rs"]
mod tests;
