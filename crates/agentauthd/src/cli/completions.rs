//! `agentauthd completions`: what a shell needs to complete our command line.

use clap::Args;
use clap_complete::Shell;

use super::{Exit, Failure, output};

/// Print the completions for a shell. For bash: `agentauthd completions bash > ~/.local/share/bash-completion/completions/agentauthd`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Which shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, command: &mut clap::Command) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "agentauthd", &mut script);
        output::raw(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}
