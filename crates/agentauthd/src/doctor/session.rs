//! The login, and what its tokens show of the provider's settings. Pure.

use agentauth_api::{FailedLogin, ObservedSettings, SessionPhase, SessionStatus};
use agentauth_core::{SignedDuration, Timestamp};

use super::advice::Advice;
use super::finding::{Code, Finding};

/// Longer than this no session token should live: what is stolen or outdated stays good for as long.
const LONGEST_SESSION_TOKEN: SignedDuration = SignedDuration::from_hours(1);
/// Longer than this no refresh token should live: weeks, not months.
const LONGEST_REFRESH_TOKEN: SignedDuration = SignedDuration::from_hours(31 * 24);

/// What is known of the provider from its configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup<'a> {
    pub(super) advice: &'static Advice,
    /// The configured tenant.
    pub(super) tenant: Option<&'a str>,
    /// Whether the provider can be made to rotate refresh tokens.
    pub(super) can_rotate: bool,
}

/// How the login stands.
pub(super) fn judge(
    session: &SessionStatus,
    failed: Option<&FailedLogin>,
    setup: Setup<'_>,
    now: Timestamp,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let because = session.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
    match session.phase {
        SessionPhase::LoggedOut => found.push(Finding::warning(
            Code::NotLoggedIn,
            "nobody is logged in",
            "log in with `agentauthd login`",
        )),
        SessionPhase::Over => found.push(Finding::warning(
            Code::LoginOver,
            format!("the login is over{because}"),
            "log in with `agentauthd login`",
        )),
        SessionPhase::Unverified => found.push(Finding::warning(
            Code::SessionUnverified,
            format!("a login is stored, and not verified yet{because}"),
            "mend what is named, if anything is; the daemon tries again by itself",
        )),
        SessionPhase::Active => {
            let user = session.user.as_ref();
            let who = user
                .and_then(|user| user.email.clone().or_else(|| user.name.clone()))
                .or_else(|| user.map(|user| user.subject.clone()))
                .unwrap_or_default();
            let roles = if session.roles.is_empty() { "none".to_owned() } else { session.roles.join(", ") };
            found.push(Finding::ok(Code::LoggedIn, format!("logged in as {who}; roles: {roles}")));
        }
    }
    if let Some(failed) = failed.filter(|_| session.phase != SessionPhase::Active) {
        found.push(Finding::warning(
            Code::LoginFailed,
            format!("the newest login failed (`{}`): {}", failed.code, failed.message),
            "do what it says, and log in again",
        ));
    }
    if let Some(observed) = &session.observed {
        found.extend(rotation(observed, session.next_refresh_at, setup, now));
        found.extend(lifetimes(observed, setup.advice));
        found.extend(inactivity(observed, setup.advice));
        found.extend(tenants(observed, &session.roles, setup));
        found.extend(observed.claim_warnings.iter().map(|warning| {
            Finding::note(
                Code::ClaimsOdd,
                format!("in what the tokens say of the user, {warning}"),
                setup.advice.claims_odd,
            )
        }));
    }
    found
}

fn rotation(
    observed: &ObservedSettings,
    next: Option<Timestamp>,
    setup: Setup<'_>,
    now: Timestamp,
) -> Option<Finding> {
    const SAME: &str = "a refresh brought the same refresh token again";
    Some(match observed.rotates {
        Some(true) => Finding::ok(Code::RotationOn, "each refresh brings a new refresh token"),
        Some(false) if !setup.can_rotate => Finding::note(
            Code::RotationOff,
            format!("{SAME}; this provider never rotates them"),
            "nothing can be switched on there; keep `session.max_age` short, and log out of machines that are given away",
        ),
        Some(false) => Finding::warning(Code::RotationOff, SAME, setup.advice.rotation_off),
        None => {
            let wait = next.map(|next| next.duration_since(now).as_secs()).filter(|wait| *wait > 0);
            let when = wait.map(|wait| format!(", in {wait} s")).unwrap_or_default();
            Finding::note(
                Code::RotationUnknown,
                "this login has not been refreshed yet",
                format!("run this again after the next refresh{when}"),
            )
        }
    })
}

fn lifetimes(observed: &ObservedSettings, advice: &Advice) -> Vec<Finding> {
    let span = |seconds: Option<u64>| {
        seconds.and_then(|seconds| i64::try_from(seconds).ok()).map(SignedDuration::from_secs)
    };
    let (session, refresh) = (span(observed.session_token_seconds), span(observed.refresh_token_seconds));
    let mut found = Vec::new();
    if let Some(session) = session.filter(|session| *session > LONGEST_SESSION_TOKEN) {
        found.push(Finding::warning(
            Code::SessionTokenLong,
            format!("session tokens live for {}", words(session)),
            advice.session_token_long,
        ));
    }
    if let Some(refresh) = refresh.filter(|refresh| *refresh > LONGEST_REFRESH_TOKEN) {
        found.push(Finding::warning(
            Code::RefreshTokenLong,
            format!("the refresh token has another {} to live", words(refresh)),
            advice.refresh_token_long,
        ));
    }
    if found.is_empty()
        && let Some(session) = session
    {
        let refresh = refresh.map(|refresh| format!(", refresh tokens for {}", words(refresh)));
        found.push(Finding::ok(
            Code::TokenLifetimes,
            format!("session tokens live for {}{}", words(session), refresh.unwrap_or_default()),
        ));
    }
    found
}

fn inactivity(observed: &ObservedSettings, advice: &Advice) -> Option<Finding> {
    let hint = observed.next_refresh_seconds.filter(|seconds| *seconds > 0)?;
    Some(Finding::note(
        Code::SessionInactivity,
        format!("the provider asks for a refresh every {hint} s, as with session inactivity switched on"),
        advice.session_inactivity,
    ))
}

fn tenants(observed: &ObservedSettings, roles: &[String], setup: Setup<'_>) -> Option<Finding> {
    let tenant = setup.tenant;
    if let Some(tenant) = tenant.filter(|tenant| !observed.tenants.iter().any(|one| one == tenant)) {
        let theirs =
            if observed.tenants.is_empty() { "none".to_owned() } else { observed.tenants.join(", ") };
        return Some(Finding::warning(
            Code::TenantForeign,
            format!("the user does not belong to the tenant `{tenant}`; their tenants: {theirs}"),
            setup.advice.tenant_foreign,
        ));
    }
    let others = &observed.tenants_not_counted;
    (roles.is_empty() && !others.is_empty()).then(|| {
        let what = match tenant {
            None => format!("the user has no project-level roles, but has roles in {}, and no tenant is selected", others.join(", ")),
            Some(tenant) => format!("the user has no roles in `{tenant}`, but has some in {}", others.join(", ")),
        };
        Finding::warning(
            Code::TenantNotSelected,
            what,
            "set `provider.tenant` to the tenant to act in, apply it (`agentauthd config apply`), restart the daemon and log in again; or give the role at project level",
        )
    })
}

/// A length of time, to the nearest whole unit.
fn words(span: SignedDuration) -> String {
    let seconds = span.as_secs();
    match seconds {
        ..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", (seconds + 30) / 60),
        7_200..=172_799 => format!("{} h", (seconds + 1_800) / 3_600),
        _ => format!("{} days", (seconds + 43_200) / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use agentauth_api::Account;

    use super::*;
    use crate::doctor::{Severity, advice};

    const DAY: u64 = 86_400;

    fn session(phase: SessionPhase, observed: Option<ObservedSettings>) -> SessionStatus {
        SessionStatus {
            phase,
            detail: None,
            user: Some(Account { subject: "U1".to_owned(), name: None, email: Some("a@b".to_owned()) }),
            roles: Vec::new(),
            permissions: Vec::new(),
            tenant: None,
            logged_in_at: None,
            expires_at: None,
            login_ends_at: None,
            confirmed_at: None,
            next_refresh_at: None,
            observed,
        }
    }

    fn good() -> ObservedSettings {
        ObservedSettings {
            session_token_seconds: Some(600),
            refresh_token_seconds: Some(28 * DAY),
            rotates: Some(true),
            ..ObservedSettings::default()
        }
    }

    fn setup(tenant: Option<&str>) -> Setup<'_> {
        Setup { advice: &advice::DESCOPE, tenant, can_rotate: true }
    }

    fn seen(session: &SessionStatus, tenant: Option<&str>) -> Vec<(Code, Severity)> {
        let found = judge(session, None, setup(tenant), Timestamp::UNIX_EPOCH);
        found.iter().map(|finding| (finding.id, finding.severity)).collect()
    }

    /// What is not as it should be.
    fn wrong(observed: ObservedSettings, tenant: Option<&str>) -> Vec<(Code, Severity)> {
        let mut found = seen(&session(SessionPhase::Active, Some(observed)), tenant);
        found.retain(|(_, severity)| *severity != Severity::Ok);
        found
    }

    #[test]
    fn each_phase_has_its_name() {
        for (phase, code) in [
            (SessionPhase::LoggedOut, Code::NotLoggedIn),
            (SessionPhase::Over, Code::LoginOver),
            (SessionPhase::Unverified, Code::SessionUnverified),
        ] {
            assert_eq!(seen(&session(phase, None), None), [(code, Severity::Warning)]);
        }
        assert_eq!(
            seen(&session(SessionPhase::Active, Some(good())), None),
            [
                (Code::LoggedIn, Severity::Ok),
                (Code::RotationOn, Severity::Ok),
                (Code::TokenLifetimes, Severity::Ok)
            ]
        );
    }

    #[test]
    fn a_failed_login_is_told_until_one_works() {
        let failed = FailedLogin { code: "exchange_failed".to_owned(), message: "no".to_owned() };
        let told = |phase| {
            let found = judge(&session(phase, None), Some(&failed), setup(None), Timestamp::UNIX_EPOCH);
            found.iter().any(|finding| finding.id == Code::LoginFailed)
        };
        assert!(told(SessionPhase::LoggedOut) && !told(SessionPhase::Active));
    }

    #[test]
    fn settings_are_judged_by_what_tokens_show() {
        let warning = |code| vec![(code, Severity::Warning)];
        let note = |code| vec![(code, Severity::Note)];
        let with = |change: fn(&mut ObservedSettings)| {
            let mut observed = good();
            change(&mut observed);
            observed
        };
        for (observed, expected) in [
            (good(), Vec::new()),
            (with(|o| o.rotates = Some(false)), warning(Code::RotationOff)),
            (with(|o| o.rotates = None), note(Code::RotationUnknown)),
            (with(|o| o.session_token_seconds = Some(3_601)), warning(Code::SessionTokenLong)),
            (with(|o| o.session_token_seconds = Some(3_600)), Vec::new()),
            (with(|o| o.refresh_token_seconds = Some(520 * 7 * DAY)), warning(Code::RefreshTokenLong)),
            (with(|o| o.refresh_token_seconds = None), Vec::new()),
            (with(|o| o.next_refresh_seconds = Some(540)), note(Code::SessionInactivity)),
            (with(|o| o.next_refresh_seconds = Some(0)), Vec::new()),
            (with(|o| o.claim_warnings = vec!["x".to_owned()]), note(Code::ClaimsOdd)),
        ] {
            assert_eq!(wrong(observed.clone(), None), expected, "{observed:?}");
        }
    }

    #[test]
    fn the_settings_are_named_in_the_providers_words() {
        let observed = ObservedSettings {
            rotates: Some(false),
            session_token_seconds: Some(DAY),
            refresh_token_seconds: Some(400 * DAY),
            claim_warnings: vec!["x".to_owned()],
            next_refresh_seconds: Some(540),
            ..ObservedSettings::default()
        };
        let session = session(SessionPhase::Active, Some(observed));
        let told = |setup: Setup<'_>| {
            let found = judge(&session, None, setup, Timestamp::UNIX_EPOCH);
            let todos: String = found.iter().map(|finding| finding.todo.as_str()).collect();
            (found, todos)
        };
        let (found, todos) = told(setup(Some("T9")));
        for word in
            ["Session Management", "refresh token rotation", "Session Token Timeout", "Refresh Token Timeout"]
        {
            assert!(todos.contains(word), "{word}: {todos}");
        }
        assert!(found.iter().any(|finding| finding.what.contains("400 days")), "{found:?}");
        let other = Setup { advice: &advice::OIDC, ..setup(Some("T9")) };
        let (same, todos) = told(other);
        assert!(same.iter().map(|finding| finding.id).eq(found.iter().map(|finding| finding.id)));
        assert!(!todos.contains("console") && !todos.contains("Project"), "{todos}");
        // What cannot be had is no reproach.
        let (found, _) = told(Setup { can_rotate: false, ..other });
        let rotation = found.iter().find(|finding| finding.id == Code::RotationOff).unwrap();
        assert_eq!(rotation.severity, Severity::Note);
    }

    #[test]
    fn roles_in_a_tenant_that_is_not_selected_are_told() {
        let in_tenant = ObservedSettings {
            tenants: vec!["T1".to_owned()],
            tenants_not_counted: vec!["T1".to_owned()],
            ..good()
        };
        assert_eq!(wrong(in_tenant.clone(), None), [(Code::TenantNotSelected, Severity::Warning)]);
        assert_eq!(wrong(in_tenant.clone(), Some("T9")), [(Code::TenantForeign, Severity::Warning)]);
        let selected = ObservedSettings { tenants_not_counted: Vec::new(), ..in_tenant.clone() };
        assert_eq!(wrong(selected, Some("T1")), []);
        let mut with_roles = session(SessionPhase::Active, Some(in_tenant));
        with_roles.roles = vec!["admin".to_owned()];
        assert!(seen(&with_roles, None).iter().all(|(_, severity)| *severity == Severity::Ok));
    }
}
