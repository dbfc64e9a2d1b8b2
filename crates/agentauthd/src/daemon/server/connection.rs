//! One connection: who is on its other end, and whether they still are.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use agentauth_api::{ErrorCode, NONCE_HEADER};
use agentauth_core::agents::Match;
use agentauth_core::caller::{CallerFacts, ProcessFacts};
use agentauth_core::decide::{agents, assurance};
use agentauth_core::gate::{Asker, GateRefusal, Operation, Reach, RefusalKind, may, scrapes};
use agentauth_core::recognise::{Grade, Shortfall, recognise};
use agentauth_core::snapshot::Snapshot;
use agentauth_idp::Chain;
use agentauth_ipc::greeting::{NONCE_BYTES, Nonce};
use agentauth_ipc::hashes::executable_path;
use agentauth_ipc::{
    FileId, Greeting, Identity, NoteError, Noted, Peer, Poison, ScriptFacts, reprove, reprove_script,
};
use http::HeaderMap;
use tokio_util::sync::CancellationToken;

use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::grounds::Fact;
use crate::daemon::{facts, record};

/// The caller's side of one connection.
pub(crate) struct Connection {
    peer: Peer,
    poison: Poison,
    standing: Mutex<Option<Arc<Standing>>>,
    end: CancellationToken,
}

/// What was found out about the caller, and the greeting that it was found out at.
struct Standing {
    proof: Arc<Proof>,
    /// The script that the caller ran then, if it is an interpreter: it may be read again at any time.
    script: Option<ScriptFacts>,
    /// When to look again: a file that was just changed then will have been left alone for long enough.
    look_again_at: Option<SystemTime>,
    /// The facts for requests that do not echo the nonce.
    plain: Arc<CallerFacts>,
    /// The facts for those that do.
    greeted: Arc<CallerFacts>,
    /// The same for the record, each once it is asked for.
    plain_fact: OnceLock<Arc<Fact>>,
    greeted_fact: OnceLock<Arc<Fact>>,
}

/// What can be held against the caller later, to see whether it is still the same.
enum Proof {
    /// It was given a nonce.
    Greeted(Greeting),
    /// It asked without a greeting.
    Noted(Noted),
    /// It hides its program.
    Hidden,
}

/// The caller of one request.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) facts: Arc<CallerFacts>,
    standing: Arc<Standing>,
}

impl Caller {
    /// What is known of it, as a record names it.
    pub(crate) fn fact(&self, app: &App) -> Arc<Fact> {
        let kept = if Arc::ptr_eq(&self.facts, &self.standing.greeted) {
            &self.standing.greeted_fact
        } else {
            &self.standing.plain_fact
        };
        Arc::clone(kept.get_or_init(|| app.grounds.of_caller(&self.facts)))
    }
}

impl Connection {
    /// A connection that has asked nothing yet, and is served until `end`.
    pub(crate) fn new(peer: Peer, poison: Poison, end: CancellationToken) -> Self {
        Self { peer, poison, standing: Mutex::new(None), end }
    }

    /// The process that connected.
    pub(crate) fn pid(&self) -> u32 {
        self.peer.pid()
    }

    /// Ends the connection, whatever still waits to be sent on it.
    pub(crate) fn give_up(&self) {
        self.end.cancel();
    }

    /// A handle of the process that connected: it becomes readable when that ends.
    pub(crate) fn handle(&self) -> std::io::Result<OwnedFd> {
        self.peer.as_fd().try_clone_to_owned()
    }

    /// Refuses everything on a connection that somebody else wrote to.
    pub(crate) fn refuse_poisoned(&self) -> Result<(), Refusal> {
        match self.poison.reason() {
            None => Ok(()),
            Some(reason) => {
                let detail = format!("{reason}: each process must open a connection of its own");
                Err(Refusal::new(ErrorCode::CallerUnproven, detail))
            }
        }
    }

    /// The greeting: looks at the caller anew, and draws a nonce for it to echo.
    pub(crate) async fn greet(&self, app: &App) -> Result<String, Refusal> {
        let mut bytes = [0; NONCE_BYTES];
        getrandom::fill(&mut bytes)
            .map_err(|_| Refusal::new(ErrorCode::Internal, "the system gives no randomness: try again"))?;
        let nonce = Nonce::new(bytes);
        let text = nonce.text();
        self.identify(app, Some(nonce)).await?;
        Ok(text)
    }

    /// Who asks, as far as this request proves it.
    pub(crate) async fn caller(&self, app: &App, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let known = self.lock().clone();
        let known = match known {
            Some(standing) if standing.look_again_at.is_some_and(|at| system_time(app) >= at) => {
                standing.script_unchanged().map_err(|changed| self.unproven(changed))?;
                Some(self.look(app, Arc::clone(&standing.proof)).await?)
            }
            known => known,
        };
        let Some(echo) = headers.get(NONCE_HEADER) else {
            let standing = match known {
                Some(standing) => standing,
                None => self.identify(app, None).await?,
            };
            return Ok(Caller { facts: standing.plain.clone(), standing });
        };
        let echoed = |standing: &Arc<Standing>| match &*standing.proof {
            Proof::Greeted(greeting) => echo.to_str().is_ok_and(|echo| greeting.is_echo(echo)),
            // Nothing was noted that an echo could prove; it is answered as what it is.
            Proof::Hidden => true,
            Proof::Noted(_) => false,
        };
        match known.filter(echoed) {
            Some(standing) => Ok(Caller { facts: standing.greeted.clone(), standing }),
            None => {
                self.poison.condemn();
                let detail =
                    "the nonce is not the one that this connection was greeted with: connect and greet again";
                Err(Refusal::new(ErrorCode::CallerUnproven, detail))
            }
        }
    }

    /// Proves once more, before an answer leaves, that the caller is who it was.
    ///
    /// # Errors
    /// In words, what is no longer so.
    pub(crate) fn reprove(&self, caller: &Caller) -> Result<(), String> {
        if let Some(reason) = self.poison.reason() {
            return Err(reason.to_string());
        }
        match &*caller.standing.proof {
            Proof::Greeted(greeting) => greeting.reprove(&self.peer).map_err(|error| error.to_string()),
            Proof::Noted(noted) => reprove(&self.peer, noted).map_err(|error| error.to_string()),
            Proof::Hidden if self.peer.alive() => Ok(()),
            Proof::Hidden => Err("the process is gone".to_owned()),
        }?;
        caller.standing.script_unchanged()
    }

    /// The caller of a check. Any process of the user may ask, so that it learns what it is taken for; root's and
    /// others' may not.
    pub(crate) async fn checker(&self, app: &App, headers: &HeaderMap) -> Result<Caller, Refusal> {
        if self.peer.uid() == app.about.owner_uid {
            self.caller(app, headers).await
        } else {
            self.may(app, headers, Operation::Check).await
        }
    }

    /// The caller of the metrics: a process of the person's, or an agent that may.
    pub(crate) async fn scraper(&self, app: &App, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let caller = self.caller(app, headers).await?;
        let agents = agents(&app.state.load(), &caller.facts);
        if self.asker(app, &caller, Grade::None) == Asker::Agent && scrapes(&agents, &app.scrapers) {
            return Ok(caller);
        }
        self.may(app, headers, Operation::Metrics).await
    }

    /// Whether the caller may ask for this operation; a refusal is recorded.
    pub(crate) async fn may(
        &self,
        app: &App,
        headers: &HeaderMap,
        operation: Operation,
    ) -> Result<Caller, Refusal> {
        let caller = self.caller(app, headers).await?;
        match self.gate(app, &caller, operation) {
            Ok(()) => Ok(caller),
            Err(refusal) => Err(refused(app, &caller, &refusal)),
        }
    }

    /// Whether a caller may ask for this operation by being who it is. Where not, evidence may help.
    pub(crate) fn gate(&self, app: &App, caller: &Caller, operation: Operation) -> Result<(), GateRefusal> {
        match may(operation, self.asker(app, caller, Grade::None)) {
            Err(refusal) if refusal.kind() == RefusalKind::GradeTooLow => {
                let (grade, shortfalls) = self.grade(app, caller);
                may(operation, self.asker(app, caller, grade)).map_err(|refusal| refusal.because(&shortfalls))
            }
            judged => judged,
        }
    }

    /// The caller of an operation that persons may ask for about all agents, and agents about themselves; with the agents
    /// whose records it may see or touch, `None` for all. For an agent that is the one that it is proven to be: who only
    /// descends from one, or did not greet, has none.
    pub(crate) async fn reach(
        &self,
        app: &App,
        headers: &HeaderMap,
        operation: fn(Reach) -> Operation,
    ) -> Result<(Caller, Option<Vec<Arc<str>>>), Refusal> {
        let caller = self.caller(app, headers).await?;
        let asker = self.asker(app, &caller, Grade::None);
        let reach = if asker == Asker::Agent { Reach::Own } else { Reach::All };
        if let Err(refusal) = may(operation(reach), asker) {
            return Err(refused(app, &caller, &refusal));
        }
        let own = self.own(app, &caller);
        Ok((caller, own))
    }

    /// The agents whose records the caller may see as things are now; `None` for all.
    pub(crate) fn own(&self, app: &App, caller: &Caller) -> Option<Vec<Arc<str>>> {
        let is_agent = self.asker(app, caller, Grade::None) == Asker::Agent;
        is_agent.then(|| {
            match app.state.load().agents.match_process(&caller.facts.process, caller.facts.greeted) {
                Match::Agent { agent, .. } if caller.facts.greeted => vec![Arc::clone(&agent.name)],
                _ => Vec::new(),
            }
        })
    }

    /// How well the caller is shown to be a person's own, and what stands in the way of more.
    pub(crate) fn grade(&self, app: &App, caller: &Caller) -> (Grade, Vec<Shortfall>) {
        match app.identifier.probe_person(&self.peer) {
            Ok(probe) => {
                let snapshot = app.state.load();
                let agents: Vec<bool> = std::iter::once(&caller.facts.process)
                    .chain(&caller.facts.ancestors)
                    .map(|process| is_agent(&snapshot, process))
                    .collect();
                let is_manager = |pid, start_time| app.manager.is(pid, start_time);
                recognise(&facts::person(&probe, self.peer.uid(), &agents, is_manager), &app.recogniser)
            }
            Err(error) => {
                tracing::debug!(error = %Chain(&error), "a caller could not be looked at");
                (Grade::None, vec![Shortfall::Unreadable])
            }
        }
    }

    fn asker(&self, app: &App, caller: &Caller, grade: Grade) -> Asker {
        if self.peer.uid() != app.about.owner_uid {
            return if self.peer.is_root() { Asker::Root } else { Asker::Other };
        }
        let snapshot = app.state.load();
        let mut processes = std::iter::once(&caller.facts.process).chain(&caller.facts.ancestors);
        // A process that hides what it runs may be anything, an agent too.
        let hidden = caller.facts.process.executable.is_none();
        let launched = snapshot.launches.over(&caller.facts).next().is_some();
        if hidden || launched || processes.any(|process| is_agent(&snapshot, process)) {
            Asker::Agent
        } else {
            Asker::Person(grade)
        }
    }

    /// Notes the process behind the connection, looks at it, and keeps what is seen.
    async fn identify(&self, app: &App, nonce: Option<Nonce>) -> Result<Arc<Standing>, Refusal> {
        let proof = match nonce {
            Some(nonce) => Greeting::new(&self.peer, nonce).map(Proof::Greeted),
            None => Noted::of(&self.peer).map(Proof::Noted),
        };
        let proof = match proof {
            Ok(proof) => proof,
            Err(NoteError::Hidden { .. }) => Proof::Hidden,
            Err(error) => return Err(self.unproven(error.to_string())),
        };
        self.look(app, Arc::new(proof)).await
    }

    /// Looks at the process that was noted, and keeps what is seen.
    async fn look(&self, app: &App, proof: Arc<Proof>) -> Result<Arc<Standing>, Refusal> {
        let now = system_time(app);
        let mut identity = self.identity(app)?;
        if let Some(seen) = &identity
            && let Some(manager) = app.manager.ask(seen, &*app.clock).await
        {
            identity = self.identity(app)?;
            identity.iter().for_each(|identity| app.manager.learn(manager, identity));
        }
        let seen =
            identity.as_ref().and_then(|identity| identity.process.executable.as_ref()).map(|exe| exe.id);
        if proof.executable().zip(seen).is_some_and(|(noted, seen)| noted != seen) {
            return Err(self.unproven(
                "the process changed its program while it was looked at: connect again".to_owned(),
            ));
        }
        let plain = match &identity {
            Some(identity) => {
                self.compute_digests(app, identity, now).await;
                let snapshot = app.state.load();
                let digest = |id: &FileId| app.hashes.known(id).map(|digest| digest.to_string());
                let cgroup = |process: &agentauth_ipc::ProcessFacts| {
                    let path = process.executable.as_ref()?.path.to_string_lossy();
                    let wanted = snapshot.agents.wants_cgroup(&path);
                    wanted.then(|| app.identifier.control_group(process)).flatten()
                };
                let is_manager = |pid, start_time| app.manager.is(pid, start_time);
                facts::caller(identity, now, digest, cgroup, &snapshot.launches, is_manager)
            }
            None => facts::hidden(self.peer.pid()),
        };
        // In a process namespace of its own a process may sign its bytes with another's pid, so an echo from there proves
        // nothing. A user namespace alone does not let it: the right to lie about pids is one over the namespace of pids.
        let signed = identity.as_ref().is_some_and(|identity| identity.same_pid_namespace == Some(true));
        let greeted = CallerFacts { greeted: signed, ..plain.clone() };
        let standing = Arc::new(Standing {
            proof,
            look_again_at: identity.as_ref().and_then(|identity| settles_at(identity, now)),
            script: identity.and_then(|identity| identity.process.script),
            plain: Arc::new(plain),
            greeted: Arc::new(greeted),
            plain_fact: OnceLock::new(),
            greeted_fact: OnceLock::new(),
        });
        let shown =
            if matches!(*standing.proof, Proof::Greeted(_)) { &standing.greeted } else { &standing.plain };
        let known = self.lock().replace(standing.clone());
        if known.is_none() {
            app.metrics.identified(assurance(&app.state.load(), shown));
        }
        Ok(standing)
    }

    /// What the kernel says of the process; nothing where it hides.
    fn identity(&self, app: &App) -> Result<Option<Identity>, Refusal> {
        match app.identifier.identify(&self.peer) {
            Ok(identity) => Ok(Some(identity)),
            Err(error @ agentauth_ipc::IdentifyError::Read { .. }) => {
                tracing::debug!(error = %Chain(&error), "a caller hides");
                Ok(None)
            }
            Err(error) => Err(self.unproven(error.to_string())),
        }
    }

    fn unproven(&self, what: String) -> Refusal {
        self.poison.condemn();
        Refusal::new(ErrorCode::CallerUnproven, what)
    }

    /// Computes the digests that a registered agent's selectors ask for; all others cost nothing.
    async fn compute_digests(&self, app: &App, identity: &Identity, now: SystemTime) {
        let snapshot = app.state.load();
        for process in std::iter::once(&identity.process).chain(&identity.ancestors) {
            let Some(executable) = &process.executable else { continue };
            if !snapshot.agents.wants_digests(&executable.path.to_string_lossy()) {
                continue;
            }
            let through = executable_path(process.pid);
            if let Err(error) = app.hashes.digest(&through, executable.id, now).await {
                tracing::info!(pid = process.pid, error = %Chain(&error), "an executable could not be digested");
            }
            if let Some(script) = &process.script
                && let Err(error) = app.hashes.digest(&script.path, script.id, now).await
            {
                tracing::info!(pid = process.pid, error = %Chain(&error), "a script could not be digested");
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Standing>>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn script_unchanged(&self) -> Result<(), String> {
        let script = self.script.as_ref();
        script.map_or(Ok(()), |script| reprove_script(script).map_err(|error| error.to_string()))
    }
}

impl Proof {
    fn executable(&self) -> Option<FileId> {
        match self {
            Self::Greeted(greeting) => Some(greeting.executable()),
            Self::Noted(noted) => Some(noted.executable()),
            Self::Hidden => None,
        }
    }
}

fn system_time(app: &App) -> SystemTime {
    SystemTime::from(app.clock.now())
}

/// When the caller's files will have been left alone for long enough; `None` where they are already.
fn settles_at(identity: &Identity, now: SystemTime) -> Option<SystemTime> {
    let files = [
        identity.process.executable.as_ref().map(|executable| executable.id),
        identity.process.script.as_ref().map(|script| script.id),
    ];
    files.into_iter().flatten().filter(|id| !id.is_settled(now)).filter_map(|id| id.settles_at()).max()
}

/// Whether a process is a registered agent, or may be one: a changed or ambiguous one does not get what only persons
/// may do either.
fn is_agent(snapshot: &Snapshot, process: &ProcessFacts) -> bool {
    !matches!(snapshot.agents.match_process(process, false), Match::None | Match::Unreadable)
}

fn refused(app: &App, caller: &Caller, refusal: &GateRefusal) -> Refusal {
    let what = refusal.to_string();
    app.audit.note_down(&record::operation_refused(&caller.facts, &what, app.clock.now()));
    Refusal::new(ErrorCode::Forbidden, what)
}
