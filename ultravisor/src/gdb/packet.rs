//! The packet layer of the GDB remote serial protocol: `$data#checksum`, acknowledgements, escapes.
//!
//! Source: GDB manual, appendix "GDB Remote Serial Protocol", "Overview".

/// What one step of decoding found at the front of the received bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// `+`: the peer has our last packet.
    Ack,
    /// `-`: the peer wants our last packet again.
    Nack,
    /// A packet whose checksum is right, unescaped.
    Packet(Vec<u8>),
    /// A packet whose checksum is wrong: ask for it again.
    Damaged,
}

fn checksum(data: &[u8]) -> u8 {
    data.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// Wraps a command in a packet. Commands here are plain text without the four characters that need escapes.
#[must_use]
pub fn encode(command: &str) -> Vec<u8> {
    format!("${command}#{:02x}", checksum(command.as_bytes())).into_bytes()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Reads pairs of hex digits; `None` for anything else.
#[must_use]
pub fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for pair in text.chunks(2) {
        let [high, low] = pair else { return None };
        bytes.push(hex_digit(*high)? << 4 | hex_digit(*low)?);
    }
    Some(bytes)
}

/// Writes bytes as pairs of hex digits.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Undoes `}` escapes and run-length encoding (`x*n`: n - 29 further copies of x).
fn unescape(data: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(data.len());
    let mut bytes = data.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'}' => plain.extend(bytes.next().map(|escaped| escaped ^ 0x20)),
            b'*' => {
                let again = bytes.next().map_or(0, |count| usize::from(count.saturating_sub(29)));
                if let Some(last) = plain.last().copied() {
                    plain.extend(std::iter::repeat_n(last, again));
                }
            }
            _ => plain.push(byte),
        }
    }
    plain
}

/// Bytes received and not yet understood.
#[derive(Debug, Default)]
pub struct Decoder {
    received: Vec<u8>,
}

impl Decoder {
    /// Takes bytes as they arrive, in any portions.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// The next complete item; `None` until more bytes arrive.
    pub fn next_item(&mut self) -> Option<Item> {
        // Whatever stands before `$`, `+` or `-` is noise on the line.
        let start = self.received.iter().position(|byte| matches!(byte, b'$' | b'+' | b'-'));
        self.received.drain(..start.unwrap_or(self.received.len()));
        match self.received.first()? {
            b'+' => {
                self.received.remove(0);
                Some(Item::Ack)
            }
            b'-' => {
                self.received.remove(0);
                Some(Item::Nack)
            }
            _ => {
                let hash = self.received.iter().position(|byte| *byte == b'#')?;
                let sum = from_hex(self.received.get(hash + 1..hash + 3)?);
                let data = &self.received[1..hash];
                let item = match sum.as_deref() {
                    Some([sum]) if *sum == checksum(data) => Item::Packet(unescape(data)),
                    _ => Item::Damaged,
                };
                self.received.drain(..hash + 3);
                Some(item)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_framed_with_its_checksum() {
        assert_eq!(encode("p40"), b"$p40#d4");
        assert_eq!(encode(""), b"$#00");
    }

    #[test]
    fn packets_survive_any_fragmentation() {
        let stream = b"+$T05thread:01;#07+$OK#9a";
        for portion in 1..stream.len() {
            let mut decoder = Decoder::default();
            let mut items = Vec::new();
            for bytes in stream.chunks(portion) {
                decoder.feed(bytes);
                items.extend(std::iter::from_fn(|| decoder.next_item()));
            }
            let stop = Item::Packet(b"T05thread:01;".to_vec());
            assert_eq!(items, [Item::Ack, stop, Item::Ack, Item::Packet(b"OK".to_vec())]);
        }
    }

    #[test]
    fn a_wrong_checksum_is_not_a_packet_and_the_next_one_is() {
        let mut decoder = Decoder::default();
        decoder.feed(b"$OK#9b$OK#zz\x00noise$OK#9a-");
        let items: Vec<Item> = std::iter::from_fn(|| decoder.next_item()).collect();
        assert_eq!(items, [Item::Damaged, Item::Damaged, Item::Packet(b"OK".to_vec()), Item::Nack]);
    }

    #[test]
    fn escapes_and_runs_are_undone() {
        let mut decoder = Decoder::default();
        let data = b"l}\x03}]0* .";
        decoder.feed(&[b"$", data.as_slice(), format!("#{:02x}", checksum(data)).as_bytes()].concat());
        assert_eq!(decoder.next_item(), Some(Item::Packet(b"l#}0000.".to_vec())));
    }

    #[test]
    fn hex_is_read_strictly() {
        assert_eq!(from_hex(b"00fF7a"), Some(vec![0, 0xff, 0x7a]));
        assert_eq!(from_hex(b"00f"), None);
        assert_eq!(from_hex(b"0x"), None);
        assert_eq!(to_hex(&[0, 0xff, 0x7a]), "00ff7a");
    }
}
