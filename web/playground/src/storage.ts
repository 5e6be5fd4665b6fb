import type { Storage } from '@graphiql/toolkit';

/**
 * A value whose name tells that it is a secret, in GraphQL, in a default of a
 * variable or in JSON. A string that is still being written may lack its end.
 */
const secret =
  /((?:password|token|secret|ticket|code)\w*"?\s*:\s*(?:[\w![\]]+\s*=\s*)?)("""[\s\S]*?(?:"""|$)|"(?:[^"\\\n]|\\.)*"?)/gi;

function blank(text: string): string {
  return text.replace(secret, '$1""');
}

/** Blanks secrets in every string of a decoded value. */
function blankAll(value: unknown): unknown {
  if (typeof value === 'string') return blank(value);
  if (Array.isArray(value)) return value.map(blankAll);
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, blankAll(inner)]));
  }
  return value;
}

/** These hold operations and variables as strings within JSON. */
const nested = new Set(['graphiql:tabState', 'graphiql:queries', 'graphiql:favorites']);

/**
 * The browser's storage, in which GraphiQL keeps tabs and history. Passwords and
 * tokens that were written into operations or variables are not kept.
 */
export const carefulStorage: Storage = {
  getItem: (key) => localStorage.getItem(key),
  setItem: (key, value) =>
    localStorage.setItem(key, nested.has(key) ? JSON.stringify(blankAll(JSON.parse(value))) : blank(value)),
  removeItem: (key) => localStorage.removeItem(key),
  clear: () => localStorage.clear(),
  get length() {
    return localStorage.length;
  },
};
