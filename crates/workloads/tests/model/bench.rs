//! Measured work: that it is done as asked, and that wrong answers are found.

use postern_core::disk::pattern::Pattern;
use testkit::blk_model::{Config, Rig};
use testkit::model::Combination;
use workloads::bench::{BenchError, Content, content, run};
use workloads::work::Work;

const PATTERN: Pattern = Pattern { seed: 3 };

fn work(text: &str) -> Work {
    Work::parse(text).unwrap()
}

fn pattern_disk(combination: Combination) -> Rig {
    let rig = Rig::new(combination, Config::sectors(512));
    PATTERN.fill(0, &mut rig.disk().bytes);
    rig
}

#[test]
fn work_keeps_its_depth_and_counts_what_it_did() {
    for combination in Combination::ALL {
        let rig = pattern_disk(combination);
        rig.disk().shuffle = true;
        let mut blk = rig.start();
        let content = content(&mut blk, PATTERN).unwrap();
        assert_eq!(content, Content::Pattern(PATTERN));
        for text in ["read:4096:8:random:1", "write:4096:8:random:1", "read:16384:3:seq:1"] {
            let work = work(text);
            let measured = run(&mut blk, work, content).unwrap();
            assert!(measured.requests >= work.depth.into(), "{combination:?} {text}: {measured:?}");
            assert_eq!(measured.depth, usize::from(work.depth), "{combination:?} {text}");
            assert!(measured.idle <= measured.ticks);
        }
        let mut expected = std::vec![0; 512 * 512];
        PATTERN.fill(0, &mut expected);
        assert_eq!(rig.disk().bytes, expected, "writes changed nothing");
    }
}

#[test]
fn a_wrong_answer_is_found() {
    let rig = pattern_disk(Combination::ALL[0]);
    let mut blk = rig.start();
    let content = content(&mut blk, PATTERN).unwrap();
    rig.disk().corrupt_from = Some(8);
    assert!(matches!(
        run(&mut blk, work("read:4096:2:seq:100"), content),
        Err(BenchError::Mismatch(offset)) if offset >= 4096
    ));
}

#[test]
fn a_disk_smaller_than_a_request_is_refused() {
    let rig = pattern_disk(Combination::ALL[0]);
    let mut blk = rig.start();
    assert_eq!(run(&mut blk, work("read:1048576:1:seq:1"), Content::Zeros), Err(BenchError::TooSmall));
}

#[test]
fn more_depth_than_the_queue_has_is_cut() {
    let rig = pattern_disk(Combination::ALL[0]);
    let mut blk = rig.start();
    let measured = run(&mut blk, work("read:512:256:random:1"), Content::Pattern(PATTERN)).unwrap();
    assert!((2..256).contains(&measured.depth), "{}", measured.depth);
}
