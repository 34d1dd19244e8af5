//! A machine, and QEMU's command line for it.

use crate::disk::{self, Disk};
use crate::variable::{Cpu, Firmware, Net};
use postern_ultravisor::slof_arguments;
use postern_ultravisor::trace::EVENTS;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Capabilities that TCG does not have, set explicitly so that QEMU does not warn.
const QUIET: &str = "cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off";

/// The access of the ultravisor's process to the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// UNIX socket of QEMU's gdb server; the guest waits there before its first instruction.
    pub gdb: PathBuf,
    /// The file that is guest memory.
    pub memory: PathBuf,
}

/// A guest's machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The program.
    pub qemu: PathBuf,
    /// Firmware.
    pub firmware: Firmware,
    /// Our ROM, for [`Firmware::Bios`].
    pub rom: PathBuf,
    /// The kernel's ELF file.
    pub kernel: PathBuf,
    /// Initial RAM disk.
    pub initrd: Option<PathBuf>,
    /// Kernel command line.
    pub bootargs: String,
    /// vCPU model.
    pub cpu: Cpu,
    /// Number of vCPUs.
    pub smp: u32,
    /// Guest memory in bytes.
    pub memory: u64,
    /// Bytes of each memory node, if there are several or the guest has more memory than the host; their sum is `memory`,
    /// and they are in no file.
    pub nodes: Vec<u64>,
    /// Whether virtio devices offer VIRTIO_F_ACCESS_PLATFORM and reach memory through TCEs.
    pub access_platform: bool,
    /// Whether the host bridge offers further DMA windows beside the default one.
    pub dynamic_windows: bool,
    /// Bytes of the host bridge's default DMA window, if not QEMU's 1 GiB.
    pub dma_window: Option<u64>,
    /// Further host bridges and PCI-to-PCI bridges, as arguments of `-device`; each before the devices behind it.
    pub bridges: Vec<String>,
    /// The bus of each disk, then of the card, if not QEMU's default.
    pub buses: Vec<String>,
    /// virtio-blk devices, in PCI order.
    pub disks: Vec<Disk>,
    /// virtio-net device.
    pub net: Net,
    /// Where QEMU loads the kernel, if not at 4 MiB.
    pub kernel_address: Option<u64>,
    /// The file that is guest memory, when no ultravisor attaches.
    pub memory_file: Option<PathBuf>,
    /// Port on loopback that reaches the guest's port 7 through QEMU's user networking; any free one if not given.
    pub echo_port: Option<u16>,
    /// The same for the status page, port 80.
    pub page_port: Option<u16>,
    /// Whether the machine waits at reset until the monitor starts it.
    pub at_reset: bool,
    /// The attachment of an ultravisor.
    pub attachment: Option<Attachment>,
    /// Whether SLOF is to publish the `/ibm,ultravisor` node.
    pub publish_node: bool,
    /// Log for the TCE trace events and, with an ultravisor, all interrupts.
    pub trace: Option<PathBuf>,
    /// File for the output of a 16550 on a PCI card.
    pub uart: Option<PathBuf>,
    /// UNIX socket of the QMP monitor.
    pub monitor: Option<PathBuf>,
    /// Further arguments.
    pub extra: Vec<String>,
}

impl Machine {
    /// A POWER9 with 512 MiB, no devices, and QEMU's own firmware.
    #[must_use]
    pub fn new(qemu: PathBuf, kernel: PathBuf, rom: PathBuf) -> Self {
        Self {
            qemu,
            firmware: Firmware::Slof,
            rom,
            kernel,
            initrd: None,
            bootargs: String::new(),
            cpu: Cpu::Power9,
            smp: 1,
            memory: 512 << 20,
            nodes: Vec::new(),
            access_platform: false,
            dynamic_windows: true,
            dma_window: None,
            bridges: Vec::new(),
            buses: Vec::new(),
            disks: Vec::new(),
            net: Net::None,
            kernel_address: None,
            memory_file: None,
            echo_port: None,
            page_port: None,
            at_reset: false,
            attachment: None,
            publish_node: false,
            trace: None,
            uart: None,
            monitor: None,
            extra: Vec::new(),
        }
    }

    /// QEMU's arguments. The guest's console is QEMU's standard input and output.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let mut args = Arguments::default();
        let mut machine = format!("pseries,{QUIET}");
        if self.firmware == Firmware::Vof {
            machine.push_str(",x-vof=on");
        }
        if let Some(address) = self.kernel_address {
            machine.push_str(&format!(",kernel-addr={address:#x}"));
        }
        let memory_file = self.attachment.as_ref().map(|attachment| &attachment.memory);
        if let Some(file) = memory_file.or(self.memory_file.as_ref()) {
            machine.push_str(",memory-backend=ram");
            let size = format!("memory-backend-file,id=ram,share=on,size={},mem-path=", self.memory);
            args.with_path("-object", &size, file);
        }
        if let Some(attachment) = &self.attachment {
            args.with_path("-chardev", "socket,id=gdb,server=on,wait=off,path=", &attachment.gdb);
            args.add("-gdb", "chardev:gdb");
        }
        if self.at_reset || self.attachment.is_some() {
            args.flag("-S");
        }
        args.add("-machine", machine).add("-cpu", self.cpu.name());
        args.add("-smp", self.smp.to_string()).add("-m", format!("{}M", self.memory >> 20));
        for (number, bytes) in self.nodes.iter().enumerate() {
            // Not reserved: a guest may have more memory than the host, as long as it does not use it.
            args.add("-object", format!("memory-backend-ram,id=node{number},reserve=off,size={bytes}"));
            args.add("-numa", format!("node,nodeid={number},memdev=node{number}"));
        }
        args.flag("-nodefaults").flag("-nographic").add("-vga", "none");
        args.flag("-no-reboot").add("-action", "panic=exit-failure");
        args.add("-chardev", "stdio,id=console,signal=off").add("-serial", "chardev:console");
        if self.firmware == Firmware::Bios {
            // QEMU searches its own directories for a bare file name.
            args.add("-bios", explicit(&self.rom));
        }
        args.add("-kernel", &self.kernel);
        if let Some(initrd) = &self.initrd {
            args.add("-initrd", initrd);
        }
        if !self.bootargs.is_empty() {
            args.add("-append", &self.bootargs);
        }
        if self.publish_node && self.firmware == Firmware::Slof {
            for argument in slof_arguments() {
                args.flag(&argument);
            }
        }
        if !self.dynamic_windows {
            args.add("-global", "spapr-pci-host-bridge.ddw=off");
        }
        if let Some(bytes) = self.dma_window {
            args.add("-global", format!("spapr-pci-host-bridge.dma_win_size={bytes:#x}"));
        }
        self.devices(&mut args);
        if let Some(trace) = &self.trace {
            args.add("-D", trace);
            for event in EVENTS {
                args.add("-trace", event);
            }
            if self.attachment.is_some() {
                // Every interrupt, including the guest's hypercalls.
                args.add("-d", "int");
            }
        }
        if let Some(monitor) = &self.monitor {
            args.with_path("-chardev", "socket,id=monitor,server=on,wait=off,path=", monitor);
            args.add("-mon", "chardev=monitor,mode=control");
        }
        for argument in &self.extra {
            args.flag(argument);
        }
        args.0
    }

    fn devices(&self, args: &mut Arguments) {
        let virtio =
            format!("disable-legacy=on,iommu_platform={}", if self.access_platform { "on" } else { "off" });
        for bridge in &self.bridges {
            args.add("-device", bridge);
        }
        let bus = |i| self.buses.get(i).map_or(String::new(), |bus| format!(",bus={bus}"));
        for (i, disk) in self.disks.iter().enumerate() {
            let virtio = format!("{virtio}{}", bus(i));
            if let Some(server) = &disk.server {
                args.with_path("-chardev", &format!("socket,id=disk{i},path="), server);
                args.add("-device", format!("vhost-user-blk-pci,chardev=disk{i},num-queues=1,{virtio}"));
                continue;
            }
            let format = if disk::is_qcow2(&disk.image).unwrap_or(false) { "qcow2" } else { "raw" };
            let snapshot = if disk.write { "off" } else { "on" };
            let read_only = if disk.read_only { "on" } else { "off" };
            let unmap = if disk.unmap { "discard=unmap," } else { "" };
            let drive = format!(
                "if=none,id=disk{i},format={format},snapshot={snapshot},readonly={read_only},{unmap}file="
            );
            args.with_path("-drive", &drive, &disk.image);
            args.add("-device", format!("virtio-blk-pci,drive=disk{i},serial={},{virtio}", disk.serial));
        }
        let netdev = match &self.net {
            Net::None => None,
            Net::User => Some(self.user(&[])),
            Net::OneWay => Some(self.user(&[9, 19])),
            Net::Netdev(argument) => Some(argument.clone()),
            Net::Server(socket) => {
                args.with_path("-chardev", "socket,id=cable,path=", socket);
                Some("vhost-user,chardev=cable".to_owned())
            }
        };
        // Without KVM, QEMU 7.2 crashes when a guest enables MSI-X on such a card.
        let vectors = if matches!(self.net, Net::Server(_)) { "vectors=0," } else { "" };
        if let Some(netdev) = netdev {
            args.add("-netdev", format!("{netdev},id=net0"));
            // No boot ROM: it is in another package of Debian, and no guest boots from this card.
            let bus = bus(self.disks.len());
            args.add("-device", format!("virtio-net-pci,netdev=net0,romfile=,{vectors}{virtio}{bus}"));
        }
        if let Some(uart) = &self.uart {
            args.with_path("-chardev", "file,id=uart,path=", uart);
            args.add("-device", "pci-serial,chardev=uart");
        }
    }

    /// User networking; forwards ports on loopback to the guest's ports of echo, of the page and these.
    fn user(&self, others: &[u16]) -> String {
        let forward = |protocol: &str, host: Option<u16>, guest: u16| {
            format!(",hostfwd={protocol}:127.0.0.1:{}-:{guest}", host.unwrap_or(0))
        };
        let echo = core::iter::once((self.echo_port, 7));
        let both = echo.chain(others.iter().map(|guest| (None, *guest)));
        let both = both.map(|(host, guest)| forward("udp", host, guest) + &forward("tcp", host, guest));
        format!("user{}{}", both.collect::<String>(), forward("tcp", self.page_port, 80))
    }
}

/// A path with at least one slash in it.
fn explicit(path: &Path) -> PathBuf {
    if path.components().count() == 1 { Path::new(".").join(path) } else { path.to_path_buf() }
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn flag(&mut self, name: &str) -> &mut Self {
        self.0.push(name.into());
        self
    }

    fn add(&mut self, name: &str, value: impl AsRef<OsStr>) -> &mut Self {
        self.0.push(name.into());
        self.0.push(value.as_ref().into());
        self
    }

    /// An option list whose last value is a path; commas in the path are doubled, as QEMU requires.
    fn with_path(&mut self, name: &str, before: &str, path: &Path) -> &mut Self {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let mut value = before.as_bytes().to_vec();
        for &byte in path.as_os_str().as_bytes() {
            value.push(byte);
            if byte == b',' {
                value.push(byte);
            }
        }
        self.add(name, OsString::from_vec(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine::new("qemu".into(), "k.elf".into(), "rom.bin".into())
    }

    fn line(machine: &Machine) -> String {
        machine.arguments().iter().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_rom_in_the_current_directory_is_given_as_a_path() {
        let machine = Machine { firmware: Firmware::Bios, ..machine() };
        assert!(line(&machine).contains("-bios ./rom.bin -kernel k.elf"));
    }

    #[test]
    fn a_data_disk_is_a_snapshot_and_a_scratch_disk_is_not() {
        let machine = Machine { disks: vec![Disk::data("a".into()), Disk::scratch("b".into())], ..machine() };
        let line = line(&machine);
        assert!(line.contains("id=disk0,format=raw,snapshot=on,readonly=off,file=a"));
        assert!(line.contains("id=disk1,format=raw,snapshot=off,readonly=off,file=b"));
        assert!(line.contains("drive=disk1,serial=scratch,disable-legacy=on,iommu_platform=off"));
    }

    #[test]
    fn a_comma_in_a_path_is_doubled() {
        let machine = Machine { disks: vec![Disk::data("a,b".into())], ..machine() };
        assert!(line(&machine).contains("file=a,,b"));
    }

    #[test]
    fn a_port_on_loopback_reaches_the_guest_s_port_7_and_another_its_page() {
        let machine = Machine { net: Net::User, echo_port: Some(5555), page_port: Some(8080), ..machine() };
        let line = line(&machine);
        assert!(line.contains("hostfwd=udp:127.0.0.1:5555-:7,hostfwd=tcp:127.0.0.1:5555-:7"));
        assert!(line.contains("hostfwd=tcp:127.0.0.1:8080-:80") && !line.contains("udp:127.0.0.1:8080"));
    }

    #[test]
    fn only_slof_is_told_to_publish_the_node() {
        let slof = Machine { publish_node: true, ..machine() };
        let vof = Machine { firmware: Firmware::Vof, ..slof.clone() };
        assert!(line(&slof).contains("ibm,ultravisor"));
        assert!(!line(&vof).contains("ibm,ultravisor") && line(&vof).contains("x-vof=on"));
    }

    #[test]
    fn an_attached_machine_waits_for_its_ultravisor() {
        let attachment = Some(Attachment { gdb: "/t/g".into(), memory: "/t/m".into() });
        let line = line(&Machine { attachment, ..machine() });
        assert!(line.contains("memory-backend=ram") && line.contains(" -S "));
        assert!(line.contains("share=on,size=536870912,mem-path=/t/m"));
    }
}
