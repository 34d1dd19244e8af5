//! The list of a hostile host's inputs and the kernel's required responses. Host tests, fuzz targets and boot tests refer
//! to it, and `docs/hostile-cases.md` is generated from it.
//!
//! A test states its case, and the response that its assertions demand, with [`case!`]:
//!
//! ```
//! // inside a #[test] function
//! postern_cases::case!("RNG-01", Break);
//! ```
//!
//! An unknown case, or a response that the case does not allow, is a compiler error. This crate's program finds the marks
//! in the sources and fails if a case has none.
#![no_std]

mod case;
mod table;

pub use case::{Case, Family, Level, Response, Scope};
pub use table::FAMILIES;

/// A test's statement: it tests this case and demands this response.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// The case.
    pub case: &'static Case,
    /// The response that the test demands.
    pub response: Response,
    /// Where it is tested.
    pub level: Level,
}

/// Every case.
pub fn all() -> impl Iterator<Item = &'static Case> {
    FAMILIES.iter().flat_map(|family| family.cases)
}

/// The case with this name.
#[must_use]
pub const fn find(id: &str) -> Option<&'static Case> {
    let mut family = 0;
    while family < FAMILIES.len() {
        let cases = FAMILIES[family].cases;
        let mut index = 0;
        while index < cases.len() {
            if equal(cases[index].id, id) {
                return Some(&cases[index]);
            }
            index += 1;
        }
        family += 1;
    }
    None
}

/// The value of [`case!`], evaluated at compile time.
#[must_use]
pub const fn observed(id: &str, response: Response, level: Level) -> Observation {
    let Some(case) = find(id) else { panic!("no such case") };
    let mut index = 0;
    while index < case.required.len() {
        if case.required[index] as u8 == response as u8 {
            return Observation { case, response, level };
        }
        index += 1;
    }
    panic!("this answer is not one that the case allows")
}

const fn equal(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut index = 0;
    while index < one.len() {
        if one[index] != other[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// States a test's case and the response that it demands; an [`Observation`]. Without a level it is H, in a `#[test]`
/// function.
#[macro_export]
macro_rules! case {
    ($id:literal, $response:ident) => {
        $crate::case!($id, $response, H)
    };
    ($id:literal, $response:ident, $level:ident) => {
        const { $crate::observed($id, $crate::Response::$response, $crate::Level::$level) }
    };
}

/// States which cases the inputs of a fuzz target reach.
#[macro_export]
macro_rules! fuzzed {
    ($($id:literal),* $(,)?) => {
        const _: () = { $(assert!($crate::find($id).is_some());)* };
    };
}
