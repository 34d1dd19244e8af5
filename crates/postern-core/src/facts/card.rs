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
    DEVICE: 1 = "netN.device", Text("`DOMAIN:BUS:DEVICE.FUNCTION`"), CARD, "which PCI function it is";
    TRANSLATION: 1 = "netN.translation", OneOf(&["gpa", "tce"]), CARD, "whether it is given guest addresses or those of its DMA window";
    BOUNCED: 1 = "netN.bounced", OneOf(&["yes", "no"]), CARD, "whether its frames are copied through the pool";
    INTERRUPTS: 1 = "netN.interrupts", OneOf(&["msi-x", "lsi", "poll"]), CARD, "how the kernel learns that the device has done something";
    IP: 1 = "netN.ip", Text("IPv4 address"), ADDRESS, "the card's address, without a prefix length";
    GATEWAY: 1 = "netN.gateway", Text("IPv4 address, or `none`"), ADDRESS,
        "the gateway; `none` when nobody named one, and when DHCP named one that cannot be reached: then `demo` and `net-bench` name it and end with status 6";
    PING_US: 1 = "netN.ping_us", Count("microseconds"), Words(&["demo", "net-bench"]), "time that the gateway took to answer; the median of several in `net-bench`";
    SERVE: 1 = "netN.serve", OneOf(&["ready", "done"]), SERVED,
        "printed at once: `ready` when ARP, ICMP, UDP and TCP port 7 are answered, `done` when serving ends";
    PAGE: 1 = "netN.page", OneOf(&["on", "off"]), PAGED, "whether port 80 has the status page; printed at once, before `netN.serve`";
    PAGE_ANSWERED: 1 = "netN.page_answered", Count("requests"), PAGED, "requests for a page that were answered; absent with `netN.page=off`";
    PAGE_REFUSED: 1 = "netN.page_refused", Count("requests"), PAGED, "requests that were answered with a status of the 400s; as `netN.page_answered`";
    PAGE_DISPLACED: 1 = "netN.page_displaced", Count("connections"), PAGED, "connections to port 80 that made room for another peer; as `netN.page_answered`";
    FRAGMENTS: 1 = "netN.fragments", Count("fragments"), SERVED, "IPv4 fragments that came; all but those of pings are dropped";
    FRAGMENTED_PINGS: 1 = "netN.fragmented_pings", Count("pings"), SERVED, "pings in fragments that were put together and answered";
    LINK_CHANGES: 1 = "netN.link_changes", Count("changes"), SERVED, "times that the link went down or came up, the first time that it was found up among them";
    DISPLACED: 1 = "netN.displaced", Count("connections"), SERVED, "half-open or closing TCP connections to port 7 that made room for another peer";
    DISCARDED: 1 = "netN.discarded", Count("datagrams"), BENCH, "UDP datagrams that came to port 9";
    MARK_TICKS: 2 = "netN.mark.N.ticks", Count("ticks"), BENCH, "the timebase; printed at once at the second N-th letter `m` typed, counted from 0";
    MARK_IDLE: 2 = "netN.mark.N.idle", Count("ticks"), BENCH, "ticks so far in which CPUs were given up to the hypervisor; printed with the other";
}
