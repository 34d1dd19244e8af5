//! UV_ESM: the host's values in memory and registers, and the ultravisor's handling of them.

use super::row::{HM, M, tried};
use crate::Case;
use crate::Response::{Halt, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        M,
        "ESM-01",
        &[Work],
        "UV_ESM forgets all memory but image, tree, initrd and RTAS area",
        "nothing else of before is read: 16,373 of 16,384 frames are zeroed, and the run ends with status 0",
    ),
    tried(
        M,
        "ESM-02",
        &[Work],
        "registers, low memory and the rest of measured frames hold addresses and code of the host's at the entry",
        "all are overwritten before they are used: the run is the same, word for word",
    ),
    tried(
        M,
        "ESM-03",
        &[Work],
        "a development build of the ultravisor keeps all memory, full of the host's code",
        "as ESM-02: nothing that was not measured is run or read",
    ),
    tried(
        M,
        "ESM-04",
        &[Work],
        "a reservation that starts on no frame: the ultravisor's shared frames cover its first bytes",
        "each reservation is whole frames, and is neither mapped nor given away",
    ),
    tried(
        M,
        "ESM-05",
        &[Halt],
        "UV_ESM is aborted at its end; the RTAS stub and what the ultravisor had shared are zeros by then",
        "the code is named, and the guest ends by H_RTAS, with status 4",
    ),
    tried(
        M,
        "ESM-06",
        &[Halt],
        "the tree names a boot CPU that there is not, noticed after H_SVM_INIT_DONE",
        "H_STATE is named; status 4",
    ),
    tried(
        M,
        "ESM-07",
        &[Work],
        "a share of a frame outside the memory slots changes nothing, whatever r3 says",
        "the pattern that reads back decides: the range is quarantined, another is tried",
    ),
    tried(
        M,
        "ESM-08",
        &[Work],
        "the first hypercall after UV_ESM returns into an interrupt vector, and low memory is full of the host's code",
        "the vectors are the kernel's before any exit: an interrupt without a cause changes nothing",
    ),
    tried(
        M,
        "ESM-09",
        &[Work],
        "a CPU's server number is not below the number of CPUs that the ultravisor reckons with",
        "that CPU is not started: the ultravisor would assert",
    ),
    tried(
        M,
        "ESM-10",
        &[Halt],
        "UV_ESM returns to its caller with any number in r3: known, unknown, positive, 0, its own opcode",
        "the number is named; status 4, whatever it is: a success does not return",
    ),
    tried(
        M,
        "ESM-11",
        &[Halt],
        "after UV_ESM the guest is entered with another tree: none, memory that was forgotten, the image, the vectors, \
         no memory",
        "status 2 with what is there, or 8 where the access fails; nothing of before UV_ESM stands in for it, and nothing is shared",
    ),
    tried(
        M,
        "ESM-20",
        &[Halt],
        "kernel, command line, initrd, RTAS text or key are not those of the ESM blob, or somebody changed it",
        "the ultravisor answers -4; the guest stays an ordinary one, names the code, and ends with status 4",
    ),
    tried(
        HM,
        "ESM-21",
        &[Halt],
        "UV_ESMB_GET_FILE claims more bytes than its registers hold",
        "the number is named, nothing is copied; status 4",
    ),
    tried(
        HM,
        "ESM-22",
        &[Halt],
        "UV_ESMB_GET_FILE fails, at once or in the middle of the file",
        "the offset and the code are named, what was read is cleared; status 4",
    ),
    tried(
        HM,
        "ESM-23",
        &[Halt],
        "UV_ESMB_GET_FILE gives full chunks without end",
        "given up before the offset at which the ultravisor would assert; status 4",
    ),
];
