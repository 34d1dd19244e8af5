use super::*;
use crate::gate::{Gate, Open};
use crate::ledger::{Ledger, Part};
use crate::memory::Guarded;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Where QEMU has the guest's memory.
const QEMU: u64 = 0x7f00_0000_0000;

fn words(request: u32, words: &[u64]) -> Message {
    let payload: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    Message::new(request, VERSION | NEED_REPLY, &payload)
}

fn translation(kind: u8, iova: u64, size: u64, guest: u64, permission: u8) -> Message {
    words(IOTLB_MSG, &[iova, size, QEMU + guest, u64::from(permission) | u64::from(kind) << 8])
}

/// A device that has started, with 32 KiB of memory, and QEMU's end of its channel.
fn started() -> (Arc<Iotlb>, UnixStream) {
    let iotlb = Arc::<Iotlb>::default();
    let (qemu, channel) = UnixStream::pair().unwrap();
    let mut handed = words(SET_BACKEND_REQ_FD, &[]);
    handed.descriptors.push(channel.into());
    assert!(iotlb.takes(&mut handed).unwrap());
    assert!(!iotlb.takes(&mut words(SET_FEATURES, &[F_ACCESS_PLATFORM])).unwrap());
    assert!(!iotlb.takes(&mut words(SET_MEM_TABLE, &[1, 0, 0x8000, QEMU, 0])).unwrap());
    (iotlb, qemu)
}

/// Answers one miss as QEMU does, and returns what was asked for: address and permission.
fn answer(iotlb: &Arc<Iotlb>, qemu: &UnixStream, with: Option<Message>) -> (u64, u8) {
    let miss = Message::receive(qemu).unwrap().expect("a miss");
    assert_eq!((miss.request(), miss.payload()[25]), (BACKEND_IOTLB_MSG, MISS));
    if let Some(mut with) = with {
        assert!(iotlb.takes(&mut with).unwrap());
    }
    miss.done().send(qemu).unwrap();
    (miss.doubleword(0).unwrap(), miss.payload()[24])
}

#[test]
fn qemu_is_asked_once_for_a_page_and_again_when_it_was_withdrawn() {
    let (iotlb, qemu) = started();
    for _ in 0..2 {
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| iotlb.translate(0x1_0010, false));
            let page = translation(UPDATE, 0x1_0000, 0x1000, 0x3000, READ);
            assert_eq!(answer(&iotlb, &qemu, Some(page)), (0x1_0010, READ));
            assert_eq!(asked.join().unwrap(), Reach::Memory(0x3010, 0xff0));
        });
        // No question: nobody would answer.
        assert_eq!(iotlb.translate(0x1_0fff, false), Reach::Memory(0x3fff, 1));
        assert!(iotlb.takes(&mut translation(INVALIDATE, 0x1_0800, 1, 0, 0)).unwrap());
    }
}

#[test]
fn an_address_without_a_translation_in_that_direction_leads_nowhere() {
    let (iotlb, qemu) = started();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| iotlb.translate(0x1_0000, true));
        let readable = translation(UPDATE, 0x1_0000, 0x1000, 0x3000, READ);
        assert_eq!(answer(&iotlb, &qemu, Some(readable)), (0x1_0000, WRITE));
        assert_eq!(asked.join().unwrap(), Reach::Nowhere);
        let asked = scope.spawn(|| iotlb.translate(0x9_0000, false));
        answer(&iotlb, &qemu, None);
        assert_eq!(asked.join().unwrap(), Reach::Nowhere);
    });
}

#[test]
fn a_device_that_starts_anew_forgets_its_translations() {
    let (iotlb, qemu) = started();
    assert!(iotlb.takes(&mut translation(UPDATE, 0, 0x1000, 0, READ | WRITE)).unwrap());
    assert_eq!(iotlb.translate(0, true), Reach::Memory(0, 0x1000));
    iotlb.takes(&mut words(SET_FEATURES, &[F_ACCESS_PLATFORM])).unwrap();
    drop(qemu);
    assert_eq!(iotlb.translate(0, true), Reach::Nowhere);
}

#[test]
fn a_miss_is_given_up_while_qemu_waits_for_the_server() {
    let (iotlb, qemu) = started();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| iotlb.translate(0x1_0000, false));
        let miss = Message::receive(&qemu).unwrap().expect("a miss");
        iotlb.server_is_asked(&words(GET_VRING_BASE, &[0]));
        assert_eq!(asked.join().unwrap(), Reach::Later);
        // A new one is not even sent.
        assert_eq!(iotlb.translate(0x2_0000, false), Reach::Later);
        // After the server's answer QEMU can be asked again. It answers the old question first.
        iotlb.server_answered();
        let asked = scope.spawn(|| iotlb.translate(0x1_0000, false));
        miss.done().send(&qemu).unwrap();
        let page = translation(UPDATE, 0x1_0000, 0x1000, 0x3000, READ);
        assert_eq!(answer(&iotlb, &qemu, Some(page)), (0x1_0000, READ));
        assert_eq!(asked.join().unwrap(), Reach::Memory(0x3000, 0x1000));
    });
}

#[test]
fn rings_keep_their_io_addresses_and_the_server_gets_addresses_that_exist() {
    let (iotlb, _qemu) = started();
    let mut message = words(SET_VRING_ADDR, &[1, 0x10_0000, 0x12_0000, 0x11_0000, 0]);
    assert!(!iotlb.takes(&mut message).unwrap());
    let (descriptors, available, used) = (0x10_0000, 0x11_0000, 0x12_0000);
    assert_eq!(iotlb.rings(1), Some(Rings { descriptors, available, used, set: 1 }));
    assert_eq!((1..=3).map(|at| message.doubleword(at)).collect::<Vec<_>>(), [Some(QEMU); 3]);
    iotlb.takes(&mut words(SET_FEATURES, &[0])).unwrap();
    assert_eq!((iotlb.rings(1), iotlb.is_active()), (None, false));
}

#[test]
fn a_message_that_is_too_short_is_an_error() {
    let (iotlb, _qemu) = started();
    for (request, given) in [(IOTLB_MSG, 3), (SET_VRING_ADDR, 3), (SET_MEM_TABLE, 3), (SET_FEATURES, 0)] {
        assert!(iotlb.takes(&mut words(request, &[1; 8][..given])).is_err(), "{request}");
    }
    assert!(iotlb.takes(&mut words(SET_BACKEND_REQ_FD, &[])).is_err());
}

/// Two pages of I/O addresses that follow each other, and do not in memory.
fn mapped(iotlb: &Arc<Iotlb>) -> GuestMemoryMmap {
    for (iova, guest) in [(0x10_0000, 0x5000), (0x10_1000, 0x2000)] {
        assert!(iotlb.takes(&mut translation(UPDATE, iova, 0x1000, guest, READ | WRITE)).unwrap());
    }
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x8000)]).unwrap()
}

const PART: Part = Part::Data { head: 0, descriptor: 0 };

#[test]
fn an_access_over_two_pages_reaches_both() {
    let (iotlb, _qemu) = started();
    let (memory, ledger) = (mapped(&iotlb), Ledger::default());
    let view = Guarded::new(&memory, &Open, &ledger, 0).translated(Some(&iotlb));
    view.write(0x10_0ffe, b"abcd", PART);
    let mut seen = [0; 2];
    memory.read_slice(&mut seen, GuestAddress(0x5ffe)).unwrap();
    assert_eq!(&seen, b"ab");
    memory.read_slice(&mut seen, GuestAddress(0x2000)).unwrap();
    assert_eq!(&seen, b"cd");
    assert_eq!(view.take(0x10_0ffe, 4, PART), b"abcd");
    assert_eq!((ledger.accesses(), ledger.refused()), (2, 0));
}

#[test]
fn what_an_io_address_leads_to_is_what_the_gate_judges() {
    /// Refuses the page at 0x2000.
    struct Second;
    impl Gate for Second {
        fn allows(&self, address: u64, length: u64) -> bool {
            address + length <= 0x2000 || address >= 0x3000
        }
    }
    let (iotlb, _qemu) = started();
    let (memory, ledger) = (mapped(&iotlb), Ledger::default());
    let view = Guarded::new(&memory, &Second, &ledger, 0).translated(Some(&iotlb));
    view.write(0x10_0ffe, b"ab", PART);
    view.write(0x10_0ffe, b"cdef", PART);
    view.store(0x10_1000, 1, Part::Used);
    let mut seen = [0; 2];
    memory.read_slice(&mut seen, GuestAddress(0x5ffe)).unwrap();
    assert_eq!(&seen, b"ab", "an access is refused as a whole");
    let refused: Vec<_> =
        ledger.refusals().iter().map(|refusal| (refusal.address, refusal.unmapped)).collect();
    assert_eq!((ledger.accesses(), refused), (1, vec![(0x2000, false); 2]));
}

#[test]
fn what_leads_nowhere_is_refused_by_its_io_address() {
    let (iotlb, qemu) = started();
    let (memory, ledger) = (mapped(&iotlb), Ledger::default());
    drop(qemu);
    let view = Guarded::new(&memory, &Open, &ledger, 2).translated(Some(&iotlb));
    assert_eq!(view.load(0x77_0000, Part::Available), 0);
    let said = ledger.refusals()[0].to_string();
    assert_eq!(said, "queue 2: read of I/O address 0x770000+0x2 refused, the available ring");
}

#[test]
fn an_interrupted_device_reads_and_writes_nothing_and_is_not_blamed() {
    let (iotlb, _qemu) = started();
    let (memory, ledger) = (mapped(&iotlb), Ledger::default());
    let view = Guarded::new(&memory, &Open, &ledger, 0).translated(Some(&iotlb));
    iotlb.server_is_asked(&words(GET_VRING_BASE, &[0]));
    view.store(0x10_0000, 1, Part::Used);
    assert!(!view.interrupted(), "what is known needs no question");
    view.store(0x77_0000, 1, Part::Used);
    assert!(view.interrupted());
    view.store(0x10_0000, 2, Part::Used);
    assert_eq!(memory.read_obj::<u16>(GuestAddress(0x5000)).unwrap(), 1);
    assert_eq!((ledger.accesses(), ledger.refused()), (1, 0));
}
