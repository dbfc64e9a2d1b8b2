//! Logins and what becomes of them, as it is written down.

use agentauth_audit::{Event, Kind};
use agentauth_core::Timestamp;
use agentauth_core::session::{OverReason, Session, User};
use agentauth_core::widening::Confirmed;
use serde_json::json;

use super::{confirmation, details};
use crate::daemon::keeper::LoginMethod;
use crate::daemon::presence::Sign;

/// A person logged in.
pub(crate) fn login<'a>(
    session: &'a Session,
    issuer: &str,
    method: LoginMethod,
    now: Timestamp,
) -> Event<'a> {
    Event {
        user: Some(session.user.subject.as_str().into()),
        details: details(json!({
            "issuer": issuer,
            "method": method.as_str(),
            "binding": method.binding(),
            "roles": session.rights.roles,
            "permissions": session.rights.permissions,
            "tenant": session.rights.current_tenant,
            "expires_at": session.claims.expires_at,
        })),
        ..Event::new(Kind::Login, now)
    }
}

/// A login was begun.
pub(crate) fn login_started(method: &'static str, now: Timestamp) -> Event<'static> {
    Event { details: details(json!({ "method": method })), ..Event::new(Kind::LoginStarted, now) }
}

/// A login that was stored before is taken up again; it counts once the provider confirms it.
pub(crate) fn session_resumed(user: &User, now: Timestamp) -> Event<'_> {
    Event { user: Some(user.subject.as_str().into()), ..Event::new(Kind::SessionResumed, now) }
}

/// A login came to nothing.
pub(crate) fn login_refused<'a>(
    method: LoginMethod,
    code: &'a str,
    message: &'a str,
    now: Timestamp,
) -> Event<'a> {
    Event {
        reason: Some(code.into()),
        message: Some(message.into()),
        details: details(json!({ "method": method.as_str() })),
        ..Event::new(Kind::LoginRefused, now)
    }
}

/// The provider confirmed the session anew.
pub(crate) fn refresh(session: &Session, now: Timestamp) -> Event<'_> {
    Event {
        user: Some(session.user.subject.as_str().into()),
        details: details(json!({
            "roles": session.rights.roles,
            "permissions": session.rights.permissions,
            "tenant": session.rights.current_tenant,
            "expires_at": session.claims.expires_at,
        })),
        ..Event::new(Kind::Refresh, now)
    }
}

/// The provider did not confirm the session.
pub(crate) fn refresh_failed(what: &str, now: Timestamp) -> Event<'_> {
    Event { message: Some(what.into()), ..Event::new(Kind::RefreshFailed, now) }
}

/// The person logged out.
pub(crate) fn logout(user: Option<&User>, now: Timestamp) -> Event<'_> {
    Event { user: user.map(|user| user.subject.as_str().into()), ..Event::new(Kind::Logout, now) }
}

/// The login ended otherwise than by a logout.
pub(crate) fn session_over(user: Option<&User>, why: OverReason, now: Timestamp) -> Event<'_> {
    Event {
        user: user.map(|user| user.subject.as_str().into()),
        reason: Some(why.code().into()),
        message: Some(why.message().into()),
        ..Event::new(Kind::SessionOver, now)
    }
}

/// The provider confirmed the session without giving a new token.
pub(crate) fn session_confirmed(session: &Session, now: Timestamp) -> Event<'_> {
    Event { user: Some(session.user.subject.as_str().into()), ..Event::new(Kind::SessionConfirmed, now) }
}

/// A login that is not used any more stays alive at the provider.
pub(crate) fn login_not_ended(user: &User, now: Timestamp) -> Event<'_> {
    let message = "a login that is not used any more could not be ended at the provider; end it in the provider's console";
    Event {
        user: Some(user.subject.as_str().into()),
        message: Some(message.into()),
        ..Event::new(Kind::LoginNotEnded, now)
    }
}

/// The installation belongs to another account, which the account before has confirmed by a fresh login.
pub(crate) fn login_switched<'a>(to: &'a str, confirmed: &Confirmed, now: Timestamp) -> Event<'a> {
    Event { user: Some(to.into()), details: confirmation(confirmed), ..Event::new(Kind::LoginSwitched, now) }
}

/// The person was seen.
pub(crate) fn person_seen<'a>(seen_at: Timestamp, sign: Sign, now: Timestamp) -> Event<'a> {
    Event {
        details: details(json!({ "seen_at": seen_at, "by": sign.as_str() })),
        ..Event::new(Kind::PersonSeen, now)
    }
}
