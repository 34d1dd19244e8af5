//! Tests of work on every CPU.

use super::guest::Guest;
use super::not_ok::{NotOk, same};
use alloc::vec::Vec;
use core::time::Duration;
use postern_core::disk::pattern::splitmix64;
use postern_kernel::arch::cpus::{self, Worker};

/// How long another CPU may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Numbers that a CPU combines.
const NUMBERS: u64 = 20_000;

fn sum(seed: u64) -> u64 {
    (0..NUMBERS)
        .fold(0, |sum, number| sum ^ splitmix64(seed.wrapping_add(number)).rotate_left((number & 63) as u32))
}

/// All other CPUs compute at the same time; the boot CPU computes the same afterwards and compares.
pub fn work(guest: &Guest<'_>) -> Result<(), NotOk> {
    let seed = guest.options.seed;
    let workers: Vec<Worker> = cpus::workers().collect();
    let pending: Vec<_> = workers
        .iter()
        .zip(1u64..)
        .map(|(worker, number)| {
            worker.start(move || (cpus::server_here(), sum(seed.wrapping_add(number << 32))))
        })
        .collect();
    let mut servers = alloc::vec![cpus::server_here()];
    for ((worker, pending), number) in workers.iter().zip(pending).zip(1u64..) {
        let (server, found) = pending.wait(TIMEOUT).map_err(|why| NotOk::Cpu(worker.server(), why))?;
        same("the number of a CPU", server.into(), worker.server().into())?;
        if servers.contains(&server) {
            return Err(NotOk::NotRefused("a number that another CPU has"));
        }
        servers.push(server);
        same("what another CPU computed", found, sum(seed.wrapping_add(number << 32)))?;
    }
    Ok(())
}
