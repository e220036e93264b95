/**
 * Knows: where the data are (embedded PGlite in a folder, or PostgreSQL) and how the committed migrations get there.
 * PGlite has one connection: inside a transaction, await nothing but that transaction's own queries.
 */

import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import { PrismaPGlite } from 'pglite-prisma-adapter';
import { type Prisma, PrismaClient } from './generated/prisma/client.js';
import { sha256 } from './secrets.js';

export type Database = PrismaClient;
export type Transaction = Prisma.TransactionClient;

/** An open database, migrated to the newest schema. */
export interface OpenDatabase extends AsyncDisposable {
  readonly db: Database;
}

const TRANSACTIONS = { maxWait: 20_000, timeout: 20_000 };
const ADVISORY_LOCK = 72707369;

/**
 * PGlite's own parameters, without the -F that turns fsync off, so that what was acknowledged survives a crash; and with less of
 * the memory that its pages may take, which saves 130 MB.
 */
const START_PARAMETERS = [
  ...PGlite.defaultStartParams.filter((parameter) => parameter !== '-F'),
  ...['-c', 'wal_sync_method=open_datasync', '-c', 'shared_buffers=16MB'],
];

/** Opens PostgreSQL if an address is given, else PGlite in the folder; applies the migrations that are missing. */
export async function openDatabase(options: {
  dataDir: string;
  databaseUrl: string | undefined;
  migrationsDir: string;
}): Promise<OpenDatabase> {
  const migrations = await readMigrations(options.migrationsDir);
  return options.databaseUrl === undefined
    ? openEmbedded(join(options.dataDir, 'database'), migrations)
    : openPostgres(options.databaseUrl, migrations);
}

async function openEmbedded(folder: string, migrations: Migration[]): Promise<OpenDatabase> {
  await mkdir(folder, { recursive: true });
  const pglite = await PGlite.create({ dataDir: folder, startParams: START_PARAMETERS });
  try {
    await migrate(
      {
        query: async (sql, values) => (await pglite.query<AppliedMigration>(sql, values)).rows,
        script: (sql) => pglite.exec(sql),
      },
      migrations,
    );
  } catch (error) {
    await pglite.close();
    throw error;
  }
  const db = new PrismaClient({ adapter: new PrismaPGlite(pglite), transactionOptions: TRANSACTIONS });
  return {
    db,
    async [Symbol.asyncDispose]() {
      await db.$disconnect();
      await pglite.close();
    },
  };
}

async function openPostgres(connectionString: string, migrations: Migration[]): Promise<OpenDatabase> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock($1)', [ADVISORY_LOCK]);
    await migrate(
      {
        query: async (sql, values) => (await client.query<AppliedMigration>(sql, values)).rows,
        script: (sql) => client.query(sql),
      },
      migrations,
    );
  } finally {
    await client.end();
  }
  const db = new PrismaClient({ adapter: new PrismaPg({ connectionString }), transactionOptions: TRANSACTIONS });
  return {
    db,
    async [Symbol.asyncDispose]() {
      await db.$disconnect();
    },
  };
}

interface Migration {
  name: string;
  sql: string;
  checksum: string;
}

interface AppliedMigration {
  migration_name: string;
  checksum: string;
  finished_at: Date | null;
  rolled_back_at: Date | null;
}

interface Connection {
  query(sql: string, values?: unknown[]): Promise<AppliedMigration[]>;
  script(sql: string): Promise<unknown>;
}

async function readMigrations(folder: string): Promise<Migration[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(
    names.sort().map(async (name) => {
      const sql = await readFile(join(folder, name, 'migration.sql'), 'utf8');
      return { name, sql, checksum: sha256(sql) };
    }),
  );
}

/** Applies what is missing, a transaction each, and keeps Prisma's own books, so that its tools agree with what is there. */
async function migrate(connection: Connection, migrations: Migration[]): Promise<void> {
  await connection.script(`CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
    id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at TIMESTAMPTZ,
    migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ,
    started_at TIMESTAMPTZ NOT NULL DEFAULT now(), applied_steps_count INTEGER NOT NULL DEFAULT 0)`);
  const rows = await connection.query(
    'SELECT migration_name, checksum, finished_at, rolled_back_at FROM "_prisma_migrations" WHERE rolled_back_at IS NULL',
  );
  const applied = new Map(rows.map((row) => [row.migration_name, row]));
  for (const migration of migrations) {
    const row = applied.get(migration.name);
    if (row !== undefined) {
      if (row.finished_at === null)
        throw new Error(`Migration ${migration.name} was begun by another tool and never finished.`);
      if (row.checksum !== migration.checksum)
        throw new Error(`Migration ${migration.name} was changed after it was applied.`);
      continue;
    }
    await connection.script('BEGIN');
    try {
      await connection.script(migration.sql);
      await connection.query(
        'INSERT INTO "_prisma_migrations" (id, checksum, finished_at, migration_name, applied_steps_count) VALUES ($1, $2, now(), $3, 1)',
        [randomUUID(), migration.checksum, migration.name],
      );
      await connection.script('COMMIT');
    } catch (error) {
      await connection.script('ROLLBACK');
      throw new Error(`Migration ${migration.name} failed.`, { cause: error });
    }
  }
  const known = new Set(migrations.map((migration) => migration.name));
  const newer = rows.find((row) => !known.has(row.migration_name));
  if (newer !== undefined)
    throw new Error(`The data were made by a newer version of Tug (migration ${newer.migration_name}).`);
}

/** Whether an error says that a unique value is taken already. */
export function isUniqueViolation(error: unknown): boolean {
  return hasCode(error, 'P2002');
}

/** Whether an error says that the row to change is not there. */
export function isMissingRow(error: unknown): boolean {
  return hasCode(error, 'P2025') || hasCode(error, 'P2003');
}

function hasCode(error: unknown, code: string): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === code;
}
