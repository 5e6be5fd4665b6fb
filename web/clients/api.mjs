import assert from 'node:assert/strict';

/** @typedef {{url: string}} Server */

export const activity = 'subscription ($after: String) { activityEvents(after: $after) { kind action cursor } }';
export const rename = 'mutation { updateProfile(input: {displayName: "Wilma"}) { user { id } } }';

/**
 * Asks without any client, and accepts no error.
 * @param {Server} server @param {string} query @param {string} [token]
 */
export async function ask(server, query, token) {
  const response = await fetch(`${server.url}/graphql`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...(token ? { Authorization: `Bearer ${token}` } : {}) },
    body: JSON.stringify({ query }),
  });
  const answer = await response.json();
  assert.equal(answer.errors, undefined);
  return answer.data;
}

/**
 * @param {Server} server @param {string} email
 * @returns {Promise<string>} an access token
 */
export async function signIn(server, email) {
  const { login } = await ask(server, `mutation { login(input: {email: "${email}", password: "tradesage-dev"}) { accessToken } }`);
  return login.accessToken;
}

/** Whether an event is what a test waits for: sign-ins of others may come before. @param {any} event */
export const isRename = (event) => event.data?.activityEvents?.action === 'user.update_profile';
