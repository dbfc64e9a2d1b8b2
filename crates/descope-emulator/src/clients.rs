//! Which client asks: the one place that turns a client id, and what it shows of itself, into an application.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use jiff::Timestamp;

use crate::access_keys::AccessKey;
use crate::apps::{App, AppKind, GrantType};
use crate::consents::Consent;
use crate::errors::Refusal;
use crate::families::Family;
use crate::ledger::SecretKind;
use crate::params::Params;
use crate::realms::Realm;
use crate::redirects::{in_domains, listed};
use crate::settings::RedirectSettings;
use crate::state::{Site, World};
use crate::tokens::later;

/// Ten years: what inbound apps get for their refresh tokens (sheet section 7).
const INBOUND_REFRESH: u32 = 520 * 7 * 24 * 3600;

/// The scopes that every client may ask for.
pub(crate) const OPENID_SCOPES: [&str; 7] =
    ["openid", "profile", "email", "phone", "offline_access", "descope.claims", "descope.custom_claims"];

/// A client, with the application behind it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) realm: Realm,
    pub(crate) app: App,
}

/// What a client has shown of itself.
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    /// A public client: its id.
    None,
    /// Its secret.
    Secret,
    /// The project's own client: an access key (sheet 5.3).
    AccessKey(Box<AccessKey>),
}

/// The client with this id at the doors of `door`. The project's doors know the federated apps as well, those of the
/// inbound apps the clients of every MCP server.
pub(crate) fn find(world: &World, site: &Site, door: &Realm, id: &str) -> Option<Client> {
    let of_app = |id: &str| {
        let app = world.registry.apps.get(id)?;
        Some(Client { id: id.to_owned(), realm: app.realm(id), app: app.clone() })
    };
    let client = match door {
        Realm::Project if id == site.project_id => Some(default_client(world, site)),
        // An app without a client id of its own is asked for by the project id, at its own addresses.
        Realm::Federated(app) if id == site.project_id => {
            of_app(app).map(|client| Client { id: id.to_owned(), ..client })
        }
        _ => of_app(id),
    }?;
    let at_home = match (door, &client.realm) {
        (Realm::Project, realm) => !realm.is_third_party(),
        (Realm::Inbound, realm) => realm.is_third_party(),
        (door, realm) => door == realm,
    };
    at_home.then_some(client)
}

/// The client of a family; the default one if it was removed meanwhile.
pub(crate) fn of_family(world: &World, site: &Site, family: &Family) -> Client {
    find(world, site, &family.realm, &family.client_id).unwrap_or_else(|| default_client(world, site))
}

/// The client that a request to the token or revocation endpoint names, and its proof: by form, by `Basic`, or none
/// (RFC 6749, 2.3.1).
pub(crate) fn authenticate(
    world: &mut World,
    site: &Site,
    door: &Realm,
    headers: &HeaderMap,
    params: &Params,
    now: Timestamp,
) -> Result<(Client, Proof), Refusal> {
    let (id, secret) = credentials(headers, params)?;
    world.ledger.note(SecretKind::ClientSecret, secret.as_deref().unwrap_or_default());
    let client = find(world, site, door, &id).ok_or_else(Refusal::no_project)?;
    let proof = match (&client.app.secret, secret) {
        (Some(expected), Some(shown)) if expected.matches(&shown) => Proof::Secret,
        (Some(_), Some(_)) => return Err(Refusal::wrong_secret()),
        (Some(_), None) => return Err(Refusal::missing_secret()),
        (None, None) => Proof::None,
        (None, Some(shown)) if client.realm == Realm::Project => {
            let key = world.access_keys.usable(&shown, now).ok_or_else(Refusal::bad_access_key)?;
            Proof::AccessKey(Box::new(key.clone()))
        }
        (None, Some(_)) => return Err(Refusal::wrong_secret()),
    };
    Ok((client, proof))
}

fn credentials(headers: &HeaderMap, params: &Params) -> Result<(String, Option<String>), Refusal> {
    let posted = params.get("client_secret").map(str::to_owned);
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((_, text)) = value
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
    else {
        return Ok((params.need("client_id")?.to_owned(), posted));
    };
    let unreadable = || Refusal::bad_request("The Authorization header cannot be read");
    let text = STANDARD.decode(text.trim()).ok().and_then(|text| String::from_utf8(text).ok());
    let text = text.ok_or_else(unreadable)?;
    let (id, secret) = text.split_once(':').ok_or_else(unreadable)?;
    let (id, secret) = (form_decoded(id), form_decoded(secret));
    if posted.is_some() || params.get("client_id").is_some_and(|other| other != id) {
        return Err(Refusal::bad_request("The client shows itself in more than one way"));
    }
    Ok((id, Some(secret).filter(|secret| !secret.is_empty())))
}

/// The parts of `Basic` are form-encoded first.
fn form_decoded(text: &str) -> String {
    let pair = format!("v={}", text.replace('&', "%26"));
    url::form_urlencoded::parse(pair.as_bytes()).map(|(_, value)| value.into_owned()).collect()
}

/// The project as a client of its own: public, with the addresses of the settings.
fn default_client(world: &World, site: &Site) -> Client {
    let app = App {
        redirects: world.settings.redirects.approved.clone(),
        after_logout: world.settings.redirects.after_logout.clone(),
        ..App::new(AppKind::Federated)
    };
    Client { id: site.project_id.clone(), realm: Realm::Project, app }
}

impl Client {
    /// Whether the browser may be sent to `address` with a code.
    pub(crate) fn may_return_to(&self, settings: &RedirectSettings, address: &str) -> bool {
        if listed(&self.app.redirects, settings.any_loopback_port, address) {
            return true;
        }
        self.app.redirects.is_empty()
            && !self.realm.is_third_party()
            && in_domains(&settings.domains, address)
    }

    /// Whether the browser may be sent to `address` after a logout: no patterns there.
    pub(crate) fn may_land_on(&self, settings: &RedirectSettings, address: &str) -> bool {
        match self.app.after_logout.as_slice() {
            [] => self.may_return_to(settings, address),
            list => list.iter().any(|known| known == address),
        }
    }

    /// Refuses a grant that is not switched on for the app.
    pub(crate) fn need_grant(&self, grant: GrantType) -> Result<(), Refusal> {
        if self.app.grants.contains(&grant) { Ok(()) } else { Err(Refusal::grant_off(grant.name())) }
    }

    /// Refuses a resource that is not on the app's list (RFC 8707).
    pub(crate) fn need_resources(&self, asked: &[String]) -> Result<(), Refusal> {
        match asked.iter().find(|resource| !self.app.resources.contains(resource)) {
            None => Ok(()),
            Some(resource) => Err(Refusal::no_target(resource)),
        }
    }

    /// The first scope that the client may not ask for. Federated apps may ask for anything: what is unknown is ignored.
    pub(crate) fn forbidden_scope<'s>(&self, asked: &'s [String]) -> Option<&'s String> {
        let known =
            |scope: &String| OPENID_SCOPES.contains(&scope.as_str()) || self.app.scopes.contains(scope);
        asked.iter().find(|scope| self.realm.is_third_party() && !known(scope))
    }

    /// What a user allows the client by consenting to `scopes`.
    pub(crate) fn consent_of(&self, user_id: &str, scopes: &[String], now: Timestamp) -> Consent {
        Consent {
            user_id: user_id.to_owned(),
            client_id: self.id.clone(),
            scopes: scopes.to_vec(),
            given_at: now,
            expires_at: self.app.consent_seconds.map(|seconds| later(now, seconds)),
        }
    }

    /// Whether an authorization request must bring a PKCE challenge.
    pub(crate) fn needs_pkce(&self) -> bool {
        self.app.secret.is_none() || self.app.force_pkce
    }

    /// Lifetime of its session tokens.
    pub(crate) fn session_seconds(&self, world: &World) -> u32 {
        self.app.session_seconds.unwrap_or(world.settings.lifetimes.session)
    }

    /// Lifetime of its refresh tokens.
    pub(crate) fn refresh_seconds(&self, world: &World) -> u32 {
        let usual =
            if self.realm.is_third_party() { INBOUND_REFRESH } else { world.settings.lifetimes.refresh };
        self.app.refresh_seconds.unwrap_or(usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_basic(text: &str, form: &[u8]) -> Result<(String, Option<String>), &'static str> {
        let value = format!("Basic {}", STANDARD.encode(text)).parse().unwrap();
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
        credentials(&headers, &Params::from_form(form).unwrap()).map_err(|refusal| refusal.code())
    }

    #[test]
    fn credentials_by_form_by_basic_or_none() {
        let posted = Params::from_form(b"client_id=c&client_secret=s").unwrap();
        assert_eq!(credentials(&HeaderMap::new(), &posted).unwrap(), ("c".to_owned(), Some("s".to_owned())));
        let (id, secret) = (Some("a b".to_owned()), Some("x+y:&z".to_owned()));
        assert_eq!(with_basic("a+b:x%2By%3A%26z", b""), Ok((id.unwrap(), secret)));
        assert_eq!(with_basic("a:", b""), Ok(("a".to_owned(), None)));
    }

    #[test]
    fn two_ways_at_once_are_refused() {
        for (basic, form) in
            [("a:b", b"client_secret=b".as_slice()), ("a:b", b"client_id=z"), ("no colon", b"")]
        {
            assert_eq!(with_basic(basic, form), Err("E011001"), "{basic}");
        }
        assert_eq!(with_basic("a:b", b"client_id=a"), Ok(("a".to_owned(), Some("b".to_owned()))));
    }
}
