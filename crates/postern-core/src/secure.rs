//! Decides whether this is a secure VM: once, before the pool exists, by the guest alone.
//!
//! MSR\[S\] is the authority. The tree and the command line can only request UV_ESM. Neither can make a secure guest
//! behave as a normal one, because then a host could turn the bounce buffer off.

use core::fmt;
use thiserror::Error;

/// The option `svm=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SvmOption {
    /// Issue UV_ESM and become a secure VM.
    On,
    /// Stay an ordinary guest.
    Off,
    /// Issue UV_ESM to an emulated ultravisor, where firmware cannot publish its node.
    Emulated,
}

/// The input of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// MSR\[S\], which only hardware sets.
    pub msr_s: bool,
    /// The tree has a root child `ibm,ultravisor`, compatible `ibm,ultravisor`, by which an emulation announces itself.
    /// On real machines only the host's tree has that node, never a guest's.
    pub marker: bool,
    /// `svm=`, when given.
    pub svm: Option<SvmOption>,
    /// The kernel was entered after a UV_ESM that this image issued.
    pub esm_done: bool,
}

/// What makes the guest secure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecureKind {
    /// MSR\[S\] is set: the ultravisor keeps memory private.
    Hardware,
    /// An emulated ultravisor answers; nothing is confidential.
    Emulated,
}

/// The mode that the machine runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// An ordinary guest: no pool, no ultracall.
    Normal,
    /// A secure VM: devices reach the shared pool and nothing else.
    Secure(SecureKind),
}

impl Mode {
    /// Whether data for devices goes through the shared pool.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Secure(_))
    }
}

impl fmt::Display for Mode {
    /// The value of `postern: mode=`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Secure(SecureKind::Hardware) => "secure-hardware",
            Self::Secure(SecureKind::Emulated) => "secure-emulated",
        })
    }
}

/// What the kernel has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Go on as an ordinary guest.
    Normal,
    /// The guest is secure: go on as a secure VM.
    Secure(SecureKind),
    /// Issue UV_ESM; stop if it fails.
    EnterEsm,
    /// Stop: the guest would run as if its memory were private when it is not.
    Halt(Contradiction),
}

impl Plan {
    /// The mode to go on in; `None` if the boot does not go on.
    #[must_use]
    pub const fn mode(self) -> Option<Mode> {
        match self {
            Self::Normal => Some(Mode::Normal),
            Self::Secure(kind) => Some(Mode::Secure(kind)),
            Self::EnterEsm | Self::Halt(_) => None,
        }
    }
}

/// Why the platform's statements contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Contradiction {
    /// UV_ESM succeeded, MSR\[S\] is clear, and nothing announced an emulation.
    #[error("UV_ESM succeeded, but MSR[S]=0 and nothing announces an emulated ultravisor")]
    EsmWithoutSecureBit,
    /// UV_ESM succeeded, but the command line forbids it.
    #[error("UV_ESM succeeded, but MSR[S]=0 and svm=off forbids it")]
    EsmAgainstOption,
}

/// A request that was not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// `svm=off` in a guest with MSR\[S\]=1: hardware decides.
    OffIgnored,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OffIgnored => f.write_str("svm=off ignored: MSR[S]=1, this is a secure VM"),
        }
    }
}

/// The plan and what led to it. Displays as the evidence, in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the kernel has to do.
    pub plan: Plan,
    /// A request that was not followed.
    pub warning: Option<Warning>,
    /// The input of the decision.
    pub evidence: Evidence,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let evidence = self.evidence;
        write!(f, "MSR[S]={}", u8::from(evidence.msr_s))?;
        f.write_str(if evidence.marker {
            ", tree has /ibm,ultravisor"
        } else {
            ", tree has no /ibm,ultravisor"
        })?;
        f.write_str(match evidence.svm {
            None => ", svm= not given",
            Some(SvmOption::On) => ", svm=on",
            Some(SvmOption::Off) => ", svm=off",
            Some(SvmOption::Emulated) => ", svm=emulated",
        })?;
        f.write_str(if evidence.esm_done { ", UV_ESM succeeded" } else { "" })?;
        match self.plan {
            Plan::Secure(SecureKind::Emulated) => f.write_str("; emulated: NO CONFIDENTIALITY"),
            Plan::Halt(why) => write!(f, "; {why}"),
            _ => Ok(()),
        }
    }
}

/// Makes the decision; nothing else does.
#[must_use]
pub fn decide(evidence: Evidence) -> Decision {
    let announced = evidence.marker || evidence.svm == Some(SvmOption::Emulated);
    let plan = match (evidence.msr_s, evidence.svm, evidence.esm_done) {
        (true, _, _) => Plan::Secure(SecureKind::Hardware),
        (false, Some(SvmOption::Off), false) => Plan::Normal,
        (false, Some(SvmOption::Off), true) => Plan::Halt(Contradiction::EsmAgainstOption),
        (false, _, true) if announced => Plan::Secure(SecureKind::Emulated),
        (false, _, true) => Plan::Halt(Contradiction::EsmWithoutSecureBit),
        (false, Some(SvmOption::On | SvmOption::Emulated), false) => Plan::EnterEsm,
        (false, None, false) if evidence.marker => Plan::EnterEsm,
        (false, None, false) => Plan::Normal,
    };
    let warning = (evidence.msr_s && evidence.svm == Some(SvmOption::Off)).then_some(Warning::OffIgnored);
    Decision { plan, warning, evidence }
}

#[cfg(test)]
mod tests {
    use super::{Contradiction, Decision, Evidence, Mode, Plan, SecureKind, SvmOption, Warning, decide};
    use postern_cases::case;
    use std::string::ToString;

    const OPTIONS: [Option<SvmOption>; 4] =
        [None, Some(SvmOption::On), Some(SvmOption::Off), Some(SvmOption::Emulated)];

    fn first(msr_s: bool, marker: bool, svm: Option<SvmOption>) -> Decision {
        decide(Evidence { msr_s, marker, svm, esm_done: false })
    }

    fn after_esm(msr_s: bool, marker: bool, svm: Option<SvmOption>) -> Decision {
        decide(Evidence { msr_s, marker, svm, esm_done: true })
    }

    #[test]
    fn row_1_secure_bit_means_hardware_whatever_else_is_said() {
        for marker in [false, true] {
            for svm in OPTIONS {
                for decision in [first(true, marker, svm), after_esm(true, marker, svm)] {
                    assert_eq!(decision.plan, Plan::Secure(SecureKind::Hardware), "{decision}");
                    let off = svm == Some(SvmOption::Off);
                    assert_eq!(decision.warning, off.then_some(Warning::OffIgnored), "{decision}");
                }
            }
        }
    }

    #[test]
    fn row_2_marker_leads_to_esm_and_then_to_emulated() {
        for svm in [None, Some(SvmOption::On)] {
            assert_eq!(first(false, true, svm).plan, Plan::EnterEsm);
            assert_eq!(after_esm(false, true, svm).plan, Plan::Secure(SecureKind::Emulated));
        }
    }

    #[test]
    fn row_3_svm_emulated_needs_no_marker() {
        for marker in [false, true] {
            let svm = Some(SvmOption::Emulated);
            assert_eq!(first(false, marker, svm).plan, Plan::EnterEsm);
            assert_eq!(after_esm(false, marker, svm).plan, Plan::Secure(SecureKind::Emulated));
        }
    }

    #[test]
    fn row_4_svm_on_without_marker_ends_in_hardware_or_in_a_halt() {
        case!("DT-11", Halt);
        case!("UV-20", Halt);
        let svm = Some(SvmOption::On);
        assert_eq!(first(false, false, svm).plan, Plan::EnterEsm);
        assert_eq!(after_esm(true, false, svm).plan, Plan::Secure(SecureKind::Hardware));
        assert_eq!(after_esm(false, false, svm).plan, Plan::Halt(Contradiction::EsmWithoutSecureBit));
    }

    #[test]
    fn row_5_svm_off_is_normal_with_and_without_marker() {
        for marker in [false, true] {
            let svm = Some(SvmOption::Off);
            assert_eq!(first(false, marker, svm).plan, Plan::Normal);
            assert_eq!(after_esm(false, marker, svm).plan, Plan::Halt(Contradiction::EsmAgainstOption));
        }
    }

    #[test]
    fn row_6_nothing_said_is_normal() {
        assert_eq!(first(false, false, None).plan, Plan::Normal);
        assert_eq!(after_esm(false, false, None).plan, Plan::Halt(Contradiction::EsmWithoutSecureBit));
    }

    #[test]
    fn dt_11_a_secure_hint_without_the_secure_bit_never_runs_as_hardware_or_as_normal() {
        case!("DT-11", Work);
        for svm in OPTIONS {
            assert_ne!(after_esm(false, true, svm).plan, Plan::Normal);
            for marker in [false, true] {
                assert_ne!(after_esm(false, marker, svm).plan, Plan::Secure(SecureKind::Hardware));
                assert_ne!(after_esm(false, marker, svm).plan, Plan::EnterEsm, "UV_ESM is issued once");
            }
        }
        for svm in [None, Some(SvmOption::On), Some(SvmOption::Emulated)] {
            assert_eq!(first(false, true, svm).plan, Plan::EnterEsm);
        }
    }

    #[test]
    fn dt_12_and_13_a_tree_without_the_ultravisor_does_not_switch_bouncing_off() {
        case!("DT-12", Work);
        case!("DT-13", Ignore);
        let decision = first(true, false, Some(SvmOption::Off));
        assert_eq!(decision.plan.mode(), Some(Mode::Secure(SecureKind::Hardware)));
        assert!(decision.plan.mode().is_some_and(Mode::is_secure));
    }

    #[test]
    fn evidence_is_one_readable_line() {
        assert_eq!(
            after_esm(false, true, None).to_string(),
            "MSR[S]=0, tree has /ibm,ultravisor, svm= not given, UV_ESM succeeded; emulated: NO CONFIDENTIALITY"
        );
        assert_eq!(
            first(false, false, None).to_string(),
            "MSR[S]=0, tree has no /ibm,ultravisor, svm= not given"
        );
        assert_eq!(Mode::Secure(SecureKind::Emulated).to_string(), "secure-emulated");
        assert_eq!(Mode::Secure(SecureKind::Hardware).to_string(), "secure-hardware");
        assert_eq!(Mode::Normal.to_string(), "normal");
    }
}
