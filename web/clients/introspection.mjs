import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  buildClientSchema, buildSchema, getIntrospectionQuery, isSpecifiedDirective, lexicographicSortSchema, printSchema, validateSchema,
} from 'graphql';
import { ask } from './api.mjs';

/**
 * The reference implementation makes the same schema of an introspection as of the text.
 * @param {import('./api.mjs').Server} server
 */
export function introspection(server) {
  /** @param {import('graphql').GraphQLSchema} schema */
  const printed = (schema) => printSchema(lexicographicSortSchema(schema));
  const all = {
    descriptions: true, specifiedByUrl: true, directiveIsRepeatable: true, schemaDescription: true, inputValueDeprecation: true, oneOf: true,
  };
  it('with all that can be asked', async () => {
    const answer = await ask(server, getIntrospectionQuery(all));
    const schema = buildClientSchema(answer);
    assert.deepEqual(validateSchema(schema), []);
    const sdl = await (await fetch(`${server.url}/schema.graphql`)).text();
    assert.equal(printed(schema), printed(buildSchema(sdl)));
    assert.deepEqual(
      schema.getDirectives().filter(isSpecifiedDirective).map((d) => d.name).sort(),
      ['deprecated', 'include', 'oneOf', 'skip', 'specifiedBy'],
    );
    const names = answer.__schema.types.map((/** @type {{name: string}} */ t) => t.name);
    assert.equal(new Set(names).size, names.length);
    assert.ok(names.includes('__Type'));
  });
  it('with what is asked by default', async () => {
    assert.deepEqual(validateSchema(buildClientSchema(await ask(server, getIntrospectionQuery()))), []);
  });
}
