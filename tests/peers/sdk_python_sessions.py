"""Validating, refreshing, roles and tenants, trouble on the way."""

import httpx
import jwt as pyjwt
from descope import AuthException, DescopeClient, RateLimitException
from sdk_harness import (
    BASE,
    PROJECT,
    AUTHENTICATION,
    ALICE,
    CAROL,
    ERIN,
    case,
    emulator,
    settings,
    fault,
    sign_in,
    mint,
    count,
    key_fetches,
    client,
    refused,
    same,
)

# --- validating a session ------------------------------------------------------------------------------------------

@case
def a_good_session_says_who_and_what():
    session = client().validate_session(sign_in()["session"])
    same(session["userId"], emulator("GET", f"users/{ALICE}")["id"])
    same(session["projectId"], PROJECT)
    same((session["roles"], session["drn"]), (["payment_processor"], "DS"))
    same(session["permissions"], ["payments.execute", "payments.read"])
    same(session["sessionToken"]["jwt"], session["jwt"])


@case
def an_expired_session_is_refused():
    refused(AuthException, lambda: client().validate_session(mint(expires_in=-10)), status=401,
            error_type="invalid token", says="expired")


@case
def five_seconds_of_leeway():
    client().validate_session(mint(expires_in=-2))
    strict = client(jwt_validation_leeway=0)
    refused(AuthException, lambda: strict.validate_session(mint(expires_in=-2)), status=401)


@case
def a_session_of_the_future_is_refused():
    refused(AuthException, lambda: client().validate_session(mint(not_before_in=60)), status=400, says="nbf")


@case
def a_foreign_key_under_our_kid_is_refused():
    refused(pyjwt.InvalidSignatureError, lambda: client().validate_session(mint(signing="foreign_key")))


@case
def an_unknown_kid_is_refused_after_one_fetch_each_time():
    descope, token = client(), mint(signing="unknown_kid")
    for fetches in (1, 2, 3):
        refused(AuthException, lambda: descope.validate_session(token), status=500, says="key not found")
        same(key_fetches(), fetches)


@case
def no_algorithm_is_refused():
    refused(AuthException, lambda: client().validate_session(mint(signing="unsigned")), status=500, says="alg")


@case
def a_spelling_of_no_algorithm_is_refused():
    token = mint(signing="unsigned", header={"alg": "nOnE"})
    refused(AuthException, lambda: client().validate_session(token), status=500, says="Algorithm")


@case
def the_public_key_as_secret_is_refused():
    for signing in ("hs256_public_pem", "hs256_public_jwk"):
        refused(AuthException, lambda: client().validate_session(mint(signing=signing)), status=500, says="Algorithm")


@case
def another_algorithm_of_the_same_key_is_refused():
    for signing in ("rs384", "ps256"):
        refused(AuthException, lambda: client().validate_session(mint(signing=signing)), status=500, says="Algorithm")


@case
def a_changed_payload_is_refused():
    refused(pyjwt.InvalidSignatureError, lambda: client().validate_session(mint(signing="tampered")))


@case
def a_missing_or_empty_signature_is_refused():
    for signing in ("stripped", "zero_signature"):
        refused(pyjwt.InvalidSignatureError, lambda: client().validate_session(mint(signing=signing)))


@case
def a_header_without_kid_is_refused():
    token = mint(header={"kid": None})
    refused(AuthException, lambda: client().validate_session(token), status=500, says="kid")


@case
def what_is_no_token_is_refused():
    refused(AuthException, lambda: client().validate_session("a.b.c"), status=500, error_type="invalid token")
    refused(AuthException, lambda: client().validate_session(""), status=400, error_type="invalid token")


@case
def the_sdk_does_not_look_at_the_issuer():
    session = client().validate_session(mint(claims={"iss": "P2Another00Project00000000Id"}))
    same(session["projectId"], "P2Another00Project00000000Id")


@case
def the_sdk_takes_a_refresh_token_for_a_session():
    same(client().validate_session(sign_in()["refresh"])["drn"], "DSR")


@case
def the_sdk_accepts_a_session_without_end():
    assert "exp" not in client().validate_session(mint(claims={"exp": None}))


@case
def every_form_of_issuer_yields_a_project():
    for form, last in (("bare", PROJECT), ("url", PROJECT), ("inbound", PROJECT), ("app", "SA2emulated")):
        settings(tokens={"issuer": form})
        same(client().validate_session(sign_in()["session"])["projectId"], last)


@case
def an_overridden_subject_leaves_the_user_id():
    settings(tokens={"override_subject": True})
    session = client().validate_session(sign_in()["session"])
    same((session["sub"], session["userId"]), (ALICE, emulator("GET", f"users/{ALICE}")["id"]))


@case
def an_audience_of_ours_is_accepted_and_another_is_not():
    for form in ("absent", "string", "list"):
        settings(tokens={"audience": form})
        client().validate_session(sign_in()["session"])
    stranger = mint(claims={"aud": "somebody-else"})
    refused(pyjwt.InvalidAudienceError, lambda: client().validate_session(stranger))
    client().validate_session(stranger, audience="somebody-else")
    refused(pyjwt.InvalidAudienceError, lambda: client().validate_session(sign_in()["session"], audience="other"))


@case
def keys_are_fetched_once():
    descope = client()
    for _ in range(5):
        descope.validate_session(sign_in()["session"])
    same(key_fetches(), 1)


@case
def a_rotation_of_keys_is_followed():
    descope, old = client(), sign_in()["session"]
    descope.validate_session(old)
    emulator("POST", "keys/rotate", {})
    descope.validate_session(sign_in()["session"])
    descope.validate_session(old)
    same(key_fetches(), 2)


@case
def revoked_keys_are_accepted_until_the_cache_ends():
    descope, old = client(), sign_in()["session"]
    descope.validate_session(old)
    emulator("POST", "keys/rotate", {"revoke": True})
    descope.validate_session(old)
    refused(AuthException, lambda: client().validate_session(old), says="key not found")


@case
def a_project_may_sign_with_another_algorithm():
    settings(tokens={"algorithm": "ES384"})
    emulator("POST", "keys/rotate", {})
    client().validate_session(sign_in()["session"])
    settings(tokens={"algorithm": "RS256"})
    emulator("POST", "keys/rotate", {})


@case
def a_key_may_be_given_beforehand():
    key = httpx.get(f"{BASE}/v2/keys/{PROJECT}", trust_env=False).json()["keys"][0]
    emulator("DELETE", "requests")
    client(public_key=key).validate_session(sign_in()["session"])
    same(key_fetches(), 0)


@case
def the_old_form_of_the_keys_is_a_bare_list():
    old = httpx.get(f"{BASE}/v1/keys/{PROJECT}", trust_env=False).json()
    same(old, httpx.get(f"{BASE}/v2/keys/{PROJECT}", trust_env=False).json()["keys"])


@case
def unreachable_keys_are_no_acceptance():
    fault("/v2/keys/*", kind="status", status=500)
    refused(AuthException, lambda: client().validate_session(sign_in()["session"]), status=500)
    fault("/v2/keys/*", kind="status", status=200, body="html")
    refused(AuthException, lambda: client().validate_session(sign_in()["session"]), says="jwks")


@case
def another_project_has_no_keys_here():
    other = DescopeClient("P2Another00Project00000000Id", base_url=BASE)
    refused(AuthException, lambda: other.validate_session(sign_in()["session"]), status=404, says="E011008")


# --- roles, permissions, tenants -----------------------------------------------------------------------------------

def table(claims, tenant, wanted):
    """Roles and permissions stand at the same places, so each row is asked for both."""
    descope = client()
    both = {**claims}
    same(descope.validate_tenant_roles(both, tenant, wanted), descope.validate_tenant_permissions(both, tenant, wanted))
    return descope.validate_tenant_roles(both, tenant, wanted)


def rights(*names):
    return {"roles": list(names), "permissions": list(names)}


@case
def a_tenant_that_is_none_of_the_users():
    same(table({**rights("x"), "tenants": {"T1": rights("x")}, "dct": "T1"}, "T2", ["x"]), False)
    same(table({**rights("x"), "tenants": {"T1": rights("x")}, "dct": "T1"}, "T2", []), False)


@case
def a_tenant_of_the_user():
    same(table({"tenants": {"T1": rights("x", "y")}}, "T1", ["x", "y"]), True)
    same(table({**rights("z"), "tenants": {"T1": rights("x")}}, "T1", ["z"]), False)
    same(table({"tenants": {"T1": {}}}, "T1", []), True)
    same(table({**rights("x"), "tenants": {"T1": {}}, "dct": "T1"}, "T1", ["x"]), False)


@case
def a_current_tenant_without_tenants_is_refused_here_unlike_elsewhere():
    same(table({**rights("x"), "dct": "T1"}, "T1", ["x"]), False)
    same(table({**rights("x"), "dct": "T1"}, "T1", []), False)


@case
def a_current_tenant_that_tenants_lack_is_refused_here():
    same(table({**rights("x"), "tenants": {"T2": rights("x")}, "dct": "T1"}, "T1", []), False)


@case
def an_empty_tenant_is_the_top_level():
    same(table({**rights("x"), "tenants": {"T1": rights("y")}, "dct": "T1"}, "", ["x"]), True)
    same(table({**rights("x"), "tenants": {"T1": rights("y")}, "dct": "T1"}, "", ["y"]), False)


@case
def the_top_level_ignores_tenants():
    claims = {**rights("x"), "tenants": {"T1": rights("y")}, "dct": "T1"}
    same((client().validate_roles(claims, ["x"]), client().validate_roles(claims, ["y"])), (True, False))
    same((client().validate_permissions(claims, []), client().validate_permissions({}, ["x"])), (True, False))


@case
def a_string_claim_is_searched_for_substrings_here():
    same(client().validate_roles({"roles": "Administrator"}, ["Admin"]), True)
    same(client().validate_roles({"roles": ["Admin"]}, "Admin"), True)


@case
def matches_come_in_the_order_of_the_question():
    claims = {**rights("a", "b", "c"), "tenants": {"T1": rights("b")}}
    same(client().get_matched_roles(claims, ["c", "x", "a"]), ["c", "a"])
    same(client().get_matched_tenant_permissions(claims, "T1", ["a", "b"]), ["b"])
    same(client().get_matched_tenant_roles(claims, "T2", ["b"]), [])


@case
def the_helpers_on_tokens_of_each_authorization_schema():
    descope = client()
    for schema, top, tenant in (("default", [], True), ("tenant_only", ["payment_processor"], False), ("none", [], False)):
        settings(tokens={"authorization": schema})
        session = descope.validate_session(sign_in(CAROL)["session"])
        same(session["roles"], top)
        same(descope.validate_tenant_roles(session, "acme-fr", ["payment_processor"]), tenant)


@case
def empty_lists_may_be_null_or_absent():
    settings(tokens={"empty_claims": "delete", "exclude_permissions": True})
    session = client().validate_session(sign_in(CAROL)["session"])
    same((session["roles"], session["permissions"]), ([], []))
    settings(tokens={"empty_claims": "null"})
    same(client().validate_session(sign_in(CAROL)["session"])["roles"], None)


# --- refreshing ----------------------------------------------------------------------------------------------------

@case
def a_refresh_gives_a_session_and_keeps_the_refresh_token():
    refresh = sign_in()["refresh"]
    for unrotated in ("same", "omitted", "empty"):
        settings(refresh={"unrotated": unrotated})
        answer = client().refresh_session(refresh)
        same(answer["refreshSessionToken"]["jwt"], refresh)
        same((answer["sessionToken"]["drn"], answer["user"]["email"]), ("DS", ALICE))
        same((answer["firstSeen"], answer["cookieData"]["path"]), (False, "/"))


@case
def a_rotated_token_is_new_and_the_spent_one_kills_the_family():
    settings(refresh={"rotate": True, "on_reuse": "kill"})
    first = sign_in()["refresh"]
    second = client().refresh_session(first)["refreshSessionToken"]["jwt"]
    assert second != first
    refused(AuthException, lambda: client().refresh_session(first), status=401, says="E064001")
    refused(AuthException, lambda: client().refresh_session(second), status=401, says="E064001")


@case
def a_spent_token_may_be_refused_and_the_family_live():
    settings(refresh={"rotate": True, "on_reuse": "refuse"})
    first = sign_in()["refresh"]
    second = client().refresh_session(first)["refreshSessionToken"]["jwt"]
    refused(AuthException, lambda: client().refresh_session(first), status=401, says="E061005")
    client().refresh_session(second)


@case
def a_logged_out_session_cannot_refresh():
    tokens = sign_in()
    client().logout(tokens["refresh"])
    refused(AuthException, lambda: client().refresh_session(tokens["refresh"]), status=401, says="E064001")
    client().validate_session(tokens["session"])


@case
def logging_out_everywhere_ends_every_session():
    one, two = sign_in()["refresh"], sign_in()["refresh"]
    client().logout_all(one)
    for token in (one, two):
        refused(AuthException, lambda: client().refresh_session(token), says="E064001")


@case
def an_expired_refresh_token_is_refused_without_a_request():
    token = mint(kind="refresh", expires_in=-60)
    refused(AuthException, lambda: client().refresh_session(token), status=401, says="expired")
    same(count("/v1/auth/refresh"), 0)
    refused(AuthException, lambda: client().refresh_session(""), status=400)


@case
def a_session_token_cannot_refresh():
    refused(AuthException, lambda: client().refresh_session(sign_in()["session"]), status=401, says="E061005")


@case
def a_disabled_user_cannot_refresh():
    refresh = sign_in()["refresh"]
    emulator("PATCH", f"users/{ALICE}", {"disabled": True})
    refused(AuthException, lambda: client().refresh_session(refresh), status=401, says="disabled")


@case
def a_removed_role_is_gone_at_the_next_refresh():
    tokens = sign_in()
    emulator("PATCH", f"users/{ALICE}", {"roles": []})
    descope = client()
    same(descope.validate_roles(descope.validate_session(tokens["session"]), ["payment_processor"]), True)
    same(descope.validate_roles(descope.refresh_session(tokens["refresh"]), ["payment_processor"]), False)


@case
def custom_claims_stay_with_the_refresh_token():
    emulator("PATCH", f"users/{ALICE}", {"claims": {"team": "blue", "roles": ["forged"], "drn": "X"}})
    refresh = sign_in()["refresh"]
    emulator("PATCH", f"users/{ALICE}", {"claims": {"team": "red"}})
    answer = client().refresh_session(refresh)
    same((answer["sessionToken"]["team"], answer["roles"]), ("blue", ["payment_processor"]))
    same(answer["refreshSessionToken"]["dcl"], ["team"])


@case
def a_revoked_key_ends_the_refresh_token():
    refresh = sign_in()["refresh"]
    descope = client()
    descope.validate_session(refresh)
    emulator("POST", "keys/rotate", {"revoke": True})
    refused(AuthException, lambda: descope.refresh_session(refresh), status=401, says="revoked")


@case
def an_expired_session_is_renewed_and_a_good_one_is_not():
    tokens, descope = sign_in(), client()
    same(descope.validate_and_refresh_session(tokens["session"], tokens["refresh"])["jwt"], tokens["session"])
    same(count("/v1/auth/refresh"), 0)
    renewed = descope.validate_and_refresh_session(mint(expires_in=-60), tokens["refresh"])
    same((renewed["sessionToken"]["drn"], count("/v1/auth/refresh")), ("DS", 1))


@case
def tokens_in_cookies():
    settings(refresh={"delivery": "cookies", "rotate": True})
    first = sign_in()["refresh"]
    answer = client().refresh_session(first)
    # The SDK finds the refresh token in the cookie and does not look for the session there.
    assert "sessionToken" not in answer and answer["refreshSessionToken"]["jwt"] != first
    client().refresh_session(answer["refreshSessionToken"]["jwt"])


@case
def who_am_i():
    me = client().me(sign_in()["refresh"])
    same((me["email"], me["loginIds"], me["status"]), (ALICE, [ALICE], "enabled"))
    same((me["roleNames"], me["permissions"]), (["payment_processor"], ["payments.execute", "payments.read"]))
    refused(AuthException, lambda: client().me(sign_in()["session"]), status=401)


@case
def my_tenants_by_choice_or_by_name():
    refresh = sign_in(ERIN)["refresh"]
    ids = lambda answer: [tenant["id"] for tenant in answer["tenants"]]
    same(ids(client().my_tenants(refresh, dct=True)), [])
    same(ids(client().my_tenants(refresh, ids=["acme-fr", "elsewhere"])), ["acme-fr"])
    same(ids(client().my_tenants(sign_in(CAROL)["refresh"], dct=True)), ["acme-fr"])
    refused(AuthException, lambda: client().my_tenants(refresh), status=400)


@case
def my_history_in_both_forms():
    tokens = sign_in()
    bare = client().history(tokens["refresh"])
    same({line["userId"] for line in bare}, {emulator("GET", f"users/{ALICE}")["id"]})
    settings(rest={"history": "wrapped"})
    same(client().history(tokens["refresh"]), {"authHistory": bare})


@case
def a_tenant_is_selected():
    refresh = sign_in(ERIN)["refresh"]
    answer = client().select_tenant("acme-de", refresh)
    same((answer["sessionToken"]["dct"], answer["refreshSessionToken"]["dct"]), ("acme-de", "acme-de"))
    again = client().refresh_session(answer["refreshSessionToken"]["jwt"])
    same(again["sessionToken"]["dct"], "acme-de")
    refused(AuthException, lambda: client().select_tenant("elsewhere", refresh), status=400, says="E011004")


# --- trouble on the way --------------------------------------------------------------------------------------------

@case
def a_rate_limit_has_a_type_of_its_own():
    refresh = sign_in()["refresh"]
    fault("/v1/auth/refresh", kind="status", status=429, retry_after=7)
    error = refused(RateLimitException, lambda: client().refresh_session(refresh), status="E130429")
    same(error.rate_limit_parameters, {"Retry-After": 7})
    client().refresh_session(refresh)


@case
def a_rate_limit_that_was_really_reached():
    settings(rest={"limits": [{"path": "/v1/auth/me", "requests": 2, "seconds": 60}]})
    refresh, descope = sign_in()["refresh"], client()
    descope.me(refresh), descope.me(refresh)
    error = refused(RateLimitException, lambda: descope.me(refresh), status="E130429")
    assert 0 < error.rate_limit_parameters["Retry-After"] <= 60
    emulator("POST", "clock", {"advance_seconds": 61})
    descope.me(refresh)


@case
def a_rate_limit_as_a_page_of_the_edge():
    refresh = sign_in()["refresh"]
    fault("/v1/auth/refresh", kind="status", status=429, body="html")
    refused(RateLimitException, lambda: client().refresh_session(refresh), status=429)


@case
def a_page_of_the_edge_is_an_error():
    refresh = sign_in()["refresh"]
    fault("/v1/auth/refresh", kind="status", status=502, body="html")
    refused(AuthException, lambda: client().refresh_session(refresh), status=502, says="cloudflare")


@case
def unavailability_is_tried_again():
    refresh = sign_in()["refresh"]
    for status in (503, 522):
        fault("/v1/auth/refresh", kind="status", status=status)
        client().refresh_session(refresh)
    same(count("/v1/auth/refresh"), 4)


@case
def trying_a_rotated_refresh_again_loses_the_family():
    settings(refresh={"rotate": True, "on_reuse": "kill"})
    refresh = sign_in()["refresh"]
    fault("/v1/auth/refresh", kind="status", status=503, processed=True)
    refused(AuthException, lambda: client().refresh_session(refresh), status=401, says="E064001")


@case
def a_lost_answer_is_an_error_of_the_transport():
    refresh = sign_in()["refresh"]
    fault("/v1/auth/refresh", kind="answer_lost")
    refused(httpx.TransportError, lambda: client().refresh_session(refresh))
    client().refresh_session(refresh)


@case
def locked_endpoints_want_the_third_part():
    settings(rest={"locked": True})
    refresh = sign_in()["refresh"]
    refused(AuthException, lambda: client().refresh_session(refresh), status=401)
    refused(AuthException, lambda: client().password.sign_in(ALICE, "alice-in-acme"), status=401)
    wrong = client(auth_management_key="not-the-key")
    refused(AuthException, lambda: wrong.refresh_session(refresh), status=401)
    right = client(auth_management_key=AUTHENTICATION)
    right.refresh_session(refresh)
    right.password.sign_in(ALICE, "alice-in-acme")
