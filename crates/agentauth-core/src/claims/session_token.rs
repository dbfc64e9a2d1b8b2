//! The judgement of a session token: is this the provider's own word, for us, about the right user, and is it still
//! true at this instant?

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use url::Url;

use super::Claims;
use super::read::{audiences, context_class, strings, subject, text, times};
use super::refusal::{TokenRefusal, shown};
use super::rights::{SessionClaims, tenants};

/// What a session token must say to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionExpectation {
    /// The provider's project identifier.
    pub project_id: String,
    /// The provider's base URL; only its origin counts.
    pub base_url: Url,
    /// Audiences of which one must be named, if the token names any.
    pub audiences: Vec<String>,
    /// Issuers beside `{project}` and `{origin}/{project}`, compared byte by byte: other applications of the same
    /// project, or the provider's own host behind a custom domain.
    pub extra_issuers: Vec<String>,
    /// The pinned user, once a first login has pinned one.
    pub subject: Option<String>,
    /// How far clocks may disagree; counts for at most five minutes.
    pub leeway: SignedDuration,
}

impl SessionExpectation {
    /// How far clocks may disagree, unless configured otherwise.
    pub const LEEWAY: SignedDuration = SignedDuration::from_secs(5);

    /// The usual expectation for a project: its own issuers, itself as the audience, nobody pinned yet.
    pub fn new(project_id: impl Into<String>, base_url: Url) -> Self {
        let project_id = project_id.into();
        Self {
            audiences: vec![project_id.clone()],
            project_id,
            base_url,
            extra_issuers: Vec::new(),
            subject: None,
            leeway: Self::LEEWAY,
        }
    }

    fn judge_issuer(&self, issuer: &str) -> Result<(), TokenRefusal> {
        let origin = self.base_url.origin();
        let of_project =
            origin.is_tuple().then(|| format!("{}/{}", origin.ascii_serialization(), self.project_id));
        let known = !self.project_id.is_empty()
            && (issuer == self.project_id || of_project.as_deref() == Some(issuer));
        let listed = !issuer.is_empty() && self.extra_issuers.iter().any(|extra| extra == issuer);
        if known || listed {
            return Ok(());
        }
        let accepted = std::iter::once(self.project_id.as_str())
            .chain(of_project.as_deref())
            .chain(self.extra_issuers.iter().map(String::as_str))
            .map(|issuer| format!("`{}`", shown(issuer)))
            .collect::<Vec<_>>()
            .join(", ");
        Err(TokenRefusal::WrongIssuer { seen: shown(issuer), what: self.describe_issuer(issuer), accepted })
    }

    /// What an issuer that is not accepted seems to be; for the message only, never for the verdict.
    fn describe_issuer(&self, issuer: &str) -> &'static str {
        let Ok(url) = Url::parse(issuer) else {
            return "which is no issuer of this project";
        };
        if url.origin() != self.base_url.origin() {
            return "which is another host than the configured provider";
        }
        let segments: Vec<&str> =
            url.path_segments().into_iter().flatten().filter(|segment| !segment.is_empty()).collect();
        match segments.as_slice() {
            ["v1", "apps", "agentic", project, _] if *project == self.project_id => {
                "an MCP server of this project, which is not a login of ours"
            }
            ["v1", "apps", project] if *project == self.project_id => {
                "the inbound applications of this project, which are accepted only if listed"
            }
            ["v1", "apps", project, _] if *project == self.project_id => {
                "a tenant-scoped application of this project, which is accepted only if listed"
            }
            [project, _] if *project == self.project_id => {
                "a federated application of this project, which is accepted only if listed"
            }
            [project] if *project == self.project_id => "this project in an unusual spelling",
            _ => "a form that is not known",
        }
    }
}

/// Judges the claims of a session token whose signature was verified with a key of `expect`'s provider.
///
/// The order of the checks goes from whose token it is to when it is valid, so that the reason given is the one that
/// matters most: shape, issuer, kind, audience, user, times.
///
/// # Errors
/// The first expectation that the token does not meet.
pub fn judge_session(
    claims: &Claims,
    expect: &SessionExpectation,
    now: Timestamp,
) -> Result<SessionClaims, TokenRefusal> {
    let issuer = text(claims, "iss")?.ok_or(TokenRefusal::MissingClaim("iss"))?;
    expect.judge_issuer(issuer)?;
    let kind = text(claims, "drn")?.ok_or(TokenRefusal::MissingClaim("drn"))?;
    if kind != "DS" {
        return Err(TokenRefusal::WrongKind { seen: shown(kind), expected: "DS" });
    }
    if let Some(seen) = audiences(claims)?
        && !seen.iter().any(|audience| expect.audiences.iter().any(|accepted| accepted == audience))
    {
        return Err(TokenRefusal::WrongAudience {
            seen: shown(&seen.join(", ")),
            expected: shown(&expect.audiences.join(", ")),
        });
    }
    let plain_subject = subject(claims, "sub")?;
    let subject = subject(claims, "dsub")?.or(plain_subject).ok_or(TokenRefusal::MissingClaim("sub"))?;
    if let Some(pinned) = &expect.subject
        && pinned != subject
    {
        return Err(TokenRefusal::WrongSubject { seen: shown(subject), expected: shown(pinned) });
    }
    let (expires_at, issued_at) = times(claims, expect.leeway, now)?;

    let mut warnings = Vec::new();
    let refresh_expires_at = refresh_expiry(claims, &mut warnings);
    let current_tenant = match claims.get("dct") {
        None | Some(Value::Null) => None,
        Some(Value::String(tenant)) => Some(tenant.clone()).filter(|tenant| !tenant.is_empty()),
        Some(_) => {
            warnings.push("`dct` is not a string; it counts as absent".to_owned());
            None
        }
    };
    Ok(SessionClaims {
        subject: subject.to_owned(),
        issuer: issuer.to_owned(),
        issued_at,
        expires_at,
        refresh_expires_at,
        roles: strings(claims.get("roles"), "roles", &mut warnings),
        permissions: strings(claims.get("permissions"), "permissions", &mut warnings),
        tenants: tenants(claims, &mut warnings),
        current_tenant,
        factors: strings(claims.get("amr"), "amr", &mut warnings),
        acr: context_class(claims),
        stepped_up: claims.get("su") == Some(&Value::Bool(true)),
        warnings,
    })
}

/// `rexp` is an ISO 8601 string. It only says when a login will be due, so one that cannot be read is a warning.
fn refresh_expiry(claims: &Claims, warnings: &mut Vec<String>) -> Option<Timestamp> {
    let value = claims.get("rexp")?;
    let read = value.as_str().and_then(|text| text.parse().ok());
    if read.is_none() {
        warnings.push("`rexp` is not an ISO 8601 instant; it counts as absent".to_owned());
    }
    read
}
