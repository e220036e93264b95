// Types every GraphQL document in src/ against the contract, offline. Writes src/generated/, which git ignores.
import { fileURLToPath } from 'node:url';
import { generate } from '@graphql-codegen/cli';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

await generate(
  {
    cwd: here('..'),
    schema: here('../../../packages/schema/schema.graphql'),
    documents: [here('../src/api/operations.ts')],
    silent: true,
    generates: {
      [here('../src/generated/')]: {
        preset: 'client',
        presetConfig: { fragmentMasking: false },
        config: {
          documentMode: 'string',
          useTypeImports: true,
          enumType: 'string-literal',
          enumsAsTypes: true,
          skipTypename: false,
          scalars: { DateTime: 'string', ID: 'string' },
          strictScalars: true,
        },
      },
    },
  },
  true,
);
