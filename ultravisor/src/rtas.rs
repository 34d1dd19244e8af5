//! The published ultravisor's handlers of RTAS services (`svm/svm-rtas-hdlr.c`). The token alone chooses the handler,
//! whatever the number of arguments. Each handler copies a buffer of the guest to the host, from the host, or both ways.

/// A handler.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handler {
    /// The service.
    pub(super) service: &'static str,
    /// The argument that is the buffer's address, counted from 0.
    pub(super) buffer: usize,
    /// Whether the host's bytes come back to it.
    pub(super) comes_in: bool,
}

/// Bytes that move at most; the work area of `ibm,configure-connector` always has them all.
pub(super) const BUFFER: u64 = 4096;

const fn handler(service: &'static str, buffer: usize, comes_in: bool) -> Handler {
    Handler { service, buffer, comes_in }
}

/// All but `ibm,os-term` and `start-cpu`, which every guest uses.
pub(super) const HANDLERS: [Handler; 8] = [
    handler("check-exception", 4, true),
    handler("event-scan", 2, true),
    handler("ibm,configure-connector", 0, true),
    handler("ibm,get-system-parameter", 1, true),
    handler("ibm,set-system-parameter", 1, false),
    handler("ibm,slot-error-detail", 3, true),
    handler("nvram-fetch", 1, true),
    handler("nvram-store", 1, false),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_one_handler() {
        for (index, handler) in HANDLERS.iter().enumerate() {
            assert!(HANDLERS.iter().skip(index + 1).all(|other| other.service != handler.service));
        }
    }
}
