//! Memory that a guest shared for a moment to prove that it is its own: UV_SHARE_PAGE and, as the next call,
//! UV_UNSHARE_PAGE of the same frames, both successful. The ultravisor checks the frames' content at the second call
//! ([`postern_ultravisor::shown`]).

use postern_ultravisor::CallRecord;
use postern_ultravisor::call::{Code, Number};
use std::collections::BTreeSet;
use std::ops::Range;

/// The names of a proof's two calls.
pub const CALLS: [&str; 2] = ["UV_SHARE_PAGE", "UV_UNSHARE_PAGE"];

/// The frames that this call and the next prove, if they do.
fn proof(calls: &[CallRecord]) -> Option<Range<u64>> {
    let [share, unshare, ..] = calls else { return None };
    let done = |record: &CallRecord, number: Number| {
        record.call.opcode == number as u64 && !record.faulted && record.verdict.code == Code::SUCCESS
    };
    let same = share.call.arguments[..2] == unshare.call.arguments[..2];
    let [first, count, ..] = share.call.arguments;
    (done(share, Number::SharePage)
        && done(unshare, Number::UnsharePage)
        && same
        && share.thread == unshare.thread)
        .then(|| first..first.saturating_add(count))
}

/// The calls that are not part of a proof, in order.
#[must_use]
pub fn other_calls(calls: &[CallRecord]) -> Vec<&CallRecord> {
    let mut others = Vec::new();
    let mut at = 0;
    while let Some(rest) = calls.get(at..).filter(|rest| !rest.is_empty()) {
        if proof(rest).is_some() {
            at += 2;
        } else {
            others.extend(rest.first());
            at += 1;
        }
    }
    others
}

/// The frames that were shared at any time for another purpose than a proof.
#[must_use]
pub fn without_proofs(ever: &[Range<u64>], calls: &[CallRecord]) -> Vec<Range<u64>> {
    let mut proved: BTreeSet<u64> = BTreeSet::new();
    let mut at = 0;
    while at < calls.len() {
        match proof(&calls[at..]) {
            // Frames are proved once, before anything else is done with them.
            Some(frames) if frames.clone().all(|gfn| !proved.contains(&gfn)) => {
                proved.extend(frames);
                at += 2;
            }
            _ => at += 1,
        }
    }
    for other in other_calls(calls).iter().filter(|record| record.call.opcode == Number::SharePage as u64) {
        let [first, count, ..] = other.call.arguments;
        proved.retain(|gfn| !(first..first.saturating_add(count)).contains(gfn));
    }
    let mut runs: Vec<Range<u64>> = Vec::new();
    for gfn in ever.iter().cloned().flatten().filter(|gfn| !proved.contains(gfn)) {
        match runs.last_mut() {
            Some(run) if run.end == gfn => run.end = gfn + 1,
            _ => runs.push(gfn..gfn + 1),
        }
    }
    runs
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "runs of frames are compared with lists of runs")]
mod tests {
    use super::*;
    use postern_ultravisor::machine::{Call, Resume, Verdict};
    use std::time::Duration;

    fn call(number: Number, first: u64, count: u64) -> CallRecord {
        let mut arguments = [0; 9];
        arguments[..2].copy_from_slice(&[first, count]);
        CallRecord {
            n: 1,
            call: Call { opcode: number as u64, arguments, msr: 0, pidr: 0 },
            verdict: Verdict { code: Code::SUCCESS, resume: Resume::Untouched },
            faulted: false,
            at: std::time::UNIX_EPOCH,
            duration: Duration::ZERO,
            thread: "1".to_owned(),
            callers: Vec::new(),
        }
    }

    fn pair(first: u64, count: u64) -> [CallRecord; 2] {
        [call(Number::SharePage, first, count), call(Number::UnsharePage, first, count)]
    }

    #[test]
    fn without_the_proofs_the_pool_is_left() {
        let calls =
            [[call(Number::SharePage, 16, 8)].to_vec(), pair(32, 64).to_vec(), pair(96, 4).to_vec()].concat();
        assert_eq!(without_proofs(&[16..24, 32..100], &calls), [16..24]);
        assert_eq!(other_calls(&calls).len(), 1);
    }

    #[test]
    fn a_share_that_the_next_call_does_not_undo_counts() {
        let [share, unshare] = pair(32, 4);
        let between = call(Number::SharePage, 16, 8);
        assert_eq!(
            without_proofs(&[16..24, 32..36], &[share.clone(), between, unshare.clone()]),
            [16..24, 32..36]
        );
        let part = call(Number::UnsharePage, 32, 3);
        assert_eq!(without_proofs(&[32..36], &[share.clone(), part]), [32..36]);
        assert_eq!(without_proofs(&[32..36], std::slice::from_ref(&share)), [32..36]);
        let faulted = CallRecord { faulted: true, ..unshare.clone() };
        assert_eq!(without_proofs(&[32..36], &[share.clone(), faulted]), [32..36]);
        let elsewhere = CallRecord { thread: "2".to_owned(), ..unshare };
        assert_eq!(without_proofs(&[32..36], &[share, elsewhere]), [32..36]);
    }

    #[test]
    fn a_proved_frame_that_is_shared_again_counts() {
        let calls = [pair(32, 4).to_vec(), vec![call(Number::SharePage, 34, 1)]].concat();
        assert_eq!(without_proofs(&[32..36], &calls), [34..35]);
    }
}
