//! The options of how agents are judged, and how the person is asked about them: checks, consent, grants, passkeys, launch.

use agentauth_core::SignedDuration;
use agentauth_core::consent::Choice;
use agentauth_core::passkey::is_aaguid;

use super::form::{List, Maybe, Number, Place, Span, Switch, Text, Word};
use super::{OptionSpec, row};
use crate::config::HideSockets;
use crate::config::value::{self, Value, Wrong};
use crate::environment::may_be_handed_on;

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);
const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);

pub(super) const OPTIONS: &[OptionSpec] = &[
    row!(checks.max_confirmation_age = Span(SECOND, DAY), "AGENTAUTHD_CHECKS_MAX_CONFIRMATION_AGE"),
    row!(checks.requests_per_second = Number(1, 1_000_000), "AGENTAUTHD_CHECKS_REQUESTS_PER_SECOND"),
    row!(checks.burst = Number(1, 1_000_000), "AGENTAUTHD_CHECKS_BURST"),
    row!(checks.max_connections = Number(1, 10_000), "AGENTAUTHD_CHECKS_MAX_CONNECTIONS"),
    row!(
        checks.max_connections_per_process = Number(1, 10_000),
        "AGENTAUTHD_CHECKS_MAX_CONNECTIONS_PER_PROCESS"
    ),
    row!(consent.longest = Word(&Choice::ALL, Choice::as_str), "AGENTAUTHD_CONSENT_LONGEST"),
    row!(consent.expires_after = Span(SECOND, DAY), "AGENTAUTHD_CONSENT_EXPIRES_AFTER"),
    row!(consent.cool_down = Span(SECOND, DAY), "AGENTAUTHD_CONSENT_COOL_DOWN"),
    row!(consent.open_browser = Switch, "AGENTAUTHD_CONSENT_OPEN_BROWSER"),
    row!(consent.notify = Switch, "AGENTAUTHD_CONSENT_NOTIFY"),
    row!(grants.recertify_after = Span(SECOND, YEAR), "AGENTAUTHD_GRANTS_RECERTIFY_AFTER"),
    row!(passkeys.allowed_aaguids = List(Text(aaguid)), "AGENTAUTHD_PASSKEYS_ALLOWED_AAGUIDS"),
    row!(passkeys.attestation_roots = Maybe(Place), "AGENTAUTHD_PASSKEYS_ATTESTATION_ROOTS"),
    row!(launch.grace = Span(SignedDuration::ZERO, SignedDuration::from_mins(10)), "AGENTAUTHD_LAUNCH_GRACE"),
    row!(launch.environment = List(Text(handed_on)), "AGENTAUTHD_LAUNCH_ENVIRONMENT"),
    row!(launch.hide = List(Place), "AGENTAUTHD_LAUNCH_HIDE"),
    row!(
        launch.hide_sockets = Word(&HideSockets::ALL, HideSockets::as_str),
        "AGENTAUTHD_LAUNCH_HIDE_SOCKETS"
    ),
    row!(launch.sockets = List(Place), "AGENTAUTHD_LAUNCH_SOCKETS"),
];

fn aaguid(value: &Value) -> Result<String, Wrong> {
    let aaguid = value::text(value)?;
    if is_aaguid(&aaguid) {
        Ok(aaguid)
    } else {
        Err("is no AAGUID: write it as a UUID in lower case".to_owned())
    }
}

fn handed_on(value: &Value) -> Result<String, Wrong> {
    let name = value::text(value)?;
    may_be_handed_on(&name).map(|()| name)
}
