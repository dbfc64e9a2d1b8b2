//! The terminal's mode: each key as it is pressed, instead of whole lines.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// The mode that is to come back; nothing while it is in force.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Standard input gives each key as it is pressed, without showing it, until this is dropped. Ctrl-C is a key like any other.
#[derive(Debug)]
#[must_use = "the mode lasts as long as this"]
pub struct Raw(());

impl Raw {
    /// Changes the mode.
    ///
    /// # Errors
    /// When standard input is no terminal.
    pub fn begin() -> io::Result<Self> {
        let mode = tcgetattr(io::stdin())?;
        let mut raw = mode.clone();
        cfmakeraw(&mut raw);
        let mut before = before();
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw)?;
        before.get_or_insert(mode);
        Ok(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Brings the mode back that was before, if it was changed; whether it was. Also for whoever has no more than a moment left,
/// such as a panic.
pub fn restore() -> bool {
    let Some(mode) = before().take() else { return false };
    // A terminal that is gone needs no mode.
    let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &mode);
    true
}

fn before() -> MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}
