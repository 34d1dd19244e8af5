//! DMA windows of host bridges. N is the bridge's PCI domain.

use super::Stated::Each;
use super::Value::{Count, Hex, OneOf};
use super::{Stated, facts};

const BRIDGE: Stated = Each("host bridge with devices");

facts! {
    LIOBN: 1 = "tceN.liobn", Hex, BRIDGE, "number of the DMA window of the host bridge with domain N";
    KIND: 1 = "tceN.kind", OneOf(&["pool", "direct", "on-demand"]), BRIDGE,
        "what the window maps: the pool, all memory (a 64-bit window), or each buffer while it is in use";
    PAGES: 1 = "tceN.pages", Count("pages"), BRIDGE, "pages of the window's size that are mapped";
    MAP_US: 1 = "tceN.map_us", Count("microseconds"), BRIDGE, "time that mapping them took";
}
