// A certified OpenID provider on a loopback port, told what to do by JSON lines on standard input, each answered by one
// on standard output. Its own development forms take any name and password; who has which roles is told to it.

import { createServer } from 'node:http';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { Provider, errors } from 'oidc-provider';

// Standard output is for answers.
console.log = console.info = console.warn = console.error;

const CLIENT = 'agentauthd-test';
const RESOURCE = 'urn:agentauthd:test';

const people = new Map();
const journal = [];
const refreshTokens = [];
const grants = new Map();
let life = 600;
let refusing = null;
// What the administrator has changed of the client, and of refresh tokens.
let registered = {};
let refreshing = { given: true, rotated: true };
let skew = 0;
let names = 0;

function key() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  names += 1;
  return { ...privateKey.export({ format: 'jwk' }), kid: `key-${names}`, use: 'sig', alg: 'RS256' };
}

const facts = (login) => ({ roles: [], ...people.get(login) });

function configuration(keys) {
  return {
    jwks: { keys },
    clients: [{
      client_id: CLIENT,
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1/callback'],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      ...registered,
    }],
    cookies: { keys: [randomBytes(16).toString('hex')] },
    scopes: ['openid', 'offline_access'],
    claims: { openid: ['sub'], profile: ['name', 'roles', 'tenant'], email: ['email', 'email_verified'] },
    pkce: { required: () => true },
    issueRefreshToken: (ctx, client, code) => refreshing.given && code.scopes.has('offline_access'),
    rotateRefreshToken: () => refreshing.rotated,
    ttl: {
      AccessToken: () => life, IdToken: 600, RefreshToken: 86400, AuthorizationCode: 60, Grant: 86400,
      Interaction: 600, Session: 86400,
    },
    features: {
      devInteractions: { enabled: true },
      revocation: {
        enabled: true, allowedPolicy: (ctx, client, token) => token.clientId === client.clientId,
      },
      rpInitiatedLogout: { enabled: true },
      userinfo: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        useGrantedResource: () => false,
        getResourceServerInfo: (ctx, resource) => {
          if (resource !== RESOURCE) throw new errors.InvalidTarget();
          return {
            scope: 'pay', audience: RESOURCE, accessTokenFormat: 'jwt', accessTokenTTL: life,
            jwt: { sign: { alg: 'RS256' } },
          };
        },
      },
    },
    extraTokenClaims: (ctx, token) => (token.aud === RESOURCE ? facts(token.accountId) : undefined),
    findAccount: (ctx, login) => ({
      accountId: login,
      claims: () => ({ sub: login, name: `Mx ${login}`, email: `${login}@example.test`, ...facts(login) }),
    }),
  };
}

let issuer;
let provider;
let answer;
let keys = [key()];

function serve() {
  provider = new Provider(issuer, configuration(keys));
  const note = (event, details) => journal.push({ event, ...details });
  for (const event of ['grant.success', 'grant.revoked', 'refresh_token.consumed', 'refresh_token.destroyed']) {
    provider.on(event, (subject) => note(event, {
      type: subject?.oidc?.params?.grant_type, grant: typeof subject === 'string' ? subject : undefined,
    }));
  }
  provider.on('grant.revoked', (ctx, grant) => note('grant.gone', { grant }));
  provider.on('grant.error', (ctx, error) => note('grant.error', { error: error.error, detail: error.error_detail }));
  provider.on('revocation.error', (ctx, error) => note('revocation.error', { error: error.error }));
  provider.on('server_error', (ctx, error) => process.stderr.write(`${error.stack}\n`));
  provider.on('refresh_token.saved', (token) => {
    refreshTokens.push(token.jti);
    grants.set(token.grantId, token.accountId);
  });
  answer = provider.callback();
}

const server = createServer((request, response) => {
  const path = request.url.split('?')[0];
  journal.push({ event: 'request', method: request.method, path });
  if (skew) response.setHeader('date', new Date(Date.now() + skew * 1000).toUTCString());
  if (refusing && path === refusing.path) {
    response.writeHead(refusing.status, { 'content-type': 'text/html' });
    response.end('<html>out of order</html>');
    return;
  }
  answer(request, response);
});

const commands = {
  person: ({ login, ...facts }) => { people.set(login, facts); },
  life: ({ seconds }) => { life = seconds; },
  // The client is registered with these differences, or as in the beginning.
  client: ({ changes }) => { registered = changes ?? {}; serve(); },
  refreshing: (wanted) => { refreshing = { ...refreshing, ...wanted }; },
  // Its answers are dated so many seconds ahead.
  skew: ({ seconds }) => { skew = seconds; },
  refuse: ({ path, status }) => { refusing = path ? { path, status } : null; },
  journal: () => journal,
  refresh_tokens: () => refreshTokens,
  // A new key signs from now on; the old one is published still, or withdrawn.
  rotate_keys: ({ withdraw }) => { keys = withdraw ? [key()] : [key(), ...keys]; serve(); },
  revoke: async ({ login }) => {
    for (const [id, account] of grants) {
      if (account === login) {
        await provider.RefreshToken.revokeByGrantId(id);
        await provider.AccessToken.revokeByGrantId(id);
        await (await provider.Grant.find(id))?.destroy();
      }
    }
  },
};

server.listen(0, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  serve();
  process.stdout.write(`${JSON.stringify({ issuer, client_id: CLIENT, resource: RESOURCE })}\n`);
});

const lines = createInterface({ input: process.stdin });
lines.on('line', async (line) => {
  try {
    const { do: what, ...details } = JSON.parse(line);
    const done = await commands[what](details);
    process.stdout.write(`${JSON.stringify({ done: done ?? null })}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ failed: String(error) })}\n`);
  }
});
// The provider ends with whoever started it.
lines.on('close', () => process.exit(0));
