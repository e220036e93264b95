/** Knows: which bundles lie in the models folder, and which one an edit means. Opens none. */

import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { BundleInfo } from '@tug/engine';
import { readBundleInfo } from '@tug/engine/bundle';
import { TugError } from '@tug/schema';
import type { Logger } from 'pino';
import type { Config } from './config.js';

/** By name; the first is the default. */
export type Bundles = ReadonlyMap<string, BundleInfo>;

export async function readBundles(config: Config, log: Logger): Promise<Bundles> {
  const bundles = new Map<string, BundleInfo>();
  for (const name of (await readdir(config.modelsDir).catch(() => [])).sort()) {
    const folder = join(config.modelsDir, name);
    if (!(await exists(join(folder, 'bundle.json')))) continue;
    try {
      bundles.set(name, await readBundleInfo(folder));
    } catch (error) {
      log.error({ err: error, bundle: name }, 'a bundle cannot be used');
    }
  }
  const chosen = config.bundle ?? (bundles.has('tug-small') ? 'tug-small' : undefined);
  const first = chosen === undefined ? undefined : bundles.get(chosen);
  if (chosen !== undefined && first === undefined) log.error({ bundle: chosen }, 'there is no such bundle');
  return chosen !== undefined && first !== undefined ? new Map([[chosen, first], ...bundles]) : bundles;
}

/** The bundle of a name, or the default one; undefined if there is none at all. */
export function pickBundle(
  bundles: Bundles,
  name: string | null | undefined,
): { name: string; info: BundleInfo } | undefined {
  const [fallback] = bundles.keys();
  if (fallback === undefined) return undefined;
  const chosen = name ?? fallback;
  const info = bundles.get(chosen);
  if (info === undefined) {
    throw new TugError('BAD_USER_INPUT', `There is no bundle "${chosen}"; there is ${[...bundles.keys()].join(', ')}.`);
  }
  return { name: chosen, info };
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
