//! Memory that nobody uses yet, in whole 64 KiB frames, over all memory nodes.

use super::OwnedFrames;
use alloc::vec::Vec;
use papr::addr::{FRAME_SIZE, Gpa, GpaRange};

/// Free stretches, lowest first. Taking never allocates, so that a heap can grow from here.
#[derive(Debug)]
pub struct Frames {
    free: Vec<GpaRange>,
}

impl Frames {
    pub(super) const fn new(free: Vec<GpaRange>) -> Self {
        Self { free }
    }

    /// Takes up to `most` bytes, and at least `least`, in whole frames, from the lowest stretch that has `least`.
    /// Stretches are used from their lower end, so successive pieces mostly adjoin.
    pub fn take(&mut self, least: u64, most: u64) -> Option<OwnedFrames> {
        let frame = FRAME_SIZE as u64;
        let least = least.max(1).checked_next_multiple_of(frame)?;
        let most = most.max(least).checked_next_multiple_of(frame)?;
        let stretch = self.free.iter_mut().find(|stretch| stretch.len >= least)?;
        let taken = GpaRange { start: stretch.start, len: stretch.len.min(most) };
        stretch.start = taken.end();
        stretch.len = stretch.len.saturating_sub(taken.len);
        Some(OwnedFrames::of_map(taken))
    }

    /// Bytes that can still be taken.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.free.iter().fold(0, |sum, stretch| sum.saturating_add(stretch.len))
    }

    /// One past the highest byte there was at the start.
    #[must_use]
    pub fn top(&self) -> Gpa {
        self.free.iter().map(GpaRange::end).max().unwrap_or(Gpa(0))
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may fail by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    const FRAME: u64 = FRAME_SIZE as u64;

    fn frames(stretches: &[(u64, u64)]) -> Frames {
        let range = |&(start, len): &(u64, u64)| GpaRange::new(Gpa(start * FRAME), len * FRAME).unwrap();
        Frames::new(stretches.iter().map(range).collect())
    }

    fn take(frames: &mut Frames, least: u64, most: u64) -> Option<GpaRange> {
        frames.take(least, most).map(|taken| taken.range())
    }

    #[test]
    fn the_lowest_stretch_that_is_long_enough_serves() {
        let mut frames = frames(&[(1, 2), (10, 100), (200, 1000)]);
        assert_eq!(take(&mut frames, 3 * FRAME, 5 * FRAME), GpaRange::new(Gpa(10 * FRAME), 5 * FRAME));
        assert_eq!(take(&mut frames, 1, 1), GpaRange::new(Gpa(FRAME), FRAME));
        assert_eq!(take(&mut frames, 101 * FRAME, 0), GpaRange::new(Gpa(200 * FRAME), 101 * FRAME));
    }

    #[test]
    fn less_than_the_most_is_given_but_never_less_than_the_least() {
        let mut frames = frames(&[(1, 4)]);
        assert_eq!(take(&mut frames, 2 * FRAME, 8 * FRAME), GpaRange::new(Gpa(FRAME), 4 * FRAME));
        assert_eq!(take(&mut frames, 1, 1), None);
    }

    #[test]
    fn a_size_that_wraps_is_refused() {
        assert_eq!(take(&mut frames(&[(1, 4)]), u64::MAX, u64::MAX), None);
    }

    proptest! {
        #[test]
        fn taken_frames_were_free_and_are_never_given_twice(
            stretches in proptest::collection::vec((1u64..50, 1u64..80), 1..6),
            wishes in proptest::collection::vec((1u64..60, 0u64..90), 1..20),
        ) {
            let mut at = 0;
            let stretches: Vec<(u64, u64)> = stretches.into_iter().map(|(gap, len)| {
                let start = at + gap;
                at = start + len;
                (start, len)
            }).collect();
            let mut frames = frames(&stretches);
            let all = frames.bytes();
            let mut taken: Vec<GpaRange> = Vec::new();
            for (least, most) in wishes {
                if let Some(range) = take(&mut frames, least * FRAME, most * FRAME) {
                    prop_assert!(range.len >= least * FRAME && range.len <= most.max(least) * FRAME);
                    prop_assert!(!taken.iter().any(|other| other.overlaps(&range)));
                    let inside = |&(start, len): &(u64, u64)| {
                        GpaRange { start: Gpa(start * FRAME), len: len * FRAME }.contains(range.start, range.len)
                    };
                    prop_assert!(stretches.iter().any(inside));
                    taken.push(range);
                }
            }
            prop_assert_eq!(frames.bytes() + taken.iter().map(|range| range.len).sum::<u64>(), all);
        }
    }
}
