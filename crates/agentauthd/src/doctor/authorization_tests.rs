//! Who is at fault, for each way in which a provider may refuse.

use agentauth_idp::{Problem, Shape, Sketch};

use super::*;
use crate::doctor::Severity;

const ONE: &str = "http://127.0.0.1:47823/callback";
const TWO: &str = "http://127.0.0.1:47824/callback";

/// A page that says `text`.
fn page(text: &str) -> Answer {
    let problem = Problem { status: 400, shape: Shape::Unrecognised, code: None, message: None, ray: None };
    Answer::Refused { problem, sketch: Sketch::of(text, &[]) }
}

fn json(code: &str, message: &str) -> Answer {
    let problem = Problem {
        status: 400,
        shape: Shape::Descope,
        code: Some(code.to_owned()),
        message: Some(message.to_owned()),
        ray: None,
    };
    Answer::Refused { problem, sketch: Sketch::of(message, &[]) }
}

fn back(code: &str) -> Answer {
    Answer::SentBack { code: code.to_owned(), description: Some("no".to_owned()) }
}

/// All is well, and the two requests that must fail do.
fn fine() -> Facts {
    Facts {
        advice: &crate::doctor::advice::DESCOPE,
        client_id: "app".to_owned(),
        client_is_project: false,
        flow: Some("sign-in".to_owned()),
        tenant: Some("T1".to_owned()),
        scopes: vec!["openid".to_owned()],
        own: vec![(ONE.to_owned(), Answer::GoesOn), (TWO.to_owned(), Answer::GoesOn)],
        any_port: None,
        wrong_redirect: Some(page("this redirect is not approved")),
        wrong_client: Some(page("there is no such client")),
        variations: Variations::default(),
    }
}

fn codes(facts: &Facts) -> Vec<Code> {
    judge(facts).iter().map(|finding| finding.id).collect()
}

/// Both redirect URLs get this answer.
fn refused(answer: Answer) -> Facts {
    Facts { own: vec![(ONE.to_owned(), answer.clone()), (TWO.to_owned(), answer)], ..fine() }
}

#[test]
fn what_passes_is_said_in_one_line() {
    let found = judge(&fine());
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id, found[0].severity), (Code::RedirectAccepted, Severity::Ok));
    assert!(found[0].what.contains(ONE) && found[0].what.contains(TWO) && found[0].what.contains("sign-in"));
}

#[test]
fn a_provider_that_validates_nothing_is_told() {
    let facts = Facts { wrong_redirect: Some(Answer::GoesOn), ..fine() };
    assert_eq!(codes(&facts), [Code::RedirectsUnvalidated, Code::RedirectAccepted]);
}

#[test]
fn a_refusal_is_of_the_kind_that_it_resembles() {
    let redirect = [Code::RedirectRejected, Code::RedirectRejected];
    assert_eq!(codes(&refused(page("this redirect is not approved"))), redirect);
    assert_eq!(codes(&refused(page("there is no such client"))), [Code::ClientRejected]);
    assert_eq!(codes(&refused(page("something went wrong"))), [Code::AuthorizationRefused]);
    // The project's own client exists, so a refusal like both others is the redirect URL's.
    let mut same = refused(page("something went wrong"));
    same.wrong_redirect = Some(page("something went wrong"));
    same.wrong_client = Some(page("something went wrong"));
    assert_eq!(codes(&same), [Code::AuthorizationRefused]);
    same.client_is_project = true;
    assert_eq!(codes(&same), redirect);
}

#[test]
fn a_client_that_is_refused_whatever_else_is_asked_is_told_by_one_that_exists() {
    // The client is looked at first, so the request with a wrong redirect URL is refused for the client, too.
    let no_client = || page("there is no such client");
    let mut facts = refused(no_client());
    facts.wrong_redirect = Some(no_client());
    facts.variations.known_client = Some(Answer::GoesOn);
    assert_eq!(codes(&facts), [Code::ClientRejected]);
    // Both may be wrong; one after the other.
    facts.variations.known_client = Some(page("this redirect is not approved"));
    assert_eq!(codes(&facts), [Code::ClientRejected]);
    // One page for everything tells nothing.
    facts.variations.known_client = Some(no_client());
    assert_eq!(codes(&facts), [Code::AuthorizationRefused]);
}

#[test]
fn where_all_refusals_look_alike_the_text_tells() {
    for (message, code) in [
        ("the redirect_uri is not approved", Code::RedirectRejected),
        ("unknown client", Code::ClientRejected),
        ("redirect_uri does not fit the client", Code::AuthorizationRefused),
    ] {
        let mut facts = refused(json("E011004", message));
        facts.wrong_redirect = Some(json("E011004", message));
        facts.wrong_client = Some(json("E011004", message));
        assert_eq!(codes(&facts)[0], code, "{message}");
        // The same on a page.
        let mut facts = refused(page(message));
        facts.wrong_redirect = Some(page(message));
        facts.wrong_client = Some(page(message));
        assert_eq!(codes(&facts)[0], code, "{message}");
    }
}

#[test]
fn a_provider_that_compares_ports_is_told_where_any_port_may_be_used() {
    let mut facts = fine();
    let other = "http://127.0.0.1:49152/callback";
    facts.any_port = Some((other.to_owned(), Answer::GoesOn));
    assert_eq!(codes(&facts), [Code::RedirectAccepted]);
    facts.any_port = Some((other.to_owned(), page("this redirect is not approved")));
    let found = judge(&facts);
    assert_eq!((found[0].id, found[0].severity), (Code::AnyPortRejected, Severity::Warning));
    assert!(found[0].what.contains(other), "{found:?}");
    // Where nothing is accepted, that is the news.
    facts.own[0].1 = page("this redirect is not approved");
    facts.own[1].1 = page("this redirect is not approved");
    assert!(!codes(&facts).contains(&Code::AnyPortRejected));
}

#[test]
fn what_makes_it_pass_is_at_fault() {
    let passes = Some(Answer::GoesOn);
    for (variations, code) in [
        (Variations { without_flow: passes.clone(), ..Variations::default() }, Code::FlowRejected),
        (Variations { plain_scope: passes.clone(), ..Variations::default() }, Code::ScopeRejected),
        (Variations { without_tenant: passes.clone(), ..Variations::default() }, Code::TenantRejected),
        (Variations { without_audience: passes.clone(), ..Variations::default() }, Code::AudienceRejected),
    ] {
        for answer in [back("invalid_request"), page("something went wrong"), json("E011004", "no")] {
            let facts = Facts { variations: variations.clone(), ..refused(answer.clone()) };
            assert_eq!(codes(&facts), [code], "{answer:?}");
        }
    }
    let facts = Facts {
        variations: Variations { localhost: passes, ..Variations::default() },
        ..refused(page("this redirect is not approved"))
    };
    assert_eq!(codes(&facts), [Code::RedirectLocalhost, Code::RedirectLocalhost]);
}

#[test]
fn errors_that_are_sent_back_name_themselves() {
    assert_eq!(codes(&refused(back("invalid_scope"))), [Code::ScopeRejected]);
    assert_eq!(codes(&refused(back("invalid_target"))), [Code::AudienceRejected]);
    assert_eq!(codes(&refused(back("unauthorized_client"))), [Code::ClientRejected]);
    let found = judge(&refused(back("server_error")));
    assert_eq!(found[0].id, Code::AuthorizationRefused);
    assert!(found[0].what.contains("`server_error`: no"), "{found:?}");
}

#[test]
fn one_redirect_url_of_several_may_be_missing() {
    let mut facts = fine();
    facts.own[1].1 = page("anything at all");
    // A variation of the refused one may pass; what differs from the accepted one is the redirect URL.
    facts.variations.without_flow = Some(Answer::GoesOn);
    let found = judge(&facts);
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].id, found[1].id), (Code::RedirectRejected, Code::RedirectAccepted));
    assert!(found[0].todo.contains(TWO) && !found[0].what.contains(ONE), "{found:?}");
}

#[test]
fn an_endpoint_that_is_down_convicts_nobody() {
    let problem = Problem { status: 503, shape: Shape::Unrecognised, code: None, message: None, ray: None };
    let found = judge(&refused(Answer::OutOfOrder(problem)));
    assert!(found.iter().all(|finding| finding.id == Code::AuthorizationUnjudged), "{found:?}");
    assert!(first_refused(&fine().own).is_none());
}
