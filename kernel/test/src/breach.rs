//! Breaks one rule of the memory map. The harness checks what happens.

use crate::TestError;
use core::arch::asm;
use core::hint::black_box;
use core::time::Duration;
use papr::addr::GpaRange;
use postern_core::facts;
use postern_kernel::arch::cpus;
use postern_kernel::devices::DeviceError;
use postern_kernel::memory::layout;
use postern_kernel::report::Report;
use workloads::words::Breach;

/// `blr`: code that would return at once, if it could be executed.
const RETURN: u32 = 0x4e80_0020;

static mut DATA: u32 = RETURN;

/// How long another CPU may take to break a rule.
const OTHERS_TIMEOUT: Duration = Duration::from_secs(10);

/// States the address, then does there what the map forbids. Returns only if nothing stopped it.
///
/// # Errors
/// Nothing stopped it.
pub fn breach(rule: Breach, pool: Option<GpaRange>, report: &mut Report) -> Result<(), TestError> {
    let mut local = RETURN;
    let at = match rule {
        Breach::TextWrite => breach as *const () as u64,
        Breach::DataExecute => &raw const DATA as u64,
        // In normal mode there is no pool; what stands for it is heap.
        Breach::PoolExecute => pool.map_or_else(heap_word, |pool| pool.start.0),
        Breach::StackExecute => &raw mut local as u64,
        Breach::NullRead => 8,
        Breach::StackOverflow => layout::stack().start.0,
        Breach::OtherStackOverflow => {
            let other = cpus::workers().next().ok_or(DeviceError::Missing("second CPU"))?;
            other.stack().start.0
        }
    };
    report.fact_now(facts::end::BREACH_ADDRESS, format_args!("{at:#x}"));
    match rule {
        // SAFETY: `at` is an aligned word of the image's own text. The MMU refuses the store; were it not to, the word
        // written is the one read, and no text changes.
        Breach::TextWrite => unsafe {
            asm!("lwz {0}, 0({1})", "stw {0}, 0({1})", out(reg) _, in(reg_nonzero) at)
        },
        // SAFETY: a load changes nothing, and its value is thrown away. Address 8 is RAM that the MMU does not map.
        Breach::NullRead => unsafe { asm!("ld {0}, 0({1})", out(reg) _, in(reg_nonzero) at) },
        Breach::StackOverflow => {
            black_box(dig(black_box(0)));
        }
        Breach::OtherStackOverflow => {
            if let Some(other) = cpus::workers().next() {
                // The harness checks the result.
                _ = other.start(|| dig(black_box(0))).wait(OTHERS_TIMEOUT);
            }
        }
        Breach::DataExecute | Breach::PoolExecute | Breach::StackExecute => {
            // SAFETY: the fetch is to be refused by the MMU; were it not, what is there is `blr`, or zeros,
            // which is an illegal instruction and ends the run in another way.
            unsafe {
                asm!("mtctr {}", "bctrl", in(reg) at, out("ctr") _, out("lr") _, options(nostack));
            }
        }
    }
    Err(TestError::NotStopped(rule))
}

fn heap_word() -> u64 {
    let word = alloc::boxed::Box::leak(alloc::boxed::Box::new(RETURN));
    &raw const *word as u64
}

/// Calls itself until the stack is used up.
#[inline(never)]
#[expect(unconditional_recursion, reason = "the guard frame under the stack ends it")]
fn dig(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    dig(black_box(depth.wrapping_add(1))).wrapping_add(frame[0])
}
