/** The committed migrations make exactly what the schema says, and are applied once. */

import { spawnSync } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { readConfig } from '../src/config.js';
import { openDatabase } from '../src/database.js';
import { newDataDir } from './fixture.js';

test('the migrations agree with the schema', () => {
  const script = fileURLToPath(new URL('../scripts/migration.mjs', import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
});

test('a migration that was changed after it was applied, and one that fails, stop the start', async () => {
  const dataDir = await newDataDir();
  const migrationsDir = await mkdtemp(join(tmpdir(), 'tug-migrations-'));
  const config = { ...readConfig({}), dataDir, migrationsDir };
  const open = async () => {
    await using database = await openDatabase(config);
    return await database.db.user.count();
  };
  try {
    await cp(readConfig({}).migrationsDir, migrationsDir, { recursive: true });
    expect(await open()).toBe(0);
    await cp(join(migrationsDir, '20261124160000_first'), join(migrationsDir, '29990101000000_broken'), {
      recursive: true,
    });
    await writeFile(
      join(migrationsDir, '29990101000000_broken', 'migration.sql'),
      'CREATE TABLE "Half" (id TEXT); SELECT nonsense;',
    );
    await expect(open()).rejects.toThrow('29990101000000_broken failed');
    await rm(join(migrationsDir, '29990101000000_broken'), { recursive: true });
    expect(await open()).toBe(0);
    await writeFile(join(migrationsDir, '20261124160000_first', 'migration.sql'), 'SELECT 1;');
    await expect(open()).rejects.toThrow('changed after it was applied');
  } finally {
    await rm(dataDir, { recursive: true, force: true });
    await rm(migrationsDir, { recursive: true, force: true });
  }
});
