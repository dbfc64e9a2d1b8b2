//! `agentauthd consents`, `approve` and `deny`: the questions that wait for the person, and the answers.

use std::time::Duration;

use agentauth_client::{
    Client, Consent, ConsentAllowed, ConsentAnswer, ConsentAnswered, ConsentList, Event, Events,
};
use agentauth_core::SignedDuration;
use agentauth_core::consent::Choice;
use agentauth_core::text::display_safe_within;
use clap::Args;

use super::login::Confirmation;
use super::output::{self, BAD, FAINT, GOOD, STRONG};
use super::{Context, Exit, Failure, words};

/// The longest line of a question that is shown, in characters.
const LONGEST_LINE: usize = 16 * 1024;

/// Show the questions that wait for your answer.
#[derive(Debug, Args)]
pub(super) struct Consents {
    /// Go on showing new questions until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// Print the questions as JSON; with `--watch`, each change as one object a line.
    #[arg(long)]
    json: bool,
}

/// Allow what an agent asks. Needs a recognised terminal; what lasts or is risky needs a fresh login.
#[derive(Debug, Args)]
pub(super) struct Approve {
    /// The question, or the beginning of its name.
    #[arg(value_name = "ID")]
    id: String,
    /// Allow only this scope of the question, and refuse the others. May be given several times.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// For how long: once, 30m, today, session or always. By itself, what the question proposes.
    #[arg(long = "for", value_name = "LIFETIME")]
    lifetime: Option<Choice>,
    /// Confirm it by signing in anew.
    #[arg(long)]
    reauth: bool,
    /// With `--reauth`, only print the address to open.
    #[arg(long, requires = "reauth")]
    no_browser: bool,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

/// Refuse what an agent asks. It is not asked again for a while.
#[derive(Debug, Args)]
pub(super) struct Deny {
    /// The question, or the beginning of its name.
    #[arg(value_name = "ID")]
    id: String,
    /// Refuse everything to this agent for so long, at most a day.
    #[arg(long = "for", value_name = "DURATION", value_parser = span)]
    everything_for: Option<SignedDuration>,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Consents {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut client = context.client();
        // Before the list, so that nothing that changes it is missed.
        let mut events = if self.watch { Some(client.events().await?) } else { None };
        let mut list = client.consents(None, Duration::ZERO).await?;
        if !self.watch {
            if self.json {
                output::json(&list)?;
            } else if list.consents.is_empty() {
                output::data("No question waits.")?;
            } else {
                output::data(&shown(context, &list.consents).join("\n\n"))?;
            }
            return Ok(Exit::Done);
        }
        let mut known: Vec<String> = Vec::new();
        loop {
            if self.json {
                output::json_line(&list)?;
            } else {
                known.retain(|id| list.consents.iter().any(|consent| consent.id == *id));
                let new: Vec<_> =
                    list.consents.iter().filter(|consent| !known.contains(&consent.id)).cloned().collect();
                for text in shown(context, &new) {
                    output::data(&format!("{text}\n"))?;
                }
                known.extend(new.into_iter().map(|consent| consent.id));
            }
            list = tokio::select! {
                list = changed(&mut client, &mut events, list.revision) => list?,
                _ = tokio::signal::ctrl_c() => return Ok(Exit::Done),
            };
        }
    }
}

impl Approve {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut client = context.client();
        let consent = find(client.consents(None, Duration::ZERO).await?, &self.id)?;
        output::say(&format!("{}\n", text(&consent)));
        let request = self.answer(&consent)?;
        let answer = client.consent_answer(&consent.id, &request).await?;
        if let Some(login) = &answer.login {
            let asked = Confirmation { what: "To allow this, sign in at", browser: !self.no_browser };
            if !asked.follow(context, &mut client, login, "nothing was allowed").await? {
                return Ok(Exit::Error);
            }
        }
        if self.json {
            output::json(&answer)?;
        } else {
            output::data(&outcome(&request, &answer))?;
        }
        Ok(Exit::Done)
    }

    /// The answer: for each scope that was chosen, or for all.
    fn answer(&self, consent: &Consent) -> Result<ConsentAnswer, Failure> {
        if let Some(other) =
            self.scopes.iter().find(|text| !consent.scopes.iter().any(|asked| asked.scope == **text))
        {
            return Err(Failure::Usage(format!(
                "the question does not ask for `{}`: give a scope as it stands in the question",
                display_safe_within(other, 200)
            )));
        }
        let mut allow = Vec::new();
        let mut stronger = Vec::new();
        for asked in &consent.scopes {
            if !self.scopes.is_empty() && !self.scopes.contains(&asked.scope) {
                continue;
            }
            let lifetime =
                self.lifetime.map_or_else(|| asked.suggested.clone(), |choice| choice.as_str().to_owned());
            if asked.offers.iter().any(|offer| offer.lifetime == lifetime && offer.needs != "prompt") {
                stronger.push(asked.scope.clone());
            }
            allow.push(ConsentAllowed { scope: asked.scope.clone(), lifetime });
        }
        if !stronger.is_empty() && !self.reauth {
            return Err(Failure::Told(format!(
                "allowing {} takes more than an answer in a terminal: add `--reauth` and sign in for it, or choose other \
                 scopes with `--scope`, or a shorter time with `--for`",
                words::joined(&stronger)
            )));
        }
        Ok(ConsentAnswer { allow, deny_everything_for_seconds: None, reauth: self.reauth })
    }
}

impl Deny {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut client = context.client();
        let consent = find(client.consents(None, Duration::ZERO).await?, &self.id)?;
        let seconds = self.everything_for.and_then(|span| u32::try_from(span.as_secs()).ok());
        let request = ConsentAnswer { deny_everything_for_seconds: seconds, ..ConsentAnswer::default() };
        let answer = client.consent_answer(&consent.id, &request).await?;
        if self.json {
            output::json(&answer)?;
        } else {
            output::data(&outcome(&request, &answer))?;
            if let Some(until) = answer.denied_until {
                let left = words::span(until.duration_since(context.now()));
                let agent = display_safe_within(&consent.agent, 64);
                output::data(&format!("Everything is refused to `{agent}` for {left}."))?;
            }
        }
        Ok(Exit::Done)
    }
}

/// The list once it is another one.
async fn changed(
    client: &mut Client,
    events: &mut Option<Events>,
    seen: u64,
) -> Result<ConsentList, Failure> {
    loop {
        let happened = match events {
            Some(events) => events.next().await?,
            None => None,
        };
        match happened {
            Some(Event::Consent(_)) => {}
            Some(Event::Lagged) | None => *events = Some(client.events().await?),
            Some(_) => continue,
        }
        let list = client.consents(None, Duration::ZERO).await?;
        if list.revision != seen {
            return Ok(list);
        }
    }
}

/// The one question whose name is this, or begins so.
fn find(list: ConsentList, id: &str) -> Result<Consent, Failure> {
    let hex = |text: &str| text.strip_prefix("ask_").unwrap_or(text).to_owned();
    let (asked, exact) = (hex(id), |consent: &Consent| consent.id == id);
    let mut fitting: Vec<_> = list
        .consents
        .into_iter()
        .filter(|consent| exact(consent) || hex(&consent.id).starts_with(&asked))
        .collect();
    match (fitting.len(), fitting.pop()) {
        (1, Some(consent)) if asked.len() >= 4 => Ok(consent),
        (1.., _) => Err(Failure::Usage(
            "several questions may be meant: give at least four characters of the name, and enough to tell them apart".to_owned(),
        )),
        _ => Err(Failure::Told(
            "no such question waits: it was answered, or it is over; `agentauthd consents` shows those that wait".to_owned(),
        )),
    }
}

fn shown(context: &Context<'_>, consents: &[Consent]) -> Vec<String> {
    let one = |consent: &Consent| {
        let short: String = display_safe_within(&consent.id, 64).chars().take(12).collect();
        let left = words::span(consent.expires_at.duration_since(context.now()).max(SignedDuration::ZERO));
        let answers = context
            .addressed("answer with `agentauthd approve ID` or `agentauthd deny ID`")
            .replace("ID", &short);
        format!(
            "{STRONG}{short}{STRONG:#}  {FAINT}({left} left){FAINT:#}\n{}\n{FAINT}{answers}{FAINT:#}",
            text(consent)
        )
    };
    consents.iter().map(one).collect()
}

/// The question as the daemon words it. It has escaped what is hostile; so does this side.
fn text(consent: &Consent) -> String {
    let lines: Vec<_> = consent.text.iter().map(|line| display_safe_within(line, LONGEST_LINE)).collect();
    lines.join("\n")
}

fn outcome(request: &ConsentAnswer, answer: &ConsentAnswered) -> String {
    let shown = |text: &str| display_safe_within(text, 4096);
    let mut lines = Vec::new();
    for given in &answer.given {
        let says = given.lifetime.parse::<Choice>().map_or("", Choice::says);
        let (scope, grant) = (shown(&given.scope), shown(&given.grant));
        lines.push(format!("{GOOD}allowed{GOOD:#}  {scope} {says} {FAINT}({grant}){FAINT:#}"));
    }
    if answer.login.is_some() {
        for allowed in &request.allow {
            let says = allowed.lifetime.parse::<Choice>().map_or("", Choice::says);
            lines.push(format!("{GOOD}allowed{GOOD:#}  {} {says}", shown(&allowed.scope)));
        }
    }
    for scope in &answer.refused {
        lines.push(format!("{BAD}refused{BAD:#}  {}", shown(scope)));
    }
    lines.join("\n")
}

fn span(text: &str) -> Result<SignedDuration, String> {
    let span: SignedDuration = text.parse().map_err(|_| "write it like `1h`".to_owned())?;
    if span < SignedDuration::from_secs(1) || span > SignedDuration::from_hours(24) {
        Err("must be from 1s to 24h".to_owned())
    } else {
        Ok(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> ConsentList {
        let consent = |id: &str| {
            serde_json::json!({
                "id": id, "text": ["`a\u{1b}` asks"], "agent": "a", "version": "1", "manifest_digest": "d",
                "user": {"subject": "U1"}, "asked_at": "2026-03-01T12:00:00Z", "expires_at": "2026-03-01T12:10:00Z",
                "program": {"pid": 7, "executable": "/opt/a", "assurance": "path", "started_by": []},
                "scopes": [
                    {"scope": "files.read:/p", "says": "read", "risk": "read", "purpose": "p", "news": "n",
                     "suggested": "30m", "offers": [{"for": "30m", "needs": "prompt"}, {"for": "always", "needs": "passkey"}]},
                    {"scope": "files.delete:/p", "says": "delete", "risk": "delete", "purpose": "p", "news": "n",
                     "suggested": "once", "offers": [{"for": "once", "needs": "passkey"}]},
                ],
            })
        };
        let list = serde_json::json!({"revision": 3, "consents": [consent("ask_abcd1111"), consent("ask_abcd2222")]});
        serde_json::from_value(list).unwrap()
    }

    fn approve(scopes: &[&str], lifetime: Option<Choice>, reauth: bool) -> Approve {
        Approve {
            id: String::new(),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            lifetime,
            reauth,
            no_browser: false,
            json: false,
        }
    }

    #[test]
    fn a_question_is_found_by_the_beginning_of_its_name() {
        for id in ["ask_abcd1111", "ask_abcd1", "abcd1"] {
            assert_eq!(find(list(), id).unwrap().id, "ask_abcd1111", "{id}");
        }
        for id in ["", "ask_", "ask_abcd", "abc", "ffff", "ask_abcd11112"] {
            assert!(find(list(), id).is_err(), "{id}");
        }
    }

    #[test]
    fn what_needs_more_than_a_terminal_is_said_before_anything_is_sent() {
        let consent = find(list(), "abcd1").unwrap();
        assert!(matches!(approve(&[], None, false).answer(&consent), Err(Failure::Told(_))));
        assert!(matches!(approve(&["files.read"], None, false).answer(&consent), Err(Failure::Usage(_))));
        let read = approve(&["files.read:/p"], None, false).answer(&consent).unwrap();
        let allowed: Vec<_> =
            read.allow.iter().map(|one| (one.scope.as_str(), one.lifetime.as_str())).collect();
        assert_eq!(allowed, [("files.read:/p", "30m")]);
        assert!(approve(&["files.read:/p"], Some(Choice::Always), false).answer(&consent).is_err());
        assert_eq!(approve(&[], None, true).answer(&consent).unwrap().allow.len(), 2);
    }

    #[test]
    fn the_text_of_a_question_drives_no_terminal() {
        assert_eq!(text(&find(list(), "abcd1").unwrap()), "`a\\u{1b}` asks");
    }

    #[test]
    fn refusals_of_everything_are_bounded() {
        assert_eq!(span("1h"), Ok(SignedDuration::from_hours(1)));
        for bad in ["0s", "25h", "soon", "-1h"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }
}
