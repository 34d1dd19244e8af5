use super::*;

/// QEMU 7.2's output for two host bridges, shortened.
const QTREE: &str = r#"bus: main-system-bus
  type System
  dev: spapr-pci-host-bridge, id ""
    index = 1 (0x1)
    dma_win_addr = 0 (0x0)
    bus: pci.1
      type PCI
      dev: virtio-rng-pci, id ""
        disable-legacy = "on"
        addr = 00.0
        class Class 00ff, addr 00:00.0, pci id 1af4:1044 (sub 1af4:1100)
        bus: virtio-bus
          type virtio-pci-bus
          dev: virtio-rng-device, id ""
            iommu_platform = true
  dev: spapr-pci-host-bridge, id ""
    index = 0 (0x0)
    bus: pci.0
      type PCI
      dev: pci-bridge, id "br"
        addr = 02.0
        bus: br
          type PCI
          dev: nvme, id ""
            drive = "n"
            addr = 03.0
      dev: virtio-net-pci, id "card"
        addr = 01.0
        bus: virtio-bus
          type virtio-pci-bus
          dev: virtio-net-device, id ""
            netdev = "n"
            iommu_platform = true
      dev: virtio-net-pci, id "bypassing"
        addr = 04.0
        bus: virtio-bus
          type virtio-pci-bus
          dev: virtio-net-device, id ""
            iommu_platform = false
      dev: virtio-blk-pci, id ""
        class = 0 (0x0)
        addr = 00.0
        bar 1: mem at 0xffffffffffffffff [0xffe]
        bus: virtio-bus
          type virtio-pci-bus
          dev: virtio-blk-device, id ""
            drive = "d"
            serial = ""
            iommu_platform = true
  dev: spapr-vio-bridge, id ""
    bus: spapr-vio
      type spapr-vio-bus
      dev: spapr-vlan, id "l-lan@71000003"
        reg = 1895825411 (0x71000003)
        netdev = ""
      dev: spapr-vty, id "vty@71000000"
        reg = 1895825408 (0x71000000)
        chardev = "serial0"
"#;

#[test]
fn a_device_alone_behind_its_unit_is_named() {
    let wiring = Wiring::parse(QTREE);
    for window in [0x8000_0100, 0x8000_0101] {
        assert_eq!(wiring.sentence(window), ", which is virtio-rng-pci at 00.0 of pci.1");
    }
    assert_eq!(wiring.sentence(0x7100_0003), ", which is spapr-vlan \"l-lan@71000003\"");
}

#[test]
fn of_several_devices_those_are_named_that_the_unit_translates_for() {
    let expected = [
        "nvme at 03.0 of br, drive n",
        "virtio-net-pci \"card\" at 01.0 of pci.0, netdev n",
        "virtio-blk-pci at 00.0 of pci.0, drive d",
    ];
    let wiring = Wiring::parse(QTREE);
    assert_eq!(wiring.behind(0x8000_0000), expected);
    assert_eq!(wiring.sentence(0x8000_0001), format!(", which is one of: {}", expected.join("; ")));
}

#[test]
fn an_unknown_unit_and_a_tree_that_is_none_name_nobody() {
    assert_eq!(Wiring::parse(QTREE).sentence(0x8000_0200), "");
    for text in
        ["", "unknown command: 'info qtree'\n", "dev: x\n  addr = 1\nbus:\n", "      dev: virtio-blk-pci, id"]
    {
        assert_eq!(Wiring::parse(text), Wiring::default(), "{text}");
    }
}
