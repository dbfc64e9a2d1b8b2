//! A command line that somebody else runs: a shell in a terminal, a window of a multiplexer, a login session. It is a
//! script with the world's environment, which leaves what came of it in files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cli::Outcome;
use crate::{World, wait};

/// Numbers the errands of this process.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// One command line to be run elsewhere.
#[derive(Clone, Debug)]
pub struct Errand {
    script: PathBuf,
}

impl Errand {
    /// A command of the world's `agentauthd`.
    pub fn new(world: &World, arguments: &[&str]) -> Self {
        let program = world.agentauthd().display().to_string();
        Self::of(world, &[&[program.as_str()], arguments].concat())
    }

    /// Any program, in the world's environment.
    pub fn of(world: &World, words: &[&str]) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let script = world.home().join(format!("errand-{number}.sh"));
        let mut line = "env -i".to_owned();
        for (name, value) in world.environment() {
            let _ = write!(line, " {}", quoted(&format!("{}={}", name.display(), value.display())));
        }
        for word in words {
            let _ = write!(line, " {}", quoted(word));
        }
        let errand = Self { script };
        let (out, code) = (quoted_path(&errand.out()), errand.code());
        let part = quoted_path(&code.with_extension("part"));
        let text = format!("{line} >{out} 2>&1\necho $? >{part}; mv {part} {}\n", quoted_path(&code));
        std::fs::write(&errand.script, text).unwrap();
        world.give(&errand.script);
        errand
    }

    /// What a shell is told to run it.
    pub fn line(&self) -> String {
        format!("sh {}", quoted_path(&self.script))
    }

    /// The script.
    pub fn script(&self) -> &Path {
        &self.script
    }

    /// What it wrote so far, and how it ended, if it has.
    pub fn so_far(&self) -> Outcome {
        // The code first: what was written is whole once that is there.
        let code = std::fs::read_to_string(self.code()).ok().and_then(|code| code.trim().parse().ok());
        let stdout = String::from_utf8_lossy(&std::fs::read(self.out()).unwrap_or_default()).into_owned();
        Outcome { code, stdout, stderr: String::new() }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn finish(&self) -> Outcome {
        wait::within(wait::PATIENCE, || Some(self.so_far()).filter(|outcome| outcome.code.is_some()))
            .unwrap_or_else(|| panic!("the errand did not end; so far: {:#?}", self.so_far()))
    }

    fn out(&self) -> PathBuf {
        self.script.with_extension("out")
    }

    fn code(&self) -> PathBuf {
        self.script.with_extension("code")
    }
}

/// A word as a shell reads it.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn quoted_path(path: &Path) -> String {
    quoted(path.to_str().unwrap())
}
