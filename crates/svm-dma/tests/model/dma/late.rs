//! Devices that write after their request was given up.

use super::*;

#[test]
fn a_write_that_comes_after_the_request_was_given_up_reaches_no_later_request() {
    case!("RNG-20", Quarantine);
    for combination in Combination::ALL {
        let model = combination.model();
        let dma = model.dma(combination.access_platform);
        let device = model.device(combination.access_platform);
        let mapping = dma.map_from_device(vec![0; 4096]).unwrap();
        let late = mapping.segments()[0].bus;
        dma.quarantine(mapping);

        let next = dma.map_from_device(vec![0; 4096]).unwrap();
        assert_ne!(next.segments()[0].bus, late, "{combination:?}");
        let _ = device.write(late.raw(), &[0xbd; 4096]);
        device.write(next.segments()[0].bus.raw(), &[0x11; 4096]).unwrap();
        assert_eq!(dma.finished(next, 4096), vec![0x11; 4096], "{combination:?}");

        dma.reset_confirmed();
        assert!(pool_is_zero(&model), "what came back from quarantine was cleared");
        let mut held = vec![];
        for _ in 0..16 {
            held.push(dma.map_from_device(vec![0; 4096]).unwrap());
        }
        if combination.secure {
            assert!(held.iter().any(|mapping| mapping.segments()[0].bus == late), "{combination:?}");
        }
        held.into_iter().for_each(|mapping| drop(dma.unmapped(mapping)));
    }
}

#[test]
fn giving_up_a_request_closes_its_translation_at_once_where_there_is_one() {
    let model = Model::new(false);
    let dma = model.dma(true);
    let device = model.device(true);
    let mapping = dma.map_from_device(vec![0; 4096]).unwrap();
    let late = mapping.segments()[0].bus.raw();
    dma.quarantine(mapping);
    assert_eq!(device.write(late, &[1]), Err(Refused::NotMapped(late)));
    assert_eq!(model.tces(Model::LIOBN), []);
}

#[test]
fn coherent_memory_of_a_device_that_was_not_reset_stays_out_of_use_until_it_is() {
    for combination in Combination::ALL {
        let model = combination.model();
        let dma = model.dma(combination.access_platform);
        let coherent = dma.coherent(FRAME_SIZE).unwrap();
        let at = coherent.memory().gpa();
        dma.quarantine_coherent(coherent);
        let other = dma.coherent(FRAME_SIZE).unwrap();
        assert_ne!(other.memory().gpa(), at);
        dma.released(other);
        assert_eq!(model.pieces_allocated(), usize::from(!combination.secure));
        dma.reset_confirmed();
        assert_eq!(model.pieces_allocated(), 0);
        let again = dma.coherent(FRAME_SIZE).unwrap();
        assert_eq!(again.memory().gpa(), at);
        dma.released(again);
    }
}
