import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { createClient } from 'graphql-ws';
import { startServer } from '../playground/e2e/server.mjs';
import { activity, ask, rename, signIn } from './api.mjs';

/** @typedef {import('graphql-ws').Client} Client */

/** What frontends use: the server must be what this client expects. */
describe('the client graphql-ws', { timeout: 300_000 }, () => {
  /** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
  /** @type {Client[]} */ const clients = [];

  before(async () => {
    server = await startServer();
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.dispose()));
  });
  after(async () => {
    await server.close();
  });

  /**
   * @param {string} token
   * @param {Partial<import('graphql-ws').ClientOptions>} [options]
   */
  function connect(token, options) {
    const client = createClient({
      url: `${server.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${token}` },
      ...options,
    });
    clients.push(client);
    return client;
  }

  /**
   * @param {AsyncIterableIterator<any>} events
   * @returns the next event; sign-ins of before may still be on their way
   */
  async function next(events) {
    for (;;) {
      const { value } = await events.next();
      assert.equal(value.errors, undefined);
      if (value.data.activityEvents.action !== 'auth.login') return value.data.activityEvents;
    }
  }

  /**
   * @param {Client} client
   * @returns {Promise<any>} how a subscription fails
   */
  function failure(client) {
    return new Promise((resolve, reject) => {
      client.subscribe(
        { query: activity },
        { next: () => {}, error: resolve, complete: () => reject(new Error('it ended as if nothing were wrong')) },
      );
    });
  }

  it('receives events, and goes on after a cursor', async () => {
    const token = await signIn(server, 'owner@acme.test');
    const first = connect(token).iterate({ query: activity });
    assert.equal((await next(first)).kind, 'SUBSCRIBED');
    await ask(server, rename, token);
    const event = await next(first);
    assert.equal(event.action, 'user.update_profile');
    await first.return?.();
    await ask(server, rename, token);
    const again = connect(token).iterate({ query: activity, variables: { after: event.cursor } });
    assert.equal((await next(again)).kind, 'SUBSCRIBED');
    assert.equal((await next(again)).action, 'user.update_profile');
  });

  it('asks, changes and pings on one socket', async () => {
    const token = await signIn(server, 'trader@acme.test');
    let connections = 0;
    /** @type {(value?: unknown) => void} */ let answered = () => {};
    const pong = new Promise((resolve) => (answered = resolve));
    const client = connect(token, {
      keepAlive: 20,
      on: { connecting: () => connections++, pong: (received) => received && answered() },
    });
    const events = client.iterate({ query: activity });
    assert.equal((await next(events)).kind, 'SUBSCRIBED');
    for await (const result of client.iterate({ query: '{ me { email } }' })) {
      assert.deepEqual(result, { data: { me: { email: 'trader@acme.test' } } });
    }
    for await (const result of client.iterate({ query: rename })) assert.equal(result.errors, undefined);
    assert.equal((await next(events)).action, 'user.update_profile');
    await pong;
    await assert.rejects(client.iterate({ query: '{ nothing }' }).next(), (/** @type {any} */ errors) => {
      assert.equal(errors[0].extensions.code, 'INVALID_INPUT');
      return true;
    });
    assert.equal(connections, 1);
  });

  it('is told that its token is bad', async () => {
    const closed = await failure(connect('nonsense', { retryAttempts: 0 }));
    assert.equal(closed.code, 4403);
  });

  it('does not come back once the sign-in has ended', async () => {
    const token = await signIn(server, 'trader@acme.test');
    let connections = 0;
    const client = connect(token, {
      retryAttempts: 5,
      on: { connecting: () => connections++, connected: () => ask(server, 'mutation { logout { revoked } }', token) },
    });
    const closed = await failure(client);
    assert.equal(closed.code, 4401);
    assert.equal(connections, 1);
  });

  it('hears of the end of the server', async () => {
    const token = await signIn(server, 'owner@acme.test');
    const client = connect(token, { retryAttempts: 0 });
    const failed = failure(client);
    const events = client.iterate({ query: activity });
    await next(events);
    events.next().catch(() => {}); // fails as the other one
    await server.close();
    assert.equal((await failed).code, 1001);
  });
});
