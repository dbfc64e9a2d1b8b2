//! `agentauthd man`: the manual pages, from the same text as `--help`.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Failure, output};

/// Write the manual pages: the first to standard output, or all of them to a directory.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Write all pages to this directory, one per subcommand.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self, command: clap::Command) -> Result<Exit, Failure> {
        let Some(directory) = &self.dir else {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page).map_err(Failure::Output)?;
            output::raw(&String::from_utf8_lossy(&page))?;
            return Ok(Exit::Done);
        };
        let failed = |error| {
            let directory = directory.display();
            Failure::caused(
                format!("could not write the manual to `{directory}`; give a directory that can be written"),
                error,
            )
        };
        std::fs::create_dir_all(directory).map_err(failed)?;
        clap_mangen::generate_to(command, directory).map_err(failed)?;
        output::say(&format!("Wrote the manual to {}.", directory.display()));
        Ok(Exit::Done)
    }
}
