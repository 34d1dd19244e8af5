//! Decodes bytes from a terminal into keys.

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A printable character.
    Text(u8),
    Enter,
    Tab,
    Backspace,
    Delete,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    /// Ctrl-U: the line before the cursor.
    KillBefore,
    /// Ctrl-K: the rest of the line.
    KillAfter,
    /// Ctrl-W: the word before the cursor.
    KillWord,
    /// Ctrl-C
    Cancel,
    /// Ctrl-D
    EndOfInput,
    /// An unknown key.
    Unknown,
}

/// The state within an escape sequence (ECMA-48, 5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    /// After ESC.
    Escape,
    /// After ESC [ or ESC O; the first parameter so far.
    Sequence(u8),
}

/// The decoder.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keys {
    state: State,
    /// A line feed that follows a carriage return is part of the same key.
    after_return: bool,
}

impl Keys {
    /// The key that this byte completes, if any.
    pub fn take(&mut self, byte: u8) -> Option<Key> {
        let after_return = core::mem::take(&mut self.after_return);
        match (self.state, byte) {
            (State::Escape, b'[' | b'O') => {
                self.state = State::Sequence(0);
                return None;
            }
            (State::Sequence(number), b'0'..=b'9') => {
                let digit = byte.wrapping_sub(b'0');
                self.state = State::Sequence(number.saturating_mul(10).saturating_add(digit));
                return None;
            }
            // Further parameters, and markers of private ones.
            (State::Sequence(_), b' '..=b'?') => return None,
            (State::Sequence(number), b'@'..=b'~') => {
                self.state = State::Ground;
                return Some(named(number, byte));
            }
            (State::Escape, b' '..=b'~') => {
                self.state = State::Ground;
                return Some(Key::Unknown);
            }
            // A control character aborts an unfinished sequence.
            _ => self.state = State::Ground,
        }
        Some(match byte {
            b' '..=b'~' => Key::Text(byte),
            0x1b => {
                self.state = State::Escape;
                return None;
            }
            b'\r' => {
                self.after_return = true;
                Key::Enter
            }
            b'\n' if after_return => return None,
            b'\n' => Key::Enter,
            b'\t' => Key::Tab,
            0x08 | 0x7f => Key::Backspace,
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x03 => Key::Cancel,
            0x04 => Key::EndOfInput,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x0b => Key::KillAfter,
            0x0e => Key::Down,
            0x10 => Key::Up,
            0x15 => Key::KillBefore,
            0x17 => Key::KillWord,
            _ => Key::Unknown,
        })
    }
}

/// The key of a sequence, by its last byte and its first number.
fn named(number: u8, last: u8) -> Key {
    match (last, number) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', 1 | 7) => Key::Home,
        (b'F', _) | (b'~', 4 | 8) => Key::End,
        (b'~', 3) => Key::Delete,
        _ => Key::Unknown,
    }
}
