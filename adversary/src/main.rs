//! `postern-adversary`: a vhost-user device, correct or hostile, for a QEMU that the user starts.

use clap::{Parser, Subcommand};
use postern_adversary::blk::Blk;
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
    /// A disk: -chardev socket,id=c,path=SOCKET -device vhost-user-blk-pci,chardev=c,num-queues=1
    Blk {
        #[command(flatten)]
        common: Common,
        /// File with the disk's content.
        #[arg(long, value_name = "FILE")]
        image: PathBuf,
        /// Lets the guest write to the file.
        #[arg(long)]
        write: bool,
        /// The disk's serial number, at most 20 bytes.
        #[arg(long, default_value = "postern")]
        serial: String,
    },
    /// A network card: -chardev socket,id=c,path=SOCKET -netdev vhost-user,id=n,chardev=c -device
    /// virtio-net-pci,netdev=n,vectors=0
    Net {
        #[command(flatten)]
        common: Common,
        /// This end of a connection to QEMU's -netdev dgram. Without it the card is not connected.
        #[arg(long, value_name = "SOCKET", requires = "remote")]
        local: Option<PathBuf>,
        /// QEMU's end of the connection.
        #[arg(long, value_name = "SOCKET", requires = "local")]
        remote: Option<PathBuf>,
    },
    /// Lists all protocol violations.
    Lies,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The socket that QEMU connects to.
    #[arg(long, value_name = "SOCKET")]
    socket: PathBuf,
    /// Protocol violation that the device commits; `postern-adversary lies` lists them.
    #[arg(long, value_name = "NAME", value_parser = lie)]
    lie: Option<ProtocolViolation>,
}

fn lie(name: &str) -> Result<ProtocolViolation, String> {
    name.parse().map_err(|error: postern_adversary::violation::UnknownLie| error.to_string())
}

fn main() -> ExitCode {
    let served = match Arguments::parse().device {
        Kind::Blk { common, image, write, serial } => disk(&common, &image, write, &serial),
        Kind::Net { common, local, remote } => card(&common, local.zip(remote)),
        Kind::Lies => {
            for lie in ProtocolViolation::ALL {
                println!("{:14} {}", lie.name(), lie.told().text);
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
    serve(common, Blk::open(image, serial, write, common.lie).map_err(ServerError::System)?)
}

fn card(common: &Common, wire: Option<(PathBuf, PathBuf)>) -> Result<(), ServerError> {
    let cable = Cable::new().map_err(ServerError::System)?;
    let wire = wire.map(|(local, remote)| Wire::start(Arc::clone(&cable), &local, remote)).transpose();
    let _wire = wire.map_err(ServerError::System)?;
    serve(common, Net::new(cable, common.lie))
}

fn serve<D: Device>(common: &Common, device: D) -> Result<(), ServerError> {
    let ledger = Server::start(&common.socket, device, Arc::new(Open))?.wait()?;
    println!("{} requests, {} accesses, {} bytes", ledger.requests(), ledger.accesses(), ledger.bytes());
    if let Some(lie) = common.lie {
        println!("{}: {}", lie.name(), ledger.after_lie());
    }
    Ok(())
}
