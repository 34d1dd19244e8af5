use super::commands::{COMMANDS, Command, CommandError, parse};
use super::editor::{Draw, Editor, Event, MAX_LINE, MOST_REMEMBERED, PROMPT};
use log::LevelFilter;
use postern_cases::case;
use proptest::prelude::*;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// A terminal: the current line, which may be long, and the lines above it.
#[derive(Debug, Default)]
struct Screen {
    done: Vec<String>,
    cells: Vec<u8>,
    cursor: usize,
    bells: usize,
}

impl Screen {
    fn draw(&mut self, draw: Draw<'_>) {
        match draw {
            Draw::Text(text) => {
                for byte in text {
                    assert!((b' '..=b'~').contains(byte), "{byte:#x} is drawn");
                    self.cells.resize(self.cells.len().max(self.cursor + 1), b' ');
                    self.cells[self.cursor] = *byte;
                    self.cursor += 1;
                }
            }
            Draw::Left(by) => self.cursor = self.cursor.checked_sub(by).expect("left of the screen"),
            Draw::ClearToEnd => self.cells.truncate(self.cursor),
            Draw::NewLine => {
                self.done.push(String::from_utf8(std::mem::take(&mut self.cells)).unwrap());
                self.cursor = 0;
            }
            Draw::Bell => self.bells += 1,
        }
    }
}

/// An editor at its first prompt, and what is on the screen.
struct Typist {
    editor: Editor,
    screen: Screen,
    events: Vec<Event>,
}

impl Typist {
    fn new() -> Self {
        let mut screen = Screen::default();
        screen.draw(Draw::Text(PROMPT));
        Self { editor: Editor::default(), screen, events: Vec::new() }
    }

    fn types(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            if let Some(event) = self.editor.take(*byte, &mut |draw| self.screen.draw(draw)) {
                self.events.push(event);
                self.screen.draw(Draw::Text(PROMPT));
            }
        }
        self
    }

    fn lines(&self) -> Vec<String> {
        let text = |event: &Event| match event {
            Event::Line(line) => String::from_utf8(line.to_vec()).unwrap(),
            Event::End => "<end>".to_string(),
        };
        self.events.iter().map(text).collect()
    }
}

fn lines(bytes: &[u8]) -> Vec<String> {
    Typist::new().types(bytes).lines()
}

#[test]
fn a_line_ends_with_any_of_the_three_ends() {
    assert_eq!(lines(b"help\rpool\ntce\r\nirq\n\r\n"), ["help", "pool", "tce", "irq", ""]);
}

#[test]
fn keys_edit_the_line_where_the_cursor_is() {
    for (typed, line) in [
        (&b"hepl\x7f\x7flp\r"[..], "help"),
        (b"elp\x01h\r", "help"),
        (b"hlp\x1b[D\x1b[De\x1b[F!\r", "help!"),
        (b"hlp\x1b[D\x1b[De\x05!\r", "help!"),
        (b"wrong\x15help\r", "help"),
        (b"blk write\x17read 7\r", "blk read 7"),
        (b"helpxx\x1b[D\x1b[D\x0b\r", "help"),
        (b"xhelp\x1b[H\x1b[3~\r", "help"),
        (b"xhelp\x1b[1~\x04\r", "help"),
        (b"lost\x03help\r", "help"),
        (b"help\x1b[99~\x1bx\x1b[200~\x00\xff\r", "help"),
        (b"help\x1b[\r", "help"),
    ] {
        assert_eq!(lines(typed), [line], "{}", typed.escape_ascii());
    }
    assert_eq!(lines(b"off\r\x04"), ["off", "<end>"]);
}

#[test]
fn arrows_bring_lines_back_and_the_draft_stays() {
    assert_eq!(lines(b"one\rtwo\r\x1b[A\r"), ["one", "two", "two"]);
    assert_eq!(lines(b"one\rtwo\r\x1b[A\x1b[A\r"), ["one", "two", "one"]);
    assert_eq!(lines(b"one\rdra\x1b[A\x1b[Bft\r"), ["one", "draft"]);
    assert_eq!(lines(b"one\r\x1bOA\x1bOA\x1bOA\x1bOB\x1bOB\r"), ["one", ""]);
    // The same line twice is one line of history, a blank one is none.
    assert_eq!(lines(b"one\rtwo\rtwo\r  \r\x1b[A\x1b[A\r"), ["one", "two", "two", "  ", "one"]);
}

#[test]
fn history_forgets_the_oldest() {
    let mut typist = Typist::new();
    for number in 0..=MOST_REMEMBERED {
        typist.types(format!("line {number}\r").as_bytes());
    }
    typist.types(&b"\x1b[A".repeat(MOST_REMEMBERED + 5)).types(b"\r");
    assert_eq!(typist.lines().last().unwrap(), "line 1");
}

#[test]
fn tab_completes_unique_words_and_lists_ambiguous_ones() {
    assert_eq!(lines(b"he\t\r"), ["help "]);
    assert_eq!(lines(b"bl\tre\t7\r"), ["blk read 7"]);
    assert_eq!(lines(b"log d\t\r"), ["log debug "]);
    assert_eq!(lines(b"x\t\r"), ["x"]);
    let mut typist = Typist::new();
    typist.types(b"p\t");
    assert_eq!(typist.screen.done, ["> p", "  pool  ping"]);
    assert_eq!(typist.screen.cells, b"> p");
    typist.types(b"o\t\r");
    assert_eq!(typist.lines(), ["pool "]);
}

#[test]
fn a_line_that_was_interrupted_is_shown_again_with_the_cursor_where_it_was() {
    let mut typist = Typist::new();
    typist.types(b"helx\x1b[D");
    typist.screen.draw(Draw::NewLine);
    let Typist { editor, screen, .. } = &mut typist;
    editor.show_prompt(&mut |draw| screen.draw(draw));
    assert_eq!(typist.screen.cells, b"> helx");
    typist.types(b"p\x1b[3~\r");
    assert_eq!(typist.screen.done, ["> helx", "> help"]);
    assert_eq!(typist.lines(), ["help"]);
}

#[test]
fn a_character_beyond_the_longest_line_is_ignored() {
    case!("OUT-10", Clamp);
    let mut typist = Typist::new();
    typist.types(&[b'x'; 3 * MAX_LINE]);
    assert_eq!(typist.editor.line().len(), MAX_LINE);
    assert_eq!(typist.screen.bells, 2 * MAX_LINE);
    typist.types(b"\r");
    assert_eq!(typist.lines(), ["x".repeat(MAX_LINE)]);
}

#[test]
fn each_command_is_read_as_its_help_has_it() {
    for (line, command) in [
        ("", Command::Nothing),
        ("   ", Command::Nothing),
        ("help", Command::Help),
        (" devices ", Command::Devices),
        ("pool", Command::Pool),
        ("tce", Command::Tce),
        ("irq", Command::Irq),
        ("cpus", Command::Cpus),
        ("net", Command::Net),
        ("facts", Command::Facts),
        ("off", Command::Off),
        ("blk read 7", Command::BlkRead { sector: 7, disk: 0 }),
        ("blk  read 0x10 1", Command::BlkRead { sector: 16, disk: 1 }),
        ("ping 10.0.2.2", Command::Ping([10, 0, 2, 2].into())),
        ("log debug", Command::Log(LevelFilter::Debug)),
        ("test all", Command::Test("all")),
        ("test  blk/*,net/udp ", Command::Test("blk/*,net/udp")),
    ] {
        assert_eq!(parse(line.as_bytes()), Ok(command), "{line}");
    }
    for help in COMMANDS {
        let first = help.usage.split(' ').next().unwrap();
        assert!(!matches!(parse(first.as_bytes()), Err(CommandError::Unknown(_))), "{first}");
        assert!(help.usage.len() < MAX_LINE);
    }
}

#[test]
fn a_word_that_is_no_command_is_named() {
    for (line, said) in [
        ("halp", "halp: no command; help lists them"),
        ("HELP", "HELP: no command; help lists them"),
        ("blk", "usage: blk read SECTOR [DISK]"),
        ("blk write 7", "usage: blk read SECTOR [DISK]"),
        ("blk read -1", "usage: blk read SECTOR [DISK]"),
        ("blk read 99999999999999999999", "usage: blk read SECTOR [DISK]"),
        ("blk read 7 0 0", "usage: blk read SECTOR [DISK]"),
        ("ping", "usage: ping A.B.C.D"),
        ("ping 10.0.2", "usage: ping A.B.C.D"),
        ("test", "usage: test NAME,..."),
        ("test a b", "usage: test NAME,..."),
        ("log loud", "usage: log off|error|warn|info|debug|trace"),
        ("off now", "usage: off"),
    ] {
        assert_eq!(parse(line.as_bytes()).unwrap_err().to_string(), said);
    }
}

/// Bytes, many of which are editing keys.
fn typed() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "[ -~]{0,9}".prop_map(String::into_bytes),
        4 => proptest::sample::select(vec![
            &b"\x1b[A"[..], b"\x1b[B", b"\x1b[C", b"\x1b[D", b"\x1b[3~", b"\x01", b"\x05", b"\x0b", b"\x15", b"\x17",
            b"\x7f", b"\t", b"\r", b"\n", b"\x03", b"\x04", b"\x1b", b"\x1b[", b"blk ", b"log ",
        ]).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_screen_shows_the_line_whatever_is_typed(bytes in typed()) {
        let mut typist = Typist::new();
        for byte in bytes {
            typist.types(&[byte]);
            prop_assert!(typist.editor.line().len() <= MAX_LINE);
            let shown = [PROMPT, typist.editor.line()].concat();
            prop_assert_eq!(&typist.screen.cells, &shown);
            prop_assert!(typist.screen.cursor >= PROMPT.len() && typist.screen.cursor <= shown.len());
        }
        for event in &typist.events {
            if let Event::Line(line) = event {
                prop_assert!(line.iter().all(|byte| (b' '..=b'~').contains(byte)));
                let _ = parse(line);
            }
        }
    }

    #[test]
    fn no_line_makes_the_parser_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(error) = parse(&line) {
            prop_assert!(error.to_string().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
    }
}

use std::vec;
