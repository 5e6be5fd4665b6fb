import { after, describe } from 'node:test';
import { startServer } from '../playground/e2e/server.mjs';
import { apolloClient, apolloClientWithoutHashes } from './apollo-client.mjs';
import { graphqlSSE } from './graphql-sse.mjs';
import { introspection } from './introspection.mjs';
import { specification } from './specification.mjs';
import { urql } from './urql.mjs';

// What frontends use, in their own words, against the built program.
const server = await startServer(['--automatic-persisted-queries']);
after(() => server.close());
const plain = await startServer();
after(() => plain.close());

describe('GraphQL over HTTP', { timeout: 120_000 }, () => specification(server));
describe('introspection', { timeout: 120_000 }, () => introspection(server));
describe('graphql-sse', { timeout: 120_000 }, () => graphqlSSE(server));
describe('urql', { timeout: 120_000 }, () => urql(server));
describe('Apollo Client', { timeout: 120_000 }, () => apolloClient(server));
describe('Apollo Client where no hashes are kept', { timeout: 120_000 }, () => apolloClientWithoutHashes(plain));
