//! What was asked for: the head of a request, read by `httparse` and judged.

use httparse::{EMPTY_HEADER, Error, Header, Status};

/// Most bytes of a request's head: its first line and its header fields.
pub const MAX_HEAD: usize = 4096;
/// Most header fields.
pub const MAX_HEADERS: usize = 32;

/// One of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `/`: HTML for a person.
    Status,
    /// `/metrics`: Prometheus' text format.
    Metrics,
    /// `/facts.json`
    Facts,
}

impl Page {
    /// Every page with its path.
    pub const ALL: [(&'static str, Self); 3] =
        [("/", Self::Status), ("/metrics", Self::Metrics), ("/facts.json", Self::Facts)];
}

/// A request that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it asks for.
    pub page: Page,
    /// Whether the page itself is wanted: GET, not HEAD.
    pub body: bool,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not the head of an HTTP/1.0 or HTTP/1.1 request.
    Malformed,
    /// HTTP/1.1 without exactly one `Host` (RFC 9112, 3.2).
    Host,
    /// A body follows the head.
    Body,
    /// No page has this path.
    NoPage,
    /// Neither GET nor HEAD.
    Method,
    /// No whole request came in time.
    Unfinished,
    /// The head is longer than [`MAX_HEAD`].
    HeadTooLong,
    /// More header fields than [`MAX_HEADERS`].
    TooManyFields,
}

/// What the bytes of a connection so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a head.
    Incomplete,
    /// A request.
    Asked(Request),
    /// A request, or something else, that is refused.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Whether the answer may have a body: not after HEAD.
        body: bool,
    },
}

/// Reads what a connection has brought so far. The answer to the same bytes is the same however they were split: once it
/// is not [`Parsed::Incomplete`], no further byte changes it.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut fields = [EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut fields);
    let refused = |refusal, body| Parsed::Refused { refusal, body };
    match request.parse(bytes.get(..MAX_HEAD).unwrap_or(bytes)) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) if bytes.len() >= MAX_HEAD => return refused(Refusal::HeadTooLong, true),
        Ok(Status::Partial) => return Parsed::Incomplete,
        Err(Error::TooManyHeaders) => return refused(Refusal::TooManyFields, true),
        Err(_) => return refused(Refusal::Malformed, true),
    }
    let body = request.method != Some("HEAD");
    match judge(&request) {
        Ok(page) => Parsed::Asked(Request { page, body }),
        Err(refusal) => refused(refusal, body),
    }
}

fn judge(request: &httparse::Request<'_, '_>) -> Result<Page, Refusal> {
    let named = |name: &'static str| {
        let is = move |field: &&Header<'_>| field.name.eq_ignore_ascii_case(name);
        request.headers.iter().filter(is)
    };
    if request.version == Some(1) && named("host").count() != 1 {
        return Err(Refusal::Host);
    }
    if !matches!(request.method, Some("GET" | "HEAD")) {
        return Err(Refusal::Method);
    }
    if named("transfer-encoding").next().is_some() || named("content-length").any(|field| field.value != b"0")
    {
        return Err(Refusal::Body);
    }
    let path = request.path.unwrap_or_default();
    Page::ALL.iter().find(|(known, _)| *known == path).map(|(_, page)| *page).ok_or(Refusal::NoPage)
}

#[cfg(test)]
mod tests {
    use super::{MAX_HEAD, MAX_HEADERS, Page, Parsed, Refusal, Request, parse};
    use proptest::prelude::*;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    fn refusal(head: &str) -> Option<Refusal> {
        match parse(head.as_bytes()) {
            Parsed::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }

    #[test]
    fn each_page_is_asked_for_by_its_path_alone() {
        for (path, page) in Page::ALL {
            for (method, body) in [("GET", true), ("HEAD", false)] {
                for line in ["\r\n", "\n"] {
                    let head = format!("{method} {path} HTTP/1.1{line}Host: x{line}{line}");
                    assert_eq!(parse(head.as_bytes()), Parsed::Asked(Request { page, body }), "{head:?}");
                }
            }
            assert_eq!(
                parse(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()),
                Parsed::Asked(Request { page, body: true })
            );
        }
        for path in ["//", "/index.html", "/metrics/", "/Metrics", "/?x", "*", "http://x/", "/%2e", "/../"] {
            let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(refusal(&head), Some(Refusal::NoPage), "{path}");
        }
    }

    #[test]
    fn an_invalid_request_is_refused_by_name() {
        for (head, why) in [
            ("hello\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/2.0\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.1 \r\n\r\n", Refusal::Malformed),
            ("GET /\r\n\r\n", Refusal::Malformed),
            ("\x16\x03\x01\x02", Refusal::Malformed),
            ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.1\r\n\r\n", Refusal::Host),
            ("GET / HTTP/1.1\r\nHost: x\r\nhOST: y\r\n\r\n", Refusal::Host),
            ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", Refusal::Method),
            ("get / HTTP/1.1\r\nHost: x\r\n\r\n", Refusal::Method),
            ("CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", Refusal::Method),
            ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n", Refusal::Body),
            ("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal::Body),
        ] {
            assert_eq!(refusal(head), Some(why), "{head:?}");
        }
        assert_eq!(refusal("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"), None);
    }

    #[test]
    fn the_longest_head_is_read_and_a_longer_one_is_refused() {
        let before = "GET / HTTP/1.1\r\nHost: x\r\nX: ";
        let fill = MAX_HEAD - before.len() - 4;
        let head = |fill: usize| format!("{before}{}\r\n\r\n", "y".repeat(fill));
        assert!(matches!(parse(head(fill).as_bytes()), Parsed::Asked(_)));
        assert_eq!(refusal(&head(fill + 1)), Some(Refusal::HeadTooLong));
        assert_eq!(refusal(&"G".repeat(MAX_HEAD)), Some(Refusal::HeadTooLong));
        assert_eq!(parse("G".repeat(MAX_HEAD - 1).as_bytes()), Parsed::Incomplete);
    }

    #[test]
    fn a_field_beyond_the_limit_is_refused() {
        let head = |fields: usize| {
            let others: String = (1..fields).map(|n| format!("X{n}: y\r\n")).collect();
            format!("GET / HTTP/1.1\r\nHost: x\r\n{others}\r\n")
        };
        assert_eq!(refusal(&head(MAX_HEADERS)), None);
        assert_eq!(refusal(&head(MAX_HEADERS + 1)), Some(Refusal::TooManyFields));
    }

    #[test]
    fn an_answer_to_head_has_no_body_whatever_it_is() {
        let asked = parse(b"HEAD /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(asked, Parsed::Refused { refusal: Refusal::NoPage, body: false });
    }

    /// Heads that are nearly right, so that the parser gets far.
    fn nearly() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just("GET ".to_owned()),
            Just("HEAD ".to_owned()),
            Just("/".to_owned()),
            Just("/metrics ".to_owned()),
            Just(" HTTP/1.1".to_owned()),
            Just("\r\n".to_owned()),
            Just("Host: x\r\n".to_owned()),
            Just("Content-Length: 0\r\n".to_owned()),
            "[ -~]{0,12}",
        ];
        let noise = proptest::collection::vec(any::<u8>(), 0..8);
        (proptest::collection::vec(piece, 0..12), noise, any::<bool>()).prop_map(|(pieces, noise, first)| {
            let mut bytes = pieces.concat().into_bytes();
            let at = if first { 0 } else { bytes.len() };
            bytes.splice(at..at, noise);
            bytes
        })
    }

    proptest! {
        #[test]
        fn the_answer_does_not_depend_on_how_a_request_is_split(bytes in nearly()) {
            let whole = parse(&bytes);
            let first = (0..=bytes.len()).map(|len| parse(&bytes[..len])).find(|at| *at != Parsed::Incomplete);
            prop_assert_eq!(first.unwrap_or(Parsed::Incomplete), whole);
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..(MAX_HEAD + 100))) {
            if bytes.len() >= MAX_HEAD {
                prop_assert_ne!(parse(&bytes), Parsed::Incomplete);
            }
        }
    }

    use std::borrow::ToOwned;
}
