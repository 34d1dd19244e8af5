//! Network cards. The first N is the card's number.

use super::Stated::{Each, TestWords, Words};
use super::Value::{Count, OneOf, Text};
use super::{Stated, facts};

const CARD: Stated = Each("card");
const ADDRESS: Stated = Words(&["demo", "net-serve", "net-bench", "monitor"]);
const PAGED: Stated = Words(&["net-serve", "monitor"]);
const SERVED: Stated = Words(&["net-serve", "net-bench"]);
const BENCH: Stated = TestWords(&["net-bench"]);

facts! {
    MAC: 1 = "netN.mac", Text("six bytes in hexadecimal, between colons"), CARD, "hardware address; printed at once";
    DEVICE: 1 = "netN.device", Text("`DOMAIN:BUS:DEVICE.FUNCTION`"), CARD, "its PCI address";
    TRANSLATION: 1 = "netN.translation", OneOf(&["gpa", "tce"]), CARD, "addresses that it uses: `gpa`: guest physical addresses; `tce`: those of its DMA window";
    BOUNCED: 1 = "netN.bounced", OneOf(&["yes", "no"]), CARD, "whether its frames are copied through the pool";
    INTERRUPTS: 1 = "netN.interrupts", OneOf(&["msi-x", "lsi", "poll"]), CARD, "how the device notifies the kernel";
    IP: 1 = "netN.ip", Text("IPv4 address"), ADDRESS, "the card's address, without a prefix length";
    GATEWAY: 1 = "netN.gateway", Text("IPv4 address, or `none`"), ADDRESS,
        "the gateway; `none`: no gateway is configured, or DHCP named one that cannot be reached; `demo` and `net-bench` report the latter and end with status 6";
    PING_US: 1 = "netN.ping_us", Count("microseconds"), Words(&["demo", "net-bench"]), "time until the gateway answered a ping; in `net-bench` the median of several";
    SERVE: 1 = "netN.serve", OneOf(&["ready", "done"]), SERVED,
        "printed at once: `ready` when the guest answers ARP, ICMP, and UDP and TCP on port 7; `done` when it stops";
    PAGE: 1 = "netN.page", OneOf(&["on", "off"]), PAGED, "whether there is a status page on port 80; printed at once, before `netN.serve`";
    PAGE_ANSWERED: 1 = "netN.page_answered", Count("requests"), PAGED, "requests that were answered with a page; absent with `netN.page=off`";
    PAGE_REFUSED: 1 = "netN.page_refused", Count("requests"), PAGED, "requests that were answered with a 4xx status; absent as `netN.page_answered`";
    PAGE_DISPLACED: 1 = "netN.page_displaced", Count("connections"), PAGED, "connections to port 80 that made room for another peer; absent as `netN.page_answered`";
    FRAGMENTS: 1 = "netN.fragments", Count("fragments"), SERVED, "IPv4 fragments that arrived; all but those of pings are dropped";
    FRAGMENTED_PINGS: 1 = "netN.fragmented_pings", Count("pings"), SERVED, "pings that arrived in fragments and were answered";
    LINK_CHANGES: 1 = "netN.link_changes", Count("changes"), SERVED, "changes of the link's state; the first time that it is up counts, too";
    ANNOUNCED: 1 = "netN.announced", Count("announcements"), SERVED, "ARP announcements of the address that were sent because the host asked for them, as it does after a migration";
    DISPLACED: 1 = "netN.displaced", Count("connections"), SERVED, "half-open or closing TCP connections to port 7 that made room for another peer";
    DISCARDED: 1 = "netN.discarded", Count("datagrams"), BENCH, "UDP datagrams that arrived at port 9";
    MARK_TICKS: 2 = "netN.mark.N.ticks", Count("ticks"), BENCH, "the timebase when the letter `m` was typed; the second N counts these letters from 0; printed at once";
    MARK_IDLE: 2 = "netN.mark.N.idle", Count("ticks"), BENCH, "ticks until then in which the guest had ceded CPUs to the hypervisor; printed with `netN.mark.N.ticks`";
}
