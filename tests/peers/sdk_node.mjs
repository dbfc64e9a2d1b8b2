// The official Node SDK against the emulator: what it accepts, what it refuses, and how it says so.
//
//     node sdk_node.mjs BASE_URL PROJECT_ID
//
// One JSON line a case on standard output: {"case": name, "ok": bool, "error": text}. Where the SDK is laxer than this
// project, the case pins that, so that nobody takes the SDK's acceptance for a proof.

import assert from 'node:assert/strict';
import descopeSdk from '@descope/node-sdk';

const [BASE, PROJECT] = process.argv.slice(2);
const KEYS = {
  management: 'acme-management-key',
  readOnly: 'acme-read-only-management-key',
  authentication: 'acme-authentication-key',
};
const [ALICE, CAROL, ERIN] = ['alice@acme.test', 'carol@acme.test', 'erin@acme.test'];
const STRANGER = 'P2Another00Project00000000Id';

// --- the emulator's control API -----------------------------------------------------------------------------------

const emulator = async (method, path, body) => {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${BASE}/emulator/${path}`, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${text}`);
  return JSON.parse(text);
};
const settings = (parts) => emulator('PATCH', 'settings', parts);
const fault = (path, action, times = 1) => emulator('POST', 'faults', { path, times, action });
const signIn = (login = ALICE) => emulator('POST', `users/${login}/sign-in`);
const mint = async (change = {}, login = ALICE) =>
  (await emulator('POST', `users/${login}/mint`, { kind: 'session', ...change })).token;
const count = async (path) => (await emulator('GET', 'requests')).counts[path]?.total ?? 0;
const keyFetches = () => count(`/v2/keys/${PROJECT}`);
const userId = async (login) => (await emulator('GET', `users/${login}`)).id;
const AS_STARTED = await emulator('GET', 'settings');

const reset = async () => {
  for (const path of ['faults', 'overrides', 'requests']) await emulator('DELETE', path);
  await emulator('POST', 'clock', { skew_seconds: 0 });
  await emulator('PATCH', 'settings', AS_STARTED);
  await emulator('PATCH', `users/${ALICE}`, { roles: ['payment_processor'], disabled: false, claims: {} });
};

// --- what cases are made of ---------------------------------------------------------------------------------------

const client = (more = {}) => descopeSdk({ projectId: PROJECT, baseUrl: BASE, ...more });
const admin = () => client({ managementKey: KEYS.management }).management;
const refused = (promise, says) => assert.rejects(promise, says);
/** An answer of the service that refuses, told by status and code. */
const answered = async (promise, status, code) => {
  const answer = await promise;
  assert.deepEqual([answer.ok, answer.code, answer.error?.errorCode], [false, status, code]);
  return answer;
};
/** The content of an answer that must be good. */
const good = async (promise) => {
  const answer = await promise;
  assert.ok(answer.ok, JSON.stringify(answer.error));
  return answer.data;
};
let serial = 0;
const fresh = (name) => `${name}.${process.pid}.${Date.now()}.${(serial += 1)}@acme.test`;
const newUser = async (name, more = {}) => {
  const login = fresh(name);
  await good(admin().user.create(login, { email: login, ...more }));
  return login;
};
const testUser = async (name) => {
  const login = fresh(name);
  await good(admin().user.createTestUser(login, { email: login }));
  return login;
};
const enter = async (login) => {
  const { token } = await good(admin().user.generateEmbeddedLink(login));
  return good(client().magicLink.verify(token));
};
const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());
/** A token that nobody signed, for helpers that do not look at the signature. */
const unsigned = (payload) => `e30.${Buffer.from(JSON.stringify(payload)).toString('base64url')}.`;

const cases = {
  // --- validating a session ---------------------------------------------------------------------------------------

  async a_good_session_says_who_and_what() {
    const { session } = await signIn();
    const { jwt, token } = await client().validateSession(session);
    assert.deepEqual([jwt, token.sub, token.iss, token.drn], [session, await userId(ALICE), PROJECT, 'DS']);
    assert.deepEqual(token.permissions, ['payments.execute', 'payments.read']);
  },
  async an_expired_session_is_refused() {
    await refused(client().validateSession(await mint({ expires_in: -10 })), /"exp" claim timestamp check failed/);
  },
  async five_seconds_of_leeway() {
    await client().validateSession(await mint({ expires_in: -2 }));
    await client().validateSession(await mint({ not_before_in: 2 }));
  },
  async a_session_of_the_future_is_refused() {
    await refused(client().validateSession(await mint({ not_before_in: 60 })), /"nbf" claim timestamp check failed/);
  },
  async a_foreign_key_under_our_kid_is_refused() {
    await refused(client().validateSession(await mint({ signing: 'foreign_key' })), /signature verification failed/);
  },
  async an_unknown_kid_is_refused_after_one_fetch_each_time() {
    const [sdk, token] = [client(), await mint({ signing: 'unknown_kid' })];
    for (const fetches of [1, 2, 3]) {
      await refused(sdk.validateSession(token), /failed to fetch matching key/);
      assert.equal(await keyFetches(), fetches);
    }
  },
  async no_algorithm_is_refused() {
    await refused(client().validateSession(await mint({ signing: 'unsigned' })), /session validation failed/);
    const spelt = await mint({ signing: 'unsigned', header: { alg: 'nOnE' } });
    await refused(client().validateSession(spelt), /session validation failed/);
  },
  async the_public_key_as_secret_is_refused() {
    for (const signing of ['hs256_public_pem', 'hs256_public_jwk'])
      await refused(client().validateSession(await mint({ signing })), /session validation failed/);
  },
  async the_sdk_takes_any_algorithm_that_the_key_can_do() {
    for (const signing of ['rs384', 'ps256']) await client().validateSession(await mint({ signing }));
  },
  async a_changed_payload_is_refused() {
    await refused(client().validateSession(await mint({ signing: 'tampered' })), /signature verification failed/);
  },
  async a_missing_or_empty_signature_is_refused() {
    for (const signing of ['stripped', 'zero_signature'])
      await refused(client().validateSession(await mint({ signing })), /signature verification failed/);
  },
  async a_header_without_kid_is_refused() {
    await refused(client().validateSession(await mint({ header: { kid: null } })), /kid must not be empty/);
  },
  async what_is_no_token_is_refused() {
    await refused(client().validateSession('a.b.c'), /session validation failed/);
    await refused(client().validateSession(''), /session token is required/);
  },
  async an_issuer_of_another_project_is_refused() {
    for (const iss of [STRANGER, `${BASE}/${STRANGER}`, null, 7])
      await refused(client().validateSession(await mint({ claims: { iss } })), /unexpected "iss" claim value/);
  },
  async every_form_of_issuer_is_accepted_and_becomes_the_project() {
    for (const issuer of ['bare', 'url', 'app', 'inbound', 'agentic', 'tenant']) {
      await settings({ tokens: { issuer } });
      const { token } = await client().validateSession((await signIn()).session);
      assert.equal(token.iss, PROJECT);
    }
  },
  async the_sdk_does_not_look_at_the_host_of_the_issuer() {
    await client().validateSession(await mint({ claims: { iss: `https://elsewhere.test/${PROJECT}` } }));
  },
  async the_sdk_takes_a_refresh_token_for_a_session() {
    assert.equal((await client().validateSession((await signIn()).refresh)).token.drn, 'DSR');
  },
  async the_sdk_accepts_a_session_without_end() {
    assert.equal((await client().validateSession(await mint({ claims: { exp: null } }))).token.exp, undefined);
  },
  async an_audience_counts_only_when_asked_for() {
    const stranger = await mint({ claims: { aud: 'somebody-else' } });
    await client().validateSession(stranger);
    await client().validateSession(stranger, { audience: 'somebody-else' });
    await refused(client().validateSession(stranger, { audience: PROJECT }), /"aud" claim value/);
    await settings({ tokens: { audience: 'list' } });
    await client().validateSession((await signIn()).session, { audience: PROJECT });
  },
  async keys_are_fetched_once() {
    const sdk = client();
    for (let turn = 0; turn < 5; turn += 1) await sdk.validateSession((await signIn()).session);
    assert.equal(await keyFetches(), 1);
  },
  async a_rotation_of_keys_is_followed() {
    const [sdk, old] = [client(), (await signIn()).session];
    await sdk.validateSession(old);
    await emulator('POST', 'keys/rotate', {});
    await sdk.validateSession((await signIn()).session);
    await sdk.validateSession(old);
    assert.equal(await keyFetches(), 2);
  },
  async revoked_keys_are_never_forgotten() {
    const [sdk, old] = [client(), (await signIn()).session];
    await sdk.validateSession(old);
    await emulator('POST', 'keys/rotate', { revoke: true });
    await sdk.validateSession((await signIn()).session);
    await sdk.validateSession(old);
    await refused(client().validateSession(old), /failed to fetch matching key/);
  },
  async a_key_may_be_given_beforehand() {
    const [key] = (await (await fetch(`${BASE}/v2/keys/${PROJECT}`)).json()).keys;
    await emulator('DELETE', 'requests');
    await client({ publicKey: JSON.stringify(key) }).validateSession((await signIn()).session);
    assert.equal(await keyFetches(), 0);
  },
  async unreachable_keys_are_no_acceptance() {
    await fault('/v2/keys/*', { kind: 'status', status: 500 });
    await refused(client().validateSession((await signIn()).session), /failed to fetch matching key/);
    await fault('/v2/keys/*', { kind: 'status', status: 200, body: 'html' });
    await refused(client().validateSession((await signIn()).session), /session validation failed/);
  },
  async another_project_has_no_keys_here() {
    const other = descopeSdk({ projectId: STRANGER, baseUrl: BASE });
    await refused(other.validateSession((await signIn()).session), /failed to fetch matching key/);
  },

  // --- roles, permissions, tenants --------------------------------------------------------------------------------

  async the_tenant_table_of_the_node_sdk() {
    const sdk = client();
    const rights = (...names) => ({ roles: names, permissions: names });
    const rows = [
      ['not a tenant of the user', { ...rights('x'), tenants: { T1: rights('x') }, dct: 'T1' }, 'T2', ['x'], false],
      ['not a tenant, nothing asked', { tenants: { T1: rights('x') } }, 'T2', [], false],
      ['a tenant of the user', { tenants: { T1: rights('x', 'y') } }, 'T1', ['x', 'y'], true],
      ['not in its list', { ...rights('z'), tenants: { T1: rights('x') } }, 'T1', ['z'], false],
      ['an empty tenant', { tenants: { T1: {} } }, 'T1', [], true],
      ['an empty tenant gives nothing', { ...rights('x'), tenants: { T1: {} }, dct: 'T1' }, 'T1', ['x'], false],
      ['dct without tenants', { ...rights('x'), dct: 'T1' }, 'T1', ['x'], false],
      ['dct that tenants lack', { ...rights('x'), tenants: { T2: rights('x') }, dct: 'T1' }, 'T1', [], false],
      ['the empty tenant', { ...rights('x'), tenants: { T1: rights('y') } }, '', ['x'], true],
      ['the empty tenant ignores tenants', { ...rights('x'), tenants: { T1: rights('y') } }, '', ['y'], false],
      ['a string is no list', { roles: 'Administrator', permissions: 'Administrator' }, '', ['Admin'], false],
      ['nothing asked', {}, '', [], true],
    ];
    for (const [name, token, tenant, wanted, expected] of rows) {
      assert.equal(sdk.validateTenantRoles({ token }, tenant, wanted), expected, name);
      assert.equal(sdk.validateTenantPermissions({ token }, tenant, wanted), expected, name);
    }
  },
  async the_tenant_table_of_core_js() {
    const sdk = client();
    const rights = (...names) => ({ roles: names, permissions: names });
    const rows = [
      ['not a tenant of the user', { ...rights('x'), tenants: { T1: rights('x') }, dct: 'T1' }, 'T2', []],
      ['a tenant of the user', { ...rights('z'), tenants: { T1: rights('x') } }, 'T1', ['x']],
      ['dct without tenants', { ...rights('x'), dct: 'T1' }, 'T1', ['x']],
      ['dct that tenants lack', { ...rights('x'), tenants: { T2: rights('y') }, dct: 'T1' }, 'T1', []],
      ['the empty tenant', { ...rights('x'), tenants: { T1: rights('y') }, dct: 'T1' }, '', ['x']],
    ];
    for (const [name, token, tenant, expected] of rows) {
      assert.deepEqual(sdk.getJwtRoles(unsigned(token), tenant), expected, name);
      assert.deepEqual(sdk.getJwtPermissions(unsigned(token), tenant), expected, name);
    }
  },
  async the_top_level_ignores_tenants() {
    const [sdk, token] = [client(), { roles: ['x'], permissions: ['x'], tenants: { T1: { roles: ['y'] } }, dct: 'T1' }];
    assert.deepEqual([sdk.validateRoles({ token }, ['x']), sdk.validateRoles({ token }, ['y'])], [true, false]);
    assert.deepEqual([sdk.validatePermissions({ token }, ['x']), sdk.validatePermissions({ token }, ['y'])], [true, false]);
  },
  async matches_come_in_the_order_of_the_question() {
    const [sdk, token] = [client(), { roles: ['a', 'b', 'c'], tenants: { T1: { roles: ['b'], permissions: ['b'] } } }];
    assert.deepEqual(sdk.getMatchedRoles({ token }, ['c', 'x', 'a']), ['c', 'a']);
    assert.deepEqual(sdk.getMatchedTenantPermissions({ token }, 'T1', ['a', 'b']), ['b']);
    assert.deepEqual(sdk.getMatchedTenantRoles({ token }, 'T2', ['b']), []);
  },
  async core_js_reads_tokens_of_each_authorization_schema() {
    const sdk = client();
    for (const [authorization, expected] of [['default', ['payment_processor']], ['tenant_only', ['payment_processor']], ['none', []]]) {
      await settings({ tokens: { authorization } });
      const { session } = await signIn(CAROL);
      assert.deepEqual(sdk.getJwtRoles(session, 'acme-fr'), expected, authorization);
      assert.equal(sdk.getCurrentTenant(session), 'acme-fr');
    }
  },

  // --- refreshing -------------------------------------------------------------------------------------------------

  async a_refresh_gives_a_session_and_keeps_the_refresh_token() {
    const { refresh } = await signIn();
    const same = await client().refreshSession(refresh);
    assert.deepEqual([same.token.drn, same.refreshJwt], ['DS', refresh]);
    for (const unrotated of ['omitted', 'empty']) {
      await settings({ refresh: { unrotated } });
      assert.equal((await client().refreshSession(refresh)).refreshJwt, undefined);
    }
  },
  async a_rotated_token_is_new_and_the_spent_one_kills_the_family() {
    await settings({ refresh: { rotate: true, on_reuse: 'kill' } });
    const { refresh } = await signIn();
    const { refreshJwt } = await client().refreshSession(refresh);
    assert.notEqual(refreshJwt, refresh);
    await answered(client().refresh(refresh), 401, 'E064001');
    await answered(client().refresh(refreshJwt), 401, 'E064001');
  },
  async a_logged_out_session_cannot_refresh() {
    const { refresh, session } = await signIn();
    const farewell = await good(client().logout(refresh));
    assert.deepEqual([farewell.sessionJwt, farewell.refreshJwt], ['', '']);
    await answered(client().refresh(refresh), 401, 'E064001');
    await refused(client().refreshSession(refresh), /logged out/);
    await client().validateSession(session);
  },
  async logging_out_everywhere_ends_every_session() {
    const [one, two] = [await signIn(), await signIn()];
    await good(client().logoutAll(one.refresh));
    for (const { refresh } of [one, two]) await answered(client().refresh(refresh), 401, 'E064001');
  },
  async an_expired_refresh_token_is_refused_without_a_request() {
    const token = await mint({ kind: 'refresh', expires_in: -60 });
    await refused(client().refreshSession(token), /"exp" claim timestamp check failed/);
    assert.equal(await count('/v1/auth/refresh'), 0);
    await answered(client().refresh(token), 401, 'E061005');
    await refused(client().refreshSession(''), /refresh token is required/);
  },
  async try_refresh_never_fails_for_want_of_a_token() {
    const { refresh } = await signIn();
    const renewed = await good(client().httpClient.post('/v1/auth/try-refresh', {}, { token: refresh }).then(async (r) => ({ ok: r.ok, data: await r.json() })));
    assert.deepEqual([claims(renewed.sessionJwt).drn, renewed.user, renewed.firstSeen], ['DS', undefined, undefined]);
    for (const token of ['a.b.c', undefined]) {
      const answer = await client().httpClient.post('/v1/auth/try-refresh', {}, { token });
      assert.deepEqual([answer.status, await answer.json()], [200, {}]);
    }
  },
  async a_disabled_user_cannot_refresh() {
    const { refresh } = await signIn();
    await emulator('PATCH', `users/${ALICE}`, { disabled: true });
    await answered(client().refresh(refresh), 401, 'E061005');
  },
  async a_removed_role_is_gone_at_the_next_refresh() {
    const { refresh, session } = await signIn();
    await emulator('PATCH', `users/${ALICE}`, { roles: [] });
    const sdk = client();
    assert.equal(sdk.validateRoles(await sdk.validateSession(session), ['payment_processor']), true);
    assert.equal(sdk.validateRoles(await sdk.refreshSession(refresh), ['payment_processor']), false);
  },
  async an_expired_session_is_renewed_and_a_good_one_is_not() {
    const [sdk, { refresh, session }] = [client(), await signIn()];
    assert.equal((await sdk.validateAndRefreshSession(session, refresh)).jwt, session);
    assert.equal(await count('/v1/auth/refresh'), 0);
    const renewed = await sdk.validateAndRefreshSession(await mint({ expires_in: -60 }), refresh);
    assert.deepEqual([renewed.token.drn, await count('/v1/auth/refresh')], ['DS', 1]);
    await refused(sdk.validateAndRefreshSession('', ''), /both session and refresh tokens are empty/);
  },
  async tokens_in_cookies() {
    await settings({ refresh: { delivery: 'cookies', rotate: true } });
    const { refresh } = await signIn();
    const renewed = await client().refreshSession(refresh);
    assert.equal(renewed.token.drn, 'DS');
    assert.match(renewed.cookies.join(';'), /DS=.*DSR=/);
    assert.notEqual(renewed.refreshJwt, refresh);
    await client().refreshSession(renewed.refreshJwt);
  },
  async cookies_by_other_names() {
    await settings({ refresh: { delivery: 'cookies' }, rest: { session_cookie: 'SES', refresh_cookie: 'REF' } });
    const { refresh } = await signIn();
    const answer = await client().refresh(refresh);
    assert.deepEqual([answer.data.cookieName, answer.data.sessionCookieName], ['REF', 'SES']);
    const headers = { cookie: `REF=${refresh}` };
    const sent = await client({ refreshCookieName: 'REF' }).httpClient.get('/v1/auth/me', { headers });
    assert.equal((await sent.json()).email, ALICE);
  },
  async who_am_i() {
    const me = await good(client().me((await signIn()).refresh));
    assert.deepEqual([me.email, me.loginIds, me.roleNames], [ALICE, [ALICE], ['payment_processor']]);
    await answered(client().me((await signIn()).session), 401, 'E061005');
    await answered(client().me(), 401, 'E061005');
  },
  async my_tenants_by_choice_or_by_name() {
    const ids = async (promise) => (await good(promise)).tenants.map((tenant) => tenant.id);
    const { refresh } = await signIn(ERIN);
    assert.deepEqual(await ids(client().myTenants(true, refresh)), []);
    assert.deepEqual(await ids(client().myTenants(['acme-fr', 'elsewhere'], refresh)), ['acme-fr']);
    assert.deepEqual(await ids(client().myTenants(true, (await signIn(CAROL)).refresh)), ['acme-fr']);
    await answered(client().myTenants([], refresh), 400, 'E011004');
  },
  async my_history() {
    const lines = await good(client().history((await signIn()).refresh));
    const id = await userId(ALICE);
    assert.ok(lines.length > 0 && lines.every((line) => line.userId === id));
  },
  async a_tenant_is_selected() {
    const { refresh } = await signIn(ERIN);
    const chosen = await good(client().selectTenant('acme-de', refresh));
    assert.deepEqual([claims(chosen.sessionJwt).dct, claims(chosen.refreshJwt).dct], ['acme-de', 'acme-de']);
    assert.equal((await client().refreshSession(chosen.refreshJwt)).token.dct, 'acme-de');
    await answered(client().selectTenant('elsewhere', refresh), 400, 'E011004');
  },
  async a_session_is_validated_by_the_service_in_both_forms() {
    const { session } = await signIn();
    const ask = async (token) => {
      const answer = await client().httpClient.post('/v1/auth/validate', {}, { token });
      return [answer.status, await answer.json()];
    };
    assert.equal((await ask(session))[1].parsedJWT.exp, claims(session).exp);
    await settings({ rest: { validate: 'flat' } });
    assert.equal(Date.parse((await ask(session))[1].exp) / 1000, claims(session).exp);
    const [status, body] = await ask('a.b.c');
    assert.deepEqual([status, body.errorCode], [401, 'E061005']);
  },

  // --- trouble on the way -----------------------------------------------------------------------------------------

  async a_rate_limit_says_when_to_come_back() {
    const { refresh } = await signIn();
    await fault('/v1/auth/refresh', { kind: 'status', status: 429, retry_after: 7 });
    const { error } = await answered(client().refresh(refresh), 429, 'E130429');
    assert.equal(error.retryAfter, 7);
    await good(client().refresh(refresh));
  },
  async a_rate_limit_that_was_really_reached() {
    await settings({ rest: { limits: [{ path: '/v1/auth/me', requests: 2, seconds: 60 }] } });
    const [sdk, { refresh }] = [client(), await signIn()];
    await good(sdk.me(refresh));
    await good(sdk.me(refresh));
    const { error } = await answered(sdk.me(refresh), 429, 'E130429');
    assert.ok(error.retryAfter > 0 && error.retryAfter <= 60);
    await emulator('POST', 'clock', { advance_seconds: 61 });
    await good(sdk.me(refresh));
  },
  async a_page_of_the_edge_makes_the_sdk_throw() {
    const { refresh } = await signIn();
    for (const status of [429, 502]) {
      await fault('/v1/auth/refresh', { kind: 'status', status, body: 'html' });
      await refused(client().refresh(refresh), SyntaxError);
    }
  },
  async unavailability_is_tried_again() {
    const { refresh } = await signIn();
    await fault('/v1/auth/refresh', { kind: 'status', status: 503 });
    await good(client().refresh(refresh));
    assert.equal(await count('/v1/auth/refresh'), 2);
  },
  async trying_a_rotated_refresh_again_loses_the_family() {
    await settings({ refresh: { rotate: true, on_reuse: 'kill' } });
    const { refresh } = await signIn();
    await fault('/v1/auth/refresh', { kind: 'status', status: 503, processed: true });
    await answered(client().refresh(refresh), 401, 'E064001');
  },
  async a_lost_answer_is_an_error_of_the_transport() {
    const { refresh } = await signIn();
    await fault('/v1/auth/refresh', { kind: 'answer_lost' });
    await refused(client().refresh(refresh), TypeError);
    await good(client().refresh(refresh));
  },
  async locked_endpoints_want_the_third_part() {
    await settings({ rest: { locked: true } });
    const { refresh } = await signIn();
    await answered(client().refresh(refresh), 401, 'E061005');
    await answered(client({ authManagementKey: 'not-the-key' }).refresh(refresh), 401, 'E061005');
    const right = client({ authManagementKey: KEYS.authentication });
    await good(right.refresh(refresh));
    await good(right.password.signIn(ALICE, 'alice-in-acme'));
  },

  // --- access keys ------------------------------------------------------------------------------------------------

  async an_access_key_is_exchanged() {
    const { key, cleartext } = await good(admin().accessKey.create('a key', 0, ['viewer']));
    const { token } = await client().exchangeAccessKey(cleartext);
    assert.deepEqual([token.sub, token.roles, token.rexp], [key.id, ['viewer'], undefined]);
  },
  async an_access_key_with_tenant_and_claims() {
    const tenants = [{ tenantId: 'acme-fr', roleNames: ['viewer'] }];
    const { cleartext } = await good(admin().accessKey.create('a key', 0, [], tenants));
    const options = { selectedTenant: 'acme-fr', customClaims: { asked: 1, roles: ['admin'] } };
    const { token } = await client().exchangeAccessKey(cleartext, options);
    assert.deepEqual([token.dct, token.asked, token.roles], ['acme-fr', 1, []]);
    await refused(client().exchangeAccessKey(cleartext, { selectedTenant: 'elsewhere' }), /does not belong to the tenant/);
  },
  async a_wrong_access_key_is_refused() {
    await refused(client().exchangeAccessKey('no-such-key'), /access key is not valid/);
    await answered(client().accessKey.exchange('no-such-key'), 401, 'E062803');
    await refused(client().exchangeAccessKey(''), /must not be empty/);
  },
  async an_access_key_ends_in_many_ways() {
    const keys = admin().accessKey;
    const { key, cleartext } = await good(keys.create('a key', 0));
    const exchange = () => client().exchangeAccessKey(cleartext);
    await exchange();
    await good(keys.deactivate(key.id));
    await refused(exchange(), /not valid/);
    await good(keys.activate(key.id));
    const rotated = await good(keys.rotate(key.id));
    await refused(exchange(), /not valid/);
    await client().exchangeAccessKey(rotated.cleartext);
    await good(keys.delete(key.id));
    await refused(client().exchangeAccessKey(rotated.cleartext), /not valid/);
  },

  // --- signing in -------------------------------------------------------------------------------------------------

  async signing_up_and_in_with_a_password() {
    const [sdk, login] = [client(), fresh('pat')];
    const first = await good(sdk.password.signUp(login, 'a-long-password', { name: 'Pat Example' }));
    assert.deepEqual([first.firstSeen, first.user.name, claims(first.sessionJwt).amr], [true, 'Pat Example', ['pwd']]);
    const second = await good(sdk.password.signIn(login, 'a-long-password'));
    assert.deepEqual([second.firstSeen, second.user.userId], [false, first.user.userId]);
    assert.match(second.cookies[0], /^DSR=/);
    await answered(sdk.password.signIn(login, 'another-password'), 401, 'E061005');
    await answered(sdk.password.signIn(fresh('nobody'), 'x'), 400, descopeSdk.DescopeErrors.userNotFound);
    await answered(sdk.password.signUp(login, 'a-long-password'), 400, 'E062107');
  },
  async a_code_of_a_test_user_works_once() {
    const [sdk, login] = [client(), await testUser('otto')];
    const { code } = await good(admin().user.generateOTPForTestUser('email', login));
    const wrong = code === '000000' ? '111111' : '000000';
    await answered(sdk.otp.verify.email(login, wrong), 401, descopeSdk.DescopeErrors.wrongOTPCode);
    assert.equal((await good(sdk.otp.verify.email(login, code))).user.email, login);
    await answered(sdk.otp.verify.email(login, code), 401, descopeSdk.DescopeErrors.wrongOTPCode);
    assert.equal((await good(sdk.otp.signIn.email(ALICE))).maskedEmail, 'a****@acme.test');
  },
  async wrong_codes_wear_a_code_out() {
    const [sdk, login] = [client(), await testUser('otto')];
    const { code } = await good(admin().user.generateOTPForTestUser('email', login));
    const wrong = code === '000000' ? '111111' : '000000';
    for (let turn = 0; turn < 5; turn += 1) await answered(sdk.otp.verify.email(login, wrong), 401, 'E061102');
    await answered(sdk.otp.verify.email(login, code), 401, descopeSdk.DescopeErrors.tooManyOTPAttempts);
  },
  async a_magic_link_works_once() {
    const [sdk, login] = [client(), await testUser('maggie')];
    const { link } = await good(admin().user.generateMagicLinkForTestUser('email', login, 'http://localhost/v'));
    const token = new URL(link).searchParams.get('t');
    assert.equal((await good(sdk.magicLink.verify(token))).user.email, login);
    await answered(sdk.magicLink.verify(token), 401, 'E061005');
    await answered(client({ managementKey: KEYS.management }).management.user.generateMagicLinkForTestUser('email', ALICE, ''), 400, 'E011004');
  },
  async a_second_factor_joins_the_first() {
    const [sdk, login] = [client(), fresh('mfa')];
    const first = await good(sdk.password.signUp(login, 'a-long-password'));
    await answered(sdk.otp.signIn.email(login, { mfa: true }), 401, 'E061005');
    await good(sdk.otp.signIn.email(login, { mfa: true }, first.refreshJwt));
    const code = (await emulator('GET', 'issued')).filter(({ kind }) => kind === 'code').at(-1).value;
    const second = await good(sdk.otp.verify.email(login, code));
    assert.deepEqual(claims(second.sessionJwt).amr, ['pwd', 'email']);
  },

  // --- management -------------------------------------------------------------------------------------------------

  async management_wants_its_key() {
    await answered(client().management.user.load(ALICE), 401, 'E061005');
    await answered(client({ managementKey: 'wrong' }).management.user.load(ALICE), 401, 'E061005');
    const reader = client({ managementKey: KEYS.readOnly }).management;
    assert.equal((await good(reader.user.load(ALICE))).email, ALICE);
    await answered(reader.user.deactivate(ALICE), 403, 'E061005');
  },
  async a_user_is_made_found_and_removed() {
    const [users, login] = [admin().user, fresh('una')];
    const made = await good(users.create(login, { email: login, displayName: 'Una', roles: ['viewer'] }));
    assert.deepEqual([made.status, made.roleNames, made.name], ['invited', ['viewer'], 'Una']);
    assert.equal((await good(users.search({ loginIds: [login] }))).total, 1);
    await answered(users.create(login, { email: login }), 400, 'E062107');
    await good(users.delete(login));
    await answered(users.load(login), 400, 'E112102');
  },
  async rights_that_an_administrator_changes_are_seen_at_the_next_refresh() {
    const [users, login] = [admin().user, await newUser('rita')];
    const { refreshJwt } = await enter(login);
    const now = async () => (await client().refreshSession(refreshJwt)).token;
    assert.deepEqual((await now()).roles, []);
    await good(users.addRoles(login, ['admin', 'viewer']));
    await good(users.removeRoles(login, ['viewer']));
    assert.deepEqual((await now()).roles, ['admin']);
    await good(users.addTenant(login, 'acme-de'));
    await good(users.setTenantRoles(login, 'acme-de', ['viewer']));
    assert.deepEqual((await now()).tenants['acme-de'].roles, ['viewer']);
    await good(users.removeTenant(login, 'acme-de'));
    assert.equal((await now()).tenants, undefined);
  },
  async an_administrator_ends_sessions_and_users() {
    const [users, login] = [admin().user, await newUser('lou')];
    const first = await enter(login);
    await good(users.logoutUser(login));
    await answered(client().refresh(first.refreshJwt), 401, 'E064001');
    const second = await enter(login);
    await good(users.deactivate(login));
    await answered(client().refresh(second.refreshJwt), 401, 'E061005');
    await good(users.activate(login));
    await good(client().refresh(second.refreshJwt));
  },
  async roles_permissions_and_tenants_are_made() {
    const [mgmt, mark] = [admin(), `${Date.now()}.${process.pid}`];
    await good(mgmt.permission.create(`p.${mark}`));
    await good(mgmt.role.create(`r.${mark}`, 'a role', [`p.${mark}`]));
    const [role] = await good(mgmt.role.search({ roleNames: [`r.${mark}`] }));
    assert.deepEqual([role.permissionNames, role.description], [[`p.${mark}`], 'a role']);
    assert.ok((await good(mgmt.permission.loadAll())).some(({ name }) => name === `p.${mark}`));
    const { id } = await good(mgmt.tenant.create(`Tenant ${mark}`));
    assert.equal((await good(mgmt.tenant.load(id))).name, `Tenant ${mark}`);
    await answered(mgmt.role.create('x', '', ['no.such.permission']), 400, 'E011004');
  },
  async a_token_is_updated_with_claims() {
    const { session } = await signIn();
    const { jwt } = await good(admin().jwt.update(session, { plan: 'gold', sub: 'someone' }));
    const { token } = await client().validateSession(jwt);
    assert.deepEqual([token.plan, token.sub], ['gold', await userId(ALICE)]);
    await answered(admin().jwt.update('a.b.c', {}), 401, 'E061005');
  },
  async an_administrator_signs_somebody_in() {
    const login = await newUser('ann');
    const session = await good(admin().jwt.signIn(login, { customClaims: { by: 'admin' } }));
    assert.equal((await client().validateSession(session.sessionJwt)).token.by, 'admin');
    await answered(admin().jwt.signIn(fresh('nobody')), 400, 'E062108');
  },
  async the_audit_trail_names_what_happened() {
    const login = fresh('audrey');
    await good(client().password.signUp(login, 'a-long-password'));
    await answered(client().password.signIn(login, 'wrong-password'), 401, 'E061005');
    const audits = await good(admin().audit.search({ loginIds: [login] }));
    assert.deepEqual(audits.map(({ action }) => action), ['LoginFailed', 'LoginSucceed', 'UserCreated']);
    assert.ok(audits.every(({ occurred }) => Number.isFinite(occurred)));
  },
};

let failed = 0;
for (const [name, run] of Object.entries(cases)) {
  const line = { case: name, ok: true, error: '' };
  try {
    await reset();
    await run();
  } catch (error) {
    Object.assign(line, { ok: false, error: `${error?.stack ?? error}` });
    failed += 1;
  }
  console.log(JSON.stringify(line));
}
await reset();
process.exitCode = failed ? 1 : 0;
