//! Constructors for rows of the list.

use crate::{Case, Level, Response, Scope};

pub(super) const H: &[Level] = &[Level::H];
pub(super) const F: &[Level] = &[Level::F];
pub(super) const Q: &[Level] = &[Level::Q];
pub(super) const C: &[Level] = &[Level::C];
pub(super) const M: &[Level] = &[Level::M];
pub(super) const HF: &[Level] = &[Level::H, Level::F];
pub(super) const HM: &[Level] = &[Level::H, Level::M];
pub(super) const HQ: &[Level] = &[Level::H, Level::Q];
pub(super) const HFQ: &[Level] = &[Level::H, Level::F, Level::Q];

/// A case with tests.
pub(super) const fn tried(
    levels: &'static [Level],
    id: &'static str,
    required: &'static [Response],
    input: &'static str,
    answer: &'static str,
) -> Case {
    Case { id, input, required, answer, scope: Scope::Tried(levels) }
}

/// A case that cannot occur here.
pub(super) const fn excluded(id: &'static str, input: &'static str, because: &'static str) -> Case {
    Case { id, input, required: &[], answer: "", scope: Scope::NotApplicable(because) }
}

/// A case that the guest can neither notice nor prevent.
pub(super) const fn limit(id: &'static str, input: &'static str, consequence: &'static str) -> Case {
    Case { id, input, required: &[], answer: "", scope: Scope::Limit(consequence) }
}
