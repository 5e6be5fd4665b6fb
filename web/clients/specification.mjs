import assert from 'node:assert/strict';
import { it } from 'node:test';
import { serverAudits } from 'graphql-http';

/**
 * The audits of GraphQL over HTTP, as its reference implementation asks them.
 * @param {import('./api.mjs').Server} server
 */
export function specification(server) {
  const audits = serverAudits({
    url: `${server.url}/graphql`,
    // A GET without such a header is refused, as a page of another origin could
    // have it sent.
    fetchFn: (/** @type {string} */ url, /** @type {RequestInit} */ init = {}) =>
      fetch(url, { ...init, headers: { 'GraphQL-Require-Preflight': '1', ...init.headers } }),
  });
  for (const audit of audits) {
    it(audit.name, async () => {
      const result = await audit.fn();
      assert.equal(result.status, 'ok', 'reason' in result ? result.reason : undefined);
    });
  }
}
