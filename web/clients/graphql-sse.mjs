import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createClient } from 'graphql-sse';
import { activity, ask, isRename, rename, signIn } from './api.mjs';

/** @param {import('./api.mjs').Server} server */
export function graphqlSSE(server) {
  /** @param {string} [token] */
  const connect = (token) =>
    createClient({
      url: `${server.url}/graphql`,
      headers: token ? { Authorization: `Bearer ${token}` } : undefined,
      retryAttempts: 0,
    });

  it('runs a query', async () => {
    const client = connect(await signIn(server, 'owner@acme.test'));
    for await (const result of client.iterate({ query: '{ me { email } }' })) {
      assert.deepEqual(result, { data: { me: { email: 'owner@acme.test' } } });
    }
    client.dispose();
  });

  it('follows a subscription, and resumes it where it left', async () => {
    const token = await signIn(server, 'owner@acme.test');
    const client = connect(token);
    const events = client.iterate({ query: activity });
    const first = events.next();
    await ask(server, rename, token);
    let event = await first;
    while (!isRename(event.value)) event = await events.next();
    const { cursor } = event.value.data.activityEvents;
    await events.return?.();

    await ask(server, rename, token); // nobody listens
    for await (const missed of client.iterate({ query: activity, variables: { after: cursor } })) {
      if (isRename(missed)) break;
    }
    client.dispose();
  });

  it('is told of a subscription that is refused', async () => {
    const client = connect();
    await assert.rejects(async () => {
      for await (const result of client.iterate({ query: activity })) assert.fail(JSON.stringify(result));
    }, /401|Unauthorized|sign in/i);
    client.dispose();
  });

  it('is told of an operation that does not exist', async () => {
    const client = connect();
    await assert.rejects(async () => {
      for await (const result of client.iterate({ query: '{ nothing }' })) assert.fail(JSON.stringify(result));
    }, /400|nothing/);
    client.dispose();
  });
}
