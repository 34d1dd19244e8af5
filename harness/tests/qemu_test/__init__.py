"""A stand-in for QEMU's package of this name: as much of it as contrib/qemu-functional uses.

The test image comes from POSTERN_IMAGE instead of a download, and must have the digest that the asset names.
QEMU is QEMU_TEST_QEMU_BINARY, as in QEMU's own.
"""

import hashlib
import os
import selectors
import subprocess
import time
import unittest


class Asset:
    def __init__(self, url, sha256):
        self.url, self.sha256 = url, sha256

    def fetch(self):
        path = os.environ['POSTERN_IMAGE']
        with open(path, 'rb') as image:
            found = hashlib.sha256(image.read()).hexdigest()
        if found != self.sha256:
            raise AssertionError('%s has SHA-256 %s, not %s' % (path, found, self.sha256))
        return path


class Machine:
    def __init__(self, binary):
        self.args, self.binary, self.process, self.seen = [], binary, None, ''

    def set_console(self):
        self.args += ['-serial', 'stdio']

    def add_args(self, *args):
        self.args += args

    def launch(self):
        self.process = subprocess.Popen([self.binary, '-display', 'none', '-no-reboot', *self.args],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)

    def wait(self, timeout=60):
        self.process.communicate(timeout=timeout)

    def exitcode(self):
        return self.process.returncode


class QemuSystemTest(unittest.TestCase):
    timeout = 60

    def setUp(self):
        self.vm = Machine(os.environ.get('QEMU_TEST_QEMU_BINARY', 'qemu-system-ppc64'))

    def tearDown(self):
        if self.vm.process:
            self.vm.process.kill()
            self.vm.process.wait()
            self.vm.process.stdout.close()

    def set_machine(self, name):
        self.vm.add_args('-machine', name)

    @staticmethod
    def main():
        unittest.main()


def wait_for_console_pattern(test, success, failure=None):
    """Reads the console up to a line with the one text; a line with the other before it fails the test."""
    vm, end = test.vm, time.monotonic() + test.timeout
    with selectors.DefaultSelector() as selector:
        selector.register(vm.process.stdout, selectors.EVENT_READ)
        while True:
            while '\n' in vm.seen:
                line, vm.seen = vm.seen.split('\n', 1)
                if success in line:
                    return
                if failure and failure in line:
                    test.fail('%r in the console, waiting for %r' % (line.strip(), success))
            if not selector.select(max(0, end - time.monotonic())):
                test.fail('no %r in the console in time' % success)
            text = os.read(vm.process.stdout.fileno(), 65536).decode('ascii', 'replace')
            if not text:
                test.fail('the console ended before %r' % success)
            vm.seen += text
