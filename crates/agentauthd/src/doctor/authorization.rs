//! What the provider does with our authorization requests, and what exactly it rejects. Pure; `network.rs` asks.
//!
//! How a provider refuses is not specified. So the request of a login is sent beside others that differ from it in one
//! thing each: with a redirect URL and with a client that cannot exist, and, where it is refused, without its flow, its
//! tenant, its scopes, its audience. Whose refusal it resembles, or what makes it pass, is at fault.

use agentauth_idp::{AuthorizationAnswer as Answer, Problem, Sketch};

use super::advice::Advice;
use super::finding::{Code, Finding};

/// What the provider did with the login's request and its variations.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) advice: &'static Advice,
    pub(super) client_id: String,
    /// Whether the client is the project itself, which exists if the project does.
    pub(super) client_is_project: bool,
    pub(super) flow: Option<String>,
    pub(super) tenant: Option<String>,
    pub(super) scopes: Vec<String>,
    /// The login's own request, for each redirect URL.
    pub(super) own: Vec<(String, Answer)>,
    /// Where any port may be used beside the configured ones: the same for such a port.
    pub(super) any_port: Option<(String, Answer)>,
    /// With a redirect URL that nobody registered.
    pub(super) wrong_redirect: Option<Answer>,
    /// With a client that cannot exist.
    pub(super) wrong_client: Option<Answer>,
    /// Variations of the first request that was refused; none if all were accepted.
    pub(super) variations: Variations,
}

/// The first refused request, changed in one thing.
#[derive(Clone, Debug, Default)]
pub(super) struct Variations {
    pub(super) without_flow: Option<Answer>,
    pub(super) without_tenant: Option<Answer>,
    pub(super) plain_scope: Option<Answer>,
    /// Without `audience` and `resource`.
    pub(super) without_audience: Option<Answer>,
    /// With `localhost` in place of `127.0.0.1`.
    pub(super) localhost: Option<Answer>,
    /// With the project's own client, which exists, in place of the configured one.
    pub(super) known_client: Option<Answer>,
}

/// The redirect URL whose request was refused first.
pub(super) fn first_refused(own: &[(String, Answer)]) -> Option<&str> {
    own.iter().find(|(_, answer)| is_refusal(answer)).map(|(uri, _)| uri.as_str())
}

/// What is accepted, and what exactly is not.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut accepted = Vec::new();
    let mut rejected = Vec::new();
    for (uri, answer) in &facts.own {
        match answer {
            Answer::GoesOn => accepted.push(uri.as_str()),
            Answer::OutOfOrder(problem) => found.push(Finding::warning(
                Code::AuthorizationUnjudged,
                format!("the authorization endpoint answers {problem} for {uri}"),
                "try again in a while",
            )),
            Answer::SentBack { .. } | Answer::Refused { .. } => {
                rejected.push((uri.as_str(), answer, culprit(facts, answer, !accepted.is_empty())));
            }
        }
    }
    if !accepted.is_empty() {
        let flow = facts.flow.as_ref().map(|flow| format!(" and the flow `{flow}`")).unwrap_or_default();
        found.push(Finding::ok(
            Code::RedirectAccepted,
            format!("the provider accepts {}{flow}", accepted.join(", ")),
        ));
        if facts.wrong_redirect == Some(Answer::GoesOn) {
            found.push(Finding::warning(
                Code::RedirectsUnvalidated,
                "the provider accepts a redirect URL that nobody registered, too",
                facts.advice.redirects_unvalidated,
            ));
        }
        if let Some((uri, answer)) = facts.any_port.as_ref().filter(|(_, answer)| is_refusal(answer)) {
            found.push(Finding::warning(
                Code::AnyPortRejected,
                format!("the provider accepts the configured ports, and rejects {uri}{}", said(answer)),
                "set `login.ephemeral_port = false`, with enough ports in `login.ports` that one is always free, and their \
                 redirect URLs registered",
            ));
        }
    }
    // One fault of the client, the flow or the scopes is the same fault for every redirect URL.
    let mut told = Vec::new();
    for (uri, answer, culprit) in rejected {
        if culprit.is_of_redirect() || !told.contains(&culprit) {
            found.push(tell(facts, uri, answer, culprit));
            told.push(culprit);
        }
    }
    found.sort_by_key(|finding| finding.severity == super::Severity::Ok);
    found
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Culprit {
    Redirect,
    Localhost,
    Client,
    Flow,
    Tenant,
    Scope,
    Audience,
    Unknown,
}

impl Culprit {
    fn is_of_redirect(self) -> bool {
        matches!(self, Self::Redirect | Self::Localhost)
    }
}

/// What a refusal is about. `others_pass` is whether the same request passes with another redirect URL.
fn culprit(facts: &Facts, answer: &Answer, others_pass: bool) -> Culprit {
    let passes = |variation: &Option<Answer>| *variation == Some(Answer::GoesOn);
    let varied = &facts.variations;
    // What makes it pass is at fault, whatever the provider said.
    for (variation, culprit) in [
        (&varied.without_flow, Culprit::Flow),
        (&varied.plain_scope, Culprit::Scope),
        (&varied.without_tenant, Culprit::Tenant),
        (&varied.without_audience, Culprit::Audience),
    ] {
        if passes(variation) && !others_pass {
            return culprit;
        }
    }
    let redirect = if passes(&varied.localhost) { Culprit::Localhost } else { Culprit::Redirect };
    if redirect == Culprit::Localhost || others_pass {
        return redirect;
    }
    match answer {
        // Only to a redirect URL that it trusts, for a client that it knows, does a provider send errors.
        Answer::SentBack { code, .. } => match code.as_str() {
            "invalid_scope" => Culprit::Scope,
            // RFC 8707, section 2.
            "invalid_target" => Culprit::Audience,
            "unauthorized_client" | "invalid_client" => Culprit::Client,
            _ => Culprit::Unknown,
        },
        Answer::Refused { problem, sketch } => {
            let alike = |other: &Option<Answer>| other.as_ref().is_some_and(|other| resembles(answer, other));
            match (alike(&facts.wrong_redirect), alike(&facts.wrong_client)) {
                (true, false) => redirect,
                (false, true) => Culprit::Client,
                // The project was described, so this client exists.
                _ if facts.client_is_project => redirect,
                _ if varied.known_client.as_ref().is_some_and(|other| differs(answer, other)) => {
                    Culprit::Client
                }
                _ => match by_words(problem, sketch) {
                    // The client that exists was refused in the same words.
                    Culprit::Client if varied.known_client.is_some() => Culprit::Unknown,
                    by_words => by_words,
                },
            }
        }
        Answer::GoesOn | Answer::OutOfOrder(_) => Culprit::Unknown,
    }
}

/// Where nothing else tells: what the provider's text is about.
fn by_words(problem: &Problem, sketch: &Sketch) -> Culprit {
    let message = problem.message.as_deref().unwrap_or_default().to_ascii_lowercase();
    let mentions = |word: &str| message.contains(word) || sketch.mentions(word);
    match (mentions("redirect"), mentions("client")) {
        (true, false) => Culprit::Redirect,
        (false, true) => Culprit::Client,
        _ => Culprit::Unknown,
    }
}

/// Whether two refusals are the same but for what the requests brought in.
fn resembles(one: &Answer, other: &Answer) -> bool {
    match (one, other) {
        (Answer::Refused { problem: a, sketch: of_a }, Answer::Refused { problem: b, sketch: of_b }) => {
            (a.status, &a.code, of_a) == (b.status, &b.code, of_b)
        }
        _ => false,
    }
}

/// Whether a refusal turned into something else, a pass or another refusal.
fn differs(refusal: &Answer, other: &Answer) -> bool {
    !matches!(other, Answer::OutOfOrder(_)) && !resembles(refusal, other)
}

fn is_refusal(answer: &Answer) -> bool {
    matches!(answer, Answer::SentBack { .. } | Answer::Refused { .. })
}

fn tell(facts: &Facts, uri: &str, answer: &Answer, culprit: Culprit) -> Finding {
    let (said, advice) = (said(answer), facts.advice);
    let name = |value: &Option<String>| value.clone().unwrap_or_default();
    match culprit {
        Culprit::Redirect => Finding::error(
            Code::RedirectRejected,
            format!("the provider rejects the redirect URL {uri}{said}"),
            format!("{}: {uri}", advice.redirect_rejected),
        ),
        Culprit::Localhost => Finding::error(
            Code::RedirectLocalhost,
            format!("the provider rejects {uri}, and accepts the same with `localhost`{said}"),
            format!("{}: {uri}", advice.redirect_rejected),
        ),
        Culprit::Client => Finding::error(
            Code::ClientRejected,
            format!("the provider rejects the client `{}`{said}", facts.client_id),
            advice.client_rejected,
        ),
        Culprit::Flow => Finding::error(
            Code::FlowRejected,
            format!(
                "the provider rejects the flow `{}`, and accepts the request without it{said}",
                name(&facts.flow)
            ),
            "compare `provider.flow` with the flow's id in the console (Authentication Flows), or remove the setting",
        ),
        Culprit::Tenant => Finding::error(
            Code::TenantRejected,
            format!(
                "the provider rejects the tenant `{}`, and accepts the request without it{said}",
                name(&facts.tenant)
            ),
            "compare `provider.tenant` with the tenant's id in the console (Tenants), or remove the setting",
        ),
        Culprit::Scope => Finding::error(
            Code::ScopeRejected,
            format!("the provider rejects one of the scopes {}{said}", facts.scopes.join(", ")),
            advice.scope_rejected,
        ),
        Culprit::Audience => Finding::error(
            Code::AudienceRejected,
            format!(
                "the provider rejects the audience or resource that is asked for{}{said}",
                if facts.variations.without_audience == Some(Answer::GoesOn) {
                    ", and accepts the request without it"
                } else {
                    ""
                }
            ),
            "compare `provider.resource` and `provider.audience` with the identifier of the API that is registered at the \
             provider, or remove the setting",
        ),
        Culprit::Unknown => Finding::error(
            Code::AuthorizationRefused,
            format!("the provider refuses the request that a login with {uri} begins with{said}"),
            advice.authorization_refused,
        ),
    }
}

/// The provider's own words, where there are any.
fn said(answer: &Answer) -> String {
    match answer {
        Answer::SentBack { code, description } => {
            let more = description.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
            format!(" (`{code}`{more})")
        }
        Answer::Refused { problem, .. } => format!(" ({problem})"),
        Answer::GoesOn | Answer::OutOfOrder(_) => String::new(),
    }
}

#[cfg(test)]
#[path = "authorization_tests.rs"]
mod tests;
