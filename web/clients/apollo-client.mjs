import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { it } from 'node:test';
import { ApolloClient, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { createClient } from 'graphql-ws';
import { activity, ask, isRename, rename, signIn } from './api.mjs';

/** @param {import('./api.mjs').Server} server */
export function apolloClientWithoutHashes(server) {
  for (const useGETForHashedQueries of [false, true]) {
    it(`sends whole queries from its second request on${useGETForHashedQueries ? ', by GET at first' : ''}`, async () => {
      const { client, sent } = hashing(server, await signIn(server, 'owner@acme.test'), useGETForHashedQueries);
      for (const query of [gql('query First { me { id email } }'), gql('query Second { me { email } }')]) {
        const { data } = await client.query({ query, fetchPolicy: 'network-only' });
        assert.equal(/** @type {any} */ (data).me.email, 'owner@acme.test');
      }
      assert.deepEqual(
        sent.map(({ text, hash }) => ({ text, hash })),
        [
          { text: false, hash: true },
          { text: true, hash: false },
          { text: true, hash: false },
        ],
      );
      assert.deepEqual(sent.slice(1).map(({ status }) => status), [200, 200]);
    });
  }
}

/**
 * A client that sends hashes in place of queries, and what it has sent.
 * @param {import('./api.mjs').Server} server @param {string} token @param {boolean} useGETForHashedQueries
 */
function hashing(server, token, useGETForHashedQueries) {
  /** @type {{method: string, text: boolean, hash: boolean, status: number}[]} */ const sent = [];
  const persisted = new PersistedQueryLink({
    sha256: (text) => createHash('sha256').update(text).digest('hex'),
    useGETForHashedQueries,
  });
  const http = new HttpLink({
    uri: `${server.url}/graphql`,
    headers: { Authorization: `Bearer ${token}` },
    fetch: async (uri, options) => {
      const response = await fetch(uri, options);
      const asked = new URL(String(uri)).searchParams;
      const body = String(options?.body ?? '');
      sent.push({
        method: options?.method ?? 'GET',
        text: asked.has('query') || body.includes('"query"'),
        hash: (asked.get('extensions') ?? body).includes('sha256Hash'),
        status: response.status,
      });
      return response;
    },
  });
  return { client: new ApolloClient({ cache: new InMemoryCache(), link: persisted.concat(http) }), sent };
}

/** @param {import('./api.mjs').Server} server */
export function apolloClient(server) {
  /** @param {string} token @param {Partial<import('@apollo/client').HttpLink.Options>} [options] */
  const connect = (token, options) =>
    new ApolloClient({
      cache: new InMemoryCache(),
      link: new HttpLink({ uri: `${server.url}/graphql`, headers: { Authorization: `Bearer ${token}` }, ...options }),
    });
  const me = gql('query Me { me { id email sessions(first: 2) { edges { node { id } } } } }');

  for (const useGETForQueries of [false, true]) {
    it(`runs queries${useGETForQueries ? ' by GET' : ''}`, async () => {
      const client = connect(await signIn(server, 'owner@acme.test'), { useGETForQueries });
      const { data } = await client.query({ query: me });
      assert.equal(/** @type {any} */ (data).me.email, 'owner@acme.test');
    });
  }

  for (const useGETForHashedQueries of [false, true]) {
    it(`sends a query once and its hash from then on${useGETForHashedQueries ? ', by GET' : ''}`, async () => {
      const { client, sent } = hashing(server, await signIn(server, 'owner@globex.test'), useGETForHashedQueries);
      // Its own text for each way: what one has sent, the other need not.
      const query = gql(`query Hashed${useGETForHashedQueries ? 'ByGet' : ''} { me { id email } }`);
      for (let i = 0; i < 2; i++) {
        const { data } = await client.query({ query, fetchPolicy: 'network-only' });
        assert.equal(/** @type {any} */ (data).me.email, 'owner@globex.test');
      }
      const method = useGETForHashedQueries ? 'GET' : 'POST';
      assert.deepEqual(
        sent.map(({ text }) => text),
        [false, true, false],
      );
      assert.equal(sent[0]?.method, method);
      assert.equal(sent[2]?.method, method);
      assert.deepEqual(sent.slice(1).map(({ status }) => status), [200, 200]);
    });
  }

  it('runs anonymous queries by GET', async () => {
    const client = connect('', { useGETForQueries: true, headers: {} });
    const { data } = await client.query({ query: gql('query Kind { __typename }') });
    assert.equal(/** @type {any} */ (data).__typename, 'Query');
  });

  it('runs mutations and reads errors by code', async () => {
    const client = connect(await signIn(server, 'owner@globex.test'));
    await client.mutate({ mutation: gql(rename) });
    const mutation = gql('mutation { switchTenant(input: {tenant: "acme"}) { accessToken } }');
    await assert.rejects(client.mutate({ mutation }), (error) => {
      assert.ok(CombinedGraphQLErrors.is(error));
      assert.equal(error.errors[0]?.extensions?.code, 'NOT_FOUND');
      return true;
    });
  });

  it('follows a subscription over graphql-ws', async () => {
    const token = await signIn(server, 'owner@acme.test');
    const sockets = createClient({
      url: `${server.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${token}` },
    });
    const client = new ApolloClient({ cache: new InMemoryCache(), link: new GraphQLWsLink(sockets) });
    await new Promise((resolve, reject) => {
      const following = client.subscribe({ query: gql(activity) }).subscribe({
        next: (result) => {
          if (!isRename(result)) return;
          clearInterval(renaming);
          following.unsubscribe();
          resolve(undefined);
        },
        error: reject,
      });
      // Until it is followed: nothing tells when that is.
      const renaming = setInterval(() => ask(server, rename, token).catch(reject), 200);
    });
    await sockets.dispose();
  });
}
