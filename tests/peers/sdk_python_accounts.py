"""Access keys, sign-ins, management."""

import time
from urllib.parse import parse_qs, urlsplit

import httpx
from descope import AccessKeyLoginOptions, AssociatedTenant, AuthException, DeliveryMethod, LoginOptions
from sdk_harness import (
    BASE,
    PROJECT,
    READ_ONLY,
    ALICE,
    case,
    emulator,
    settings,
    sign_in,
    client,
    admin,
    refused,
    same,
    fresh,
    new_user,
    new_test_user,
)

# --- access keys ---------------------------------------------------------------------------------------------------

def new_key(**arguments):
    answer = admin().mgmt.access_key.create("a key", **arguments)
    return answer["key"]["id"], answer["cleartext"]


@case
def an_access_key_is_exchanged():
    key, cleartext = new_key(role_names=["viewer"])
    session = client().exchange_access_key(cleartext)
    same((session["keyId"], session["sessionToken"]["sub"], session["roles"]), (key, key, ["viewer"]))
    assert "refreshSessionToken" not in session and "rexp" not in session["sessionToken"]


@case
def an_access_key_with_a_tenant():
    _, cleartext = new_key(key_tenants=[AssociatedTenant("acme-fr", ["viewer"]), AssociatedTenant("acme-de", [])])
    chosen = AccessKeyLoginOptions(selected_tenant="acme-de")
    same(client().exchange_access_key(cleartext, login_options=chosen)["sessionToken"]["dct"], "acme-de")
    assert client().validate_tenant_roles(client().exchange_access_key(cleartext), "acme-fr", ["viewer"])
    elsewhere = AccessKeyLoginOptions(selected_tenant="elsewhere")
    refused(AuthException, lambda: client().exchange_access_key(cleartext, login_options=elsewhere), status=400)


@case
def an_access_key_with_claims():
    _, cleartext = new_key(custom_claims={"of": "the key"})
    options = AccessKeyLoginOptions(custom_claims={"asked": 1, "roles": ["admin"], "of": "the request"})
    token = client().exchange_access_key(cleartext, login_options=options)["sessionToken"]
    same((token["asked"], token["roles"], token["of"]), (1, [], "the key"))


@case
def a_wrong_access_key_is_refused():
    refused(AuthException, lambda: client().exchange_access_key("no-such-key"), status=401, says="E062803")
    refused(AuthException, lambda: client().exchange_access_key(""), status=400)
    bare = httpx.post(f"{BASE}/v1/auth/accesskey/exchange", headers={"Authorization": f"Bearer {PROJECT}"}, json={},
                      trust_env=False)
    same((bare.status_code, bare.json()["errorCode"]), (401, "E062802"))


@case
def an_access_key_ends_in_many_ways():
    keys = admin().mgmt.access_key
    key, cleartext = new_key()
    exchange = lambda: client().exchange_access_key(cleartext)
    exchange()
    keys.deactivate(key)
    refused(AuthException, exchange, status=401, says="E062803")
    keys.activate(key)
    exchange()
    rotated = keys.rotate(key)["cleartext"]
    refused(AuthException, exchange, says="E062803")
    client().exchange_access_key(rotated)
    keys.delete(key)
    refused(AuthException, lambda: client().exchange_access_key(rotated), says="E062803")


@case
def an_access_key_expires():
    _, cleartext = new_key(expire_time=int(time.time()) + 3600)
    client().exchange_access_key(cleartext)
    emulator("POST", "clock", {"skew_seconds": 3601})
    refused(AuthException, lambda: client().exchange_access_key(cleartext), status=401, says="E062803")


@case
def an_access_key_of_a_disabled_user_is_refused():
    login = new_user("owner")
    _, cleartext = new_key(user_id=admin().mgmt.user.load(login)["user"]["userId"])
    client().exchange_access_key(cleartext)
    admin().mgmt.user.deactivate(login)
    refused(AuthException, lambda: client().exchange_access_key(cleartext), status=401)


# --- signing in ----------------------------------------------------------------------------------------------------

@case
def signing_up_and_in_with_a_password():
    login, descope = fresh("pat"), client()
    first = descope.password.sign_up(login, "a-long-password", {"name": "Pat Example"})
    same((first["firstSeen"], first["user"]["name"], first["sessionToken"]["amr"]), (True, "Pat Example", ["pwd"]))
    second = descope.password.sign_in(login, "a-long-password")
    same((second["firstSeen"], second["userId"]), (False, first["userId"]))
    descope.validate_session(second["sessionToken"]["jwt"])


@case
def a_wrong_password_and_a_taken_name_are_refused():
    refused(AuthException, lambda: client().password.sign_in(ALICE, "not-hers"), status=401)
    refused(AuthException, lambda: client().password.sign_in(fresh("nobody"), "x"), status=400, says="E062108")
    refused(AuthException, lambda: client().password.sign_up(ALICE, "a-long-password"), status=400, says="E062107")
    refused(AuthException, lambda: client().password.sign_up(fresh("short"), "short"), status=400, says="E011003")


@case
def a_password_is_replaced_and_updated():
    login, descope = fresh("pat"), client()
    descope.password.sign_up(login, "the-first-one")
    refresh = descope.password.replace(login, "the-first-one", "the-second-one")["refreshSessionToken"]["jwt"]
    refused(AuthException, lambda: descope.password.sign_in(login, "the-first-one"), status=401)
    descope.password.update(login, "the-third-one", refresh)
    descope.password.sign_in(login, "the-third-one")
    refused(AuthException, lambda: descope.password.update(ALICE, "stolen-account", refresh), status=400)
    same(descope.password.get_policy()["minLength"], 8)


@case
def a_disabled_user_cannot_sign_in():
    login = fresh("pat")
    client().password.sign_up(login, "a-long-password")
    admin().mgmt.user.deactivate(login)
    refused(AuthException, lambda: client().password.sign_in(login, "a-long-password"), status=401, says="disabled")
    admin().mgmt.user.activate(login)
    client().password.sign_in(login, "a-long-password")


@case
def a_code_of_a_test_user_works_once():
    login, descope = new_test_user("otto"), client()
    code = admin().mgmt.user.generate_otp_for_test_user(DeliveryMethod.EMAIL, login)["code"]
    session = descope.otp.verify_code(DeliveryMethod.EMAIL, login, code)
    same((session["sessionToken"]["amr"], session["user"]["test"]), (["email"], True))
    refused(AuthException, lambda: descope.otp.verify_code(DeliveryMethod.EMAIL, login, code), status=401, says="E061102")


@case
def wrong_codes_wear_a_code_out():
    login, descope = new_test_user("otto"), client()
    code = admin().mgmt.user.generate_otp_for_test_user(DeliveryMethod.EMAIL, login)["code"]
    wrong = "000000" if code != "000000" else "111111"
    for _ in range(5):
        refused(AuthException, lambda: descope.otp.verify_code(DeliveryMethod.EMAIL, login, wrong), says="E061102")
    refused(AuthException, lambda: descope.otp.verify_code(DeliveryMethod.EMAIL, login, code), says="E061103")


@case
def codes_are_sent_to_masked_addresses():
    same(client().otp.sign_in(DeliveryMethod.EMAIL, ALICE), "a****@acme.test")
    refused(AuthException, lambda: client().otp.sign_in(DeliveryMethod.EMAIL, fresh("nobody")), says="E062108")
    new = f"new.{time.monotonic_ns()}@acme.example"
    same(client().otp.sign_up(DeliveryMethod.EMAIL, new, {"email": new}), "n****@acme.example")
    refused(AuthException, lambda: client().otp.sign_up(DeliveryMethod.EMAIL, new, {"email": new}), says="E062107")
    same(client().otp.sign_up_or_in(DeliveryMethod.EMAIL, new), "n****@acme.example")
    same(client().magiclink.sign_in(DeliveryMethod.EMAIL, ALICE, "http://localhost/verify"), "a****@acme.test")


@case
def a_magic_link_works_once_and_for_a_while():
    login, descope = new_test_user("maggie"), client()
    def token():
        answer = admin().mgmt.user.generate_magic_link_for_test_user(DeliveryMethod.EMAIL, login, "http://localhost/v?a=b")
        return parse_qs(urlsplit(answer["link"]).query)["t"][0]
    good = token()
    same(descope.magiclink.verify(good)["user"]["email"], login)
    refused(AuthException, lambda: descope.magiclink.verify(good), status=401, says="E061005")
    late = token()
    emulator("POST", "clock", {"skew_seconds": 181})
    refused(AuthException, lambda: descope.magiclink.verify(late), status=401)


@case
def codes_are_made_for_test_users_only():
    users = admin().mgmt.user
    refused(AuthException, lambda: users.generate_otp_for_test_user(DeliveryMethod.EMAIL, ALICE), status=400)
    refused(AuthException, lambda: users.generate_otp_for_test_user(DeliveryMethod.EMAIL, "nobody"), says="E112102")


@case
def an_embedded_link_carries_claims():
    token = admin().mgmt.user.generate_embedded_link(ALICE, {"from": "a script", "roles": ["admin"]})
    session = client().magiclink.verify(token)
    same((session["sessionToken"]["from"], session["roles"]), ("a script", ["payment_processor"]))
    again = client().refresh_session(session["refreshSessionToken"]["jwt"])
    same(again["sessionToken"]["from"], "a script")


@case
def a_step_up_marks_the_session_for_a_while():
    login, descope = new_test_user("su"), client()
    code = lambda: admin().mgmt.user.generate_otp_for_test_user(
        DeliveryMethod.EMAIL, login, LoginOptions(stepup=True))["code"]
    # In the past, since the SDK refuses tokens of the future.
    settings(lifetimes={"step_up": 60})
    emulator("POST", "clock", {"skew_seconds": -120})
    session = descope.otp.verify_code(DeliveryMethod.EMAIL, login, code())
    same(session["sessionToken"]["su"], True)
    emulator("POST", "clock", {"skew_seconds": 0})
    assert "su" not in descope.refresh_session(session["refreshSessionToken"]["jwt"])["sessionToken"]
    refused(AuthException, lambda: descope.otp.sign_in(DeliveryMethod.EMAIL, login, LoginOptions(stepup=True)), status=400)


@case
def a_sign_in_may_end_the_others():
    login, descope = new_test_user("only"), client()
    def enter(**options):
        code = admin().mgmt.user.generate_otp_for_test_user(DeliveryMethod.EMAIL, login, LoginOptions(**options))["code"]
        return descope.otp.verify_code(DeliveryMethod.EMAIL, login, code)["refreshSessionToken"]["jwt"]
    first = enter()
    second = enter(revoke_other_sessions=True)
    refused(AuthException, lambda: descope.refresh_session(first), says="E064001")
    descope.refresh_session(second)


# --- management ----------------------------------------------------------------------------------------------------

@case
def management_wants_its_key():
    refused(AuthException, lambda: client().mgmt.user.load(ALICE), says="Management key is required")
    bare = httpx.get(f"{BASE}/v1/mgmt/user", params={"loginId": ALICE}, headers={"Authorization": f"Bearer {PROJECT}"},
                     trust_env=False)
    same(bare.status_code, 401)
    refused(AuthException, lambda: client(management_key="wrong").mgmt.user.load(ALICE), status=401)
    reader = client(management_key=READ_ONLY)
    same(reader.mgmt.user.load(ALICE)["user"]["email"], ALICE)
    refused(AuthException, lambda: reader.mgmt.user.deactivate(ALICE), status=403)


@case
def a_user_is_made_found_and_removed():
    users, login = admin().mgmt.user, fresh("una")
    made = users.create(login, email=login, display_name="Una", role_names=["viewer"],
                        user_tenants=[AssociatedTenant("acme-fr", ["viewer"])])["user"]
    same((made["status"], made["roleNames"], made["userTenants"][0]["tenantId"]), ("invited", ["viewer"], "acme-fr"))
    same(users.load_by_user_id(made["userId"])["user"]["name"], "Una")
    same([user["userId"] for user in users.search_all(login_ids=[login])["users"]], [made["userId"]])
    refused(AuthException, lambda: users.create(login, email=login), status=400)
    users.delete(login)
    refused(AuthException, lambda: users.load(login), status=400, says="E112102")


@case
def unknown_rights_are_refused():
    users = admin().mgmt.user
    refused(AuthException, lambda: users.set_roles(ALICE, ["emperor"]), status=400, says="E011004")
    refused(AuthException, lambda: users.add_tenant(ALICE, "elsewhere"), status=400, says="E011004")
    refused(AuthException, lambda: users.set_tenant_roles(ALICE, "acme-fr", ["viewer"]), status=400)


@case
def an_invited_user_is_enabled_by_the_first_sign_in():
    login = new_user("ivy")
    session = client().magiclink.verify(admin().mgmt.user.generate_embedded_link(login))
    same((session["firstSeen"], session["user"]["status"]), (True, "enabled"))


@case
def rights_that_an_administrator_changes_are_seen_at_the_next_refresh():
    login, users = new_user("rita"), admin().mgmt.user
    refresh = client().magiclink.verify(users.generate_embedded_link(login))["refreshSessionToken"]["jwt"]
    now = lambda: client().refresh_session(refresh)
    same(now()["roles"], [])
    users.set_roles(login, ["viewer"])
    users.add_roles(login, ["admin"])
    users.remove_roles(login, ["viewer"])
    same(now()["roles"], ["admin"])
    users.add_tenant(login, "acme-de")
    users.set_tenant_roles(login, "acme-de", ["viewer"])
    same((now()["tenants"]["acme-de"]["roles"], now()["sessionToken"]["dct"]), (["viewer"], "acme-de"))
    users.remove_tenant(login, "acme-de")
    same(now()["tenants"], {})


@case
def an_administrator_ends_sessions_and_users():
    login, users = new_user("lou"), admin().mgmt.user
    enter = lambda: client().magiclink.verify(users.generate_embedded_link(login))["refreshSessionToken"]["jwt"]
    refresh = enter()
    users.logout_user(login)
    refused(AuthException, lambda: client().refresh_session(refresh), status=401, says="E064001")
    refresh = enter()
    users.deactivate(login)
    refused(AuthException, lambda: client().refresh_session(refresh), status=401)
    users.activate(login)
    client().refresh_session(refresh)
    users.delete(login)
    refused(AuthException, lambda: client().refresh_session(refresh), status=401)


@case
def roles_permissions_and_tenants_are_made():
    mgmt, mark = admin().mgmt, f"{time.monotonic_ns()}"
    mgmt.permission.create(f"p.{mark}", "a permission")
    mgmt.role.create(f"r.{mark}", "a role", [f"p.{mark}"])
    assert f"p.{mark}" in {entry["name"] for entry in mgmt.permission.load_all()["permissions"]}
    found = mgmt.role.search(role_names=[f"r.{mark}"])["roles"]
    same((len(found), found[0]["permissionNames"], found[0]["description"]), (1, [f"p.{mark}"], "a role"))
    tenant = mgmt.tenant.create(f"Tenant {mark}")["id"]
    same(mgmt.tenant.load(tenant)["name"], f"Tenant {mark}")
    login = new_user("rob", role_names=[f"r.{mark}"])
    session = client().magiclink.verify(mgmt.user.generate_embedded_link(login))
    same(session["permissions"], [f"p.{mark}"])
    mgmt.role.delete(f"r.{mark}")
    same(client().refresh_session(session["refreshSessionToken"]["jwt"])["permissions"], [])
    refused(AuthException, lambda: mgmt.role.create("x", "", ["no.such.permission"]), status=400)


@case
def a_token_is_updated_with_claims():
    tokens = sign_in()
    updated = admin().mgmt.jwt.update_jwt(tokens["session"], {"plan": "gold", "sub": "someone"})
    session = client().validate_session(updated)
    same((session["plan"], session["userId"]), ("gold", emulator("GET", f"users/{ALICE}")["id"]))
    same(client().refresh_session(tokens["refresh"])["sessionToken"]["plan"], "gold")
    refused(AuthException, lambda: admin().mgmt.jwt.update_jwt("a.b.c", {}), status=401)


@case
def the_audit_trail_names_what_happened():
    login = fresh("audrey")
    client().password.sign_up(login, "a-long-password")
    refused(AuthException, lambda: client().password.sign_in(login, "wrong-password"))
    audits = admin().mgmt.audit.search(login_ids=[login])["audits"]
    same([entry["action"] for entry in audits], ["LoginFailed", "LoginSucceed", "UserCreated"])
    same(len(admin().mgmt.audit.search(login_ids=[login], actions=["LoginFailed"])["audits"]), 1)
    assert audits[0]["loginIds"] == [login] and audits[0]["occurred"].year >= 2023
