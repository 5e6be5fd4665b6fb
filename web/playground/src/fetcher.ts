import { createGraphiQLFetcher, type Fetcher } from '@graphiql/toolkit';
import { createClient, type Client } from 'graphql-ws';
import { endpoint } from './api';
import type { Session } from './session';

/**
 * Makes GraphiQL's fetcher: queries and mutations over HTTP, subscriptions over
 * graphql-transport-ws, both as the person who is signed in. An Authorization
 * header that is written in GraphiQL's own editor wins.
 */
export function createFetcher(session: Session): Fetcher {
  const authorizedFetch: typeof fetch = async (input, init) => {
    const headers = new Headers(init?.headers);
    const token = headers.has('Authorization') ? undefined : await session.accessToken();
    if (token) headers.set('Authorization', `Bearer ${token}`);
    const response = await fetch(input, { ...init, headers, credentials: 'omit', cache: 'no-store' });
    if (token && response.status === 401) session.refused(token);
    if (token && (await needsPassword(response.clone()))) session.stepUp(token);
    return response;
  };
  return createGraphiQLFetcher({
    url: endpoint,
    fetch: authorizedFetch,
    enableIncrementalDelivery: false,
    wsClient: createSockets(session),
  });
}

/** Whether an answer says that the sign-in is too long ago for what was asked. */
async function needsPassword(response: Response): Promise<boolean> {
  if (!(response.headers.get('Content-Type') ?? '').includes('json')) return false;
  const text = await response.text();
  if (!text.includes('STEP_UP_REQUIRED')) return false; // nearly always, and whatever else it holds
  const answer = JSON.parse(text) as { errors?: { extensions?: { code?: string } }[] };
  return answer.errors?.some((error) => error.extensions?.code === 'STEP_UP_REQUIRED') ?? false;
}

/** With this the server closes a socket whose session has ended; after all else a new token helps. */
const signInEnded = 4401;

/** A client whose socket belongs to one person: it ends when somebody else signs in, or nobody. */
function createSockets(session: Session): Client {
  const url = new URL(endpoint, location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const connect = () => {
    let token: string | undefined;
    return createClient({
      url: url.href,
      lazyCloseTimeout: 1000,
      retryAttempts: 5,
      connectionParams: async () => {
        token = await session.accessToken();
        return token ? { authorization: `Bearer ${token}` } : {};
      },
      on: {
        closed: (event) => {
          if (token && isEndOfSignIn(event)) session.refused(token);
        },
      },
    });
  };
  let client = connect();
  let person = session.shown().person;
  session.subscribe(() => {
    if (session.shown().person === person) return; // renewed tokens leave the socket open
    person = session.shown().person;
    void client.dispose();
    client = connect();
  });
  return {
    on: (...args) => client.on(...args),
    subscribe: (payload, sink) =>
      client.subscribe(payload, {
        ...sink,
        // The panel tells of the end of a sign-in; what ran for it is over, not broken.
        error: (reason) => (isEndOfSignIn(reason) ? sink.complete() : sink.error(readable(reason))),
      }),
    iterate: (...args) => client.iterate(...args),
    dispose: () => client.dispose(),
    terminate: () => client.terminate(),
  };
}

function isEndOfSignIn(reason: unknown): boolean {
  return reason instanceof CloseEvent && reason.code === signInEnded;
}

/** A socket that cannot be opened reports an event that says nothing. */
function readable(reason: unknown): unknown {
  const silent = reason instanceof Event && !(reason instanceof CloseEvent);
  // No Error: GraphiQL would show its stack.
  return silent ? { message: 'The server does not accept the connection for subscriptions.' } : reason;
}
