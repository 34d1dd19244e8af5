//! `postern-adversary`: a vhost-user device, correct or hostile, for a QEMU that the user starts.

use clap::{Parser, Subcommand};
use postern_adversary::blk::{Blk, ID_BYTES};
use postern_adversary::cable::Cable;
use postern_adversary::gate::Open;
use postern_adversary::net::Net;
use postern_adversary::server::{Device, Server, ServerError};
use postern_adversary::violation::ProtocolViolation;
use postern_adversary::wire::Wire;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The server could not start, or QEMU violated the protocol.
const FAILED: u8 = 125;

/// A virtio device that violates the protocol, for any guest: a vhost-user server for one QEMU.
///
/// It can access all memory that QEMU gives it. For a device that accesses only the memory that a secure guest has shared
/// use `postern-ultravisor run --devices refusing`. Exit statuses: 0: QEMU has ended; 125: QEMU was not served; 2: a wrong
/// option. QEMU needs memory with share=on.
#[derive(Debug, Parser)]
#[command(name = "postern-adversary", version)]
struct Arguments {
    #[command(subcommand)]
    device: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// A disk. QEMU's options: -chardev socket,id=c,path=SOCKET -device vhost-user-blk-pci,chardev=c,num-queues=1
    Blk {
        #[command(flatten)]
        common: Common,
        /// File with the disk's content.
        #[arg(long, value_name = "FILE")]
        image: PathBuf,
        /// Lets the guest write to the file. Without it each write fails with VIRTIO_BLK_S_IOERR.
        #[arg(long)]
        write: bool,
        /// The disk's serial number, at most 20 bytes.
        #[arg(long, default_value = "postern", value_parser = serial)]
        serial: String,
    },
    /// A network card. QEMU's options: -chardev socket,id=c,path=SOCKET -netdev vhost-user,id=n,chardev=c -device
    /// virtio-net-pci,netdev=n,vectors=0
    Net {
        #[command(flatten)]
        common: Common,
        /// The socket that frames to the guest come to: the remote.path of QEMU's -netdev dgram. Without it nothing is at the
        /// card's other end.
        #[arg(long, value_name = "SOCKET", requires = "remote")]
        local: Option<PathBuf>,
        /// The socket that the guest's frames are sent to: the local.path of QEMU's -netdev dgram.
        #[arg(long, value_name = "SOCKET", requires = "local")]
        remote: Option<PathBuf>,
    },
    /// Lists all protocol violations.
    Lies,
}

impl Kind {
    /// The protocol violation, if this kind of device cannot commit it.
    fn unsuitable(&self) -> Option<ProtocolViolation> {
        match self {
            Self::Blk { common, .. } => common.violation.filter(|violation| !violation.is_for_disks()),
            Self::Net { common, .. } => common.violation.filter(|violation| !violation.is_for_cards()),
            Self::Lies => None,
        }
    }
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The socket that QEMU connects to.
    #[arg(long, value_name = "SOCKET")]
    socket: PathBuf,
    /// Protocol violation that the device commits; `postern-adversary lies` lists them.
    #[arg(long = "lie", value_name = "NAME", value_parser = violation)]
    violation: Option<ProtocolViolation>,
    /// Offers VIRTIO_F_ACCESS_PLATFORM, for a QEMU -device with iommu_platform=on: QEMU translates the addresses that the driver
    /// gives. Without it the device takes guest physical addresses, and QEMU refuses iommu_platform=on.
    #[arg(long)]
    iommu_platform: bool,
}

fn violation(name: &str) -> Result<ProtocolViolation, String> {
    name.parse().map_err(|error: postern_adversary::violation::UnknownViolation| error.to_string())
}

/// An identifier that a disk can have.
fn serial(text: &str) -> Result<String, String> {
    let length = text.len();
    if length <= ID_BYTES {
        Ok(text.to_owned())
    } else {
        Err(format!("{length} bytes instead of {ID_BYTES} at most"))
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(violation) = arguments.device.unsuitable() {
        eprintln!("postern-adversary: --lie {}: this kind of device cannot commit it", violation.name());
        return ExitCode::from(2);
    }
    let served = match arguments.device {
        Kind::Blk { common, image, write, serial } => disk(&common, &image, write, &serial),
        Kind::Net { common, local, remote } => card(&common, local.zip(remote)),
        Kind::Lies => {
            for violation in ProtocolViolation::ALL {
                println!("{:14} {}", violation.name(), violation.description().text);
            }
            Ok(())
        }
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("postern-adversary: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn disk(common: &Common, image: &Path, write: bool, serial: &str) -> Result<(), ServerError> {
    serve(common, Blk::open(image, serial, write, common.violation).map_err(ServerError::System)?)
}

fn card(common: &Common, wire: Option<(PathBuf, PathBuf)>) -> Result<(), ServerError> {
    let cable = Cable::new().map_err(ServerError::System)?;
    let wire = wire.map(|(local, remote)| Wire::start(Arc::clone(&cable), &local, remote)).transpose();
    let _wire = wire.map_err(ServerError::System)?;
    serve(common, Net::new(cable, common.violation))
}

fn serve<D: Device>(common: &Common, device: D) -> Result<(), ServerError> {
    let start = if common.iommu_platform { Server::start_behind_iommu } else { Server::start };
    let ledger = start(&common.socket, device, Arc::new(Open))?.wait()?;
    println!("{} requests, {} accesses, {} bytes", ledger.requests(), ledger.accesses(), ledger.bytes());
    if let Some(violation) = common.violation {
        println!("{}: {}", violation.name(), ledger.reaction());
    }
    Ok(())
}
