//! RTAS services that the host names. The ultravisor dispatches by token alone.

use super::row::{H, HQ, Q, tried};
use crate::Case;
use crate::Response::{Fail, Halt};

pub(super) const CASES: &[Case] = &[
    tried(
        HQ,
        "RTA-01",
        &[Halt],
        "two services of the tree have one token",
        "status 2 with both names: one service would do the other's work",
    ),
    tried(
        H,
        "RTA-02",
        &[Halt],
        "a service's token is 0, or is not exactly one word",
        "status 2 with the name",
    ),
    tried(
        H,
        "RTA-03",
        &[Halt],
        "a service has the token by which the kernel ends a run",
        "status 2 with name and number",
    ),
    tried(
        H,
        "RTA-04",
        &[Fail],
        "an interrupt source or a server number has more than 24 bits",
        "the kernel does not make the call",
    ),
    tried(
        H,
        "RTA-05",
        &[Fail],
        "a call has more words than the ultravisor has room for: 16, arguments and results together",
        "the kernel does not make the call",
    ),
    tried(
        HQ,
        "RTA-06",
        &[Halt],
        "nine thousand services, more than fit into the heap in which the tree is read",
        "status 2: the kernel compares at most 512",
    ),
    tried(
        HQ,
        "RTA-07",
        &[Halt],
        "ibm,os-term has the token of another service, and the boot stage ends the run",
        "the boot stage uses the number that the ultravisor relies on, not the tree's",
    ),
    tried(
        HQ,
        "RTA-08",
        &[Fail],
        "a service answers busy, for a while or for ever",
        "the kernel repeats the call for two seconds, with pauses, then returns an error; it calls a service that stayed busy only once, until it answers",
    ),
    tried(
        Q,
        "RTA-09",
        &[Halt],
        "power-off or ibm,os-term answers busy or an error, and the machine continues",
        "the guest repeats the call until the machine ends; the EXIT line stays the last one",
    ),
];
