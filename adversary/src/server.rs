//! A vhost-user server: one device on one socket, served until QEMU is gone.

use crate::cable::Cable;
use crate::gate::Gate;
use crate::iotlb::{F_ACCESS_PLATFORM, Iotlb, Rings};
use crate::ledger::{Ledger, Part};
use crate::memory::Guarded;
use crate::relay;
use crate::ring::Ring;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost::vhost_user::{Error as ProtocolError, Listener};
use vhost_user_backend::{Error as DaemonError, VhostUserBackend, VhostUserDaemon, VringRwLock, VringT};
use virtio_queue::QueueT;
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

/// Longest queue; QEMU's own default for blk.
const QUEUE_SIZE: usize = 1024;
/// Time between two interrupts of a storm.
const STORM: Duration = Duration::from_micros(200);

type Memory = GuestMemoryAtomic<GuestMemoryMmap>;

/// How often the driver is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupts {
    /// After completions, when it wants to be.
    Honest,
    /// Never.
    Never,
    /// All the time.
    Storm,
}

/// A device that a server runs.
pub trait Device: Send + 'static {
    /// Number of its queues.
    fn queues(&self) -> usize;
    /// Feature bits that it offers.
    fn features(&self) -> u64;
    /// Its device configuration.
    fn config(&self) -> Vec<u8>;
    /// How it interrupts.
    fn interrupts(&self) -> Interrupts;
    /// Works on one queue; true when it completed something.
    fn serve(&mut self, queue: usize, ring: &mut Ring, memory: &Guarded<'_>) -> bool;
    /// The driver has given up the queue.
    fn stopped(&mut self, queue: usize, memory: &Guarded<'_>);
    /// Where frames come from, if it is a network card.
    fn cable(&self) -> Option<&Arc<Cable>>;
}

struct Backend<D> {
    device: Mutex<D>,
    memory: Memory,
    gate: Arc<dyn Gate>,
    ledger: Arc<Ledger>,
    iotlb: Option<Arc<Iotlb>>,
    /// The rings' addresses by which each queue was served last, if they are I/O addresses.
    served: Mutex<BTreeMap<usize, Rings>>,
    ended: AtomicBool,
    stormed: Mutex<Option<JoinHandle<()>>>,
}

impl<D: Device> Backend<D> {
    fn device(&self) -> MutexGuard<'_, D> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What queue number `index` sees of guest memory.
    fn view<'a>(&'a self, map: &'a GuestMemoryMmap, index: usize) -> Guarded<'a> {
        let iotlb = self.iotlb.as_deref().filter(|iotlb| iotlb.is_active());
        Guarded::new(map, &*self.gate, &self.ledger, index).translated(iotlb)
    }

    fn serve(&self, index: usize, vring: &VringRwLock) {
        while self.serve_once(index, vring) {
            if let Some(iotlb) = &self.iotlb {
                iotlb.wait_for_quiet();
            }
        }
    }

    /// True if it was interrupted, and there may be more to do.
    fn serve_once(&self, index: usize, vring: &VringRwLock) -> bool {
        let mut device = self.device();
        let mut ring = {
            let state = vring.get_ref();
            let queue = state.get_queue();
            if !state.is_enabled() || !queue.ready() {
                return false;
            }
            Ring {
                size: queue.size(),
                descriptors: queue.desc_table(),
                available: queue.avail_ring(),
                used: queue.used_ring(),
                next_available: queue.next_avail(),
                next_used: queue.next_used(),
            }
        };
        let map = self.memory.memory();
        let memory = self.view(&map, index);
        if let Some(rings) = self.iotlb.as_ref().and_then(|iotlb| iotlb.rings(index))
            && !self.place(index, rings, &mut ring, &memory)
        {
            return true;
        }
        self.ledger.ring(index, ring);
        let completed = device.serve(index, &mut ring, &memory);
        vring.set_queue_next_avail(ring.next_available);
        vring.set_queue_next_used(ring.next_used);
        if completed && device.interrupts() == Interrupts::Honest && ring.wants_interrupt(&memory) {
            // An error means that QEMU has ended and needs no interrupt.
            drop(vring.signal_used_queue());
        }
        memory.interrupted()
    }

    /// Puts the rings at their I/O addresses. The rust-vmm crates read the position in the used ring when they are told its
    /// address, which they cannot do by an I/O address. False if that was interrupted.
    fn place(&self, index: usize, rings: Rings, ring: &mut Ring, memory: &Guarded<'_>) -> bool {
        (ring.descriptors, ring.available, ring.used) = (rings.descriptors, rings.available, rings.used);
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        if served.get(&index) != Some(&rings) {
            ring.next_used = memory.load(ring.used + 2, Part::Used);
            if memory.interrupted() {
                return false;
            }
            served.insert(index, rings);
        }
        true
    }
}

/// A handle on the device, which the rust-vmm crates call.
struct Handle<D>(Arc<Backend<D>>);

impl<D> Clone for Handle<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Device> VhostUserBackend for Handle<D> {
    type Bitmap = ();
    type Vring = VringRwLock;

    fn num_queues(&self) -> usize {
        self.0.device().queues()
    }

    fn max_queue_size(&self) -> usize {
        QUEUE_SIZE
    }

    fn features(&self) -> u64 {
        let platform = if self.0.iotlb.is_some() { F_ACCESS_PLATFORM } else { 0 };
        self.0.device().features() | platform | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        let device = self.0.device();
        let disk = VhostUserProtocolFeatures::CONFIG | VhostUserProtocolFeatures::REPLY_ACK;
        let own = match device.cable() {
            // QEMU must not wait for an answer to a message that the relay holds back.
            Some(_) => VhostUserProtocolFeatures::empty(),
            None if device.queues() > 1 => disk | VhostUserProtocolFeatures::MQ,
            None => disk,
        };
        // QEMU demands both of a device behind an I/O memory management unit.
        let channel = VhostUserProtocolFeatures::BACKEND_REQ | VhostUserProtocolFeatures::REPLY_ACK;
        if self.0.iotlb.is_some() { own | channel } else { own }
    }

    fn set_event_idx(&self, _: bool) {}

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let mut all = self.0.device().config();
        let (offset, size) = (offset as usize, size as usize);
        all.resize(offset.saturating_add(size), 0);
        all.split_off(offset)
    }

    fn set_config(&self, _: u32, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn update_memory(&self, _: Memory) -> io::Result<()> {
        Ok(())
    }

    fn exit_event(&self, _: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    fn stop_vring(&self, index: u32) -> io::Result<()> {
        let index = index as usize;
        let map = self.0.memory.memory();
        let memory = self.0.view(&map, index);
        self.0.device().stopped(index, &memory);
        self.0.ledger.give_up();
        Ok(())
    }

    fn handle_event(&self, _: u16, _: EventSet, vrings: &[VringRwLock], _: usize) -> io::Result<()> {
        let (cable, interrupts) = {
            let device = self.0.device();
            (device.cable().cloned(), device.interrupts())
        };
        if let Some(cable) = cable {
            // Fails if another event came.
            drop(cable.kick().read());
        }
        if interrupts == Interrupts::Storm {
            self.storm(vrings)?;
        }
        for (index, vring) in vrings.iter().enumerate() {
            self.0.serve(index, vring);
        }
        Ok(())
    }
}

impl<D: Device> Handle<D> {
    fn storm(&self, vrings: &[VringRwLock]) -> io::Result<()> {
        let mut stormed = self.0.stormed.lock().unwrap_or_else(PoisonError::into_inner);
        if stormed.is_none() {
            let (backend, vrings) = (Arc::clone(&self.0), vrings.to_vec());
            let blow = move || {
                while !backend.ended.load(Ordering::Relaxed) {
                    vrings.iter().for_each(|vring| drop(vring.signal_used_queue()));
                    backend.ledger.violation();
                    std::thread::sleep(STORM);
                }
            };
            *stormed = Some(std::thread::Builder::new().name("storm".to_owned()).spawn(blow)?);
        }
        Ok(())
    }
}

/// Why there is no server.
#[derive(Debug)]
pub enum ServerError {
    /// The socket.
    Socket(PathBuf, ProtocolError),
    /// The daemon.
    Daemon(DaemonError),
    /// A thread or an event descriptor.
    System(io::Error),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path, error) => write!(f, "vhost-user socket {}: {error}", path.display()),
            Self::Daemon(error) => write!(f, "vhost-user daemon: {error}"),
            Self::System(error) => write!(f, "vhost-user server: {error}"),
        }
    }
}

impl std::error::Error for ServerError {}

/// A server at work.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    ledger: Arc<Ledger>,
    thread: Option<JoinHandle<Result<(), DaemonError>>>,
}

impl Server {
    /// Serves `device` to whoever connects to the socket first. It does not offer VIRTIO_F_ACCESS_PLATFORM: its addresses
    /// are guest physical ones.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn start<D: Device>(path: &Path, device: D, gate: Arc<dyn Gate>) -> Result<Self, ServerError> {
        Self::serve(path, device, gate, None)
    }

    /// As [`Self::start`], for a device with `iommu_platform=on`: QEMU translates its addresses.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn start_behind_iommu<D: Device>(
        path: &Path,
        device: D,
        gate: Arc<dyn Gate>,
    ) -> Result<Self, ServerError> {
        Self::serve(path, device, gate, Some(Arc::default()))
    }

    fn serve<D: Device>(
        path: &Path,
        device: D,
        gate: Arc<dyn Gate>,
        iotlb: Option<Arc<Iotlb>>,
    ) -> Result<Self, ServerError> {
        let ledger = Arc::new(Ledger::default());
        let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
        let cable = device.cable().cloned();
        let queues = device.queues();
        let backend = Arc::new(Backend {
            device: Mutex::new(device),
            memory: memory.clone(),
            gate,
            ledger: Arc::clone(&ledger),
            iotlb: iotlb.clone(),
            served: Mutex::default(),
            ended: AtomicBool::new(false),
            stormed: Mutex::new(None),
        });
        // Messages of a card, and of a device with I/O addresses, go through the relay.
        let (own, relay) = if cable.is_some() || iotlb.is_some() {
            (path.with_extension("inner"), Some(UnixListener::bind(path)))
        } else {
            (path.to_path_buf(), None)
        };
        let relay = relay.transpose().map_err(ServerError::System)?;
        let mut listener =
            Listener::new(&own, true).map_err(|error| ServerError::Socket(own.clone(), error))?;
        if let Some(relay) = relay {
            let run = move || relay::run(&relay, &own, iotlb.as_ref());
            // It ends with the connection; the server reports errors.
            let spawned = std::thread::Builder::new().name("relay".to_owned()).spawn(run);
            spawned.map_err(ServerError::System)?;
        }
        let handle = Handle(Arc::clone(&backend));
        let mut daemon =
            VhostUserDaemon::new("vhost-user".to_owned(), handle, memory).map_err(ServerError::Daemon)?;
        if let Some(cable) = cable {
            for handler in daemon.get_epoll_handlers() {
                let number = queues as u64 + 1;
                let fd = cable.kick().as_raw_fd();
                handler.register_listener(fd, EventSet::IN, number).map_err(ServerError::System)?;
            }
        }
        let serve = move || {
            let served = daemon.start(&mut listener).and_then(|()| daemon.wait());
            backend.ended.store(true, Ordering::Relaxed);
            for handler in daemon.get_epoll_handlers() {
                handler.send_exit_event();
            }
            match served {
                // QEMU closes the connection without a message when it ends.
                Err(DaemonError::HandleRequest(
                    ProtocolError::Disconnected | ProtocolError::PartialMessage,
                )) => Ok(()),
                served => served,
            }
        };
        let thread = std::thread::Builder::new().name("vhost-user".to_owned()).spawn(serve);
        Ok(Self { path: path.to_path_buf(), ledger, thread: Some(thread.map_err(ServerError::System)?) })
    }

    /// The account so far.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Waits for a connection and for its end.
    ///
    /// # Errors
    /// The protocol was broken.
    pub fn wait(mut self) -> Result<Arc<Ledger>, ServerError> {
        self.join()
    }

    /// Waits for the end of the connection, which ends with QEMU. Ends a server to which nobody has connected.
    ///
    /// # Errors
    /// The protocol was broken.
    pub fn finish(mut self) -> Result<Arc<Ledger>, ServerError> {
        self.release();
        self.join()
    }

    fn join(&mut self) -> Result<Arc<Ledger>, ServerError> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(served)) => served.map_err(ServerError::Daemon)?,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => {}
        }
        Ok(Arc::clone(&self.ledger))
    }

    /// Ends the wait of a server to which QEMU has not connected.
    fn release(&self) {
        drop(UnixStream::connect(&self.path));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.release();
        }
    }
}
