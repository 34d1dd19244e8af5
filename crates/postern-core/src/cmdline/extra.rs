//! Words that only some images know. The product knows those of the parent module; the test image adds its own.

use super::{ExtraStep, Fault, Options, TEST_OPTIONS, TEST_STEPS};

/// An option that an image adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtraOption {
    /// The part before `=`.
    pub name: &'static [u8],
    /// Whether it affects every step; otherwise it affects the steps that use it.
    pub with_any_step: bool,
}

/// The words that an image adds to those of the product.
pub trait Extra {
    /// The steps that the image adds.
    fn steps(&self) -> impl Iterator<Item = ExtraStep>;

    /// The options that the image adds.
    fn options(&self) -> &'static [ExtraOption];

    /// Reads the value of one of its options.
    ///
    /// # Errors
    /// The value is invalid for the option.
    fn set(&mut self, option: &[u8], value: &str) -> Result<(), Fault>;

    /// The step that runs if the command line has no `run=`; `None`: the product's default.
    fn default_step(&self) -> Option<ExtraStep> {
        None
    }

    /// Checks that the steps of `run=` have the options that they need.
    ///
    /// # Errors
    /// A step needs an option that was not given.
    fn check(&self, options: &Options) -> Result<(), Fault>;
}

/// The product adds no words.
impl Extra for () {
    fn steps(&self) -> impl Iterator<Item = ExtraStep> {
        core::iter::empty()
    }

    fn options(&self) -> &'static [ExtraOption] {
        &[]
    }

    fn set(&mut self, _: &[u8], _: &str) -> Result<(), Fault> {
        Err(Fault::Unknown)
    }

    fn check(&self, _: &Options) -> Result<(), Fault> {
        Ok(())
    }
}

/// The fault of an option that this image does not know.
pub(super) fn unknown_option(option: &[u8]) -> Fault {
    let known = TEST_OPTIONS.iter().find(|name| name.as_bytes() == option);
    known.map_or(Fault::Unknown, |name| Fault::TestImage(name))
}

/// The fault of a step that this image does not know; `expected` lists the product's steps.
pub(super) fn unknown_step(step: &str, expected: &'static str) -> Fault {
    let known = TEST_STEPS.iter().find(|name| **name == step);
    known.map_or(Fault::Expected(expected), |name| Fault::TestImage(name))
}

#[cfg(test)]
mod tests {
    use super::super::{OPTIONS, STEPS, parse};
    use super::{TEST_OPTIONS, TEST_STEPS};
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn errors(line: &str) -> Vec<String> {
        parse(line.as_bytes()).errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_product_refuses_each_word_of_the_test_image_and_names_the_image() {
        for option in TEST_OPTIONS {
            assert!(!OPTIONS.contains(&option.as_bytes()));
            let line = format!("{option}=1");
            assert_eq!(errors(&line), [format!("{line}: only the test image (postern-test) knows {option}")]);
        }
        for step in TEST_STEPS {
            assert!(STEPS.iter().all(|(name, _)| *name != step));
            for line in [format!("run={step}"), format!("run=demo,{step}")] {
                assert_eq!(
                    errors(&line),
                    [format!("{line}: only the test image (postern-test) knows {step}")]
                );
                assert_eq!(parse(line.as_bytes()).options.run.len(), 1, "the default stays");
            }
        }
    }
}
