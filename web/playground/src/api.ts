/** The calls that the page itself makes. What people write goes by GraphiQL's fetcher. */

export const endpoint = '/graphql';

/** An error that the API answered, with its code (see docs/errors.md). */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly code: string,
    /** The input field that the error concerns, as "input.email". */
    readonly field?: string,
  ) {
    super(message);
  }
}

interface Answer<Data> {
  data?: Data | null;
  errors?: { message: string; extensions?: { code?: string; field?: string } }[];
}

/**
 * Sends one operation and returns its data. It rejects with ApiError if the API
 * answers an error, with code NETWORK if there is no answer.
 */
export async function call<Data>(
  query: string,
  variables: Record<string, unknown> = {},
  token?: string,
): Promise<Data> {
  const headers = new Headers({ 'Content-Type': 'application/json', Accept: 'application/json' });
  if (token) headers.set('Authorization', `Bearer ${token}`);
  let answer: Answer<Data>;
  try {
    const response = await fetch(endpoint, {
      method: 'POST',
      headers,
      body: JSON.stringify({ query, variables }),
      credentials: 'omit',
      cache: 'no-store',
    });
    answer = (await response.json()) as Answer<Data>;
  } catch {
    throw new ApiError('The server does not answer. Is it running?', 'NETWORK');
  }
  const error = answer.errors?.[0];
  if (error || !answer.data) {
    throw new ApiError(
      error?.message ?? 'The server sent an empty answer.',
      error?.extensions?.code ?? 'INTERNAL',
      error?.extensions?.field,
    );
  }
  return answer.data;
}

/** The API's messages are clauses; in the panel they stand alone. */
export function sentence(message: string): string {
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
