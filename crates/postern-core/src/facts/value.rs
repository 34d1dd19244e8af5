//! Forms of the values of facts.

use core::fmt;

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A hexadecimal number after `0x`.
    Hex,
    /// A decimal number of these.
    Count(&'static str),
    /// A decimal number of these, or a word where there is none.
    CountOr(&'static str, &'static str),
    /// A hexadecimal number after `0x`, or a word where there is none.
    HexOr(&'static str),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// As many hexadecimal digits, without `0x`.
    Digits(usize),
    /// Text of this form.
    Text(&'static str),
}

impl Value {
    /// Whether a value that a guest printed is of this form.
    #[must_use]
    pub fn accepts(self, value: &str) -> bool {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let hex = |text: &str| text.strip_prefix("0x").is_some_and(digits);
        let decimal = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match self {
            Self::Hex => hex(value),
            Self::Count(_) => decimal(value),
            Self::CountOr(_, word) => decimal(value) || value == word,
            Self::HexOr(word) => hex(value) || value == word,
            Self::OneOf(words) => words.contains(&value),
            Self::Digits(count) => value.len() == count && digits(value),
            Self::Text(_) => true,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hex => f.write_str("hexadecimal"),
            Self::Count(unit) | Self::Text(unit) => f.write_str(unit),
            Self::CountOr(unit, word) => write!(f, "{unit}, or `{word}`"),
            Self::HexOr(word) => write!(f, "hexadecimal, or `{word}`"),
            Self::Digits(count) => write!(f, "{count} hexadecimal digits"),
            Self::OneOf(words) => {
                for (index, word) in words.iter().enumerate() {
                    let between = if index == 0 { "" } else { ", " };
                    write!(f, "{between}`{word}`")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn a_value_of_another_form_is_not_accepted() {
        for (form, good, bad) in [
            (Value::Hex, "0x1f", ["1f", "0x", "0x1g", ""]),
            (Value::Count("bytes"), "17", ["0x17", "-1", "", "17 "]),
            (Value::CountOr("pages", "unknown"), "unknown", ["Unknown", "none", "", "0x1"]),
            (Value::HexOr("outside"), "outside", ["inside", "17", "", "0x"]),
            (Value::OneOf(&["yes", "no"]), "no", ["", "y", "yes no", "Yes"]),
            (Value::Digits(4), "00fe", ["fe", "0xfe", "000fe", "00f "]),
        ] {
            assert!(form.accepts(good), "{form:?}");
            for value in bad {
                assert!(!form.accepts(value), "{form:?} takes {value:?}");
            }
        }
    }
}
