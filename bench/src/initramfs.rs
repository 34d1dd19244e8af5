//! An initial RAM disk in the format `newc` (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).

/// A RAM disk under construction.
#[derive(Debug, Default)]
pub struct Initramfs {
    bytes: Vec<u8>,
    inode: u32,
}

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

impl Initramfs {
    /// Adds a directory.
    pub fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY, (0, 0), &[]);
    }

    /// Adds a file that can be executed.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, PROGRAM, (0, 0), content);
    }

    /// Adds a character device.
    pub fn device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, CHARACTER_DEVICE, (major, minor), &[]);
    }

    /// The finished RAM disk.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
        self.inode += 1;
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let fields = [
            self.inode,
            mode,
            0, // user
            0, // group
            1, // links
            0, // time
            length(content.len()),
            0, // device
            0,
            major,
            minor,
            length(path.len() + 1),
            0, // checksum, which this format does not have
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08X}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_headers_names_and_contents_on_boundaries_of_four() {
        let mut disk = Initramfs::default();
        disk.directory("dev");
        disk.device("dev/console", 5, 1);
        disk.file("init", b"abcde");
        let bytes = disk.finish();
        assert_eq!(bytes.len() % 4, 0);
        let at = |needle: &[u8]| bytes.windows(needle.len()).position(|w| w == needle).unwrap();
        let init = at(b"init\0");
        let header = &bytes[init - 110..init];
        assert_eq!(&header[..6], b"070701");
        assert_eq!(&header[6 + 6 * 8..6 + 7 * 8], b"00000005");
        assert_eq!(&bytes[(init + 5).next_multiple_of(4)..][..5], b"abcde");
        assert!(at(b"TRAILER!!!\0") > init);
    }
}
