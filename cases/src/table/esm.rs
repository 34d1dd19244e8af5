//! UV_ESM: the host's values in memory and registers, and the ultravisor's handling of them.

use super::row::{HM, M, tried};
use crate::Case;
use crate::Response::{Halt, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        M,
        "ESM-01",
        &[Work],
        "UV_ESM discards all memory but the image, the tree, the initrd and the RTAS area",
        "the guest reads nothing else from before UV_ESM: all but at most 24 frames are zeroed, and the run ends with status 0",
    ),
    tried(
        M,
        "ESM-02",
        &[Work],
        "at the entry, registers, low memory and the unused bytes of measured frames hold addresses and code of the host",
        "the guest overwrites all of them before it uses them: it prints the same lines as without them",
    ),
    tried(
        M,
        "ESM-03",
        &[Work],
        "a development build of the ultravisor keeps all memory, and it is full of the host's code",
        "as ESM-02: the guest neither runs nor reads anything that was not measured",
    ),
    tried(
        M,
        "ESM-04",
        &[Work],
        "a reservation does not start on a frame boundary, and frames that the ultravisor shares cover its first bytes",
        "the guest treats each reservation as whole frames, and neither maps nor uses them",
    ),
    tried(
        M,
        "ESM-05",
        &[Halt],
        "UV_ESM is aborted at its end, when the RTAS stub and the frames that the ultravisor had shared are already zero",
        "the guest names the error code and ends by H_RTAS, with status 4",
    ),
    tried(
        M,
        "ESM-06",
        &[Halt],
        "the tree names a boot CPU that does not exist, and UV_ESM fails after H_SVM_INIT_DONE",
        "the guest names H_STATE and ends with status 4",
    ),
    tried(
        M,
        "ESM-07",
        &[Work],
        "the share of a frame outside the memory slots has no effect, whatever r3 contains",
        "the guest reads back a pattern that it wrote before the share; it quarantines the range and tries another one",
    ),
    tried(
        M,
        "ESM-08",
        &[Work],
        "the first hypercall after UV_ESM returns into an interrupt vector, and low memory is full of the host's code",
        "the kernel installs its vectors before the first exit to the host: an interrupt without a cause changes nothing",
    ),
    tried(
        M,
        "ESM-09",
        &[Work],
        "a CPU's server number is not below the number of CPUs that the ultravisor assumes",
        "the guest does not start that CPU, because an assertion in the ultravisor would fail",
    ),
    tried(
        M,
        "ESM-10",
        &[Halt],
        "UV_ESM returns to its caller with any number in r3: known, unknown, positive, 0, its own opcode",
        "the guest names the number and ends with status 4, whatever the number is: a successful UV_ESM does not return",
    ),
    tried(
        M,
        "ESM-11",
        &[Halt],
        "after UV_ESM the guest is entered with another tree address: 0, discarded memory, the image, the vectors, no memory",
        "status 2 with what is there, or 8 if the access fails; the guest uses no data from before UV_ESM instead, and shares nothing",
    ),
    tried(
        M,
        "ESM-20",
        &[Halt],
        "the kernel, command line, initrd, RTAS text or key differ from the ESM blob, or the blob was changed",
        "the ultravisor answers -4; the guest stays an ordinary guest, names the code and ends with status 4",
    ),
    tried(
        HM,
        "ESM-21",
        &[Halt],
        "UV_ESMB_GET_FILE claims more bytes than its registers hold",
        "the guest names the number, copies nothing and ends with status 4",
    ),
    tried(
        HM,
        "ESM-22",
        &[Halt],
        "UV_ESMB_GET_FILE fails at the start or in the middle of the file",
        "the guest names the offset and the code, clears what it has read and ends with status 4",
    ),
    tried(
        HM,
        "ESM-23",
        &[Halt],
        "UV_ESMB_GET_FILE returns full chunks without end",
        "the guest stops before the offset at which an assertion in the ultravisor would fail; status 4",
    ),
];
