//! The story that is told: a program becomes an agent, is allowed one thing and refused another, and loses it again; each
//! step with what should come of it.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};

use descope_emulator::{Emulator, StartFault};
use tempfile::TempDir;

use crate::agent::{AgentError, LOOK, PAY, PaymentAgent, Told};
use crate::binaries::{self, BinaryError};
use crate::person::{ALICE, BOB, Person, PersonError};
use crate::talk::{BAD, FAINT, GOOD, STRONG, Stopwatch, Talk, span};

const AGENT: &str = "payment-agent";

/// How to tell it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The daemon to show; built if not given.
    pub daemon: Option<PathBuf>,
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
    wanted: &'static str,
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
    let agent = PaymentAgent::set_up(directory.path())?;
    talk.line(format_args!("   an agent that pays invoices: {}", agent.program().display()));
    // From here on nothing is compiled.
    let whole = Stopwatch::start();
    let watch = Stopwatch::start();
    let mut alice = start("alice", &directory, &emulator, &agentauthd).await?;
    talk.done("Alice's daemon, answering on its socket", watch.elapsed());
    let watch = Stopwatch::start();
    let mut bob = start("bob", &directory, &emulator, &agentauthd).await?;
    talk.done("Bob's daemon; each person has their own", watch.elapsed());
    talk.note("the login is kept in memory here, by choice: this machine may have no keychain");

    let mut outcomes = Vec::new();
    let mut tell = |who, program, wanted, expected, told: Told| {
        show(talk, wanted, &told);
        outcomes.push(Outcome { who, program, wanted, expected, told });
    };
    let alices = |cause| StoryError::Person { who: "Alice", cause };
    let bobs = |cause| StoryError::Person { who: "Bob", cause };

    talk.step(2, "A program that nobody registered wants to pay 120.50 EUR");
    tell("nobody", AGENT, PAY, ("deny", "agent_unknown"), ask(&agent, &alice, PAY).await?);

    talk.step(3, "Alice, a payment processor, logs in and registers it");
    let watch = Stopwatch::start();
    let user = alice.log_in(ALICE).await.map_err(alices)?;
    let name = user.email.as_deref().unwrap_or("Alice");
    talk.done(format_args!("signed in at the provider's page and came back: {name}"), watch.elapsed());
    talk.note(
        "authorization code with PKCE, state and nonce, over a listener on 127.0.0.1 that is gone again",
    );
    let watch = Stopwatch::start();
    alice.register(PaymentAgent::manifest(), agent.program(), ALICE).await.map_err(alices)?;
    talk.done("registered, confirmed by a fresh sign-in for exactly this", watch.elapsed());
    talk.note("the program is recognised by its path and its SHA-256, as the kernel shows them");
    tell("Alice", AGENT, PAY, ("deny", "consent_required"), ask(&agent, &alice, PAY).await?);

    talk.step(4, "The agent answers the question itself");
    let question = alice.question().await.map_err(alices)?;
    let configuration = alice.configuration();
    let cli =
        [&agentauthd.to_string_lossy(), "--config", &configuration.to_string_lossy()].map(str::to_owned);
    let told = on_a_thread(&agent, &alice, {
        let id = question.id.clone();
        move |agent, socket| agent.approve_itself(socket, &id, &cli.each_ref().map(String::as_str))
    });
    tell("Alice", AGENT, "approve", ("deny", "forbidden"), told.await?);
    talk.note(
        "once on its own connection, once by starting `agentauthd approve`: it is the agent both times",
    );

    talk.step(5, "Alice allows it for 30 minutes");
    for line in &question.text {
        talk.note(line);
    }
    let watch = Stopwatch::start();
    alice.approve(&question, ALICE).await.map_err(alices)?;
    talk.done("money takes more than a click: a fresh sign-in for exactly this", watch.elapsed());
    tell("Alice", AGENT, PAY, ("allow", "granted"), ask(&agent, &alice, PAY).await?);

    talk.step(6, "It wants to look at the payments, too, and Alice refuses");
    tell("Alice", AGENT, LOOK, ("deny", "consent_required"), ask(&agent, &alice, LOOK).await?);
    let question = alice.question().await.map_err(alices)?;
    alice.refuse(&question).await.map_err(alices)?;
    tell("Alice", AGENT, LOOK, ("deny", "consent_denied"), ask(&agent, &alice, LOOK).await?);

    talk.step(7, "A copy of the same program from another place wants to pay");
    talk.note("same user, same code, same question");
    let told = on_a_thread(&agent, &alice, |agent, socket| agent.ask_as_copy(socket, PAY)).await?;
    tell("Alice", "a copy of it", PAY, ("deny", "agent_unknown"), told);

    talk.step(8, "Alice takes the payments back");
    let watch = Stopwatch::start();
    alice.revoke(PAY).await.map_err(alices)?;
    talk.done("revoked", watch.elapsed());
    tell("Alice", AGENT, PAY, ("deny", "consent_required"), ask(&agent, &alice, PAY).await?);

    talk.step(9, "Bob, who is no payment processor, logs in and registers it");
    let user = bob.log_in(BOB).await.map_err(bobs)?;
    bob.register(PaymentAgent::manifest(), agent.program(), BOB).await.map_err(bobs)?;
    talk.line(format_args!("   signed in: {}", user.email.as_deref().unwrap_or("Bob")));
    tell("Bob", AGENT, PAY, ("deny", "role_required"), ask(&agent, &bob, PAY).await?);

    talk.step(10, "Alice logs out");
    alice.log_out().await.map_err(alices)?;
    tell("nobody", AGENT, PAY, ("deny", "not_logged_in"), ask(&agent, &alice, PAY).await?);

    let good = summary(talk, &outcomes);
    let records = alice.records().await.map_err(alices)? + bob.records().await.map_err(bobs)?;
    talk.line(format_args!(
        "\nEvery login, answer and decision was written down before it took effect: {records} records in two hash-chained logs."
    ));
    talk.note(format_args!("the whole story took {}", span(whole.elapsed())));

    if options.keep {
        let mut you = start("you", &directory, &emulator, &agentauthd).await?;
        let yours = |cause| StoryError::Person { who: "you", cause };
        invite(talk, &mut you, &agent, &agentauthd, directory.path()).await.map_err(yours)?;
        ending.set(Some(good));
        std::future::pending::<()>().await;
    }
    Ok(good)
}

async fn start(
    who: &'static str,
    directory: &TempDir,
    emulator: &Emulator,
    agentauthd: &Path,
) -> Result<Person, StoryError> {
    let provider = (emulator.base_url(), emulator.project_id());
    Person::move_in(directory.path().join(who), provider, agentauthd)
        .await
        .map_err(|cause| StoryError::Person { who, cause })
}

async fn ask(agent: &PaymentAgent, whose: &Person, scope: &'static str) -> Result<Told, StoryError> {
    on_a_thread(agent, whose, move |agent, socket| agent.ask(socket, scope)).await
}

/// Runs an agent off this thread: the provider lives on it.
async fn on_a_thread(
    agent: &PaymentAgent,
    whose: &Person,
    how: impl FnOnce(&PaymentAgent, &Path) -> Result<Told, AgentError> + Send + 'static,
) -> Result<Told, StoryError> {
    let (agent, socket) = (agent.clone(), whose.socket().to_owned());
    match tokio::task::spawn_blocking(move || how(&agent, &socket)).await {
        Ok(told) => Ok(told?),
        Err(_) => Err(StoryError::Interrupted),
    }
}

fn show(talk: &Talk, wanted: &str, told: &Told) {
    let style = if told.decision == "allow" { GOOD } else { BAD };
    let took = told.took.map(|took| format!(" {FAINT}({}){FAINT:#}", span(took))).unwrap_or_default();
    talk.line(format_args!("   may it {wanted}?  {style}{}{style:#}  {}{took}", told.decision, told.reason));
    talk.note(format_args!("\"{}\"", told.message));
    if let Some(remedy) = &told.remedy {
        talk.note(format_args!("what would help: {remedy}"));
    }
}

fn summary(talk: &Talk, outcomes: &[Outcome]) -> bool {
    talk.line(format_args!(
        "\n{STRONG}{:<8} {:<15} {:<28} {:<7} {:<17} {:<9} {}{STRONG:#}",
        "login", "program", "wants", "answer", "reason", "asked in", "as expected"
    ));
    for outcome in outcomes {
        let (style, word) = if outcome.as_expected() { (GOOD, "yes") } else { (BAD, "NO") };
        let expected = match outcome.as_expected() {
            true => String::new(),
            false => format!(", expected {} {}", outcome.expected.0, outcome.expected.1),
        };
        talk.line(format_args!(
            "{:<8} {:<15} {:<28} {:<7} {:<17} {:<9} {style}{word}{style:#}{expected}",
            outcome.who,
            outcome.program,
            outcome.wanted,
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
    directory: &Path,
) -> Result<(), PersonError> {
    let (_, url) = you.begin_login().await?;
    let manifest = directory.join("manifest.json");
    std::fs::write(&manifest, format!("{:#}\n", PaymentAgent::manifest()))
        .map_err(|cause| PersonError::Files { path: manifest.clone(), cause })?;
    let command = format!("{} --config {}", agentauthd.display(), you.configuration().display());
    talk.line(format_args!("\n{STRONG}Now you.{STRONG:#} Everything keeps running until ctrl-c. Nobody is logged in to your daemon yet."));
    talk.line("\nSign in within five minutes at");
    talk.line(format_args!("   {url}"));
    for member in [ALICE, BOB] {
        talk.line(format_args!("   as {:<16} with {}", member.email, member.password));
    }
    talk.line("\nor begin a login of your own, then register the agent:");
    let register = format!("agent register {} --exe {}", manifest.display(), agent.program().display());
    for words in ["login", &register, "status"] {
        talk.line(format_args!("   {command} {words}"));
    }
    talk.line("\nlet the agent pay, and answer what it asks:");
    talk.line(format_args!("   {}", agent.command_line(you.socket(), PAY)));
    for words in ["consents", "approve ID", "grants", "logout"] {
        talk.line(format_args!("   {command} {words}"));
    }
    talk.line("\nThe socket speaks HTTP:");
    talk.line(format_args!("   curl --unix-socket {} http://agentauthd/v1/status", you.socket().display()));
    Ok(())
}
