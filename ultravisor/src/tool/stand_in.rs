//! Replaces the virtio disks and cards of a QEMU command line by the adversary's servers.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::qemu::{Refused, shown};
use postern_adversary::violation::ProtocolViolation;

/// Options of a device that are kept.
const KEPT: [&str; 10] = [
    "id",
    "bus",
    "addr",
    "mac",
    "bootindex",
    "romfile",
    "multifunction",
    "disable-legacy",
    "disable-modern",
    "iommu_platform",
];
/// First bytes of a qcow2 file.
const QCOW2: [u8; 4] = *b"QFI\xfb";

/// What a server has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A disk.
    Disk {
        /// Its bytes.
        image: PathBuf,
        /// What identifies it.
        serial: String,
        /// Whether the guest may write.
        write: bool,
        /// Whether what it writes is lost at the end.
        snapshot: bool,
    },
    /// A card.
    Card {
        /// Our end of the wire to QEMU's network.
        local: PathBuf,
        /// QEMU's end.
        remote: PathBuf,
    },
}

impl Kind {
    /// Whether a device of this kind can commit a violation.
    #[must_use]
    pub fn can_commit(&self, violation: ProtocolViolation) -> bool {
        match self {
            Self::Disk { .. } => violation.is_for_disks(),
            Self::Card { .. } => violation.is_for_cards(),
        }
    }
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// Its name here: blk0, net0.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Whether it is behind QEMU's I/O memory management unit.
    pub iommu: bool,
    /// The socket of its server.
    pub socket: PathBuf,
    /// What stood in the command line.
    pub replaced: String,
    /// What stands there now.
    pub by: String,
}

/// A command line, and the servers that it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The words.
    pub words: Vec<OsString>,
    /// The servers.
    pub devices: Vec<StandIn>,
}

/// Options by name; a comma in a value is doubled.
fn options(value: &str) -> Vec<(String, String)> {
    let value = value.replace(",,", "\0");
    let one = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, "on"));
        (name.replace('\0', ","), value.replace('\0', ","))
    };
    value.split(',').map(one).collect()
}

fn option<'a>(options: &'a [(String, String)], name: &str) -> Option<&'a str> {
    options.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn doubled(text: &str) -> String {
    text.replace(',', ",,")
}

impl Plan {
    /// Whether one of the devices can commit a violation.
    ///
    /// # Errors
    /// [`Refused::Violation`]: none can.
    pub fn check(&self, violation: ProtocolViolation) -> Result<(), Refused> {
        let able = self.devices.iter().any(|device| device.kind.can_commit(violation));
        if able { Ok(()) } else { Err(Refused::Violation(violation)) }
    }

    /// Replaces the virtio devices of a command line by servers with sockets in `dir`.
    ///
    /// # Errors
    /// [`Refused`]: a virtio device that no server can replace.
    pub fn read(words: &[OsString], dir: &Path) -> Result<Self, Refused> {
        let pairs = pairs(words);
        let mut plan = Self::default();
        let mut used = Vec::new();
        let (mut disks, mut cards) = (0, 0);
        for (index, (word, value)) in pairs.iter().enumerate() {
            let Some(text) = value.as_ref().map(|value| value.to_string_lossy().into_owned()) else {
                continue;
            };
            let given = options(&text);
            match word.as_str() {
                "drive" if option(&given, "if") == Some("virtio") => {
                    return Err(Refused::Option(
                        "-drive if=virtio".to_owned(),
                        "a stand-in needs -drive if=none,id=D and -device virtio-blk-pci,drive=D",
                    ));
                }
                "device" if text.starts_with("virtio-blk-pci") => {
                    let drive = option(&given, "drive").unwrap_or_default();
                    let drives = pairs.iter().enumerate().filter(|(_, (word, _))| word == "drive");
                    let found = drives
                        .filter_map(|(at, (_, value))| {
                            Some((at, options(&value.as_ref()?.to_string_lossy())))
                        })
                        .find(|(_, options)| option(options, "id") == Some(drive));
                    let no_drive = "a stand-in needs its -drive if=none,id=...,file=...";
                    let (at, drive) = found.ok_or_else(|| Refused::Device(text.clone(), no_drive))?;
                    let device = disk(disks, &given, &drive, dir)?;
                    used.push((at, None));
                    used.push((index, Some(plan.devices.len())));
                    let replaced = [&pairs[at], &pairs[index]].map(|(word, value)| {
                        let value = value
                            .as_ref()
                            .map_or_else(String::new, |value| shown(std::slice::from_ref(value)));
                        format!("-{word} {value}")
                    });
                    plan.devices.push(StandIn { replaced: replaced.join(" "), ..device });
                    disks += 1;
                }
                "device" if text.starts_with("virtio-net-pci") => {
                    let device = card(cards, &text, &given, dir)?;
                    used.push((index, Some(plan.devices.len())));
                    plan.devices.push(device);
                    cards += 1;
                }
                "device" if text.starts_with("virtio-") => {
                    let name = text.split(',').next().unwrap_or_default().to_owned();
                    return Err(Refused::Device(name, "no server can stand in for it"));
                }
                _ => {}
            }
        }
        for (index, (word, value)) in pairs.into_iter().enumerate() {
            match used.iter().find(|(at, _)| *at == index) {
                Some((_, Some(device))) => {
                    plan.words.extend(plan.devices[*device].by.split(' ').map(OsString::from));
                }
                Some((_, None)) => {}
                None => {
                    let dash = if word.starts_with('\0') { "" } else { "-" };
                    plan.words.push(format!("{dash}{}", word.trim_start_matches('\0')).into());
                    plan.words.extend(value);
                }
            }
        }
        Ok(plan)
    }
}

/// Options with their values; a word that is none begins with a zero byte.
fn pairs(words: &[OsString]) -> Vec<(String, Option<OsString>)> {
    let mut rest = words.iter();
    let mut pairs = Vec::new();
    while let Some(word) = rest.next() {
        let text = word.to_string_lossy().into_owned();
        match text.strip_prefix('-').map(|option| option.strip_prefix('-').unwrap_or(option)) {
            Some(option) if ["drive", "device", "append", "name"].contains(&option) => {
                pairs.push((option.to_owned(), rest.next().cloned()));
            }
            _ => pairs.push((format!("\0{text}"), None)),
        }
    }
    pairs
}

fn has_iommu(given: &[(String, String)]) -> bool {
    matches!(option(given, "iommu_platform"), Some("on" | "true" | "yes" | "y"))
}

fn kept(given: &[(String, String)]) -> String {
    let kept = given.iter().skip(1).filter(|(name, _)| KEPT.contains(&name.as_str()));
    kept.map(|(name, value)| format!(",{name}={}", doubled(value))).collect()
}

fn disk(
    number: usize,
    given: &[(String, String)],
    drive: &[(String, String)],
    dir: &Path,
) -> Result<StandIn, Refused> {
    let file = option(drive, "file").unwrap_or_default().to_owned();
    let refuse = |why| Refused::Option(format!("-drive file={file}"), why);
    let mut head = [0; 4];
    let begins = std::fs::File::open(&file).and_then(|mut file| file.read_exact(&mut head));
    let raw = matches!(option(drive, "format"), None | Some("raw"));
    if !raw || begins.is_ok() && head == QCOW2 {
        return Err(refuse("a stand-in serves raw images alone"));
    }
    let (name, socket) = (format!("blk{number}"), dir.join(format!("blk{number}")));
    let by = format!(
        "-chardev socket,id=postern-{name},path={} -device vhost-user-blk-pci,chardev=postern-{name},num-queues=1{}",
        doubled(&socket.to_string_lossy()),
        kept(given)
    );
    let kind = Kind::Disk {
        image: file.into(),
        serial: option(given, "serial").unwrap_or_default().to_owned(),
        write: !matches!(option(drive, "readonly"), Some("on" | "true")),
        snapshot: matches!(option(drive, "snapshot"), Some("on" | "true")),
    };
    Ok(StandIn { name, kind, iommu: has_iommu(given), socket, replaced: String::new(), by })
}

fn card(number: usize, text: &str, given: &[(String, String)], dir: &Path) -> Result<StandIn, Refused> {
    let no_netdev = "a stand-in needs its -netdev";
    let netdev = option(given, "netdev").ok_or_else(|| Refused::Device(text.to_owned(), no_netdev))?;
    let name = format!("net{number}");
    let path = |what: &str| dir.join(format!("{name}{what}"));
    let (socket, local, remote) = (path(""), path(".ours"), path(".qemu"));
    let end = |path: &Path| doubled(&path.to_string_lossy());
    // A hub joins the network that the card had with the wire to its server.
    let by = format!(
        "-chardev socket,id=postern-{name},path={} -netdev vhost-user,id=postern-{name},chardev=postern-{name} \
         -netdev dgram,id=postern-wire{number},local.type=unix,local.path={},remote.type=unix,remote.path={} \
         -netdev hubport,id=postern-hub{number}a,hubid={hub},netdev={netdev} \
         -netdev hubport,id=postern-hub{number}b,hubid={hub},netdev=postern-wire{number} \
         -device virtio-net-pci,netdev=postern-{name},vectors=0{}",
        end(&socket),
        end(&remote),
        end(&local),
        kept(given),
        hub = 7000 + number,
    );
    let replaced = format!("-device {text}");
    let (kind, iommu) = (Kind::Card { local, remote }, has_iommu(given));
    Ok(StandIn { name, kind, iommu, socket, replaced, by })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &str) -> Result<Plan, Refused> {
        Plan::read(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>(), "/d".as_ref())
    }

    #[test]
    fn a_disk_and_a_card_become_servers_and_all_else_stays() {
        let line = "qemu -m 1G -drive if=none,id=d,file=disk,,1,format=raw -append -device -device \
                    virtio-blk-pci,drive=d,serial=s,iommu_platform=on,disable-legacy=on -netdev user,id=n -device \
                    virtio-net-pci,netdev=n,romfile=,iommu_platform=on -nographic";
        let plan = plan(line).expect("plan");
        assert_eq!(
            shown(&plan.words),
            "qemu -m 1G -append -device -chardev socket,id=postern-blk0,path=/d/blk0 -device \
             vhost-user-blk-pci,chardev=postern-blk0,num-queues=1,iommu_platform=on,disable-legacy=on -netdev user,id=n -chardev \
             socket,id=postern-net0,path=/d/net0 -netdev vhost-user,id=postern-net0,chardev=postern-net0 -netdev \
             dgram,id=postern-wire0,local.type=unix,local.path=/d/net0.qemu,remote.type=unix,remote.path=/d/net0.ours \
             -netdev hubport,id=postern-hub0a,hubid=7000,netdev=n -netdev \
             hubport,id=postern-hub0b,hubid=7000,netdev=postern-wire0 -device \
             virtio-net-pci,netdev=postern-net0,vectors=0,romfile=,iommu_platform=on -nographic"
        );
        let [disk, card] = &plan.devices[..] else { panic!("{plan:?}") };
        let (image, serial) = ("disk,1".into(), "s".to_owned());
        assert_eq!(disk.kind, Kind::Disk { image, serial, write: true, snapshot: false });
        assert!(
            disk.replaced.starts_with("-drive if=none,id=d") && disk.replaced.contains("drive=d,serial=s")
        );
        assert_eq!((card.name.as_str(), card.socket.as_path()), ("net0", Path::new("/d/net0")));
        assert_eq!((disk.iommu, card.iommu), (true, true));
    }

    #[test]
    fn a_device_without_a_server_is_refused_by_name() {
        for (line, named) in [
            ("q -drive if=virtio,file=f", "if=virtio"),
            ("q -device virtio-blk-pci,drive=d", "virtio-blk-pci"),
            ("q -drive id=d,file=f,format=qcow2 -device virtio-blk-pci,drive=d", "raw"),
            ("q -device virtio-scsi-pci", "virtio-scsi-pci"),
            ("q -device virtio-net-pci", "-netdev"),
        ] {
            let refused = plan(line).expect_err(line).to_string();
            assert!(refused.contains(named), "{line}: {refused}");
        }
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), [QCOW2, *b"1234"].concat()).expect("written");
        let line = format!("q -drive id=d,file={} -device virtio-blk-pci,drive=d", file.path().display());
        assert!(plan(&line).is_err());
    }

    #[test]
    fn a_violation_that_no_device_can_commit_is_refused() {
        let disk = plan("q -drive id=d,file=f,format=raw -device virtio-blk-pci,drive=d").expect("plan");
        let [of_a_disk, of_a_card] =
            ["blk-01", "net-02"].map(|name| name.parse::<ProtocolViolation>().expect(name));
        assert_eq!(disk.check(of_a_disk), Ok(()));
        assert_eq!(disk.check(of_a_card), Err(Refused::Violation(of_a_card)));
        assert_eq!(plan("q").expect("plan").check(of_a_disk), Err(Refused::Violation(of_a_disk)));
    }

    #[test]
    fn the_file_of_a_read_only_or_snapshot_disk_does_not_change() {
        let line = "q -drive id=d,file=f,readonly=on,snapshot=on -device virtio-blk-pci,drive=d";
        let kind = plan(line).expect("plan").devices.remove(0).kind;
        assert!(matches!(kind, Kind::Disk { write: false, snapshot: true, .. }));
    }
}
