//! A row of the table of facts.

use super::value::Value;

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// The key; `N` stands for a number.
    pub key: &'static str,
    /// The form and unit of the value.
    pub value: Value,
    /// Which runs state it.
    pub stated: Stated,
    /// What it means.
    pub meaning: &'static str,
}

/// Which runs state a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stated {
    /// Every boot.
    Boot,
    /// Every boot of a secure guest, and no other.
    SecureBoot,
    /// Each device or bridge of this kind.
    Each(&'static str),
    /// Steps of `run=` and options that every image knows.
    Words(&'static [&'static str]),
    /// Steps and options that only the test image knows.
    TestWords(&'static [&'static str]),
    /// The same, in a secure guest alone.
    SecureTestWords(&'static [&'static str]),
    /// A run that ends with status 8.
    Exception,
}

impl Stated {
    /// Whether an ordinary guest never states it.
    #[must_use]
    pub const fn only_secure(self) -> bool {
        matches!(self, Self::SecureBoot | Self::SecureTestWords(_))
    }

    /// Whether only the test image states it.
    #[must_use]
    pub const fn only_test_image(self) -> bool {
        matches!(self, Self::TestWords(_) | Self::SecureTestWords(_))
    }
}

/// One constant for each key, and the rows of them all.
macro_rules! facts {
    ($($name:ident: $numbers:literal = $key:literal, $value:expr, $stated:expr, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $name: $crate::facts::Key<$numbers> = $crate::facts::Key::new($key);
        )*
        /// The rows of this part of the table.
        pub const FACTS: &[$crate::facts::Fact] = &[
            $($crate::facts::Fact { key: $key, value: $value, stated: $stated, meaning: $meaning },)*
        ];
    };
}
pub(super) use facts;
