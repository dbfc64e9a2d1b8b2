//! The story that is told: nobody, Alice, a stranger, Bob; each with what should come of it.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};

use descope_emulator::{Emulator, StartFault};
use tempfile::TempDir;

use crate::agent::{AgentError, Language, PaymentAgent, SCOPE, Told};
use crate::binaries::{self, BinaryError};
use crate::person::{ALICE, BOB, Person, PersonError};
use crate::talk::{BAD, FAINT, GOOD, STRONG, Stopwatch, Talk, span};

/// How to tell it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The daemon to show; built if not given.
    pub daemon: Option<PathBuf>,
    /// What the agent is written in.
    pub language: Option<Language>,
    /// Leave everything running afterwards.
    pub keep: bool,
}

/// Why it could not be told to its end.
#[derive(Debug, thiserror::Error)]
pub enum StoryError {
    /// A program is missing.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// No temporary directory.
    #[error("cannot make a temporary directory")]
    Directory(#[source] io::Error),
    /// The stand-in provider did not start.
    #[error("the stand-in provider did not start")]
    Provider(#[from] StartFault),
    /// The agent could not take part.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// Somebody could not take part.
    #[error("{who} could not take part")]
    Person {
        /// Who.
        who: &'static str,
        /// Why.
        #[source]
        cause: PersonError,
    },
    /// Ctrl-C could not be listened for.
    #[error("cannot wait for ctrl-c")]
    Signal(#[source] io::Error),
    /// The user ended it.
    #[error("stopped by ctrl-c; everything that was started is gone")]
    Interrupted,
}

/// One outcome, beside what was expected.
struct Outcome {
    who: &'static str,
    program: &'static str,
    expected: (&'static str, &'static str),
    told: Told,
}

impl Outcome {
    fn as_expected(&self) -> bool {
        let (decision, reason) = self.expected;
        let exit_code = if decision == "allow" { 0 } else { 2 };
        self.told.decision == decision && self.told.reason == reason && self.told.exit_code == Some(exit_code)
    }
}

/// Tells the story; `true` if every outcome was as expected.
///
/// # Errors
/// When it could not be told to its end. Whatever was started has been stopped.
pub async fn tell(talk: &Talk, options: Options) -> Result<bool, StoryError> {
    // Set once the story is over and everything is left running.
    let ending = Cell::new(None);
    tokio::select! {
        told = tell_it(talk, options, &ending) => told,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.map_err(StoryError::Signal)?;
            ending.get().ok_or(StoryError::Interrupted)
        }
    }
}

async fn tell_it(talk: &Talk, options: Options, ending: &Cell<Option<bool>>) -> Result<bool, StoryError> {
    let whole = Stopwatch::start();
    talk.line(format_args!("{STRONG}agentauthd: no check, no payment{STRONG:#}"));
    talk.line("A person logs in once. Before it pays, an agent asks the person's daemon: allow or deny?");

    talk.step(1, "The parts");
    let agentauthd = match options.daemon {
        Some(path) if path.is_file() => path,
        Some(path) => return Err(BinaryError::Missing { path }.into()),
        None => {
            talk.note("looking after the daemon's build; the first time takes a few minutes");
            binaries::daemon()?
        }
    };
    let directory = TempDir::with_prefix("agentauth-demo-").map_err(StoryError::Directory)?;
    let watch = Stopwatch::start();
    let emulator = Emulator::builder().start().await?;
    talk.done(format_args!("a stand-in for Descope at {}", emulator.base_url()), watch.elapsed());
    let agent = PaymentAgent::set_up(directory.path(), options.language)?;
    talk.line(format_args!(
        "   payment-agent, registered, recognised by {}",
        agent.recognised_by().display()
    ));
    let watch = Stopwatch::start();
    let mut alice = start("alice", &directory, &emulator, &agent, &agentauthd).await?;
    talk.done("Alice's daemon, answering on its socket", watch.elapsed());
    let watch = Stopwatch::start();
    let mut bob = start("bob", &directory, &emulator, &agent, &agentauthd).await?;
    talk.done("Bob's daemon; each person has their own", watch.elapsed());
    talk.note("the login is kept in memory here, by choice: this machine may have no keychain");

    let mut outcomes = Vec::new();
    let mut ask = |who, program, expected, told: Told| {
        show(talk, &told);
        outcomes.push(Outcome { who, program, expected, told });
    };

    talk.step(2, "Nobody is logged in, and the agent wants to pay 120.50 EUR");
    ask("nobody", "payment-agent", ("deny", "not_logged_in"), run(&agent, &alice, PaymentAgent::run).await?);

    talk.step(3, "Alice, a payment processor, logs in");
    let watch = Stopwatch::start();
    let user = alice.log_in(ALICE).await.map_err(|cause| StoryError::Person { who: "Alice", cause })?;
    talk.done(
        format_args!(
            "signed in at the provider's page and came back: {}",
            user.email.as_deref().unwrap_or("Alice")
        ),
        watch.elapsed(),
    );
    talk.note(
        "authorization code with PKCE, state and nonce, over a listener on 127.0.0.1 that is gone again",
    );
    ask("Alice", "payment-agent", agent.due(), run(&agent, &alice, PaymentAgent::run).await?);

    talk.step(4, "The same program from another place asks Alice's daemon");
    talk.note("a copy that nobody registered: same user, same code, same question");
    ask(
        "Alice",
        "a copy of it",
        ("deny", "agent_unknown"),
        run(&agent, &alice, PaymentAgent::run_stranger).await?,
    );

    talk.step(5, "Bob, who is no payment processor, logs in");
    let watch = Stopwatch::start();
    let user = bob.log_in(BOB).await.map_err(|cause| StoryError::Person { who: "Bob", cause })?;
    talk.done(format_args!("signed in: {}", user.email.as_deref().unwrap_or("Bob")), watch.elapsed());
    ask("Bob", "payment-agent", ("deny", "role_required"), run(&agent, &bob, PaymentAgent::run).await?);

    let good = summary(talk, &outcomes);
    let person = |who, cause| StoryError::Person { who, cause };
    let records = alice.records().await.map_err(|cause| person("Alice", cause))?
        + bob.records().await.map_err(|cause| person("Bob", cause))?;
    talk.line(format_args!(
        "\nEvery login and decision was written down before its answer left: {records} records in two hash-chained logs."
    ));
    talk.note(format_args!("the whole story took {}", span(whole.elapsed())));

    if options.keep {
        let mut you = start("you", &directory, &emulator, &agent, &agentauthd).await?;
        invite(talk, &mut you, &agent, &agentauthd).await.map_err(|cause| person("you", cause))?;
        ending.set(Some(good));
        std::future::pending::<()>().await;
    }
    Ok(good)
}

async fn start(
    who: &'static str,
    directory: &TempDir,
    emulator: &Emulator,
    agent: &PaymentAgent,
    agentauthd: &Path,
) -> Result<Person, StoryError> {
    let provider = (emulator.base_url(), emulator.project_id());
    Person::move_in(directory.path().join(who), provider, &agent.registration(), agentauthd)
        .await
        .map_err(|cause| StoryError::Person { who, cause })
}

/// Runs an agent off the thread: the provider lives on this one.
async fn run(
    agent: &PaymentAgent,
    whose: &Person,
    how: fn(&PaymentAgent, &Path) -> Result<Told, AgentError>,
) -> Result<Told, StoryError> {
    let (agent, socket) = (agent.clone(), whose.socket().to_owned());
    match tokio::task::spawn_blocking(move || how(&agent, &socket)).await {
        Ok(told) => Ok(told?),
        Err(_) => Err(StoryError::Interrupted),
    }
}

fn show(talk: &Talk, told: &Told) {
    let style = if told.decision == "allow" { GOOD } else { BAD };
    let took = told.took.map(|took| format!(" {FAINT}({}){FAINT:#}", span(took))).unwrap_or_default();
    talk.line(format_args!("   may it {SCOPE}?  {style}{}{style:#}  {}{took}", told.decision, told.reason));
    talk.note(format_args!("\"{}\"", told.message));
    if let Some(remedy) = &told.remedy {
        talk.note(format_args!("what would help: {remedy}"));
    }
}

fn summary(talk: &Talk, outcomes: &[Outcome]) -> bool {
    talk.line(format_args!(
        "\n{STRONG}{:<8} {:<15} {:<7} {:<15} {:<9} {}{STRONG:#}",
        "login", "program", "answer", "reason", "asked in", "as expected"
    ));
    for outcome in outcomes {
        let (style, word) = if outcome.as_expected() { (GOOD, "yes") } else { (BAD, "NO") };
        let expected = match outcome.as_expected() {
            true => String::new(),
            false => format!(", expected {} {}", outcome.expected.0, outcome.expected.1),
        };
        talk.line(format_args!(
            "{:<8} {:<15} {:<7} {:<15} {:<9} {style}{word}{style:#}{expected}",
            outcome.who,
            outcome.program,
            outcome.told.decision,
            outcome.told.reason,
            outcome.told.took.map(span).unwrap_or_default(),
        ));
    }
    outcomes.iter().all(Outcome::as_expected)
}

async fn invite(
    talk: &Talk,
    you: &mut Person,
    agent: &PaymentAgent,
    agentauthd: &Path,
) -> Result<(), PersonError> {
    let (_, url) = you.begin_login().await?;
    let command = format!("{} --config {}", agentauthd.display(), you.configuration().display());
    talk.line(format_args!("\n{STRONG}Now you.{STRONG:#} Everything keeps running until ctrl-c. Nobody is logged in to your daemon yet."));
    talk.line("\nSign in within five minutes at");
    talk.line(format_args!("   {url}"));
    for member in [ALICE, BOB] {
        talk.line(format_args!("   as {:<16} with {}", member.email, member.password));
    }
    talk.line("\nor begin a login of your own, and look around:");
    for words in ["login", "status", "whoami", "logout"] {
        talk.line(format_args!("   {command} {words}"));
    }
    talk.line("\nand let the agent pay:");
    talk.line(format_args!("   {}", agent.command_line(you.socket())));
    talk.line("\nThe socket speaks HTTP:");
    talk.line(format_args!("   curl --unix-socket {} http://agentauthd/v1/status", you.socket().display()));
    Ok(())
}
