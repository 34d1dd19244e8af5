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
    tried(H, "RTA-02", &[Halt], "a service's token is 0, or not one word", "status 2 with the name"),
    tried(
        H,
        "RTA-03",
        &[Halt],
        "a service has the number by which the kernel ends a run",
        "status 2 with name and number",
    ),
    tried(
        H,
        "RTA-04",
        &[Fail],
        "an interrupt source or a server with more than 24 bits",
        "the call is not made",
    ),
    tried(
        H,
        "RTA-05",
        &[Fail],
        "more words than the ultravisor has room for: 16, arguments and results together",
        "the call is not made",
    ),
    tried(
        HQ,
        "RTA-06",
        &[Halt],
        "nine thousand services, more than the heap that a tree is read in can hold",
        "status 2: 512 are compared at most",
    ),
    tried(
        HQ,
        "RTA-07",
        &[Halt],
        "the token of ibm,os-term is another service's, too, and the boot stage ends the run by it",
        "it ends the run by the number that the ultravisor relies on",
    ),
    tried(
        HQ,
        "RTA-08",
        &[Fail],
        "a service answers busy, for a while or for ever",
        "asked again after pauses, for two seconds; once for a service that stays so; then an error",
    ),
    tried(
        Q,
        "RTA-09",
        &[Halt],
        "power-off or ibm,os-term answers busy or an error, and the machine goes on",
        "they are called again until it ends; the EXIT line stays the last one",
    ),
];
