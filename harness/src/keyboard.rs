//! Passes standard input, from a terminal or a pipe, to the guest's console.

use crate::qemu::process::Qemu;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use std::io::{self, IsTerminal, Read, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Whether the kernel has printed a line. Before that, firmware would consume a pipe's input.
#[derive(Debug, Default)]
pub struct Up {
    up: Mutex<bool>,
    rose: Condvar,
}

impl Up {
    /// The kernel has printed a line.
    pub fn set(&self) {
        *self.up.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.rose.notify_all();
    }

    fn wait(&self) {
        let mut up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
        while !*up {
            up = self.rose.wait(up).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A terminal that passes each key at once and does not echo; restored when dropped. Ctrl-C stays a signal.
#[derive(Debug)]
pub struct Keyboard(Option<Termios>);

impl Drop for Keyboard {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // A closed terminal needs no restoring.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Passes standard input to the guest until either ends: keys of a terminal as they are typed; other input once the
/// kernel is up, and `at_end` after its end. A terminal in whose foreground this process is not is left alone.
pub fn attach(qemu: &mut Qemu, up: Arc<Up>, at_end: &'static [u8]) -> Keyboard {
    let terminal = io::stdin().is_terminal();
    if terminal && !in_foreground() {
        return Keyboard(None);
    }
    let Some(mut input) = qemu.take_input() else { return Keyboard(None) };
    let before = if terminal { single_keys() } else { None };
    let pass = move || {
        let mut block = [0; 256];
        while let Ok(n @ 1..) = io::stdin().read(&mut block) {
            if !terminal {
                up.wait();
            }
            if input.write_all(&block[..n]).and_then(|()| input.flush()).is_err() {
                return;
            }
        }
        if !terminal {
            up.wait();
            drop(input.write_all(at_end).and_then(|()| input.flush()));
        }
    };
    // The thread ends with the process. If it cannot be started, the guest only gets no input.
    drop(std::thread::Builder::new().name("keyboard".to_owned()).spawn(pass));
    Keyboard(before)
}

fn in_foreground() -> bool {
    tcgetpgrp(io::stdin()).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// Switches the terminal; returns its previous settings if that succeeded.
fn single_keys() -> Option<Termios> {
    let before = tcgetattr(io::stdin()).ok()?;
    let mut keys = before.clone();
    keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    tcsetattr(io::stdin(), OptionalActions::Now, &keys).ok()?;
    Some(before)
}
