//! Repeated starts of firmware: SLOF resets the machine when it fails, and starts again.

/// Starts in a row without a line of the guest after which a run is given up.
pub const LIMIT: u32 = 3;
/// Prefixes of the kernel's plain lines; its first line has the first prefix.
const KERNEL: [&str; 2] = ["postern: ", "EXIT: STATUS="];

/// Counts SLOF's starts since the guest's last line.
#[derive(Debug, Default)]
pub struct Starts {
    count: u32,
}

impl Starts {
    /// Takes a line of the console and returns the number of starts so far, including this one.
    pub fn take(&mut self, line: &str) -> u32 {
        if is_banner(line) {
            self.count = self.count.saturating_add(1);
        } else if KERNEL.iter().any(|word| line.starts_with(word)) {
            self.count = 0;
        }
        self.count
    }
}

/// Whether this is SLOF's first line: its name, control sequences, a row of stars.
fn is_banner(line: &str) -> bool {
    line.starts_with("SLOF") && line.trim_end().ends_with("*****")
}

/// The number of starts in a whole console log after the guest's last line.
#[must_use]
pub fn idle_starts(console: &str) -> u32 {
    let mut starts = Starts::default();
    console.lines().fold(0, |_, line| starts.take(line))
}

/// SLOF's last line before it started again; without a second start, the console's last line.
#[must_use]
pub fn last_line_before_restart(console: &str) -> &str {
    let mut before = None;
    let mut last = "";
    for line in console.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if is_banner(line) && !last.is_empty() {
            before = Some(last);
        }
        last = line;
    }
    before.unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As QEMU 7.2's SLOF writes it.
    const BANNER: &str = "SLOF\x1b[0m\x1b[?25l ************************************************\r";
    const WORDS: &str = "Cannot handle FDT update for the legacy-device@1 node, rebooting";

    fn starts(lines: &[&str]) -> u32 {
        idle_starts(&lines.join("\n"))
    }

    #[test]
    fn starts_without_the_guest_are_counted() {
        assert_eq!(starts(&[BANNER, "QEMU Starting", WORDS, BANNER, WORDS, BANNER]), 3);
        assert_eq!(starts(&["SLOF is what it waits for", "a SLOF ****"]), 0);
    }

    #[test]
    fn the_count_ends_at_the_guest_s_first_line() {
        assert_eq!(starts(&[BANNER, WORDS, BANNER, "postern: fdt.addr=0x790000"]), 0);
        assert_eq!(starts(&[BANNER, "EXIT: STATUS=2"]), 0);
        // A guest that was reset from outside, and is started again.
        assert_eq!(starts(&[BANNER, "postern: fdt.addr=0x790000", BANNER]), 1);
    }

    #[test]
    fn the_last_line_before_a_restart_is_found() {
        let console = format!("{BANNER}\nQEMU Starting\n{WORDS}\n\n{BANNER}\n");
        assert_eq!(last_line_before_restart(&console), WORDS);
        assert_eq!(last_line_before_restart(&format!("\r\n{BANNER}\nQEMU Starting\n{WORDS}\r\n\r\n")), WORDS);
        assert_eq!(last_line_before_restart(""), "");
    }
}
