import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Client, cacheExchange, fetchExchange, gql, subscriptionExchange } from '@urql/core';
import { createClient } from 'graphql-ws';
import { activity, ask, isRename, rename, signIn } from './api.mjs';

/** @param {import('./api.mjs').Server} server */
export function urql(server) {
  /**
   * @param {string} token
   * @param {Partial<import('@urql/core').ClientOptions>} [options]
   */
  const connect = (token, options) =>
    new Client({
      url: `${server.url}/graphql`,
      fetchOptions: { headers: { Authorization: `Bearer ${token}` } },
      exchanges: [cacheExchange, fetchExchange],
      ...options,
    });
  const me = gql('query Me { me { id email tenant { name } } }');

  for (const preferGetMethod of /** @type {const} */ ([false, 'force'])) {
    it(`runs queries${preferGetMethod ? ' by GET' : ''}`, async () => {
      const client = connect(await signIn(server, 'owner@acme.test'), { preferGetMethod });
      const { data, error } = await client.query(me, {}).toPromise();
      assert.equal(error, undefined);
      assert.equal(data.me.tenant.name, 'Acme Trading');
    });
  }

  it('sends variables by GET', async () => {
    const client = connect(await signIn(server, 'owner@acme.test'), { preferGetMethod: 'force' });
    const { data, error } = await client.query(gql('query ($p: String!) { can(permission: $p) }'), { p: 'users:read' }).toPromise();
    assert.equal(error, undefined);
    assert.equal(data.can, true);
  });

  it('runs mutations and reads errors by code', async () => {
    const client = connect(await signIn(server, 'owner@globex.test'));
    const invite = gql('mutation ($email: String!) { inviteUser(input: {email: $email, roleIds: []}) { invitation { id } } }');
    const refused = await client.mutation(invite, { email: 'no address' }).toPromise();
    assert.equal(refused.error?.graphQLErrors[0]?.extensions.code, 'INVALID_INPUT');
    const renamed = await client.mutation(gql(rename), {}).toPromise();
    assert.equal(renamed.error, undefined);
  });

  it('follows a subscription over server-sent events', async () => {
    const token = await signIn(server, 'owner@acme.test');
    // urql catches no rejection of a body that it aborts; the server ends the stream.
    /** @type {typeof fetch} */
    const unaborted = (url, init) => fetch(url, { ...init, signal: undefined });
    await follow(connect(token, { fetchSubscriptions: true, fetch: unaborted }), token);
  });

  it('follows a subscription over graphql-ws', async () => {
    const token = await signIn(server, 'owner@acme.test');
    const sockets = createClient({
      url: `${server.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${token}` },
    });
    const client = connect(token, {
      exchanges: [
        subscriptionExchange({
          forwardSubscription: (request) => ({
            subscribe: (sink) => ({ unsubscribe: sockets.subscribe({ ...request, query: request.query ?? '' }, sink) }),
          }),
        }),
      ],
    });
    await follow(client, token);
    await sockets.dispose();
  });

  /** @param {Client} client @param {string} token */
  async function follow(client, token) {
    await new Promise((resolve, reject) => {
      const { unsubscribe } = client.subscription(gql(activity), {}).subscribe((result) => {
        if (result.error) reject(result.error);
        if (!isRename(result)) return;
        clearInterval(renaming);
        unsubscribe();
        resolve(undefined);
      });
      // Until it is followed: nothing tells when that is.
      const renaming = setInterval(() => ask(server, rename, token).catch(reject), 200);
    });
  }
}
