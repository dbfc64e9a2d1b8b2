//! Entry point: parse, run the story, exit 0 only if every outcome was as expected.

use std::path::PathBuf;
use std::process::ExitCode;

use agentauth_demo::story::{self, Options};
use agentauth_demo::talk::Talk;
use clap::Parser;

/// Shows agentauthd at work: a stand-in provider, the real daemon, two people and an agent that pays.
///
/// Everything happens on this machine, in temporary directories, and is gone afterwards.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The daemon to show; otherwise the one of this checkout is built.
    #[arg(long, value_name = "PATH")]
    daemon: Option<PathBuf>,
    /// Leave everything running afterwards, to try things by hand.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let talk = Talk;
    let options = Options { daemon: arguments.daemon, keep: arguments.keep };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            talk.trouble(&error);
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(story::tell(&talk, options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            talk.trouble(&error);
            ExitCode::FAILURE
        }
    }
}
