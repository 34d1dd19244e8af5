//! The first card's network and its status page, served while a step waits for something else.

use crate::devices::DeviceError;
use crate::devices::set::Devices;
use crate::jobs::net::{configure_within, state_address};
use crate::jobs::page::Page;
use crate::platform::console::print_line;
use crate::platform::pseries::Pseries;
use crate::report::Report;
use core::time::Duration;
use netstack::settings::Settings;
use netstack::stack::StackError;
use papr::clock::Deadline;
use postern_core::cmdline::Options;

/// How long a lease may take before the step begins without an address. A later one is taken over.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The network that is served meanwhile.
pub struct Background {
    /// None without a card, and once the card has failed.
    page: Option<Page>,
    /// The address that was stated.
    settings: Option<Settings>,
}

impl Background {
    /// Asks for an address and opens the status page.
    pub fn begin(options: &Options, devices: &mut Devices, report: &mut Report) -> Self {
        let secure = devices.pool.is_some();
        let Some(card) = devices.cards.first_mut() else { return Self { page: None, settings: None } };
        let page = Page::open(options, secure, card, report);
        let mut network = Self { page: Some(page), settings: None };
        match configure_within(card, FIRST_WAIT, report) {
            Ok(settings) => network.settings = Some(settings),
            Err(DeviceError::Stack(StackError::NoLease { .. })) => {}
            Err(error) => network.failed(&error, devices, report),
        }
        // What there is to be said of the link is said before there is a prompt.
        network.serve(devices, report, Duration::ZERO);
        network
    }

    /// Serves for `time`, or lets the CPU rest where there is nothing to serve. States an address that came or went.
    pub fn serve(&mut self, devices: &mut Devices, report: &mut Report, time: Duration) {
        let Devices { cards, disks, dma, .. } = &mut *devices;
        let (Some(card), Some(page)) = (cards.first_mut(), &mut self.page) else {
            let mut rest = Deadline::after(&Pseries, time);
            while !rest.expired_after_cede(&Pseries, time).0 {}
            return;
        };
        let served = card.stack.serve(&Pseries, time, |stack| {
            page.answer(stack, disks, dma, report);
            false
        });
        if let Err(error) = served {
            self.failed(&error.into(), devices, report);
            return;
        }
        let settings = card.stack.settings();
        if settings != self.settings {
            self.settings = settings;
            match settings {
                Some(settings) => state_address(card.number, settings, report),
                None => print_line(format_args!("net{}: the lease is over", card.number)),
            }
        }
    }

    /// Closes the status page.
    pub fn end(mut self, devices: &mut Devices, report: &mut Report) {
        self.close(devices, report);
    }

    fn failed(&mut self, error: &DeviceError, devices: &mut Devices, report: &mut Report) {
        if let Some(card) = devices.cards.first() {
            print_line(format_args!("net{}: not served: {error}", card.number));
        }
        self.close(devices, report);
    }

    fn close(&mut self, devices: &mut Devices, report: &mut Report) {
        if let (Some(page), Some(card)) = (self.page.take(), devices.cards.first_mut()) {
            page.close(card, report);
        }
    }
}
