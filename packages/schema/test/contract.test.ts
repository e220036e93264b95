import { readFileSync } from 'node:fs';
import { buildSchema, findBreakingChanges, validateSchema } from 'graphql';
import { expect, test } from 'vitest';
import { ERROR_CODES } from '../src/index.js';

const read = (name: string) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');

test('the schema keeps everything that the contract promises', () => {
  const contract = buildSchema(read('contract.graphql'));
  const schema = buildSchema(read('schema.graphql'));
  expect(validateSchema(schema)).toEqual([]);
  expect(findBreakingChanges(contract, schema)).toEqual([]);
});

test('every code that the contract names exists, and no other', () => {
  const listed = read('contract.graphql').split('# extensions.code of GraphQL errors:')[1] ?? '';
  expect([...listed.matchAll(/[A-Z_]{6,}/g)].map(([code]) => code).sort()).toEqual([...ERROR_CODES].sort());
});
