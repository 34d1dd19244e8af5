//! The order of the measurements; prints the progress and the remaining time.

use crate::guest::{GuestError, Parts};
use crate::plan::{Backend, Effort, Group, System};
use crate::results::Results;
use crate::{measure, packets, scaling};
use postern_harness::interrupt;
use std::time::{Duration, Instant};

/// One measurement of one system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Requests, and the start by VOF.
    Disk(Backend),
    /// Reads of a disk with an iothread.
    Threaded,
    /// Echo and one way.
    Network,
    /// The start by SLOF.
    Slof,
    /// Guest instructions of requests.
    Requests,
    /// Guest instructions of packets.
    Packets,
    /// Guest instructions of the pool's bookkeeping.
    Slots,
    /// By depth, size, pool and CPUs.
    Scaling,
}

impl Step {
    const fn group(self) -> Group {
        match self {
            Self::Disk(_) | Self::Threaded => Group::Disk,
            Self::Network => Group::Network,
            Self::Slof => Group::Start,
            Self::Requests | Self::Packets | Self::Slots => Group::Instructions,
            Self::Scaling => Group::Scaling,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Disk(backend) => format!("disk ({})", backend.name()),
            Self::Threaded => format!("disk ({})", Backend::Threaded.name()),
            Self::Network => "network".to_owned(),
            Self::Slof => "start by SLOF".to_owned(),
            Self::Requests => "instructions of requests".to_owned(),
            Self::Packets => "instructions of packets".to_owned(),
            Self::Slots => "instructions of the pool".to_owned(),
            Self::Scaling => "scaling".to_owned(),
        }
    }

    /// Whether the guest needs a network card, for which the virtio-drivers image has no driver.
    const fn needs_network(self) -> bool {
        matches!(self, Self::Network | Self::Slof | Self::Packets)
    }

    /// Whether it only measures the throughput of a disk without content.
    const fn is_without_content(self) -> bool {
        matches!(self, Self::Disk(Backend::Null) | Self::Threaded | Self::Scaling)
    }

    fn measure(
        self,
        parts: &Parts,
        effort: Effort,
        system: System,
        results: &mut Results,
    ) -> Result<(), GuestError> {
        match self {
            Self::Disk(backend) => measure::disk(parts, effort, system, backend, results),
            Self::Threaded => measure::threaded(parts, effort, system, results),
            Self::Network => measure::net(parts, effort, system, results),
            Self::Slof => measure::slof(parts, system, results),
            Self::Requests => measure::instructions(parts, system, results),
            Self::Packets => packets::instructions(parts, system, effort, results),
            Self::Slots => measure::slots(parts, results),
            Self::Scaling => scaling::measure(parts, effort, system, results),
        }
    }
}

/// Whether a group is selected; without a selection all are.
pub fn wanted(only: &[Group], group: Group) -> bool {
    only.is_empty() || only.contains(&group)
}

/// All steps: in each round every system does the same, one after the other; steps whose result does not vary occur once.
fn order(systems: &[System], rounds: usize, only: &[Group]) -> Vec<(System, Step)> {
    let round = &[Step::Disk(Backend::Null), Step::Disk(Backend::Raw), Step::Network][..];
    let once = &[Step::Threaded, Step::Slof, Step::Requests, Step::Packets][..];
    let each = |steps: &'static [Step]| {
        systems.iter().flat_map(move |system| steps.iter().map(|step| (*system, *step)))
    };
    let mut all: Vec<_> = (0..rounds).flat_map(|_| each(round)).chain(each(once)).collect();
    // The measured pool has no memory, so an ordinary guest is enough.
    all.push((System::PosternDirect, Step::Slots));
    all.push((System::PosternBounced, Step::Scaling));
    let possible = |system, step: Step| match system {
        // It has no separate guest.
        System::PrivateCopy => false,
        System::VirtioDrivers => !step.needs_network(),
        // On a disk without content they copy nothing, so the result has no meaning.
        System::PosternDirect | System::LinuxDirect => !step.is_without_content(),
        _ => true,
    };
    all.retain(|(system, step)| wanted(only, step.group()) && possible(*system, *step));
    all
}

/// Measures everything, or the selected groups, until it is interrupted.
pub fn all(parts: &Parts, effort: Effort, only: &[Group], results: &mut Results) {
    let there = |system: &System| match system {
        System::LinuxBounced | System::LinuxDirect => parts.linux.is_some(),
        System::LinuxSecure => parts.secure_linux.is_some(),
        System::VirtioDrivers => parts.virtio_drivers.is_some(),
        System::PosternBounced | System::PosternDirect => true,
        System::PrivateCopy => false,
    };
    let systems: Vec<_> = System::ALL.into_iter().filter(there).collect();
    let steps = order(&systems, effort.rounds, only);
    let mut took = Vec::new();
    for (done, (system, step)) in steps.iter().enumerate() {
        let name = format!("{}, {}", system.name(), step.name());
        let left = left(&steps[done..], &took).map_or_else(String::new, said);
        eprintln!("bench: {} of {}: {name}{left}", done + 1, steps.len());
        let start = Instant::now();
        let measured = step.measure(parts, effort, *system, results);
        if interrupt::requested() {
            results.miss(format!(
                "interrupted: {} of {} steps were not measured",
                steps.len() - done,
                steps.len()
            ));
            return;
        }
        if let Err(error) = measured {
            results.miss(format!("{name}: {error}"));
        }
        took.push((*system, *step, start.elapsed()));
    }
}

/// A rough time as text.
fn said(left: Duration) -> String {
    match left.as_secs() {
        seconds @ ..90 => format!(" (about {seconds} s left)"),
        seconds => format!(" (about {} min left)", (seconds + 30) / 60),
    }
}

/// Estimated time of these steps, from the measured times: of the same step with the same system, else with another one,
/// else of any step.
fn left(steps: &[(System, Step)], took: &[(System, Step, Duration)]) -> Option<Duration> {
    let mean = |like: &dyn Fn(System, Step) -> bool| {
        let times: Vec<_> =
            took.iter().filter(|(system, step, _)| like(*system, *step)).map(|(.., time)| *time).collect();
        Some(times.iter().sum::<Duration>() / u32::try_from(times.len()).ok().filter(|count| *count > 0)?)
    };
    let one = |(system, step): &(System, Step)| {
        let same = mean(&|s, t| (s, t) == (*system, *step)).or_else(|| mean(&|_, t| t == *step));
        same.or_else(|| mean(&|_, _| true))
    };
    steps.iter().map(one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_interleaved_and_what_does_not_vary_is_measured_once() {
        let steps = order(&System::ALL, 3, &[]);
        let count = |system, step| steps.iter().filter(|other| **other == (system, step)).count();
        assert_eq!(count(System::LinuxDirect, Step::Network), 3);
        assert_eq!(count(System::LinuxDirect, Step::Disk(Backend::Raw)), 3);
        assert_eq!(count(System::PosternDirect, Step::Disk(Backend::Null)), 0);
        assert_eq!(count(System::PosternDirect, Step::Requests), 1);
        assert_eq!(count(System::PosternBounced, Step::Slof), 1);
        assert_eq!(count(System::VirtioDrivers, Step::Threaded), 1);
        assert_eq!(count(System::LinuxBounced, Step::Scaling), 0);
        assert_eq!(count(System::VirtioDrivers, Step::Disk(Backend::Null)), 3);
        assert_eq!(count(System::VirtioDrivers, Step::Network), 0);
        let disk: Vec<_> = steps
            .iter()
            .filter(|(_, step)| *step == Step::Disk(Backend::Null))
            .map(|(system, _)| *system)
            .collect();
        let bounced: Vec<_> = System::ALL.into_iter().filter(|system| system.is_bounced()).collect();
        assert_eq!(disk, bounced.repeat(3));
    }

    #[test]
    fn only_requested_groups_are_measured() {
        let steps =
            order(&[System::PosternBounced, System::PosternDirect], 5, &[Group::Start, Group::Scaling]);
        assert_eq!(
            steps,
            [
                (System::PosternBounced, Step::Slof),
                (System::PosternDirect, Step::Slof),
                (System::PosternBounced, Step::Scaling),
            ]
        );
    }

    #[test]
    fn long_times_are_in_minutes() {
        assert_eq!(said(Duration::from_millis(89_900)), " (about 89 s left)");
        assert_eq!(said(Duration::from_secs(90)), " (about 2 min left)");
        assert_eq!(said(Duration::from_secs(610)), " (about 10 min left)");
    }

    #[test]
    fn time_left_follows_what_such_steps_took() {
        let seconds = Duration::from_secs;
        let (ours, theirs) = (System::PosternBounced, System::LinuxBounced);
        let took = [
            (ours, Step::Network, seconds(4)),
            (theirs, Step::Network, seconds(8)),
            (ours, Step::Slof, seconds(30)),
        ];
        assert_eq!(left(&[(ours, Step::Network), (theirs, Step::Slof)], &took), Some(seconds(34)));
        assert_eq!(left(&[(System::LinuxDirect, Step::Network)], &took), Some(seconds(6)));
        assert_eq!(left(&[(ours, Step::Slots)], &took), Some(seconds(14)));
        assert_eq!(left(&[(ours, Step::Slots)], &[]), None);
    }
}
