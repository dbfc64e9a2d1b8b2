//! What `status` looks like, for fixed statuses at a fixed instant.

use super::*;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn status() -> Status {
    serde_json::from_value(serde_json::json!({
        "version": "0.1.0", "pid": 4711, "started_at": "2026-03-01T09:00:00Z", "profile": "default",
        "device": "device:uuid:018f", "locked": false,
        "session": {
            "phase": "active",
            "user": {"subject": "U2abc", "name": "Ada Lovelace", "email": "ada@example.com"},
            "roles": ["buyer", "editor"], "permissions": ["pay"], "tenant": "T1",
            "logged_in_at": "2026-02-27T12:00:00Z", "expires_at": "2026-03-01T12:07:30Z",
            "login_ends_at": "2026-03-27T12:00:00Z", "confirmed_at": "2026-03-01T11:57:30Z",
            "next_refresh_at": "2026-03-01T12:04:00Z"
        },
        "provider": {
            "kind": "descope", "issuer": "https://api.descope.com/P2abcdefghijklmnopqrstuvwxyz",
            "project_id": "P2abcdefghijklmnopqrstuvwxyz", "base_url": "https://api.descope.com/",
            "reachable": true, "last_reached_at": "2026-03-01T11:57:30Z",
            "redirect_uris": ["http://127.0.0.1:47823/callback"]
        },
        "keys": {"count": 2, "fetched_at": "2026-03-01T11:00:00Z", "usable_until": "2026-03-02T11:00:00Z"},
        "secret_store": {"kind": "Secret Service", "usable": true},
        "policy": {"count": 3, "sources": ["built in", "/home/ada/.config/agentauthd/policies"]},
        "audit": {"writable": true, "records": 1204},
        "agents": [{"name": "payment-agent", "version": "1.0.0", "executable": "/usr/bin/python3.11",
                    "script": "/opt/payment_agent.py", "grants": 1}],
        "caller": {"pid": 99, "executable": "/usr/bin/agentauthd", "assurance": "path", "grade": "terminal", "greeted": true},
        "problems": []
    }))
    .unwrap()
}

fn plain(status: &Status) -> String {
    anstream::adapter::strip_str(&render(status, now())).to_string()
}

#[test]
fn all_is_well() {
    assert_eq!(
        plain(&status()),
        "\
agentauthd 0.1.0  profile default, up 3 h, pid 4711

login        Ada Lovelace <ada@example.com>
             session ends in 8 min, next refresh in 4 min, confirmed 3 min ago
             logged in 2 days ago, login ends in 26 days
tenant       T1
roles        buyer, editor
permissions  pay
provider     reached 3 min ago
             https://api.descope.com, project P2abcdefghijklmnopqrstuvwxyz
keys         2 keys, 60 min old, good for 23 h
secrets      Secret Service
policy       3 policies from built in, /home/ada/.config/agentauthd/policies
record       writable, 1204 records
agents       1 agent
             payment-agent 1.0.0, 1 grant, /usr/bin/python3.11 /opt/payment_agent.py
device       device:uuid:018f
you          pid 99, /usr/bin/agentauthd
             no registered agent; shown to be a person's own: terminal
"
    );
}

#[test]
fn nothing_is_well() {
    let mut status = status();
    status.locked = true;
    status.session = serde_json::from_value(serde_json::json!({
        "phase": "unverified", "detail": "the provider has not answered since the start",
        "next_refresh_at": "2026-03-01T12:00:10Z"
    }))
    .unwrap();
    status.provider.reachable = Some(false);
    status.provider.last_reached_at = None;
    status.provider.last_failure = Some("could not connect to api.descope.com".to_owned());
    status.keys.usable_until = Some("2026-03-01T11:00:00Z".parse().unwrap());
    status.secret_store.usable = false;
    status.secret_store.detail = Some("the login keyring is locked; unlock it".to_owned());
    status.audit.writable = false;
    status.audit.detail = Some("no space left on device; free some".to_owned());
    status.agents.clear();
    status.problems = vec!["the login keyring is locked; unlock it".to_owned(), "disk full".to_owned()];
    assert_eq!(
        plain(&status),
        "\
agentauthd 0.1.0  profile default, up 3 h, pid 4711  paused: everything is denied until `agentauthd unlock`

login        not verified yet: the provider has not answered since the start
             the provider is asked again in 10 s
provider     not reachable
             could not connect to api.descope.com
             https://api.descope.com, project P2abcdefghijklmnopqrstuvwxyz
keys         2 keys, 60 min old, too old to be used
secrets      Secret Service: cannot be used
             the login keyring is locked; unlock it
policy       3 policies from built in, /home/ada/.config/agentauthd/policies
record       cannot be written, so everything is denied
             no space left on device; free some
agents       none registered
device       device:uuid:018f
you          pid 99, /usr/bin/agentauthd
             no registered agent; shown to be a person's own: terminal

2 problems
  ! the login keyring is locked; unlock it
  ! disk full
"
    );
}

#[test]
fn nobody_is_logged_in_or_the_login_is_over() {
    let mut status = status();
    status.session = serde_json::from_value(serde_json::json!({"phase": "logged_out"})).unwrap();
    assert!(
        plain(&status)
            .contains("login        nobody is logged in\n             log in with `agentauthd login`\n")
    );
    status.session = serde_json::from_value(serde_json::json!({
        "phase": "over", "detail": "revoked at the provider", "user": {"subject": "U1", "name": "Ada"}
    }))
    .unwrap();
    assert!(plain(&status).contains("login        the login of Ada is over: revoked at the provider\n"));
    status.provider.issuer = None;
    assert!(plain(&status).contains("name it with `agentauthd setup`"));
}

#[test]
fn what_an_agent_or_the_provider_wrote_cannot_drive_the_terminal() {
    let hostile = "x\u{1b}]0;owned\u{7}\r\n\u{202e}y".to_owned();
    let mut status = status();
    let agent = status.agents.first_mut().unwrap();
    agent.name = hostile.clone();
    agent.script = Some(hostile.clone());
    status.session.user.as_mut().unwrap().name = Some(hostile.clone());
    status.session.roles = vec![hostile.clone()];
    status.session.tenant = Some(hostile.clone());
    status.provider.reachable = Some(false);
    status.provider.last_failure = Some(hostile.clone());
    status.caller.executable = Some(hostile.clone());
    status.caller.agent = Some(hostile.clone());
    status.policy.sources = vec![hostile.clone()];
    status.problems = vec![hostile];
    // Without stripping: only the colours that we set ourselves may contain an escape.
    let text = render(&status, now());
    for forbidden in ["\u{1b}]", "\u{7}", "\r", "\u{202e}"] {
        assert!(!text.contains(forbidden), "{forbidden:?} in {text:?}");
    }
    assert_eq!(text.matches("\\u{202e}").count(), 10, "each is shown, escaped");
}

#[test]
fn a_long_list_of_agents_is_cut() {
    let mut status = status();
    let one = status.agents.first().cloned().unwrap();
    status.agents = vec![one; 25];
    assert!(plain(&status).contains("and 5 more"));
}
