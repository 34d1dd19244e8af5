//! Properties of the pool.

use super::{Pool, Slot};
use crate::dma::DeviceId;
use std::vec::Vec;

#[test]
fn an_allocation_takes_as_many_steps_in_a_full_pool_as_in_an_empty_one() {
    let mut pool = Pool::new(512);
    let account = pool.register(DeviceId(8), 512);
    let mut held: Vec<Slot> = Vec::new();
    let mut most = 0;
    loop {
        let before = pool.steps();
        let Ok(slot) = pool.allocate(account, 4096) else { break };
        most = most.max(pool.steps() - before);
        held.push(slot);
    }
    assert_eq!(held.len(), 512 * 16);
    assert!(most <= 4, "{most} list operations for one slot");
    for slot in held {
        let before = pool.steps();
        assert!(pool.free(slot));
        assert!(pool.steps() - before <= 4);
    }
    assert_eq!(pool.statistics().frames_free, 512);
}
