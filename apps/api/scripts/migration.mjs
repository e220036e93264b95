/**
 * Writes the next migration: what prisma/schema.prisma has and the committed migrations do not.
 *
 *     node scripts/migration.mjs NAME      writes prisma/migrations/<time>_NAME/migration.sql
 *     node scripts/migration.mjs --check   fails if there is something to write
 *
 * Works without a network and without a database of its own: Prisma's schema engine as WebAssembly compares with a PGlite in memory.
 */

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PGlite } from '@electric-sql/pglite';
import { bindSqlAdapterFactory } from '@prisma/driver-adapter-utils';
import { PrismaPGlite } from 'pglite-prisma-adapter';

const [name] = process.argv.slice(2);
if (name === undefined || !/^(--check|[a-z0-9_]+)$/.test(name)) {
  process.stderr.write('usage: node scripts/migration.mjs NAME | --check   (a name of a-z, 0-9 and _)\n');
  process.exit(1);
}

const prisma = fileURLToPath(new URL('../../../prisma', import.meta.url));
const migrations = join(prisma, 'migrations');
const sql = await difference();
if (sql === '') process.stdout.write('The migrations agree with the schema.\n');
else if (name === '--check') {
  process.stderr.write(`The schema has what no migration makes:\n${sql}\n`);
  process.exitCode = 1;
} else {
  const time = new Date().toISOString().replace(/\D/g, '').slice(0, 14);
  const folder = join(migrations, `${time}_${name}`);
  mkdirSync(folder);
  writeFileSync(join(folder, 'migration.sql'), `${sql}\n`);
  process.stdout.write(`Wrote ${join(folder, 'migration.sql')}; read it before you commit it.\n`);
}

/** The SQL from the state that the migrations make to the schema. */
async function difference() {
  const database = await PGlite.create();
  for (const entry of readdirSync(migrations, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.isDirectory()) await database.exec(readFileSync(join(migrations, entry.name, 'migration.sql'), 'utf8'));
  }
  const schema = readFileSync(join(prisma, 'schema.prisma'), 'utf8');
  const { SchemaEngine } = await loadSchemaEngine();
  const options = { datamodels: [['schema.prisma', schema]] };
  const engine = await SchemaEngine.new(options, () => undefined, bindSqlAdapterFactory(new PrismaPGlite(database)));
  const { stdout } = await engine.diff({
    from: { tag: 'schemaDatasource', files: [{ path: 'schema.prisma', content: schema }], configDir: prisma },
    to: { tag: 'schemaDatamodel', files: [{ path: 'schema.prisma', content: schema }] },
    script: true,
    exitCode: null,
    shadowDatabaseUrl: null,
    filters: { externalTables: [], externalEnums: [] },
  });
  await database.close();
  return /^\s*(-- This is an empty migration\.)?\s*$/.test(stdout ?? '') ? '' : stdout.trim();
}

async function loadSchemaEngine() {
  const folder = dirname(createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm'));
  const glue = await import(join(folder, 'schema_engine_bg.js'));
  const wasm = readFileSync(join(folder, 'schema_engine_bg.wasm'));
  const { instance } = await WebAssembly.instantiate(wasm, { './schema_engine_bg.js': glue });
  glue.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start?.();
  return glue;
}
