//! ESM blobs: a guest that matches its blob becomes secure and gets its secret; any other stays a normal VM.

use crate::blob::{self, BlobError};
use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, verdict};
use crate::matrix::runner::Test;
use crate::observe::leaks::Secrets;
use crate::qemu::process::Output;
use crate::run::INITRD;
use crate::session::Finished;
use crate::variable::{Firmware, Net};
use esm_blob::archive::{ArchiveError, prepend};
use esm_blob::{MACHINE_LOCKBOX, PrivateKey, ReadError, Recipe};
use postern_cases::case;
use postern_ultravisor::call::Code;
use postern_ultravisor::frames::FRAME_SIZE;
use postern_ultravisor::{Outcome, Requirement};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Exit status: not secure, or no secret.
const NOT_SECURE: u8 = 4;
/// The file that guests ask for.
const NAME: &str = "disk-key";
/// The guest's command-line word for it.
pub const WORD: &str = "secret=disk-key";
/// Its content: two full chunks and a part of one, with bytes that occur nowhere else.
pub const SECRET: &[u8] =
    b"q7Zt-0fWx#Lk93Vb!uYpE2mR@8sNjC6hGd%4TaQ^1oXzB5v&KiJw*MeFyU+rHcS=PgDl~nA0tQ?xW9bZ<kV3>jR7|mL2{sY6}pN8_\
    cT1:hG4;fE5,dX0.uB9/aK3vQ7wJ2zM6oI8rC1yS4tP5eH0gU9nF3lD7";

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let _ = case!("ESM-20", Halt, M);
    let _ = case!("ESM-21", Halt, M);
    let _ = case!("ESM-22", Halt, M);
    let _ = case!("ESM-23", Halt, M);
    let mut tests = Vec::new();
    for firmware in Firmware::ALL {
        let name = format!("blob/secret/{}", firmware.name());
        tests.push(Test::new(name, move |context| secret(context, firmware)));
    }
    for (name, wrong) in WRONG {
        // Only SLOF installs the text of RTAS and states its length.
        let firmware = if name == "rtas" { Firmware::Slof } else { Firmware::Vof };
        let name = format!("blob/wrong/{name}");
        tests.push(Test::new(name, move |context| refused(context, firmware, wrong)));
    }
    for (name, faults, said) in HOSTILE {
        tests.push(Test::new(format!("blob/hostile/{name}"), move |context| hostile(context, faults, said)));
    }
    tests.push(Test::new("blob/make-run", make_run));
    tests.push(Test::new("blob/no-such-file", no_such_file));
    tests.push(Test::new("blob/ordinary-guest", ordinary));
    tests
}

/// The guest of `make run BLOB=demo` succeeds and prints the file's length.
fn make_run(context: &Context) -> Result<(), Failure> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |error: io::Error| Finding::File(path, error)
    };
    let me = std::env::current_exe().map_err(failed(Path::new("postern-harness")))?;
    let started = Instant::now();
    let output = Command::new(&me)
        .args(["run", "BLOB=demo", "FIRMWARE=vof"])
        .arg(format!("QEMU={}", context.qemu.display()))
        .arg(format!("KERNEL={}", context.kernel.display()))
        .stdin(Stdio::null())
        .output()
        .map_err(failed(&me))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (console, errors) = (text(&output.stdout), text(&output.stderr));
    let said = Output { console, errors, elapsed: started.elapsed() };
    let mut findings = Vec::new();
    if !output.status.success() {
        let (expected, found) = ("success".to_owned(), Some(output.status.to_string()));
        findings.push(Finding::Fact { key: "exit status of the runner", expected, found });
    }
    let fact = "postern: secret.bytes=200";
    findings.extend((!said.console.contains(fact)).then_some(Finding::NeverSaid(fact)));
    if findings.is_empty() { Ok(()) } else { Err(Failure { findings, output: Some(said) }) }
}

/// Wrong answers to the calls for a file, and the guest's message.
const HOSTILE: [(&str, &str, &str); 6] = [
    ("too-long", "file:1=65", "claims 65 bytes"),
    ("growing", "file:2=4096", "claims 4096 bytes"),
    ("opcode", "file:1=61772", "claims 61772 bytes"),
    ("negative", "file:1=U_RETRY", "at offset 0x0: U_RETRY"),
    ("cut-off", "file:2=U_PARAMETER", "at offset 0x40: U_PARAMETER"),
    ("endless", "file:all=64", "no end within 65536 bytes"),
];

fn key(which: &str) -> PrivateKey {
    let pem = match which {
        "machine" => include_str!("../../../esm-blob/tests/data/machine.pem"),
        _ => include_str!("../../../esm-blob/tests/data/other.pem"),
    };
    // The key is part of the program.
    PrivateKey::from_pem(pem).unwrap_or_else(|error| unreachable!("{error}"))
}

/// A guest, and the contents of its blob.
struct Plan {
    fixture: Fixture,
    recipe: Recipe,
    /// The initrd, behind the blob.
    initrd: Vec<u8>,
    /// Changes the finished blob.
    tamper: fn(&mut Vec<u8>),
}

impl Plan {
    fn new(context: &Context, firmware: Firmware, words: &str) -> Result<Self, Failure> {
        let mut fixture =
            Fixture::new(context, GuestConfig { mebibytes: 256, ..GuestConfig::new(firmware, true, true) })?;
        fixture.machine.net = Net::None;
        fixture.data_disk(1 << 20)?;
        fixture.word(words);
        let recipe = recipe(&mut fixture)?;
        Ok(Self { fixture, recipe, initrd: INITRD.to_vec(), tamper: |_| {} })
    }

    /// Makes the blob and boots. The guest's memory can be read until the fixture is dropped.
    fn boot(self) -> Result<(Finished, File, Fixture), Failure> {
        let Self { mut fixture, recipe, initrd, tamper } = self;
        let path = fixture.machine.initrd.clone().unwrap_or_default();
        let mut made = recipe.make().map_err(|error| Finding::Blob(BlobError::Make(error)))?;
        tamper(&mut made);
        let whole = prepend(&made, &initrd).map_err(|error| Finding::Blob(BlobError::Archive(error)))?;
        std::fs::write(&path, whole).map_err(|error| Finding::File(path.clone(), error))?;
        let session = fixture.start()?;
        let path = session.machine.attachment.as_ref().map(|a| a.memory.clone()).unwrap_or_default();
        let memory = OpenOptions::new().read(true).write(true).open(&path);
        let memory = memory.map_err(|error| Finding::File(path, error))?;
        Ok((session.finish(LIMIT), memory, fixture))
    }
}

/// The correct blob for a guest whose command line is complete, and its key, which is used in place of the TPM's.
fn recipe(fixture: &mut Fixture) -> Result<Recipe, Failure> {
    if let Some(protection) = &mut fixture.protection {
        protection.tpm = Some(key("machine"));
    }
    let digests = blob::digests(&fixture.machine, INITRD).map_err(Finding::Blob)?;
    let mut recipe = Recipe::new(key("other").to_public(), digests);
    recipe.recipients.push(key("machine").to_public());
    recipe.files.push((NAME.to_owned(), SECRET.to_vec()));
    Ok(recipe)
}

/// Gives a guest of another test, whose command line is complete, a blob with the secret. It asks with [`WORD`].
///
/// # Errors
/// The blob could not be made.
pub fn give(fixture: &mut Fixture) -> Result<(), Failure> {
    let recipe = recipe(fixture)?;
    let initrd = fixture.machine.initrd.clone().unwrap_or_default();
    Ok(blob::write(&recipe, INITRD, &initrd).map_err(Finding::Blob)?)
}

/// The guest gets the secret; the console does not show it, and guest memory does not hold it after the run.
///
/// # Errors
/// The guest does not do so.
pub fn secret(context: &Context, firmware: Firmware) -> Result<(), Failure> {
    let (finished, memory, _fixture) =
        Plan::new(context, firmware, "run=blk-digest secret=disk-key")?.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "mode", "secure-emulated"));
    findings.extend(judge::fact(&finished, "secret.file", NAME));
    findings.extend(judge::fact(&finished, "secret.bytes", &SECRET.len().to_string()));
    findings.extend(judge::exposure(&finished, true));
    let calls = ["UV_ESM", "UV_ESMB_GET_FILE", "UV_ESMB_GET_FILE", "UV_ESMB_GET_FILE", "UV_SHARE_PAGE"];
    findings.extend(judge::ultracalls(&finished, &calls));
    if finished.ultravisor.as_ref().is_none_or(|report| report.esm.iter().all(|esm| !esm.blob)) {
        findings.push(Finding::Secure { expected: true });
    }
    // Even 16 bytes of it are a disclosure.
    for part in SECRET.chunks_exact(16) {
        let part = String::from_utf8_lossy(part);
        if finished.output.console.contains(&*part) {
            findings.push(Finding::Said("a part of the secret"));
        }
    }
    findings.extend(nowhere(&finished, &memory)?);
    // The search works: it finds a secret that is put into memory.
    let put = memory.write_all_at(&SECRET[64..80], finished.memory / 2 + 8);
    put.map_err(|error| Finding::File("guest memory".into(), error))?;
    if nowhere(&finished, &memory)?.is_none() {
        findings.push(Finding::Unnoticed);
    }
    verdict(finished, findings)
}

/// Address of a part of the secret in guest memory, private or shared.
///
/// # Errors
/// Memory cannot be read.
pub fn nowhere(finished: &Finished, memory: &File) -> Result<Option<Finding>, Failure> {
    /// Frames that are read together.
    const PIECE: usize = 16;
    let mut secrets = Secrets::none();
    secrets.blob(SECRET);
    let frames = finished.memory / FRAME_SIZE;
    for first in (0..frames).step_by(PIECE) {
        let piece = first..frames.min(first + PIECE as u64);
        let found = secrets.search(memory, std::slice::from_ref(&piece));
        let found = found.map_err(|error| Finding::File("guest memory".into(), error))?;
        if let Some(leak) = found.first() {
            return Ok(Some(Finding::SecretLeft(leak.at)));
        }
    }
    Ok(None)
}

type Wrong = fn(&mut Plan, &Context) -> Result<Requirement, Failure>;

/// Differences from the blob, and the ultravisor's names for them.
const WRONG: [(&str, Wrong); 9] = [
    ("kernel", |plan, context| {
        // The blob of another image.
        let other = crate::qemu::command::Machine {
            kernel: context.test_image.clone(),
            ..plan.fixture.machine.clone()
        };
        let digests = blob::digests(&other, INITRD).map_err(Finding::Blob)?;
        (plan.recipe.digests.kernel, plan.recipe.digests.kernel_size) = (digests.kernel, digests.kernel_size);
        Ok(Requirement::Digest("kernel"))
    }),
    ("command-line", |plan, _| {
        plan.fixture.word("loglevel=debug");
        Ok(Requirement::Digest("command line"))
    }),
    ("initrd", |plan, _| {
        plan.initrd.push(b'\n');
        Ok(Requirement::Digest("initrd"))
    }),
    ("rtas", |plan, _| {
        plan.recipe.digests.rtas[0] ^= 1;
        Ok(Requirement::Digest("RTAS text"))
    }),
    ("key", |plan, _| {
        if let Some(protection) = &mut plan.fixture.protection {
            protection.tpm = Some(key("other"));
        }
        Ok(Requirement::BlobRead(ReadError::Lockbox(MACHINE_LOCKBOX.to_owned())))
    }),
    ("second-lockbox", |plan, _| {
        plan.recipe.recipients.insert(0, key("other").to_public());
        Ok(Requirement::BlobRead(ReadError::Lockbox(MACHINE_LOCKBOX.to_owned())))
    }),
    ("no-lockbox", |plan, _| {
        plan.recipe.recipients.clear();
        Ok(Requirement::BlobRead(ReadError::NoNode(format!("/lockboxes/{MACHINE_LOCKBOX}"))))
    }),
    ("tampered", |plan, _| {
        plan.tamper = |made| {
            // The ciphertext is behind the node's name and two short properties.
            let node = made.windows(12).position(|bytes| bytes == b"digests-fdt\0");
            if let Some(byte) = node.and_then(|node| made.get_mut(node + 120)) {
                *byte ^= 1;
            }
        };
        Ok(Requirement::BlobRead(ReadError::Sealed("digests-fdt".to_owned())))
    }),
    ("no-blob", |plan, _| {
        plan.tamper = |made| made.fill(b'x');
        Ok(Requirement::BlobFound(ArchiveError::NoBlob))
    }),
];

/// One thing differs from the blob: UV_ESM returns -4, and the normal VM names the fault and ends.
fn refused(context: &Context, firmware: Firmware, wrong: Wrong) -> Result<(), Failure> {
    let mut plan = Plan::new(context, firmware, "run=blk-digest")?;
    let expected = wrong(&mut plan, context)?;
    let (finished, ..) = plan.boot()?;
    let mut findings = judge::end(&finished, NOT_SECURE);
    let report = finished.ultravisor.as_ref();
    if report.is_none_or(|report| report.secure) {
        findings.push(Finding::Secure { expected: false });
    }
    match report.and_then(|report| report.esm.first()) {
        Some(esm) if esm.unmet == [expected.clone()] && esm.outcome == Outcome::Aborted(Code::PARAMETER) => {}
        Some(esm) => findings.push(Finding::Requirements(esm.unmet.clone())),
        None => findings.push(Finding::Requirements(Vec::new())),
    }
    if !finished.output.console.contains("U_PARAMETER") {
        findings.push(Finding::NeverSaid("U_PARAMETER"));
    }
    verdict(finished, findings)
}

/// Wrong answers to a call for the secret: the guest names the fault and ends before devices come up, and no part of the
/// secret stays.
fn hostile(context: &Context, faults: &str, said: &'static str) -> Result<(), Failure> {
    let mut plan = Plan::new(context, Firmware::Vof, "run=blk-digest secret=disk-key")?;
    if let Some(protection) = &mut plan.fixture.protection {
        protection.faults = faults.parse().map_err(|_| Finding::NeverSaid("a fault"))?;
    }
    let (finished, memory, _fixture) = plan.boot()?;
    let mut findings = judge::end(&finished, NOT_SECURE);
    if !finished.output.console.contains(said) {
        findings.push(Finding::NeverSaid(said));
    }
    if finished.report.fact("secret.bytes").is_some() || finished.report.fact("blk0.capacity_bytes").is_some()
    {
        findings.push(Finding::Said("a secret, or a disk"));
    }
    findings.extend(nowhere(&finished, &memory)?);
    verdict(finished, findings)
}

/// The blob has files, but not this one.
fn no_such_file(context: &Context) -> Result<(), Failure> {
    let (finished, ..) = Plan::new(context, Firmware::Vof, "run=blk-digest secret=other")?.boot()?;
    let mut findings = judge::end(&finished, NOT_SECURE);
    if !finished.output.console.contains("secret other: the ESM blob has no such file") {
        findings.push(Finding::NeverSaid("the ESM blob has no such file"));
    }
    verdict(finished, findings)
}

/// A guest without an ultravisor prints that the word has no effect, and works.
fn ordinary(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, false, false))?;
    fixture.data_disk(1 << 20)?;
    fixture.word("run=blk-digest secret=disk-key");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    if !finished.output.console.contains("not used: an ordinary guest has no ultravisor to ask") {
        findings.push(Finding::NeverSaid("not used: an ordinary guest has no ultravisor to ask"));
    }
    verdict(finished, findings)
}
