//! What a person may do, read from wherever a provider puts it: roles, permissions and tenant at configured places.

use jiff::Timestamp;
use serde_json::Value;

use super::Claims;
use super::place::ClaimPlace;
use super::read::{kind_of, strings};
use super::refusal::shown;
use super::rights::SessionClaims;

/// Where a provider puts roles, permissions and tenant. Absent means: it gives none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FactPlaces {
    /// A list of role names.
    pub roles: Option<ClaimPlace>,
    /// An object at the place of the roles counts too: its member names are the roles (ZITADEL).
    pub roles_by_name: bool,
    /// A list of permission names, or one string with spaces between them, as `scope` has it (RFC 8693 section 4.2).
    pub permissions: Option<ClaimPlace>,
    /// One string.
    pub tenant: Option<ClaimPlace>,
}

/// What is known of a session apart from the facts at [`FactPlaces`].
#[derive(Clone, Debug, PartialEq)]
pub struct SessionFrame {
    /// The user.
    pub subject: String,
    /// The provider.
    pub issuer: String,
    /// When the token was made.
    pub issued_at: Option<Timestamp>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// `amr`.
    pub factors: Vec<String>,
    /// `acr`.
    pub acr: Option<String>,
}

impl FactPlaces {
    /// Whether one of the places is empty in `claims`, so that another source may know more.
    pub fn lack_in(&self, claims: &Claims) -> bool {
        [&self.roles, &self.permissions, &self.tenant]
            .into_iter()
            .flatten()
            .any(|place| place.look_up(claims).is_none_or(Value::is_null))
    }

    /// The session that `sources` describe. Each fact comes whole from the first source that has anything at its place;
    /// nothing is merged, so that what one source takes away another does not give back.
    pub fn session(&self, frame: SessionFrame, sources: &[&Claims]) -> SessionClaims {
        let mut warnings = Vec::new();
        let at = |place: &Option<ClaimPlace>| {
            let place = place.as_ref()?;
            let value =
                sources.iter().find_map(|claims| place.look_up(claims).filter(|value| !value.is_null()))?;
            Some((place.to_string(), value))
        };
        let roles = match at(&self.roles) {
            Some((_, Value::Object(members))) if self.roles_by_name => members.keys().cloned().collect(),
            Some((name, value)) => strings(Some(value), &name, &mut warnings),
            None => Vec::new(),
        };
        let permissions = match at(&self.permissions) {
            Some((_, Value::String(words))) => {
                words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
            }
            Some((name, value)) => strings(Some(value), &name, &mut warnings),
            None => Vec::new(),
        };
        let current_tenant = match at(&self.tenant) {
            Some((_, Value::String(tenant))) => Some(tenant.clone()).filter(|tenant| !tenant.is_empty()),
            Some((name, other)) => {
                warnings.push(format!(
                    "`{}` is {} where a string is due; it counts as absent",
                    shown(&name),
                    kind_of(other)
                ));
                None
            }
            None => None,
        };
        SessionClaims {
            subject: frame.subject,
            issuer: frame.issuer,
            issued_at: frame.issued_at,
            expires_at: frame.expires_at,
            refresh_expires_at: None,
            roles,
            permissions,
            tenants: None,
            current_tenant,
            factors: frame.factors,
            acr: frame.acr,
            stepped_up: false,
            warnings,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        Claims::parse(value.to_string().as_bytes()).unwrap()
    }

    fn frame() -> SessionFrame {
        SessionFrame {
            subject: "u".to_owned(),
            issuer: "https://issuer.example".to_owned(),
            issued_at: None,
            expires_at: Timestamp::from_second(2000).unwrap(),
            factors: Vec::new(),
            acr: None,
        }
    }

    fn places(roles: &str, permissions: &str, tenant: &str) -> FactPlaces {
        let place = |text: &str| Some(text.parse().unwrap());
        FactPlaces {
            roles: place(roles),
            roles_by_name: false,
            permissions: place(permissions),
            tenant: place(tenant),
        }
    }

    #[test]
    fn roles_are_lists_and_permissions_lists_or_words() {
        let places = places("r", "p", "t");
        let table = [
            (json!({"r": ["a", "b c"], "p": ["x"], "t": "T"}), "a|b c", "x", Some("T"), 0),
            (json!({"r": [], "p": "x y  z ", "t": ""}), "", "x|y|z", None, 0),
            // A bare string is no list of one, and never a haystack.
            (json!({"r": "admin", "p": {"x": true}, "t": ["T"]}), "", "", None, 3),
            (json!({"r": "admin user"}), "", "", None, 1),
            (json!({"r": {"admin": {}}, "p": 7, "t": 7}), "", "", None, 3),
            (json!({"r": ["a", 5, null, ["b"]]}), "a", "", None, 1),
            (json!({"r": null, "p": null, "t": null}), "", "", None, 0),
            (json!({}), "", "", None, 0),
            (json!({"R": ["a"], "roles": ["a"]}), "", "", None, 0),
        ];
        for (token, roles, permissions, tenant, warnings) in table {
            let session = places.session(frame(), &[&claims(token.clone())]);
            assert_eq!(session.roles.join("|"), roles, "{token}");
            assert_eq!(session.permissions.join("|"), permissions, "{token}");
            assert_eq!(session.current_tenant.as_deref(), tenant, "{token}");
            assert_eq!(session.warnings.len(), warnings, "{token}: {:?}", session.warnings);
        }
    }

    #[test]
    fn an_object_gives_roles_only_where_the_provider_is_known_for_it() {
        let token = claims(json!({"r": {"admin": {"1": "acme"}, "user": {}}}));
        let mut places = places("r", "p", "t");
        assert!(places.session(frame(), &[&token]).roles.is_empty());
        places.roles_by_name = true;
        assert_eq!(places.session(frame(), &[&token]).roles, ["admin", "user"]);
    }

    #[test]
    fn the_first_source_that_says_anything_wins_whole() {
        let places = places("r", "p", "t");
        let (id, info) = (claims(json!({"r": []})), claims(json!({"r": ["admin"], "p": ["x"], "t": "T"})));
        let session = places.session(frame(), &[&id, &info]);
        assert!(session.roles.is_empty(), "an empty list is an answer");
        assert_eq!(session.permissions, ["x"]);
        assert!(places.lack_in(&id) && !places.lack_in(&info));
    }

    #[test]
    fn the_rights_follow_the_tenant_rules_of_any_session() {
        let session = places("r", "p", "t").session(frame(), &[&claims(json!({"r": ["a"], "t": "T"}))]);
        assert_eq!(session.effective(None).roles, ["a"]);
        assert_eq!(session.effective(Some("T")).roles, ["a"]);
        assert!(session.effective(Some("other")).roles.is_empty());
    }
}
