/** Writes src/generated: the Prisma client and the types of the resolvers. Works without a network, and skips what is up to date. */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generate } from '@graphql-codegen/cli';

const api = dirname(dirname(fileURLToPath(import.meta.url)));
const root = join(api, '..', '..');
const require = createRequire(import.meta.url);
const generated = join(api, 'src', 'generated');
const prismaSchema = join(root, 'prisma', 'schema.prisma');
const graphqlSchema = require.resolve('@tug/schema/schema.graphql');
const versions = ['prisma', '@graphql-codegen/typescript-resolvers'].map((name) =>
  readFileSync(require.resolve(`${name}/package.json`)),
);

const stamp = join(generated, '.stamp');
const hash = createHash('sha256').update(readFileSync(fileURLToPath(import.meta.url)));
for (const input of [...versions, readFileSync(prismaSchema), readFileSync(graphqlSchema)]) hash.update(input);
const wanted = hash.digest('hex');

if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
  rmSync(generated, { recursive: true, force: true });
  mkdirSync(generated, { recursive: true });
  generatePrismaClient();
  await generateResolverTypes();
  writeFileSync(stamp, wanted);
}

/** Naming any executable as the schema engine keeps Prisma from downloading one that generating does not use. */
function generatePrismaClient() {
  const cli = join(dirname(require.resolve('prisma/package.json')), 'build', 'index.js');
  const result = spawnSync(process.execPath, [cli, 'generate', '--schema', prismaSchema, '--no-hints'], {
    cwd: root,
    env: {
      ...process.env,
      PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
      CHECKPOINT_DISABLE: '1',
      PRISMA_HIDE_UPDATE_MESSAGE: '1',
    },
    encoding: 'utf8',
  });
  if (result.status !== 0) throw new Error(`prisma generate failed:\n${result.stdout}${result.stderr}`);
}

async function generateResolverTypes() {
  await generate(
    {
      cwd: api,
      silent: true,
      errorsOnly: true,
      schema: graphqlSchema,
      generates: {
        'src/generated/resolvers.ts': {
          plugins: ['typescript', 'typescript-resolvers'],
          config: {
            useTypeImports: true,
            enumsAsTypes: true,
            makeResolverTypeCallable: true,
            contextType: '../context.js#Context',
            scalars: { ID: 'string', DateTime: 'Date' },
            emitLegacyCommonJSImports: false,
            importExtension: '.js',
            mappers: {
              Node: '../models.js#NodeModel',
              User: '../models.js#UserModel',
              Canvas: '../models.js#CanvasModel',
              Revision: '../models.js#RevisionModel',
              Edit: '../models.js#EditModel',
              Candidate: '../models.js#CandidateModel',
              ShareLink: '../models.js#ShareLinkModel',
              CanvasEvent: '../events.js#CanvasEvent as CanvasEventModel',
            },
          },
        },
      },
    },
    true,
  );
}
