//! Places the BARs of the wanted functions, and the windows of the bridges before them.

use crate::pci::bars::{self, BarError, Bars};
use crate::pci::bridge::{self, BridgeError, MAX_DEPTH};
use crate::pci::command::{Command, enable_decoding};
use crate::pci::config::ConfigSpace;
use crate::pci::functions::{Function, Header};
use crate::pci::windows::Windows;
use alloc::collections::BTreeMap;
use papr::device_id::DeviceId;
use thiserror::Error;

/// Why a function could not be placed; it is not used then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PlaceError {
    /// One of its BARs is unusable.
    #[error("{0}")]
    Bar(BarError),
    /// A BAR of a bridge before it is unusable.
    #[error("bridge {0}: {1}")]
    BridgeBar(DeviceId, BarError),
    /// A bridge before it does not forward.
    #[error("bridge {0}: {1}")]
    Bridge(DeviceId, BridgeError),
}

/// The BARs of each wanted function, or why it has none.
pub type Places = BTreeMap<DeviceId, Result<Bars, PlaceError>>;

/// Places the BARs of each `wanted` one of `functions`, which [`super::scan::scan`] found and which do not decode. Only
/// bridges before wanted functions get windows, each inside the window of the bridge before it.
pub fn place(
    config: &impl ConfigSpace,
    functions: &[Function],
    wanted: &dyn Fn(&Function) -> bool,
    windows: &mut Windows,
) -> Places {
    let mut plan = Plan { config, functions, wanted, places: Places::new() };
    plan.bus(None, windows, 0);
    plan.places
}

struct Plan<'a, C> {
    config: &'a C,
    functions: &'a [Function],
    wanted: &'a dyn Fn(&Function) -> bool,
    places: Places,
}

impl<C: ConfigSpace> Plan<'_, C> {
    fn bus(&mut self, behind: Option<DeviceId>, windows: &mut Windows, depth: usize) {
        for function in self.functions.iter().filter(|function| function.behind == behind) {
            if function.header == Header::Bridge {
                if self.leads_to_wanted(function.at, depth) {
                    self.bridge(function.at, windows, depth);
                }
            } else if (self.wanted)(function) {
                let bars = bars::assign(self.config, function.at, windows).map_err(PlaceError::Bar);
                self.places.insert(function.at, bars);
            }
        }
    }

    fn bridge(&mut self, at: DeviceId, windows: &mut Windows, depth: usize) {
        let place = |error| PlaceError::Bridge(at, error);
        if let Err(error) = bars::assign_of_bridge(self.config, at, windows) {
            return self.refuse(at, PlaceError::BridgeBar(at, error), depth);
        }
        let forwards = match bridge::forwards(self.config, at) {
            Ok(forwards) => forwards,
            Err(error) => return self.refuse(at, place(error.into()), depth),
        };
        let mut inner = windows.behind_bridge(forwards);
        self.bus(Some(at), &mut inner, depth.saturating_add(1));
        let spans = windows.come_back_from(&inner);
        let io = if spans.io.is_some() { Command::IO } else { Command::empty() };
        let opened = bridge::forward(self.config, at, &spans)
            .and_then(|()| Ok(enable_decoding(self.config, at, Command::MEMORY | io)?));
        if let Err(error) = opened {
            self.refuse(at, place(error), depth);
        }
    }

    /// Whether a wanted function is behind the bridge.
    fn leads_to_wanted(&self, bridge: DeviceId, depth: usize) -> bool {
        depth < MAX_DEPTH
            && self.functions.iter().filter(|function| function.behind == Some(bridge)).any(|function| {
                match function.header {
                    Header::Bridge => self.leads_to_wanted(function.at, depth.saturating_add(1)),
                    _ => (self.wanted)(function),
                }
            })
    }

    /// Refuses every wanted function behind the bridge, also one that was placed.
    fn refuse(&mut self, bridge: DeviceId, error: PlaceError, depth: usize) {
        if depth >= MAX_DEPTH {
            return;
        }
        for function in self.functions.iter().filter(|function| function.behind == Some(bridge)) {
            if function.header == Header::Bridge {
                self.refuse(function.at, error, depth.saturating_add(1));
            } else if (self.wanted)(function) {
                self.places.insert(function.at, Err(error));
            }
        }
    }
}
