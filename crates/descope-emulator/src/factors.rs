//! How a user signed in: `amr`, `acr`, and what a request demands of them (sheet 3.1 and 5.10, RFC 8176, RFC 9470).

use crate::authorization::AuthorizeRequest;
use crate::fixture::User;
use crate::settings::Settings;

/// What the user showed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    Password,
    /// A link from a mail.
    Link,
}

/// The factors of a sign-in: the user's own with the first one as shown, those of a step-up, and what the browser had
/// proven before.
pub(crate) fn factors(
    settings: &Settings,
    user: &User,
    first: First,
    stepping_up: bool,
    before: &[String],
) -> Vec<String> {
    let shown = |factor: &String| match (factor.as_str(), first) {
        ("pwd", First::Link) => "email".to_owned(),
        _ => factor.clone(),
    };
    let more: &[String] = if stepping_up { &settings.sign_in.step_up_factors } else { &[] };
    let mut all: Vec<String> = Vec::new();
    for factor in before.iter().cloned().chain(user.factors.iter().map(shown)).chain(more.iter().cloned()) {
        if !all.contains(&factor) {
            all.push(factor);
        }
    }
    all
}

/// `acr` of a sign-in with these factors: more than one are strong authentication, as the SDKs count.
pub(crate) fn acr<'s>(settings: &'s Settings, factors: &[String]) -> Option<&'s str> {
    let sign_in = &settings.sign_in;
    if factors.len() > 1 { sign_in.multi_factor_acr.as_deref() } else { sign_in.single_factor_acr.as_deref() }
}

/// Whether the request asks for more than one factor, by its flow or by `acr_values`.
pub(crate) fn steps_up(settings: &Settings, request: &AuthorizeRequest) -> bool {
    request.flow.as_ref() == Some(&settings.oauth.step_up_flow) || wants_strong(settings, request)
}

/// Whether none of the requested `acr_values` can be reached.
pub(crate) fn unreachable(settings: &Settings, request: &AuthorizeRequest) -> bool {
    let known = [&settings.sign_in.single_factor_acr, &settings.sign_in.multi_factor_acr];
    let any = known.into_iter().flatten().any(|acr| request.acr_values.contains(acr));
    settings.sign_in.honour_acr_values && !request.acr_values.is_empty() && !any
}

fn wants_strong(settings: &Settings, request: &AuthorizeRequest) -> bool {
    let names = |acr: &Option<String>| acr.as_ref().is_some_and(|acr| request.acr_values.contains(acr));
    let sign_in = &settings.sign_in;
    sign_in.honour_acr_values && names(&sign_in.multi_factor_acr) && !names(&sign_in.single_factor_acr)
}
