//! Asking the provider: everything that does not depend on each other at once, each step with a limit.

use std::net::SocketAddr;
use std::time::Duration;

use agentauth_core::{Clock, SignedDuration};
use agentauth_idp::{
    AuthorizationAnswer, AuthorizationProbe, Description, HttpError, Metadata, Provider, ProviderConfig,
};
use tokio::time::timeout;

use super::advice;
use super::authorization::{self, Facts, Variations};
use super::finding::{Code, Finding};
use super::provider::{self, Asked, Skew};
use crate::config::ProviderKind;

/// How long each step may take.
pub(super) const STEP: Duration = Duration::from_secs(5);

/// A redirect URL that nobody registers: the port is the discard service's.
const NOBODYS_REDIRECT: &str = "http://127.0.0.1:9/agentauthd-doctor-asks-whether-this-is-refused";
/// A client that cannot exist.
const NOBODYS_CLIENT: &str = "agentauthd-doctor-no-such-client";
/// The port to try where any is meant.
const SOME_PORT: u16 = 47823;
/// Where to begin to look for a port that is not configured.
const ANY_PORT: u16 = 49152;

/// Everything that the provider itself can be asked. `custom` is whether its address was configured.
pub(super) async fn examine(config: &ProviderConfig, custom: bool, clock: &dyn Clock) -> Vec<Finding> {
    let mut found = Vec::new();
    let advice = advice::for_kind(kind(config));
    let provider = match Provider::new(config.clone()) {
        Ok(provider) => provider,
        Err(error) => {
            found.push(provider::judge_obstacle(&error, advice));
            return found;
        }
    };
    let asked_at = clock.now();
    let keys = provider.keys(None, asked_at);
    let description = async {
        let described = timeout(STEP, provider.describe_itself()).await;
        (described, clock.now())
    };
    let (fetched, (described, answered_at)) = tokio::join!(timeout(STEP, keys.fetch(asked_at)), description);
    let issuer = config.issuer();
    let asked = match kind(config) {
        ProviderKind::Descope => Asked::Project { base: config.base_url(), custom },
        ProviderKind::Oidc => Asked::Issuer(&issuer),
    };
    let Ok(Description { metadata, server_time }) = described else {
        let base = config.base_url().as_str().trim_end_matches('/');
        found.push(provider::slow(&format!("{base} did not answer within {} s", STEP.as_secs())));
        return found;
    };
    let described = metadata.as_ref().map(|metadata| metadata.issuer.as_str());
    found.push(provider::judge_description(described, asked));
    if let Some(theirs) = server_time {
        // Their clock is read to the second, at some moment between our two.
        let waited = answered_at.duration_since(asked_at).max(SignedDuration::ZERO);
        let half = waited.checked_div(2).unwrap_or(waited);
        let ours = asked_at.checked_add(half).unwrap_or(asked_at);
        let skew =
            Skew { ahead: theirs.duration_since(ours), uncertain: half + SignedDuration::from_secs(1) };
        found.push(provider::judge_clock(skew));
    }
    let Ok(metadata) = metadata else { return found };
    found.push(match fetched {
        Ok(Ok(_)) => provider::judge_keys(Ok(keys.ids().len()), advice),
        Ok(Err(error)) => provider::judge_keys(Err(&error), advice),
        Err(_) => provider::slow(&format!("the provider's keys did not come within {} s", STEP.as_secs())),
    });
    found.extend(examine_authorization(&provider, &metadata).await);
    found
}

/// Sends the login's request, and those that it is compared with.
async fn examine_authorization(provider: &Provider, metadata: &Metadata) -> Vec<Finding> {
    let config = provider.config();
    let redirect = config.redirect();
    let ip = config.loopback().address();
    let at = |port| redirect.uri(SocketAddr::new(ip, port));
    let mut uris: Vec<_> = redirect.ports.iter().map(|&port| at(port)).collect();
    if uris.is_empty() {
        uris.push(at(SOME_PORT));
    }
    let own: Vec<_> = uris.iter().map(|uri| provider.authorization_probe(uri.clone())).collect();
    let Some(first) = own.first().cloned() else { return Vec::new() };
    let try_one = |probe: AuthorizationProbe| {
        let (provider, metadata) = (provider.clone(), metadata.clone());
        async move { timeout(STEP, provider.try_authorization(&metadata, &probe)).await }
    };
    let mut asked: Vec<_> = own.into_iter().map(|probe| tokio::spawn(try_one(probe))).collect();
    let any_port =
        redirect.ephemeral.then(|| (ANY_PORT..).find(|port| !redirect.ports.contains(port))).flatten();
    let any_port = any_port.map(at);
    let any_port_probe = any_port.clone().map(|uri| try_one(provider.authorization_probe(uri)));
    let any_port_asked = async {
        match any_port_probe {
            Some(probe) => outcome(probe.await),
            None => None,
        }
    };
    let wrong_redirect = AuthorizationProbe { redirect_uri: NOBODYS_REDIRECT.to_owned(), ..first.clone() };
    let wrong_client = AuthorizationProbe { client_id: NOBODYS_CLIENT.to_owned(), ..first };
    let (wrong_redirect, wrong_client, any_port_answer) =
        tokio::join!(try_one(wrong_redirect), try_one(wrong_client), any_port_asked);
    let mut answered = Vec::new();
    let mut found = Vec::new();
    for (uri, asked) in uris.into_iter().zip(&mut asked) {
        match asked.await {
            Ok(Ok(Ok(answer))) => answered.push((uri, answer)),
            Ok(Ok(Err(error))) => found.push(unanswered(&uri, &error.to_string())),
            _ => found.push(unanswered(&uri, &format!("no answer within {} s", STEP.as_secs()))),
        }
    }
    let mut variations = Variations::default();
    if let Some(uri) = authorization::first_refused(&answered) {
        let refused = provider.authorization_probe(uri.to_owned());
        let without_flow = AuthorizationProbe { flow: None, ..refused.clone() };
        let without_tenant = AuthorizationProbe { tenant: None, ..refused.clone() };
        let plain_scope = AuthorizationProbe { scopes: vec!["openid".to_owned()], ..refused.clone() };
        let audience = |(name, _): &(&str, String)| matches!(*name, "audience" | "resource");
        let more = refused.more.iter().filter(|parameter| !audience(parameter)).cloned().collect();
        let without_audience = AuthorizationProbe { more, ..refused.clone() };
        let localhost =
            AuthorizationProbe { redirect_uri: uri.replace("127.0.0.1", "localhost"), ..refused.clone() };
        let known_client = AuthorizationProbe {
            client_id: config.project_id().unwrap_or(config.client_id()).to_owned(),
            ..refused.clone()
        };
        let vary = |probe: AuthorizationProbe| async {
            // The same request again would tell nothing.
            if probe == refused { None } else { outcome(try_one(probe).await) }
        };
        let (without_flow, without_tenant, plain_scope, without_audience, localhost, known_client) = tokio::join!(
            vary(without_flow),
            vary(without_tenant),
            vary(plain_scope),
            vary(without_audience),
            vary(localhost),
            vary(known_client)
        );
        variations = Variations {
            without_flow,
            without_tenant,
            plain_scope,
            without_audience,
            localhost,
            known_client,
        };
    }
    found.extend(authorization::judge(&Facts {
        advice: advice::for_kind(kind(config)),
        client_id: config.client_id().to_owned(),
        client_is_project: config.project_id() == Some(config.client_id()),
        flow: config.flow().map(str::to_owned),
        tenant: config.tenant().map(str::to_owned),
        scopes: config.scopes().to_vec(),
        own: answered,
        any_port: any_port.zip(any_port_answer),
        wrong_redirect: outcome(wrong_redirect),
        wrong_client: outcome(wrong_client),
        variations,
    }));
    found
}

fn kind(config: &ProviderConfig) -> ProviderKind {
    if config.oidc().is_some() { ProviderKind::Oidc } else { ProviderKind::Descope }
}

type Tried = Result<Result<AuthorizationAnswer, HttpError>, tokio::time::error::Elapsed>;

fn outcome(tried: Tried) -> Option<AuthorizationAnswer> {
    tried.ok()?.ok()
}

fn unanswered(uri: &str, why: &str) -> Finding {
    Finding::warning(
        Code::AuthorizationUnjudged,
        format!("the authorization endpoint could not be asked about {uri}: {why}"),
        "try again in a while",
    )
}
