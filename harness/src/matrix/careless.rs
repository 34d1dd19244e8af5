//! Shows that tests of a hostile platform can fail: an image that waits for locks without a limit, prints registers in
//! each report, leaves its secret in memory and prints memory from before UV_ESM fails each of them.

use crate::finding::Finding;
use crate::matrix::blob;
use crate::matrix::disclosure;
use crate::matrix::esm;
use crate::matrix::fixture::{Context, Failure};
use crate::matrix::injection;
use crate::matrix::pause;
use crate::matrix::runner::Test;
use crate::observe::console::Shown;
use crate::qemu::process::Ended;
use crate::variable::Firmware;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("sabotage/careless/lock", |context| {
            let endless =
                |finding: &Finding| matches!(finding, Finding::Ended { found: Ended::TimedOut(_), .. });
            finds(pause::heap_for_ever(&careless(context)), endless)
        }),
        Test::new("sabotage/careless/report", |context| {
            finds(injection::report(&careless(context)), |finding| matches!(finding, Finding::Shown(_)))
        }),
        Test::new("sabotage/careless/console", |context| {
            let result = disclosure::works(&careless(context), Firmware::Bios);
            let shows = |wanted: fn(&Shown) -> bool| {
                let is = move |finding: &Finding| matches!(finding, Finding::Console(shown) if wanted(shown));
                result.as_ref().is_err_and(|failure| failure.findings.iter().any(is))
            };
            let all = shows(|shown| matches!(shown, Shown::Address(..)))
                && shows(|shown| matches!(shown, Shown::Content(..)))
                && shows(|shown| matches!(shown, Shown::Unlisted(_)));
            finds(result, |_| all)
        }),
        Test::new("sabotage/careless/secret", |context| {
            let left = |finding: &Finding| matches!(finding, Finding::SecretLeft(_));
            finds(blob::secret(&careless(context), Firmware::Vof), left)
        }),
        Test::new("sabotage/careless/older", |context| {
            let older = |finding: &Finding| matches!(finding, Finding::OtherWords { .. });
            finds(esm::poisoned_by_bytes(&careless(context), Firmware::Bios), older)
        }),
    ]
}

/// A context in which tests run the careless image.
fn careless(context: &Context) -> Context {
    Context { kernel: context.careless.clone(), ..context.clone() }
}

/// Checks that a test failed with such a finding.
fn finds(result: Result<(), Failure>, expected: impl Fn(&Finding) -> bool) -> Result<(), Failure> {
    match result {
        Err(failure) if failure.findings.iter().any(expected) => Ok(()),
        Err(mut failure) => {
            failure.findings.push(Finding::Unnoticed);
            Err(failure)
        }
        Ok(()) => Err(Finding::Unnoticed.into()),
    }
}
