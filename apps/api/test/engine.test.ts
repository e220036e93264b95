/** An engine that cannot be opened: the server runs on, and every edit says why and what to do. */

import { cp, mkdtemp, readFile, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readConfig } from '../src/config.js';
import { drag, type TestConfig, TestServer } from './fixture.js';

/** What an edit and the engine query say on a server with this configuration. */
async function answers(config: TestConfig) {
  await using tug = await TestServer.start(config);
  const ann = await tug.client('Ann');
  const { id } = await ann.canvas();
  const events = ann.watch(id);
  await events.until('CanvasSnapshot');
  await ann.startEdit({ canvasId: id, drags: [drag(160, 90, 150, 70)], seed: 1 });
  const { edit } = await events.until('EditFinished');
  const code = edit.status === 'FAILED' ? await ann.code('{ engine { device } }') : undefined;
  return { edit, code };
}

test('a device that this machine does not have is never replaced by another', async () => {
  const { edit, code } = await answers({ device: 'cuda' });
  if (edit.status === 'SUCCEEDED') return; // a machine with CUDA
  expect(edit).toMatchObject({ status: 'FAILED', error: { code: 'ENGINE_UNAVAILABLE' } });
  expect(edit.error?.message).toMatch(/^cuda is not available: .*use the device "cpu"/);
  expect(code).toBe('ENGINE_UNAVAILABLE');
});

test('a bundle with a damaged file', async () => {
  const config = readConfig(process.env);
  const modelsDir = await mkdtemp(join(tmpdir(), 'tug-models-'));
  try {
    await cp(join(config.modelsDir, 'tug-small'), join(modelsDir, 'tug-small'), { recursive: true });
    const { graphs } = JSON.parse(await readFile(join(modelsDir, 'tug-small', 'bundle.json'), 'utf8'));
    for (const { file } of [graphs.decoder, graphs.decoder.int8 ?? graphs.decoder]) {
      await truncate(join(modelsDir, 'tug-small', file), 1000);
    }
    const { edit, code } = await answers({ modelsDir });
    expect(edit).toMatchObject({ status: 'FAILED', error: { code: 'ENGINE_UNAVAILABLE' } });
    expect(edit.error?.message).toMatch(/decoder\S* is damaged or incomplete: .*restore the file/);
    expect(code).toBe('ENGINE_UNAVAILABLE');
  } finally {
    await rm(modelsDir, { recursive: true, force: true });
  }
});
