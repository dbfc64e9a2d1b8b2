//! Verdicts from `testdata/claims/`, and what holds for every token.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// The cases of a file, each with the file's `expect` filled in where it does not override it.
fn cases(text: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(text).unwrap();
    let common = document["expect"].as_object().cloned().unwrap_or_default();
    let fill = |case: &Value| {
        let mut filled = common.clone();
        filled.extend(case.as_object().unwrap().clone());
        Value::Object(filled)
    };
    let cases: Vec<Value> = document["cases"].as_array().unwrap().iter().map(fill).collect();
    assert!(cases.len() > 20);
    cases
}

fn strings(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

fn optional(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn seconds(value: &Value) -> Timestamp {
    Timestamp::from_second(value.as_i64().unwrap()).unwrap()
}

fn instant(at: Timestamp) -> Value {
    json!(at.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64())
}

/// Compares numbers as numbers, so that 5 and 5.0 are one.
fn same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

/// Runs one case: parses and judges its payload, and compares the verdict.
fn check(case: &Value, judge: impl FnOnce(&Claims) -> Result<Value, TokenRefusal>) -> Result<(), String> {
    let name = &case["name"];
    let verdict = match Claims::parse(case["payload"].as_str().unwrap().as_bytes()) {
        Err(fault) => Err((fault.code(), fault.to_string())),
        Ok(claims) => judge(&claims).map_err(|refusal| (refusal.code(), refusal.to_string())),
    };
    match (verdict, case["refuse"].as_str()) {
        (Err((code, message)), Some(expected)) => {
            let says = case["says"].as_str().unwrap_or("");
            let hides = message.chars().any(|character| character.is_control() || character == '\u{202e}');
            if code != expected || !message.contains(says) || hides || message.len() > 700 {
                return Err(format!("{name}: {code}: {message}"));
            }
            Ok(())
        }
        (Ok(result), None) => {
            for (member, expected) in case["accept"].as_object().unwrap() {
                if !same(&result[member], expected) {
                    return Err(format!("{name}: {member} is {}, not {expected}", result[member]));
                }
            }
            Ok(())
        }
        (verdict, expected) => Err(format!("{name}: {verdict:?}, not {expected:?}")),
    }
}

fn assert_all(faults: Vec<String>) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn session_tokens_are_judged_as_recorded() {
    let judge_case = |case: &Value| {
        let expect = SessionExpectation {
            project_id: optional(&case["project_id"]).unwrap(),
            base_url: case["base_url"].as_str().unwrap().parse().unwrap(),
            audiences: strings(&case["audiences"]),
            extra_issuers: strings(&case["extra_issuers"]),
            subject: optional(&case["subject"]),
            leeway: SignedDuration::from_secs(case["leeway"].as_i64().unwrap()),
        };
        check(case, |claims| {
            let session = judge_session(claims, &expect, seconds(&case["now"]))?;
            Ok(json!({
                "subject": session.subject, "issuer": session.issuer,
                "issued_at": session.issued_at.map(instant), "expires_at": instant(session.expires_at),
                "refresh_expires_at": session.refresh_expires_at.map(instant),
                "roles": session.roles, "permissions": session.permissions,
                "current_tenant": session.current_tenant, "factors": session.factors,
                "stepped_up": session.stepped_up, "warnings": session.warnings.len(),
            }))
        })
    };
    let cases = cases(include_str!("../../testdata/claims/session_tokens.json"));
    assert_all(cases.iter().filter_map(|case| judge_case(case).err()).collect());
}

#[test]
fn id_tokens_are_judged_as_recorded() {
    let judge_case = |case: &Value| {
        let expect = IdTokenExpectation {
            max_age: case["max_age"].as_u64().map(|age| age.try_into().unwrap()),
            acr: case["acr"].as_array().map(|_| strings(&case["acr"])).unwrap_or_default(),
            issued_within: case["issued_within"].as_i64().map(SignedDuration::from_secs),
            original: case.get("original").map(|original| serde_json::from_value(original.clone()).unwrap()),
            dialect: if case["dialect"] == "oidc" { Dialect::Oidc } else { Dialect::Descope },
            issuers: strings(&case["issuers"]),
            client_id: optional(&case["client_id"]).unwrap(),
            extra_audiences: strings(&case["extra_audiences"]),
            nonce: optional(&case["nonce"]),
            subject: optional(&case["subject"]),
            leeway: SignedDuration::from_secs(case["leeway"].as_i64().unwrap()),
        };
        check(case, |claims| {
            let login = judge_id_token(claims, &expect, seconds(&case["now"]))?;
            Ok(json!({
                "subject": login.subject, "issuer": login.issuer,
                "issued_at": instant(login.issued_at), "expires_at": instant(login.expires_at),
                "auth_time": login.auth_time.map(instant), "nonce": login.nonce, "email": login.email,
                "email_verified": login.email_verified, "name": login.name, "assurance": login.assurance,
                "factors": login.factors, "session_id": login.session_id,
                "access_token_hash": login.access_token_hash,
            }))
        })
    };
    for recorded in [
        include_str!("../../testdata/claims/id_tokens.json"),
        include_str!("../../testdata/claims/oidc_id_tokens.json"),
    ] {
        assert_all(cases(recorded).iter().filter_map(|case| judge_case(case).err()).collect());
    }
}

fn expectation() -> SessionExpectation {
    SessionExpectation::new("P1", "https://api.descope.com".parse().unwrap())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A good payload that expires at 1,600, with `extra` on top.
fn judged(extra: &Value, now: Timestamp) -> Result<SessionClaims, TokenRefusal> {
    let mut payload = json!({"iss": "P1", "sub": "U1", "drn": "DS", "exp": 1600});
    payload.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    judge_session(&Claims::parse(payload.to_string().as_bytes()).unwrap(), &expectation(), now)
}

#[test]
fn rights_in_a_tenant_are_as_recorded() {
    for case in cases(include_str!("../../testdata/claims/tenant_rights.json")) {
        let session = judged(&case["claims"], at(1000)).unwrap();
        let tenant = case["tenant"].as_str().unwrap();
        let rights: Option<TenantRights> = serde_json::from_value(case["rights"].clone()).unwrap();
        assert_eq!(session.tenant_rights(tenant), rights, "{}", case["name"]);

        let effective = session.effective(Some(tenant));
        let expected = rights.clone().unwrap_or_default();
        assert_eq!(
            (effective.roles, effective.permissions),
            (expected.roles, expected.permissions),
            "{}",
            case["name"]
        );
        if rights.is_none() {
            assert_eq!(effective.current_tenant, None, "{}", case["name"]);
            assert!(!effective.tenants.contains(&tenant.to_owned()), "{}", case["name"]);
        }
    }
}

/// Renames the member `list` to `name` at any depth, and puts a decoy into the other list beside it.
fn with_list(value: &Value, name: &str) -> Value {
    let Value::Object(members) = value else { return value.clone() };
    let other = if name == "roles" { "permissions" } else { "roles" };
    let mut filled = serde_json::Map::new();
    for (member, value) in members {
        if member == "list" {
            filled.insert(name.to_owned(), value.clone());
            filled.insert(other.to_owned(), json!(["decoy"]));
        } else {
            filled.insert(member.clone(), with_list(value, name));
        }
    }
    Value::Object(filled)
}

/// Sheet 3.5, column by column for Go and core-js: each row once for roles and once for permissions. What is asked for
/// is granted when the user is associated with the tenant and every item is in its list, so nothing asked is granted to
/// whoever is associated.
#[test]
fn the_providers_table_row_by_row() {
    let [x, xy, none] = [json!(["x"]), json!(["x", "y"]), json!([])];
    let rows = [
        // The tenant is no key of `tenants`, `dct` is different.
        ("not associated", json!({"list": x, "tenants": {"T1": {"list": x}}, "dct": "T1"}), "T2", &x, false),
        (
            "not associated, nothing asked",
            json!({"tenants": {"T1": {"list": x}}, "dct": "T1"}),
            "T2",
            &none,
            false,
        ),
        ("no tenant at all", json!({"list": x}), "T1", &x, false),
        // The tenant is a key of `tenants`.
        ("its list", json!({"list": none, "tenants": {"T1": {"list": xy}}}), "T1", &xy, true),
        ("one of two", json!({"tenants": {"T1": {"list": x}}}), "T1", &xy, false),
        (
            "not the top level",
            json!({"list": x, "tenants": {"T1": {"list": none}}, "dct": "T1"}),
            "T1",
            &x,
            false,
        ),
        ("associated by {}", json!({"list": x, "tenants": {"T1": {}}}), "T1", &none, true),
        ("{} gives nothing", json!({"list": x, "tenants": {"T1": {}}, "dct": "T1"}), "T1", &x, false),
        // `tenants` is absent, `dct` is the tenant.
        ("the top level is the tenant's", json!({"list": xy, "dct": "T1"}), "T1", &x, true),
        ("the top level lacks it", json!({"list": x, "dct": "T1"}), "T1", &xy, false),
        ("no list at all", json!({"dct": "T1"}), "T1", &none, true),
        ("null is absent", json!({"list": x, "tenants": null, "dct": "T1"}), "T1", &x, true),
        // `tenants` is there without the tenant, `dct` is the tenant.
        ("associated", json!({"list": x, "tenants": {"T2": {"list": x}}, "dct": "T1"}), "T1", &none, true),
        ("without rights", json!({"list": x, "tenants": {"T2": {"list": x}}, "dct": "T1"}), "T1", &x, false),
        ("empty tenants are there", json!({"list": x, "tenants": {}, "dct": "T1"}), "T1", &x, false),
        // The tenant's name is empty: the top level.
        ("the top level", json!({"list": x, "tenants": {"T1": {"list": none}}, "dct": "T1"}), "", &x, true),
        (
            "tenants are ignored",
            json!({"list": none, "tenants": {"T1": {"list": x}}, "dct": "T1"}),
            "",
            &x,
            false,
        ),
        ("nothing asked", json!({}), "", &none, true),
        // What is no list is empty, never a haystack and never a list of one.
        ("a string", json!({"list": "x"}), "", &x, false),
        ("a longer string", json!({"list": "xyz"}), "", &x, false),
        ("a tenant's string", json!({"tenants": {"T1": {"list": "x"}}}), "T1", &x, false),
        ("an object", json!({"list": {"x": true}, "dct": "T1"}), "T1", &x, false),
        ("null", json!({"list": null}), "", &none, true),
        ("a number among strings", json!({"list": [1, "x"]}), "", &x, true),
    ];
    for (row, claims, tenant, asked, granted) in rows {
        for name in ["roles", "permissions"] {
            let session = judged(&with_list(&claims, name), at(1000)).unwrap();
            let held = session
                .tenant_rights(tenant)
                .map(|rights| if name == "roles" { rights.roles } else { rights.permissions });
            let verdict = held.is_some_and(|held| strings(asked).iter().all(|item| held.contains(item)));
            assert_eq!(verdict, granted, "{row}, {name}");

            // The same facts as a decision sees them.
            let effective = session.effective(Some(tenant));
            let held = if name == "roles" { effective.roles } else { effective.permissions };
            let all = strings(asked).iter().all(|item| held.contains(item));
            let associated = session.tenant_rights(tenant).is_some();
            assert_eq!(all && associated, granted, "{row}, {name}, effective");
        }
    }
}

#[test]
fn effective_rights_name_all_tenants_and_the_one_that_counts() {
    let session =
        judged(&json!({"roles": ["r"], "tenants": {"T3": {}, "T1": {"roles": ["a"]}}, "dct": "T2"}), at(1))
            .unwrap();
    let rights = session.effective(None);
    assert_eq!(
        (rights.roles, rights.tenants),
        (vec!["r".to_owned()], ["T1", "T2", "T3"].map(str::to_owned).to_vec())
    );
    assert_eq!(rights.current_tenant.as_deref(), Some("T2"));
    assert_eq!(session.effective(Some("T1")).current_tenant.as_deref(), Some("T1"));
    assert_eq!(session.effective(Some("T1")).roles, ["a"]);
    assert_eq!(session.effective(Some("")).roles, ["r"]);
    assert_eq!(
        session.effective(Some("T9")),
        EffectiveRights { tenants: session.effective(None).tenants, ..Default::default() }
    );
}

#[test]
fn oddities_are_warned_of() {
    let odd =
        json!({"roles": "Admin", "permissions": [1, "p", {}], "tenants": {"T": 5}, "dct": 1, "rexp": 7});
    let warnings = judged(&odd, at(1)).unwrap().warnings;
    for expected in [
        "`rexp` is not an ISO 8601 instant; it counts as absent",
        "`dct` is not a string; it counts as absent",
        "`roles` is a string where a list is due; it counts as empty",
        "`permissions` contains 2 that are no strings; they are left out",
        "a tenant's entry is a number where an object is due; it carries no rights",
    ] {
        assert!(warnings.iter().any(|warning| warning == expected), "{expected}: {warnings:?}");
    }
    assert_eq!(warnings.len(), 5);
}

#[test]
fn a_fresh_login_is_proven_by_nonce_and_time() {
    let login = |auth_time: Value, nonce: Value| {
        let payload = json!({"iss": "I", "sub": "U1", "aud": "C", "iat": 1000, "exp": 1600, "nonce": nonce, "auth_time": auth_time});
        let expect = IdTokenExpectation::new("I", "C");
        judge_id_token(&Claims::parse(payload.to_string().as_bytes()).unwrap(), &expect, at(1000)).unwrap()
    };
    let asked = at(990).checked_add(SignedDuration::from_millis(700)).unwrap();
    assert!(login(json!(990), json!("n")).proves_fresh_login("n", asked));
    assert!(login(json!(1000), json!("n")).proves_fresh_login("n", asked));
    assert!(!login(json!(989), json!("n")).proves_fresh_login("n", asked));
    assert!(!login(json!(1000), json!("m")).proves_fresh_login("n", asked));
    assert!(!login(json!(1000), json!("")).proves_fresh_login("", asked));
}

#[test]
fn access_token_hashes_follow_the_algorithm() {
    // OpenID Connect Core appendix A.3: the example's access token and its at_hash under RS256.
    assert_eq!(
        access_token_hash("RS256", "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y").as_deref(),
        Some("77QmUPtjPfzWtF2AnpK9RQ")
    );
    assert_eq!(access_token_hash("ES384", "x").map(|hash| hash.len()), Some(32));
    assert_eq!(access_token_hash("EdDSA", "x").map(|hash| hash.len()), Some(43));
    for alg in ["none", "HS256", "", "rs256"] {
        assert_eq!(access_token_hash(alg, "x"), None);
    }
}

fn claim() -> impl Strategy<Value = (String, Value)> {
    let names = [
        "iss",
        "sub",
        "dsub",
        "drn",
        "aud",
        "iat",
        "nbf",
        "rexp",
        "roles",
        "permissions",
        "tenants",
        "dct",
        "amr",
        "su",
    ];
    let values = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0u32..4000).prop_map(Value::from),
        (0.0..4000.0f64).prop_map(Value::from),
        "[a-zA-Z0-9/:.]{0,12}".prop_map(Value::from),
        Just(json!("P1")),
        Just(json!("DS")),
        Just(json!(["P1", "x"])),
        Just(json!({"T1": {"roles": ["a"]}})),
    ];
    (proptest::sample::select(names.map(str::to_owned).to_vec()), values)
}

proptest! {
    #[test]
    fn nothing_is_accepted_without_exp(extra in proptest::collection::hash_map("[a-z]{2,4}", any::<i64>(), 0..4), claims in proptest::collection::vec(claim(), 0..10), now in 0i64..4000) {
        let mut payload = serde_json::Map::new();
        payload.extend([("iss", "P1"), ("sub", "U1"), ("drn", "DS")].map(|(name, value)| (name.to_owned(), json!(value))));
        payload.extend(extra.into_iter().map(|(name, value)| (name, json!(value))));
        payload.extend(claims);
        payload.remove("exp");
        let claims = Claims::parse(Value::Object(payload).to_string().as_bytes()).unwrap();
        prop_assert!(judge_session(&claims, &expectation(), at(now)).is_err());
        let expect = IdTokenExpectation::new("P1", "P1");
        prop_assert!(judge_id_token(&claims, &expect, at(now)).is_err());
    }

    #[test]
    fn what_has_expired_stays_expired(claims in proptest::collection::vec(claim(), 0..4), first in 0i64..3000, later in 0i64..3000) {
        let extra: Value = Value::Object(claims.into_iter().collect());
        let early = judged(&extra, at(first));
        let late = judged(&extra, at(first + later));
        if matches!(early, Err(TokenRefusal::Expired { .. })) {
            let still_expired = matches!(late, Err(TokenRefusal::Expired { .. }));
            prop_assert!(still_expired);
        }
        if first + later >= 1605 {
            prop_assert!(late.is_err());
        }
        if let (Ok(early), Ok(late)) = (early, late) {
            prop_assert_eq!(early, late);
        }
    }

    #[test]
    fn a_foreign_tenant_never_gives_rights(claims in proptest::collection::vec(claim(), 0..6), tenant in "[A-Z][0-9]") {
        if let Ok(session) = judged(&Value::Object(claims.into_iter().collect()), at(1000))
            && session.tenant_rights(&tenant).is_none()
        {
            let rights = session.effective(Some(&tenant));
            prop_assert!(rights.roles.is_empty() && rights.permissions.is_empty() && rights.current_tenant.is_none());
        }
    }
}
