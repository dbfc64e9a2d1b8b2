//! What the keychain holds for a profile: the refresh token, whose it is, and to whom it may be sent.

use agentauth_core::Timestamp;
use agentauth_core::claims::OriginalLogin;
use agentauth_core::session::User;
use agentauth_idp::{ProviderConfig, Realm};
use agentauth_store::ProfileName;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

/// A login as it survives a restart.
#[derive(Clone, Debug)]
pub(crate) struct StoredLogin {
    /// The profile that it is of: one that was copied to another's place in the store is not taken up there.
    pub(crate) profile: ProfileName,
    /// To whom it belongs: the one to whom it may be sent.
    pub(crate) realm: Realm,
    /// The provider's issuer.
    pub(crate) issuer: String,
    /// Who.
    pub(crate) user: User,
    /// When the person logged in.
    pub(crate) logged_in_at: Timestamp,
    /// What the ID token of the login said that refreshed ones have to repeat, where refreshes bring any.
    pub(crate) original: Option<OriginalLogin>,
    /// The newest refresh token.
    pub(crate) refresh_token: SecretString,
}

/// Why a stored login cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the stored login is not readable (it may come from another version of agentauthd): log in again")]
pub(crate) struct Unreadable;

/// The stored form. Borrowed, so that the token is copied into no further string.
#[derive(Serialize, Deserialize)]
struct Form<'a> {
    version: u32,
    profile: &'a str,
    /// With `base_url`: the login is of a Descope project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    project_id: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base_url: Option<&'a str>,
    /// Else: it is of a client of the issuer.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    client_id: Option<std::borrow::Cow<'a, str>>,
    issuer: &'a str,
    subject: &'a str,
    #[serde(borrow, default)]
    name: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    email: Option<std::borrow::Cow<'a, str>>,
    logged_in_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original: Option<OriginalLogin>,
    refresh_token: &'a str,
}

const VERSION: u32 = 2;

impl StoredLogin {
    /// Whether it is of this profile and this provider gave it. A login is sent to no other: the configuration may
    /// name another one by now.
    pub(crate) fn belongs_to(&self, profile: &ProfileName, provider: &ProviderConfig) -> bool {
        self.profile == *profile && self.realm == *provider.realm()
    }

    /// The text to store.
    pub(crate) fn to_secret(&self) -> Result<SecretString, Unreadable> {
        let (project_id, base_url, client_id) = match &self.realm {
            Realm::Descope { project_id, base_url } => {
                (Some(project_id.as_str()), Some(base_url.as_str()), None)
            }
            Realm::Oidc { client_id, .. } => (None, None, Some(client_id.as_str().into())),
        };
        let form = Form {
            version: VERSION,
            profile: self.profile.as_str(),
            project_id,
            base_url,
            client_id,
            issuer: &self.issuer,
            subject: &self.user.subject,
            name: self.user.name.as_deref().map(Into::into),
            email: self.user.email.as_deref().map(Into::into),
            logged_in_at: self.logged_in_at,
            original: self.original.clone(),
            refresh_token: self.refresh_token.expose_secret(),
        };
        serde_json::to_string(&form).map(SecretString::from).map_err(|_| Unreadable)
    }

    /// Reads the stored text.
    pub(crate) fn from_secret(text: &SecretString) -> Result<Self, Unreadable> {
        // The parser's own message could quote the token.
        let form: Form<'_> = serde_json::from_str(text.expose_secret()).map_err(|_| Unreadable)?;
        if form.version != VERSION {
            return Err(Unreadable);
        }
        let realm = match (form.project_id, form.base_url, form.client_id) {
            (Some(project_id), Some(base_url), None) => {
                Realm::Descope { project_id: project_id.to_owned(), base_url: base_url.to_owned() }
            }
            (None, None, Some(client_id)) => {
                Realm::Oidc { issuer: form.issuer.to_owned(), client_id: client_id.into() }
            }
            _ => return Err(Unreadable),
        };
        Ok(Self {
            profile: form.profile.parse().map_err(|_| Unreadable)?,
            realm,
            issuer: form.issuer.to_owned(),
            user: User {
                subject: form.subject.to_owned(),
                name: form.name.map(Into::into),
                email: form.email.map(Into::into),
            },
            logged_in_at: form.logged_in_at,
            original: form.original,
            refresh_token: SecretString::from(form.refresh_token),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> StoredLogin {
        StoredLogin {
            profile: "dev".parse().unwrap(),
            realm: Realm::Descope { project_id: "P1".into(), base_url: "https://api.descope.com/".into() },
            issuer: "https://api.descope.com/P1".into(),
            user: User { subject: "U1".into(), name: Some("Zoë \"Z\"".into()), email: None },
            logged_in_at: Timestamp::from_second(1_700_000_000).unwrap(),
            original: None,
            refresh_token: SecretString::from("r.e.f"),
        }
    }

    #[test]
    fn a_stored_login_reads_back() {
        let read = StoredLogin::from_secret(&login().to_secret().unwrap()).unwrap();
        assert_eq!(read.profile, login().profile);
        assert_eq!(read.user, login().user);
        assert_eq!(read.logged_in_at, login().logged_in_at);
        assert_eq!(read.refresh_token.expose_secret(), "r.e.f");
    }

    #[test]
    fn a_login_of_any_provider_reads_back_with_what_its_refreshes_repeat() {
        let issuer = "https://id.example/";
        let login = StoredLogin {
            realm: Realm::Oidc { issuer: issuer.into(), client_id: "a\"b".into() },
            issuer: issuer.into(),
            original: Some(OriginalLogin { nonce: Some("n".into()), ..OriginalLogin::default() }),
            ..login()
        };
        let text = login.to_secret().unwrap();
        let read = StoredLogin::from_secret(&text).unwrap();
        assert_eq!((&read.realm, &read.original), (&login.realm, &login.original));
        // What belongs to two, or to nobody, is sent to none.
        let both = text.expose_secret().replace("\"client_id\"", "\"project_id\":\"P1\",\"client_id\"");
        let nobody = text.expose_secret().replace("client_id", "client");
        for odd in [both, nobody] {
            assert!(StoredLogin::from_secret(&odd.into()).is_err());
        }
    }

    #[test]
    fn neither_debug_nor_the_error_shows_the_token() {
        assert!(!format!("{:?}", login()).contains("r.e.f"));
        let broken = SecretString::from("{\"version\":1,\"refresh_token\":\"sesame\"}");
        let error = StoredLogin::from_secret(&broken).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("sesame"));
    }

    #[test]
    fn another_version_is_not_guessed_at() {
        let text = login().to_secret().unwrap().expose_secret().replace("\"version\":2", "\"version\":1");
        assert!(StoredLogin::from_secret(&text.into()).is_err());
    }
}
