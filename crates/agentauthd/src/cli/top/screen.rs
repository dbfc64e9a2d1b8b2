//! The terminal that the dashboard is drawn on, and that is the person's own again afterwards, whatever happens.

use std::io::{self, Write as _};

use agentauth_core::Timestamp;
use agentauth_host::{clock, terminal};

use super::board::Board;
use super::view::{self, Size};
use crate::cli::Failure;

/// To the other screen and back, and the cursor away and back (xterm's private modes).
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Where the next picture begins, and what of the one before is cleared below it.
const HOME: &str = "\x1b[H";
const BELOW: &str = "\x1b[J";

/// The terminal, which is as it was before once this is dropped.
pub(super) struct Screen {
    mode: Option<terminal::Raw>,
    colour: bool,
}

impl Screen {
    /// Takes it over.
    ///
    /// # Errors
    /// When standard input is no terminal, or nothing can be written.
    pub(super) fn enter() -> Result<Self, Failure> {
        let failed = |error| Failure::caused("could not take over the terminal", error);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // What it says is to be read on the person's own screen.
            if terminal::restore() {
                let _ = put(LEAVE);
            }
            before(panic);
        }));
        let mode = terminal::Raw::begin().map_err(failed)?;
        let colour = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
        let screen = Self { mode: Some(mode), colour };
        put(ENTER).map_err(failed)?;
        Ok(screen)
    }

    /// How large it is.
    pub(super) fn size(&self) -> Size {
        let (width, height) = terminal_size::terminal_size()
            .map_or((80, 24), |(width, height)| (usize::from(width.0), usize::from(height.0)));
        Size { width, height }
    }

    /// Shows the board.
    ///
    /// # Errors
    /// When nothing can be written.
    pub(super) fn draw(&self, board: &Board, now: Timestamp) -> Result<(), Failure> {
        let picture = view::frame(board, now, self.size(), self.colour, clock::time_of_day);
        put(&format!("{HOME}{picture}{BELOW}")).map_err(Failure::Output)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone cannot be put in order.
        let _ = put(LEAVE);
        drop(self.mode.take());
    }
}

/// As it stands: the dashboard decides about colour itself.
fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What script(1) shows of a test of this file that runs on a terminal of its own, and of the terminal after it.
    fn shown_of(test: &str) -> String {
        let own = std::env::current_exe().unwrap();
        let line = format!(
            "'{}' --exact --ignored --nocapture {}::{test}; stty -a",
            own.display(),
            module_path!().split_once("::").unwrap().1
        );
        #[expect(clippy::disallowed_methods, reason = "a terminal of its own, for a test")]
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm-256color");
        let output = script.stdin(std::process::Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The other screen was left, the cursor is back, and the terminal echoes lines again.
    #[track_caller]
    fn restored(shown: &str) {
        let (drawn, after) = shown.split_once(LEAVE).unwrap_or_else(|| panic!("not left: {shown:?}"));
        assert!(drawn.contains(ENTER) && drawn.contains("the picture"), "{shown:?}");
        assert!(!after.contains(ENTER), "{shown:?}");
        let modes: Vec<&str> = after.split_whitespace().collect();
        for mode in ["icanon", "echo", "isig", "opost"] {
            assert!(modes.contains(&mode), "{mode} is not among {modes:?}");
        }
    }

    #[test]
    fn a_panic_leaves_the_terminal_in_order_and_is_told_on_the_persons_own_screen() {
        let shown = shown_of("on_a_terminal_it_breaks");
        restored(&shown);
        let (drawn, after) = shown.split_once(LEAVE).unwrap();
        assert!(after.contains("it broke in the middle") && !drawn.contains("it broke"), "{shown:?}");
    }

    #[test]
    fn the_terminal_is_as_before_at_the_end_of_its_use() {
        restored(&shown_of("on_a_terminal_it_ends"));
    }

    #[test]
    #[ignore = "runs on a terminal that a test above makes"]
    fn on_a_terminal_it_breaks() {
        let _screen = Screen::enter().unwrap();
        put("the picture").unwrap();
        panic!("it broke in the middle");
    }

    #[test]
    #[ignore = "runs on a terminal that a test above makes"]
    fn on_a_terminal_it_ends() {
        let screen = Screen::enter().unwrap();
        put("the picture").unwrap();
        drop(screen);
    }
}
