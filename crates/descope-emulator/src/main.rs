//! `descope-emulator`: the stand-in Descope as a program.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use descope_emulator::{ACME, Approval, Config, Emulator, StartFault};

/// A stand-in Descope for tests and the demonstration. It listens on loopback only.
#[derive(Debug, Parser)]
#[command(name = "descope-emulator", version)]
struct Arguments {
    /// The fixture (TOML); without it, the Acme fixture that is built in
    #[arg(long, value_name = "FILE")]
    fixture: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Writes the base URL and the project id to this file (JSON) once the emulator answers
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Signs this user in without showing the page
    #[arg(long, value_name = "LOGIN")]
    auto_approve: Option<String>,
}

/// Why the program ended early.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("cannot read the fixture `{path}`")]
    Fixture { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Start(#[from] StartFault),
    #[error("cannot write the ready file `{path}`")]
    Ready { path: PathBuf, source: std::io::Error },
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
    #[error("cannot start the runtime")]
    Runtime(#[source] std::io::Error),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::new("warn");
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Fault::Runtime).and_then(|runtime| runtime.block_on(serve(arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            say(&mut std::io::stderr(), &with_causes(&fault));
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), Fault> {
    let fixture = match &arguments.fixture {
        None => ACME.to_owned(),
        Some(path) => {
            std::fs::read_to_string(path).map_err(|source| Fault::Fixture { path: path.clone(), source })?
        }
    };
    let approval = arguments.auto_approve.map(Approval::As);
    // Signals are caught before anybody can learn that the emulator runs.
    let stop = stop_signal()?;
    let config = Config { fixture, listen: arguments.listen, approval, ..Config::default() };
    let emulator = Emulator::start(config).await?;
    introduce(&emulator);
    if let Some(path) = &arguments.ready_file {
        write_ready(path, &emulator).map_err(|source| Fault::Ready { path: path.clone(), source })?;
    }
    stop.await;
    emulator.shutdown().await;
    Ok(())
}

/// Listens from now on; the future ends with the first signal.
#[cfg(unix)]
fn stop_signal() -> Result<impl Future<Output = ()>, Fault> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(Fault::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Fault::Signals)?;
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    })
}

/// Listens from now on; the future ends with ctrl-c.
#[cfg(windows)]
fn stop_signal() -> Result<impl Future<Output = ()>, Fault> {
    let mut interrupt = tokio::signal::windows::ctrl_c().map_err(Fault::Signals)?;
    Ok(async move { drop(interrupt.recv().await) })
}

fn introduce(emulator: &Emulator) {
    let mut text = format!(
        "base url    {}\nproject id  {}\nissuer      {}\n\nusers (passwords: see the fixture)\n",
        emulator.base_url(),
        emulator.project_id(),
        emulator.issuer()
    );
    for user in emulator.control().users() {
        let tenants: Vec<&str> = user.tenants.keys().map(String::as_str).collect();
        let name = user.name.unwrap_or_default();
        let rights = [user.roles.join(", "), tenants.join(", ")].into_iter().filter(|part| !part.is_empty());
        text.push_str(&format!(
            "  {:<18} {:<18} {}\n",
            user.email,
            name,
            rights.collect::<Vec<_>>().join("; ")
        ));
    }
    say(&mut std::io::stdout(), &text);
}

/// Written beside and renamed, so that nobody reads half of it.
fn write_ready(path: &Path, emulator: &Emulator) -> std::io::Result<()> {
    let text = serde_json::json!({"base_url": emulator.base_url(), "project_id": emulator.project_id(),
                                  "issuer": emulator.issuer()});
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    std::fs::write(&beside, format!("{text}\n"))?;
    std::fs::rename(&beside, path)
}

fn with_causes(fault: &Fault) -> String {
    let mut text = format!("descope-emulator: {fault}\n");
    let mut cause = std::error::Error::source(fault);
    while let Some(error) = cause {
        text.push_str(&format!("  because: {error}\n"));
        cause = error.source();
    }
    text
}

/// A closed pipe is no reason to fall over.
fn say(to: &mut impl std::io::Write, text: &str) {
    drop(to.write_all(text.as_bytes()));
    drop(to.flush());
}
