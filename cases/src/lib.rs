//! What a lying host does, and the answer this kernel owes: one list, which host tests, fuzz targets and
//! end-to-end runs refer to, and from which `docs/hostile-cases.md` is generated.
//!
//! A test says which case it stands for, and which answer its assertions demand, with [`case!`]:
//!
//! ```
//! // inside a #[test] function
//! postern_cases::case!("RNG-01", Break);
//! ```
//!
//! An unknown case, or an answer that the case does not allow, is an error of the compiler. The program of
//! this crate finds the marks in the sources and fails when a case has none.
#![no_std]

mod case;
mod table;

pub use case::{Case, Family, Level, Response, Scope};
pub use table::FAMILIES;

/// A test's statement: this case is tried here, and this is the answer that was seen.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// The case.
    pub case: &'static Case,
    /// The answer that the test demands.
    pub response: Response,
    /// Where it is tried.
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

/// What [`case!`] stands for; evaluated by the compiler.
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

/// States which case a test stands for and which answer it demands; an [`Observation`]. The level is H, in a
/// `#[test]` function, unless it is given.
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
