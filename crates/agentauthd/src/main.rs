//! Entry point: parse, build a runtime, dispatch, exit.

use std::process::ExitCode;

use agentauthd::cli::{self, Exit};
use agentauthd::environment::Environment;

fn main() -> ExitCode {
    let environment = Environment::of_process();
    let exit = match cli::parse() {
        Ok(cli) => match cli.take_over() {
            Some(exit) => exit,
            None => run(cli, &environment),
        },
        Err(exit) => exit,
    };
    Exit::into(exit)
}

fn run(cli: cli::Cli, environment: &Environment) -> Exit {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let exit = runtime.block_on(cli::dispatch(cli, environment));
            // A question on the terminal may still wait for its answer on another thread.
            runtime.shutdown_background();
            exit
        }
        Err(error) => cli::cannot_start(&error),
    }
}
