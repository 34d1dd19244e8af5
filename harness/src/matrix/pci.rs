//! Devices behind further host bridges: found, named apart, given what they need, driven.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::cells::{disks, exchange};
use crate::matrix::runner::Test;
use crate::matrix::scene::{Context, Failure, LIMIT, Scene, Shape, seed, verdict};
use crate::session::Finished;
use crate::variable::{Firmware, Net};

/// Bytes of the disk that is read, and of the one that is written.
const BYTES: u64 = (1 << 20) + 512;

/// Where two disks and a card are.
#[derive(Clone, Copy, Debug)]
struct Layout {
    name: &'static str,
    /// As `-device` has them.
    bridges: &'static [&'static str],
    /// The buses of the disks and of the card, as QEMU names them.
    buses: [&'static str; 3],
    /// What the guest has to call them.
    ids: [&'static str; 3],
}

/// The same place behind two host bridges, and a host bridge whose number is not the next one.
const HOST_BRIDGES: Layout = Layout {
    name: "host-bridges",
    bridges: &["spapr-pci-host-bridge,index=1,id=b", "spapr-pci-host-bridge,index=30,id=c"],
    buses: ["pci.0,addr=3", "b.0,addr=3", "c.0,addr=3"],
    ids: ["0000:00:03.0", "0001:00:03.0", "001e:00:03.0"],
};

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for layout in [HOST_BRIDGES] {
        for firmware in Firmware::ALL {
            for secure in [true, false] {
                let mode = if secure { "secure" } else { "normal" };
                let shape = Shape::new(firmware, secure, true);
                let name = format!("pci/{}/{}/{mode}", layout.name, firmware.name());
                tests.push(Test::new(name, move |context| whole_job(context, shape, layout)));
            }
        }
    }
    tests
}

/// Reads a disk, overwrites a disk and answers the network, and holds all three to what the host sees.
fn whole_job(context: &Context, shape: Shape, layout: Layout) -> Result<(), Failure> {
    let mut scene = Scene::new(context, shape)?;
    let seed = seed();
    let data = scene.data_disk(BYTES)?;
    let scratch = scene.scratch_disk(BYTES)?;
    scene.machine.net = Net::User;
    scene.machine.bridges = layout.bridges.iter().map(|bridge| (*bridge).to_owned()).collect();
    scene.machine.buses = layout.buses.iter().map(|bus| (*bus).to_owned()).collect();
    scene.word(&format!("pool=4M run=blk-digest,blk-pattern,net-serve serve=100 seed={seed}"));
    let expected = digest(&data)?;
    let mut session = scene.start()?;
    let mut findings = exchange(&mut session, seed);
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    findings.extend(judge::fact(&finished, "blk0.sha256", &expected));
    findings.extend(judge::fact(&finished, "devices.refused", "0"));
    findings.extend(names(&finished, layout));
    findings.extend(disks(&data, &expected, &scratch, seed));
    if shape.secure {
        findings.extend(judge::exposure(&finished, true));
        findings.extend(judge::fact(&finished, "pages.exposed", "0"));
    }
    verdict(finished, findings)
}

fn names(finished: &Finished, layout: Layout) -> impl Iterator<Item = Finding> {
    ["blk0.device", "blk1.device", "net0.device"]
        .into_iter()
        .zip(layout.ids)
        .filter_map(|(key, id)| judge::fact(finished, key, id))
}
