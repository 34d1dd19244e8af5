//! The services that an image added to the echo service.

use super::isn::Ends;
use super::service::Service;
use super::settings::Settings;
use super::sockets::Sockets;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;
use core::marker::PhantomData;
use core::time::Duration;
use smoltcp::iface::SocketSet;

/// Names a service of one stack for its owner: [`Stack::service`](crate::stack::Stack::service) finds it,
/// [`Stack::close`](crate::stack::Stack::close) removes it.
#[derive(Debug)]
pub struct ServiceId<S> {
    number: u64,
    service: PhantomData<fn() -> S>,
}

/// The services, in the order in which they were added.
#[derive(Default)]
pub(super) struct Services {
    list: Vec<Entry>,
    next: u64,
}

struct Entry {
    number: u64,
    service: Box<dyn Service>,
}

impl Services {
    pub fn add<S: Service>(&mut self, service: S) -> ServiceId<S> {
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.list.push(Entry { number, service: Box::new(service) });
        ServiceId { number, service: PhantomData }
    }

    /// The service, unless `id` belongs to another stack.
    pub fn get<S: Service>(&mut self, id: &ServiceId<S>) -> Option<&mut S> {
        let entry = self.list.iter_mut().find(|entry| entry.number == id.number)?;
        let service: &mut dyn Any = &mut *entry.service;
        service.downcast_mut()
    }

    /// Closes the service and removes it.
    pub fn close<S: Service>(&mut self, id: &ServiceId<S>, sockets: &mut Sockets) {
        if self.get(id).is_none() {
            return;
        }
        for entry in self.list.extract_if(.., |entry| entry.number == id.number) {
            entry.service.close(sockets);
        }
    }

    /// When the first of the services has work although no frame arrives.
    pub fn due(&self) -> Option<Duration> {
        self.list.iter().filter_map(|entry| entry.service.due()).min()
    }

    /// True if datagrams have to wait for the next step.
    pub fn step_udp(
        &mut self,
        sockets: &mut SocketSet<'static>,
        own: Option<Settings>,
        now: Duration,
    ) -> bool {
        let mut left = false;
        for entry in &mut self.list {
            left |= entry.service.step_udp(sockets, own, now);
        }
        left
    }

    pub fn step_tcp(&mut self, sockets: &mut SocketSet<'static>, now: Duration) {
        for entry in &mut self.list {
            entry.service.step_tcp(sockets, now);
        }
    }

    pub fn make_room(&mut self, sockets: &mut SocketSet<'static>, ends: Ends, now: Duration) {
        for entry in &mut self.list {
            entry.service.make_room(sockets, ends, now);
        }
    }

    pub fn listen(&mut self, sockets: &mut SocketSet<'static>) {
        for entry in &mut self.list {
            entry.service.listen(sockets);
        }
    }
}
