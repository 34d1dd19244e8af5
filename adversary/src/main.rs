//! `postern-adversary`: one vhost-user device for a QEMU that somebody else starts, honest or not.

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

/// There was no server, or QEMU broke the protocol.
const FAILED: u8 = 125;

/// A virtio device that lies, for any guest: a vhost-user server for one QEMU.
///
/// It sees all memory that QEMU gives it. One that refuses what a secure guest did not share has to ask an ultravisor:
/// `postern-ultravisor run --devices refusing`. The exit status is 0 when QEMU has ended, 125 when it was not served, and 2
/// for a wrong option. QEMU needs memory with share=on.
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
        /// The disk's bytes.
        #[arg(long, value_name = "FILE")]
        image: PathBuf,
        /// Lets the guest write to the file.
        #[arg(long)]
        write: bool,
        /// The disk's identifier, 20 bytes at most.
        #[arg(long, default_value = "postern")]
        serial: String,
    },
    /// A network card: -chardev socket,id=c,path=SOCKET -netdev vhost-user,id=n,chardev=c -device
    /// virtio-net-pci,netdev=n,vectors=0
    Net {
        #[command(flatten)]
        common: Common,
        /// Our end of a wire to QEMU's -netdev dgram. Without it nothing is at the card's other end.
        #[arg(long, value_name = "SOCKET", requires = "remote")]
        local: Option<PathBuf>,
        /// QEMU's end.
        #[arg(long, value_name = "SOCKET", requires = "local")]
        remote: Option<PathBuf>,
    },
    /// Names all lies.
    Lies,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The socket that QEMU connects to.
    #[arg(long, value_name = "SOCKET")]
    socket: PathBuf,
    /// What the device does although it must not; `postern-adversary lies` names them.
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
