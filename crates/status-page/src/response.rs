//! Answers, head and body.

use crate::request::{Page, Refusal, Request};
use crate::status::Status;
use crate::{html, json, metrics};
use alloc::string::String;
use core::fmt::{self, Write};

impl Page {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Status => "text/html; charset=utf-8",
            Self::Metrics => "text/plain; version=0.0.4; charset=utf-8",
            Self::Facts => "application/json",
        }
    }
}

impl Refusal {
    /// The status line's code and phrase.
    const fn status(self) -> &'static str {
        match self {
            Self::Malformed | Self::Host | Self::Body => "400 Bad Request",
            Self::NoPage => "404 Not Found",
            Self::Method => "405 Method Not Allowed",
            Self::Unfinished => "408 Request Timeout",
            Self::HeadTooLong | Self::TooManyFields => "431 Request Header Fields Too Large",
        }
    }

    /// What a person reads.
    const fn text(self) -> &'static str {
        match self {
            Self::Malformed => "this is no HTTP/1.0 or HTTP/1.1 request",
            Self::Host => "a request of HTTP/1.1 has exactly one Host",
            Self::Body => "a request has no body here",
            Self::NoPage => "there are /, /metrics and /facts.json",
            Self::Method => "GET and HEAD are answered",
            Self::Unfinished => "no whole request came in time",
            Self::HeadTooLong => "the head of a request has at most 4096 bytes here",
            Self::TooManyFields => "a request has at most 32 header fields here",
        }
    }
}

/// The whole answer to a request: head, and body if it asks for one.
#[must_use]
pub fn respond(request: Request, status: &Status<'_>) -> String {
    let mut body = String::new();
    // A string takes everything.
    let _ = match request.page {
        Page::Status => html::write(&mut body, status),
        Page::Metrics => metrics::write(&mut body, status),
        Page::Facts => json::write(&mut body, status),
    };
    whole("200 OK", request.page.content_type(), "", &body, request.body)
}

/// The whole answer to what is refused; without `body`, as after HEAD, its head alone.
#[must_use]
pub fn refuse(refusal: Refusal, body: bool) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}: {}", refusal.status(), refusal.text());
    let allow = if refusal == Refusal::Method { "Allow: GET, HEAD\r\n" } else { "" };
    whole(refusal.status(), "text/plain; charset=utf-8", allow, &text, body)
}

fn whole(status: &str, kind: &str, more: &str, body: &str, with_body: bool) -> String {
    let mut answer = String::new();
    let _: fmt::Result = write!(
        answer,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{more}Connection: close\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; img-src data:\r\n\r\n",
        body.len(),
    );
    if with_body {
        answer.push_str(body);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::{Page, Refusal, Request, refuse, respond};
    use crate::request::{MAX_HEAD, MAX_HEADERS};
    use crate::status::tests::example;
    use std::string::ToString;

    /// Head and body, and what the head says of the body's length.
    fn parts(answer: &str) -> (&str, &str, usize) {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        (head, body, length.parse().unwrap())
    }

    #[test]
    fn an_answer_has_the_length_that_it_states_and_none_of_it_after_head() {
        example(|status| {
            for (path, page) in Page::ALL {
                let get = respond(Request { page, body: true }, status);
                let head = respond(Request { page, body: false }, status);
                let (get_head, body, length) = parts(&get);
                assert_eq!(body.len(), length, "{path}");
                assert!(length > 100, "{path}");
                assert_eq!(parts(&head), (get_head, "", length), "{path}");
            }
        });
    }

    #[test]
    fn each_refusal_is_a_status_of_the_400s_with_a_line_of_text() {
        for refusal in [
            Refusal::Malformed,
            Refusal::Host,
            Refusal::Body,
            Refusal::NoPage,
            Refusal::Method,
            Refusal::Unfinished,
            Refusal::HeadTooLong,
            Refusal::TooManyFields,
        ] {
            let answer = refuse(refusal, true);
            let (head, body, length) = parts(&answer);
            assert!(head.starts_with("HTTP/1.1 4"), "{head}");
            assert_eq!(head.contains("\r\nAllow: GET, HEAD\r\n"), refusal == Refusal::Method);
            assert!(body.len() == length && body.lines().count() == 1 && body.ends_with('\n'), "{body:?}");
        }
        assert!(refuse(Refusal::HeadTooLong, true).contains(&MAX_HEAD.to_string()));
        assert!(refuse(Refusal::TooManyFields, true).contains(&MAX_HEADERS.to_string()));
    }
}
