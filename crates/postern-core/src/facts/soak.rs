//! The step `soak`.

use super::Stated::{SecureTestWords, TestWords};
use super::Value::{Count, OneOf};
use super::{Stated, facts};

const SOAK: Stated = TestWords(&["soak"]);
const SECURE: Stated = SecureTestWords(&["soak"]);

facts! {
    STATE: 0 = "soak.state", OneOf(&["disturbed", "calm"]), SOAK,
        "printed at once: `disturbed` when the work and the resets begin, `calm` when the last reset is over";
    REQUESTS: 0 = "soak.requests", Count("requests"), SOAK, "disk requests that succeeded";
    LOST: 0 = "soak.lost", Count("requests"), SOAK, "disk requests that failed because of a reset";
    REFUSED: 0 = "soak.refused", Count("requests"), SOAK, "disk requests that found no room";
    DISCARDS: 0 = "soak.discards", Count("requests"), SOAK, "discards that succeeded";
    ZEROES: 0 = "soak.zeroes", Count("requests"), SOAK, "writes of zeros that succeeded";
    UNDEFINED: 0 = "soak.undefined", Count("blocks"), SOAK,
        "discarded blocks of 4 KiB that then held neither zeros nor what was there before, which the standard allows";
    RESETS: 0 = "soak.resets", Count("resets"), SOAK, "devices that were reset and started again";
    RESIZES: 0 = "soak.resizes", Count("changes"), SOAK, "changes of a disk's capacity";
    LINK_CHANGES: 0 = "soak.link_changes", Count("changes"), SOAK, "changes of a card's link";
    POOL_IN_USE: 0 = "soak.pool_in_use", Count("bytes"), SECURE, "part of the pool in use after all devices were released";
    POOL_QUARANTINED: 0 = "soak.pool_quarantined", Count("bytes"), SECURE, "part of the pool in quarantine at that time";
}
