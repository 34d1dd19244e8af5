//! Runs the documents' recipes for the test image: QEMU's functional test, and a shell job.

use crate::finding::Finding;
use crate::matrix::fixture::{Context, Failure};
use crate::matrix::runner::Test;
use postern_ultravisor::workdir::Workdir;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::process::{Command, Output};

const FUNCTIONAL: &str = "contrib/qemu-functional/test_ppc64_postern.py";
const RECIPES: &str = "docs/smoke-test.md";
/// Most commands of the shell job.
const LINES: usize = 10;

/// The tests.
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("registry/recipe/qemu-functional", functional),
        Test::new("registry/recipe/shell-job", |context| shell_job(context, "", 0)),
        Test::new("registry/recipe/shell-job-that-fails", |context| shell_job(context, "test=blk/reed", 1)),
    ]
}

fn file(path: PathBuf) -> impl Fn(std::io::Error) -> Finding {
    move |error| Finding::File(path.clone(), error)
}

fn digest_of(context: &Context) -> Result<String, Finding> {
    let path = &context.test_image;
    let bytes = std::fs::read(path).map_err(file(path.clone()))?;
    Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Runs it as QEMU's runner does, with a stand-in for the package that it imports.
fn functional(context: &Context) -> Result<(), Failure> {
    let absolute = std::fs::canonicalize(&context.test_image).map_err(file(context.test_image.clone()))?;
    let run = Command::new("python3")
        .arg(FUNCTIONAL)
        .env("PYTHONPATH", "harness/tests")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("POSTERN_IMAGE", absolute)
        .env("POSTERN_SHA256", digest_of(context)?)
        .env("QEMU_TEST_QEMU_BINARY", &context.qemu)
        .output();
    match run {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Finding::Skipped("no python3".to_owned()).into())
        }
        Err(error) => Err(file("python3".into())(error).into()),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(ended(&output).into()),
    }
}

fn ended(output: &Output) -> Finding {
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let last: Vec<&str> = said.lines().rev().take(6).collect();
    Finding::File(RECIPES.into(), std::io::Error::other(format!("{}: {}", output.status, last.join(" | "))))
}

/// Runs the document's lines unchanged; with `words`, the guest gets these words instead and has to fail.
fn shell_job(context: &Context, words: &str, status: i32) -> Result<(), Failure> {
    let text = std::fs::read_to_string(RECIPES).map_err(file(RECIPES.into()))?;
    let job = text.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap_or_default();
    let commands = job.lines().filter(|line| !line.starts_with(' ')).count();
    let dir = Workdir::new().map_err(file(std::env::temp_dir()))?;
    let script = dir.path("postern.sh");
    let changed = if words.is_empty() { job.to_owned() } else { job.replace("test=all", words) };
    std::fs::write(&script, changed).map_err(file(script.clone()))?;
    let folder = script.parent().unwrap_or(&script).to_path_buf();
    std::fs::copy(&context.test_image, dir.path("postern-test.elf"))
        .map_err(file(context.test_image.clone()))?;
    let sums = format!("{}  postern-test.elf\n", digest_of(context)?);
    std::fs::write(dir.path("SHA256SUMS"), sums).map_err(file(folder.clone()))?;
    let qemu = std::fs::canonicalize(&context.qemu).unwrap_or_else(|_| context.qemu.clone());
    let output = Command::new("sh").arg(&script).current_dir(&folder).env("QEMU", qemu).output();
    let output = output.map_err(file("sh".into()))?;
    if output.status.code() != Some(status) || commands > LINES {
        return Err(ended(&output).into());
    }
    let junit = std::fs::read_to_string(dir.path("junit.xml")).map_err(file(dir.path("junit.xml")))?;
    let cases = junit.matches("<testcase ").count();
    let wanted = if status == 0 { workloads::registry::TESTS.len() } else { 0 };
    if cases != wanted || junit.contains("<failure") {
        let error = std::io::Error::other(format!("{cases} test cases, not {wanted}"));
        return Err(file(dir.path("junit.xml"))(error).into());
    }
    Ok(())
}
