//! RTAS as the tree describes it: each service's token, and the memory of the services.
//!
//! When a secure guest calls a service, the published ultravisor uses the token alone, and takes as many arguments as
//! its handler for that token expects (`svm/svm-rtas-hdlr.c`). Two services with one token would make one of them do
//! the other's work: a CPU started by `ibm,set-xive`, memory written by `ibm,read-pci-config`.

use super::guard::Tree;
use super::machine_error::{MachineError, TokenError};
use super::memory;
use super::read::{self, Node};
use super::warnings::{Fault, Warnings};
use alloc::boxed::Box;
use alloc::vec::Vec;
use papr::addr::GpaRange;
use papr::text::HostText;

/// Services that the kernel may call.
const CALLED: [&str; 19] = [
    "power-off",
    "system-reboot",
    "ibm,os-term",
    "get-time-of-day",
    "start-cpu",
    "stop-self",
    "ibm,read-pci-config",
    "ibm,write-pci-config",
    "ibm,query-interrupt-source-number",
    "ibm,change-msi",
    "ibm,set-xive",
    "ibm,get-xive",
    "ibm,int-on",
    "ibm,int-off",
    "ibm,nmi-register",
    "ibm,query-pe-dma-window",
    "ibm,create-pe-dma-window",
    "ibm,remove-pe-dma-window",
    "ibm,reset-pe-dma-window",
];

/// Services for which the ultravisor has a handler, besides those that the kernel calls.
const HANDLED: [&str; 8] = [
    "check-exception",
    "event-scan",
    "ibm,configure-connector",
    "ibm,get-system-parameter",
    "ibm,set-system-parameter",
    "ibm,slot-error-detail",
    "nvram-fetch",
    "nvram-store",
];

/// Properties of one word that are no tokens (PAPR+ B.6.3; what SLOF, QEMU and Linux leave in the node). Any other
/// property of one word counts as a token.
const NO_TOKENS: [&str; 11] = [
    "phandle",
    "linux,phandle",
    "rtas-size",
    "rtas-version",
    "rtas-event-scan-rate",
    "rtas-error-log-max",
    "linux,rtas-base",
    "linux,rtas-entry",
    "slof,rtas-base",
    "slof,rtas-size",
    "slof,from-fdt",
];

/// Most services: four times as many as any hypervisor has. Data whose size the tree determines must fit into the early
/// heap.
const MAX_SERVICES: usize = 512;

/// Token by which the kernel powers off if the tree names no service (QEMU `include/hw/ppc/spapr.h`).
pub const POWER_OFF: u32 = 0x2003;
/// As [`POWER_OFF`], after a failure. The published ultravisor relies on the same number (`svm/svm-rtas.c`).
pub const OS_TERM: u32 = 0x201f;

/// Run-time abstraction services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rtas {
    tokens: Vec<(&'static str, u32)>,
    /// The memory of the services, if firmware has instantiated them.
    pub range: Option<GpaRange>,
}

impl Rtas {
    /// The token of a service that the kernel may call.
    #[must_use]
    pub fn token(&self, service: &str) -> Option<u32> {
        self.tokens.iter().find(|(name, _)| *name == service).map(|(_, token)| *token)
    }
}

/// Reads the node `/rtas`, if there is one.
pub(super) fn read(
    tree: &Tree<'_>,
    memory: &[GpaRange],
    warnings: &mut Warnings,
) -> Result<Rtas, MachineError> {
    let Some(node) = read::node_at(tree, "/rtas") else {
        warnings.add("/", Fault::Missing("rtas"));
        return Ok(Rtas::default());
    };
    check(node).map_err(MachineError::Rtas)?;
    let tokens = CALLED.iter().filter_map(|name| Some((*name, read::word(node, name)?))).collect();
    let base = read::number(node, "linux,rtas-base").or_else(|| read::number(node, "slof,rtas-base"));
    let size = read::number(node, "rtas-size");
    let range = base.zip(size).and_then(|(base, size)| match memory::within(memory, base, size) {
        Ok(range) => Some(range),
        Err(fault) => {
            warnings.add(node.name, fault);
            None
        }
    });
    Ok(Rtas { tokens, range })
}

/// Checks that each token names one service.
fn check(node: Node<'_, '_>) -> Result<(), Box<TokenError>> {
    let mut tokens: Vec<(u32, &str)> = Vec::new();
    for property in node.properties().filter(|property| !NO_TOKENS.contains(&property.name)) {
        let name = || HostText::new(property.name.as_bytes());
        let Ok(word) = <[u8; 4]>::try_from(property.value) else {
            // Lists and texts are no tokens, but an ultravisor may read their first word.
            if CALLED.iter().chain(&HANDLED).any(|service| *service == property.name) {
                return Err(TokenError::NotOneWord(name()).into());
            }
            continue;
        };
        let token = u32::from_be_bytes(word);
        let meant = match token {
            0 => return Err(TokenError::Zero(name()).into()),
            POWER_OFF => "power-off",
            OS_TERM => "ibm,os-term",
            _ => property.name,
        };
        if meant != property.name {
            return Err(TokenError::Reserved(name(), token).into());
        }
        if tokens.len() == MAX_SERVICES {
            return Err(TokenError::TooMany(MAX_SERVICES).into());
        }
        tokens.push((token, property.name));
    }
    tokens.sort_unstable();
    match tokens.array_windows().find(|[(one, _), (other, _)]| one == other) {
        Some([(token, one), (_, other)]) => {
            let [one, other] = [one, other].map(|name| HostText::new(name.as_bytes()));
            Err(TokenError::Shared(one, other, *token).into())
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
