//! A line editor: cursor, history, completion. It draws by [`Draw`] values, so that no typed byte reaches the terminal
//! as a control character.

use super::commands::{Completion, complete};
use super::keys::{Key, Keys};
use arrayvec::ArrayVec;

/// Most characters of a line: with the prompt it fits a terminal of 80 columns.
pub const MAX_LINE: usize = 72;
/// Most lines in the history.
pub const MOST_REMEMBERED: usize = 16;
/// The prompt.
pub const PROMPT: &[u8] = b"> ";

/// A line that was typed: printable ASCII.
pub type Line = ArrayVec<u8, MAX_LINE>;

/// A drawing operation of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw<'a> {
    /// Write printable characters.
    Text(&'a [u8]),
    /// Move the cursor left by this many columns.
    Left(usize),
    /// Clear from the cursor to the end of the line.
    ClearToEnd,
    /// Begin a new line.
    NewLine,
    /// Ring the bell: the key does nothing.
    Bell,
}

/// The result of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A line is ready.
    Line(Line),
    /// The end of input: Ctrl-D on an empty line.
    End,
}

/// The editor.
#[derive(Clone, Debug, Default)]
pub struct Editor {
    keys: Keys,
    line: Line,
    /// Characters before the cursor.
    cursor: usize,
    /// The history, newest line last.
    history: ArrayVec<Line, MOST_REMEMBERED>,
    /// How many lines back in the history the shown line is; 0 is the line being written.
    back: usize,
    /// The line being written while another is shown.
    draft: Line,
}

impl Editor {
    /// The line so far.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// Takes one byte that was typed.
    pub fn take(&mut self, byte: u8, draw: &mut impl FnMut(Draw<'_>)) -> Option<Event> {
        match self.keys.take(byte)? {
            Key::Text(character) => self.insert(&[character], draw),
            Key::Enter => {
                draw(Draw::NewLine);
                return Some(Event::Line(self.finish()));
            }
            Key::Tab => self.complete(draw),
            Key::Backspace => self.remove(self.cursor.saturating_sub(1), self.cursor, draw),
            Key::Delete => self.remove(self.cursor, self.cursor.saturating_add(1), draw),
            Key::KillBefore => self.remove(0, self.cursor, draw),
            Key::KillAfter => self.remove(self.cursor, self.line.len(), draw),
            Key::KillWord => self.remove(self.word_start(), self.cursor, draw),
            Key::Left => self.go(self.cursor.checked_sub(1), draw),
            Key::Right => self.go(self.cursor.checked_add(1), draw),
            Key::Home => self.go(Some(0), draw),
            Key::End => self.go(Some(self.line.len()), draw),
            Key::Up => self.show(self.back.checked_add(1), draw),
            Key::Down => self.show(self.back.checked_sub(1), draw),
            Key::Cancel => {
                draw(Draw::Text(b"^C"));
                draw(Draw::NewLine);
                (self.back, self.cursor) = (0, 0);
                self.line.clear();
                draw(Draw::Text(PROMPT));
            }
            Key::EndOfInput if self.line.is_empty() => {
                draw(Draw::NewLine);
                return Some(Event::End);
            }
            Key::EndOfInput => self.remove(self.cursor, self.cursor.saturating_add(1), draw),
            Key::Unknown => draw(Draw::Bell),
        }
        None
    }

    /// Draws the prompt and the line so far, on a line of the terminal that is empty.
    pub fn show_prompt(&self, draw: &mut impl FnMut(Draw<'_>)) {
        draw(Draw::Text(PROMPT));
        draw(Draw::Text(&self.line));
        if let Some(left @ 1..) = self.line.len().checked_sub(self.cursor) {
            draw(Draw::Left(left));
        }
    }

    fn finish(&mut self) -> Line {
        let line = core::mem::take(&mut self.line);
        (self.back, self.cursor) = (0, 0);
        let blank = line.iter().all(|byte| *byte == b' ');
        if !blank && self.history.last() != Some(&line) {
            if self.history.is_full() {
                self.history.remove(0);
            }
            // There is room: the oldest line was removed.
            let _ = self.history.try_push(line.clone());
        }
        line
    }

    /// Inserts text at the cursor, all of it or nothing.
    fn insert(&mut self, text: &[u8], draw: &mut impl FnMut(Draw<'_>)) {
        if text.len() > self.line.remaining_capacity() {
            return draw(Draw::Bell);
        }
        let rest: Line = self.line.drain(self.cursor..).collect();
        self.line.extend(text.iter().copied());
        self.cursor = self.line.len();
        self.line.extend(rest.iter().copied());
        draw(Draw::Text(text));
        self.redraw(&rest, draw);
    }

    /// Removes the characters from `from` to `to`; the cursor is at one of these ends.
    fn remove(&mut self, from: usize, to: usize, draw: &mut impl FnMut(Draw<'_>)) {
        let (from, to) = (from.min(self.line.len()), to.min(self.line.len()));
        if from >= to {
            return draw(Draw::Bell);
        }
        self.line.drain(from..to);
        if let Some(left @ 1..) = self.cursor.checked_sub(from) {
            draw(Draw::Left(left));
        }
        self.cursor = from;
        draw(Draw::ClearToEnd);
        let rest: Line = self.line.iter().copied().skip(from).collect();
        self.redraw(&rest, draw);
    }

    /// Writes the text after the cursor, and moves the cursor back.
    fn redraw(&self, rest: &[u8], draw: &mut impl FnMut(Draw<'_>)) {
        if !rest.is_empty() {
            draw(Draw::Text(rest));
            draw(Draw::Left(rest.len()));
        }
    }

    fn go(&mut self, to: Option<usize>, draw: &mut impl FnMut(Draw<'_>)) {
        let Some(to) = to.filter(|to| *to <= self.line.len()) else { return draw(Draw::Bell) };
        match to.checked_sub(self.cursor) {
            Some(0) => {}
            Some(right) => {
                let passed: Line = self.line.iter().copied().skip(self.cursor).take(right).collect();
                draw(Draw::Text(&passed));
            }
            None => draw(Draw::Left(self.cursor.saturating_sub(to))),
        }
        self.cursor = to;
    }

    /// Shows the line that is `back` lines back in the history.
    fn show(&mut self, back: Option<usize>, draw: &mut impl FnMut(Draw<'_>)) {
        let Some(back) = back.filter(|back| *back <= self.history.len()) else { return draw(Draw::Bell) };
        if self.back == 0 {
            self.draft = self.line.clone();
        }
        self.back = back;
        let at = self.history.len().checked_sub(back);
        let line = at.and_then(|at| self.history.get(at)).filter(|_| back > 0).unwrap_or(&self.draft);
        let line = line.clone();
        if self.cursor > 0 {
            draw(Draw::Left(self.cursor));
        }
        draw(Draw::ClearToEnd);
        draw(Draw::Text(&line));
        self.cursor = line.len();
        self.line = line;
    }

    /// The start of the word before the cursor.
    fn word_start(&self) -> usize {
        let before = self.line.get(..self.cursor).unwrap_or_default();
        let word = before.trim_ascii_end();
        word.iter().rposition(|byte| *byte == b' ').map_or(0, |blank| blank.saturating_add(1))
    }

    fn complete(&mut self, draw: &mut impl FnMut(Draw<'_>)) {
        let Completion { more, choices } = complete(self.line.get(..self.cursor).unwrap_or_default());
        match (more.is_empty(), choices.len()) {
            (false, _) => self.insert(&more, draw),
            (true, 2..) => {
                draw(Draw::NewLine);
                for choice in choices {
                    draw(Draw::Text(b"  "));
                    draw(Draw::Text(choice.as_bytes()));
                }
                draw(Draw::NewLine);
                self.show_prompt(draw);
            }
            _ => draw(Draw::Bell),
        }
    }
}
