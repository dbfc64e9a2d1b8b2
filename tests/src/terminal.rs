//! A real terminal, for programs that draw on one.

use std::io::{PipeWriter, Write};
use std::process::{Command, Stdio};

use crate::cli::{Outcome, Running};
use crate::{binaries, wait};

/// A command on a terminal of 80 by 24, made by script(1), with what is typed.
#[derive(Debug)]
pub struct Terminal {
    running: Running,
    typed: PipeWriter,
}

impl Terminal {
    /// Runs `line` in a shell on it, with `given` in the place of `COMMAND` and with its environment.
    pub fn start(given: &Command, line: &str) -> Self {
        let words: Vec<String> = std::iter::once(given.get_program())
            .chain(given.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .collect();
        let line = format!("stty rows 24 cols 80; {}", line.replace("COMMAND", &words.join(" ")));
        let mut command = binaries::command("script");
        command.args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"]);
        command.env_clear();
        command.envs(given.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", "/usr/bin:/bin").env("TERM", "xterm-256color").env("SHELL", "/bin/sh");
        let (input, typed) = std::io::pipe().unwrap();
        command.stdin(Stdio::from(input));
        Self { running: Running::start_with_input(command), typed }
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        self.typed.write_all(keys.as_bytes()).unwrap();
        self.typed.flush().unwrap();
    }

    /// The newest picture, line by line.
    pub fn screen(&mut self) -> Vec<String> {
        let all = self.running.so_far().stdout;
        let Some(at) = all.rfind("\x1b[H") else { return Vec::new() };
        let plain = without_sequences(&all[at..]);
        plain.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// Waits until the newest picture is as wanted.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut is: impl FnMut(&[String]) -> bool) -> Vec<String> {
        let found = wait::within(wait::PATIENCE, || {
            let screen = self.screen();
            is(&screen).then_some(screen)
        });
        found.unwrap_or_else(|| panic!("no {what}: {:#?}\n{:?}", self.screen(), self.running.so_far()))
    }

    /// Everything that was shown so far, with its control sequences.
    pub fn shown(&mut self) -> String {
        self.running.so_far().all()
    }

    /// Waits for the end.
    #[track_caller]
    pub fn finish(self) -> Outcome {
        drop(self.typed);
        self.running.finish()
    }
}

/// Text without control sequences (ECMA-48).
fn without_sequences(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\x1b' {
            characters.next();
            for end in characters.by_ref() {
                if end.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            plain.push(character);
        }
    }
    plain
}
