//! The shared pool.

use super::Stated::SecureBoot;
use super::Value::{Count, CountOr, Hex};
use super::facts;

facts! {
    BASE: 0 = "pool.base", Hex, SecureBoot, "address of the shared pool";
    BYTES: 0 = "pool.bytes", Count("bytes"), SecureBoot, "size of the pool";
    FRAMES: 0 = "pool.frames", Count("frames"), SecureBoot, "frames of 64 KiB that were shared when the pool was opened";
    SHARE_US: 0 = "pool.share_us", Count("microseconds"), SecureBoot,
        "time from the choice of the pool's address until every byte of the pool is verified";
    PAGES_SHARED: 0 = "pages.shared", Count("frames"), SecureBoot, "frames of 64 KiB that are shared at the end";
    PAGES_EXPOSED: 0 = "pages.exposed", CountOr("pages", "unknown"), SecureBoot,
        "pages outside the pool that the DMA windows map at the end, counted by H_GET_TCE over each whole window";
}
