/** Makes one empty, migrated data folder for the whole run; every test server starts from a copy of it. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { readConfig } from '../src/config.js';
import { openDatabase } from '../src/database.js';

declare module 'vitest' {
  export interface ProvidedContext {
    databaseTemplate: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'tug-template-'));
  const database = await openDatabase({ ...readConfig({}), dataDir: folder });
  await database[Symbol.asyncDispose]();
  project.provide('databaseTemplate', folder);
  return () => rm(folder, { recursive: true, force: true });
}
