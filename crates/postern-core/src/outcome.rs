//! How a run that reached its work ends: the one place that derives the exit status from what was asked for and what
//! was done. A run that ends earlier has its own status.

use crate::exit::ExitStatus;
use core::fmt;

/// The pieces of work that `run=` asked for (read a disk, get an address for a card), and how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    asked: u64,
    done: u64,
    worst: Option<ExitStatus>,
}

impl Work {
    /// Counts one piece of work and how it ended. An error with status `Done` counts as a device failure.
    pub fn note(&mut self, ended: Result<(), ExitStatus>) {
        self.asked = self.asked.saturating_add(1);
        match ended {
            Ok(()) => self.done = self.done.saturating_add(1),
            Err(status) => self.worst = worse(self.worst, Some(status)),
        }
    }

    /// Counts the pieces of `other`, too.
    pub fn add(&mut self, other: Self) {
        self.asked = self.asked.saturating_add(other.asked);
        self.done = self.done.saturating_add(other.done);
        self.worst = worse(self.worst, other.worst);
    }

    /// Number of pieces asked for.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// Number of pieces done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done
    }

    fn status(&self) -> ExitStatus {
        match self.worst {
            Some(status) if status != ExitStatus::Done => status,
            None if self.asked != 0 && self.done == self.asked => ExitStatus::Done,
            _ => ExitStatus::DeviceFailed,
        }
    }
}

/// The failure that decides the exit status. Wrong data is worse than no data.
fn worse(one: Option<ExitStatus>, other: Option<ExitStatus>) -> Option<ExitStatus> {
    let rank = |status: Option<ExitStatus>| match status {
        None => 0,
        Some(ExitStatus::Done) => 1,
        Some(ExitStatus::DeviceFailed) => 2,
        Some(ExitStatus::VerificationFailed) => 4,
        Some(ExitStatus::ConfidentialityHalt) => 5,
        Some(_) => 3,
    };
    if rank(other) > rank(one) { other } else { one }
}

/// What the host can reach besides the pool, as read back from the DMA windows at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// A normal guest: the host sees all its memory.
    Ordinary,
    /// The host can reach this many pages of a secure guest outside the pool; it has to be 0.
    Pages(u64),
    /// The windows of a secure guest could not be read back.
    Unknown,
}

/// Everything that decides how the run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The pieces of work that `run=` asked for.
    pub work: Work,
    /// Devices with a driver, and host bridges, that were left out because of an error.
    pub refused: u64,
    /// What the host can reach at the end.
    pub exposure: Exposure,
}

impl Outcome {
    /// The exit status. Only [`ExitStatus::Done`] means that all was asked for was done, by all devices, and that
    /// nothing was exposed.
    #[must_use]
    pub fn status(&self) -> ExitStatus {
        match (self.exposure, self.work.status(), self.refused) {
            (Exposure::Pages(1..) | Exposure::Unknown, _, _) => ExitStatus::ConfidentialityHalt,
            (_, ExitStatus::Done, 1..) => ExitStatus::DeviceFailed,
            (_, status, _) => status,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Work { asked, done, .. } = self.work;
        write!(f, "{done} of {asked} pieces of work done, {} devices left out", self.refused)?;
        match self.exposure {
            Exposure::Ordinary | Exposure::Pages(0) => Ok(()),
            Exposure::Pages(pages) => write!(f, ", {pages} private pages exposed"),
            Exposure::Unknown => f.write_str(", exposed pages unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Exposure, Outcome, Work};
    use crate::exit::ExitStatus;
    use postern_cases::case;
    use std::vec;
    use std::vec::Vec;

    /// Every way in which up to three pieces of work can end.
    fn endings() -> Vec<Vec<Result<(), ExitStatus>>> {
        let one: Vec<_> = [Ok(())].into_iter().chain(ExitStatus::ALL.map(Err)).collect();
        let mut all = vec![vec![]];
        let mut longest = all.clone();
        for _ in 0..3 {
            longest = longest
                .iter()
                .flat_map(|pieces| one.iter().map(|piece| [pieces.as_slice(), &[*piece]].concat()))
                .collect();
            all.extend(longest.iter().cloned());
        }
        all
    }

    /// The rules, as sentences rather than as code: from docs/exit-codes.md.
    fn expected(pieces: &[Result<(), ExitStatus>], refused: u64, exposure: Exposure) -> ExitStatus {
        let failed: Vec<ExitStatus> = pieces.iter().filter_map(|piece| piece.err()).collect();
        let has = |status| failed.contains(&status);
        if !matches!(exposure, Exposure::Ordinary | Exposure::Pages(0))
            || has(ExitStatus::ConfidentialityHalt)
        {
            return ExitStatus::ConfidentialityHalt;
        }
        if has(ExitStatus::VerificationFailed) {
            return ExitStatus::VerificationFailed;
        }
        let weak = [ExitStatus::Done, ExitStatus::DeviceFailed];
        if let Some(first) = failed.iter().find(|status| !weak.contains(status)) {
            return *first;
        }
        if failed.is_empty() && !pieces.is_empty() && refused == 0 {
            ExitStatus::Done
        } else {
            ExitStatus::DeviceFailed
        }
    }

    #[test]
    fn the_status_follows_from_what_was_done_in_every_combination() {
        case!("OUT-04", Halt);
        let exposures = [Exposure::Ordinary, Exposure::Pages(0), Exposure::Pages(1), Exposure::Unknown];
        let (mut tried, mut done) = (0, 0);
        for pieces in endings() {
            for refused in [0, 1, u64::MAX] {
                for exposure in exposures {
                    let mut work = Work::default();
                    pieces.iter().for_each(|piece| work.note(*piece));
                    let status = Outcome { work, refused, exposure }.status();
                    assert_eq!(
                        status,
                        expected(&pieces, refused, exposure),
                        "{pieces:?} {refused} {exposure:?}"
                    );
                    tried += 1;
                    done += usize::from(status == ExitStatus::Done);
                }
            }
        }
        // 1 + 15 + 225 + 3375 sequences; of them three all done, with two harmless exposures.
        assert_eq!((tried, done), (3616 * 12, 3 * 2));
    }

    #[test]
    fn work_added_up_is_work_noted_in_one_place() {
        for pieces in endings() {
            let (mut whole, mut sum) = (Work::default(), Work::default());
            for piece in &pieces {
                let mut one = Work::default();
                whole.note(*piece);
                one.note(*piece);
                sum.add(one);
            }
            assert_eq!(whole, sum);
            assert_eq!(whole.asked(), pieces.len() as u64);
            assert_eq!(whole.done(), pieces.iter().filter(|piece| piece.is_ok()).count() as u64);
        }
    }
}
