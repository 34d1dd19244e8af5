#!/usr/bin/env python3
#
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Tests pseries with a guest that starts in a fraction of a second and tests the machine itself.
#
# For tests/functional/ppc64 of QEMU's tree. ASSET names the test image of a Postern release
# (postern-test.elf) and its SHA-256, which the release lists in SHA256SUMS. The guest prints
# TAP 13 and ends QEMU by itself, with status 0 if no test failed.

import os

from qemu_test import QemuSystemTest, Asset
from qemu_test import wait_for_console_pattern


class PosternTest(QemuSystemTest):

    timeout = 60

    ASSET = Asset(
        os.environ.get('POSTERN_URL', 'https://example.org/postern/postern-test.elf'),
        os.environ.get('POSTERN_SHA256', '0' * 64))

    # TCG does not have these; QEMU warns about each that is not set.
    CAPS = 'cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off'
    VIRTIO = 'disable-legacy=on,iommu_platform=on'

    def boot(self, words, *args):
        self.set_machine('pseries')
        kernel = self.ASSET.fetch()
        self.vm.set_console()
        self.vm.add_args('-machine', 'x-vof=on,' + self.CAPS, '-cpu', 'power9', '-m', '512M',
                         '-nodefaults', '-vga', 'none', '-action', 'panic=exit-failure',
                         '-kernel', kernel, '-append', words, *args)
        self.vm.launch()

    def passes(self, tests):
        wait_for_console_pattern(self, 'TAP version 13', 'EXIT: STATUS=')
        wait_for_console_pattern(self, '# %d tests: ' % tests, 'not ok ')
        wait_for_console_pattern(self, 'EXIT: STATUS=0', 'EXIT: STATUS=1')
        self.vm.wait()
        self.assertEqual(self.vm.exitcode(), 0)

    def test_processor(self):
        """What needs no device: MMU, interrupts, hypercalls, RTAS, a second CPU."""
        self.boot('test=mmu/*,exception/*,hcall/*,irq/ipi,irq/decrementer,smp/work', '-smp', '2')
        self.passes(14)

    def test_disk_and_card(self):
        """virtio-blk and virtio-net behind the host bridge's TCEs."""
        self.boot('test=pci/*,tce/*,blk/*,net/link',
                  '-blockdev', 'driver=null-co,read-zeroes=on,size=8388608,node-name=disk0',
                  '-device', 'virtio-blk-pci,drive=disk0,serial=data,' + self.VIRTIO,
                  '-netdev', 'hubport,hubid=0,id=net0',
                  '-device', 'virtio-net-pci,netdev=net0,romfile=,' + self.VIRTIO)
        self.passes(18)


if __name__ == '__main__':
    QemuSystemTest.main()
