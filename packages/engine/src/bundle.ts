/**
 * A bundle is a folder: bundle.json and one ONNX file a network. This file reads and checks it; it opens no session.
 * The names of the graphs' tensors are the rest of the contract, see edit.ts.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { EngineError, firstLine } from './errors.js';
import { MAX_PIXELS } from './raster.js';
import { type BundleInfo, GUIDANCE_DECAYS, NOISE_PRIORS, SCHEDULERS } from './types.js';

const content = {
  file: z.string().regex(/^[\w.-]+$/, 'must be a plain file name'),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.int().positive(),
};
const graph = z.object({
  ...content,
  /** weights too large for the graph's own file */
  data: z.object(content).optional(),
  /** at the bundle's own work size, for information */
  gflop: z.number().nonnegative().optional(),
});

const timesteps = z.array(z.int().nonnegative()).min(1);

/** Every graph that the warp family needs, in the order in which an edit runs them. */
export const GRAPHS = ['field', 'encoder', 'appearance', 'denoiser', 'decoder'] as const;
export type GraphName = (typeof GRAPHS)[number];

const schema = z
  .object({
    format: z.literal(1),
    family: z.literal('warp'),
    name: z.string().min(1),
    title: z.string(),
    license: z.string(),
    precision: z.enum(['fp32', 'fp16', 'int8']),
    size: z.object({
      area: z.int().positive(),
      multiple: z.int().positive(),
      minSide: z.int().positive(),
    }),
    latent: z.object({ channels: z.int().positive(), downscale: z.int().positive() }),
    field: z.object({ downscale: z.int().positive() }),
    schedule: z.object({
      kind: z.enum(['scaled_linear', 'linear']),
      betaStart: z.number().positive(),
      betaEnd: z.number().positive().max(1),
      steps: z.int().positive(),
      prediction: z.literal('x0'),
      timesteps: z.record(z.string().regex(/^\d+$/), timesteps),
    }),
    options: z.object({
      steps: z.array(z.int().positive()).min(1),
      schedulers: z.array(z.enum(SCHEDULERS).exclude(['BRIDGE'])).min(1),
      noisePriors: z.array(z.enum(NOISE_PRIORS)).min(1),
      guidance: z.object({ min: z.number(), max: z.number() }).nullable(),
      pointAugmentation: z.boolean(),
      sequential: z.boolean(),
      maxDrags: z.int().positive(),
    }),
    defaults: z.object({
      steps: z.int().positive(),
      scheduler: z.enum(SCHEDULERS),
      noisePrior: z.enum(NOISE_PRIORS),
      guidance: z.number(),
      guidanceDecay: z.enum(GUIDANCE_DECAYS).optional(),
    }),
    graphs: z.object({ field: graph, encoder: graph, appearance: graph, denoiser: graph, decoder: graph }),
    trainedOn: z.string().optional(),
  })
  .superRefine((bundle, context) => {
    const problem = (message: string): void => context.addIssue({ code: 'custom', message });
    for (const n of bundle.options.steps) {
      const list = bundle.schedule.timesteps[String(n)];
      if (list?.length !== n) problem(`schedule.timesteps lists ${list?.length ?? 0} timesteps for ${n} steps`);
      if (list?.some((t, i) => t >= bundle.schedule.steps || t >= (list[i - 1] ?? Number.POSITIVE_INFINITY))) {
        problem(`schedule.timesteps for ${n} steps must descend and stay below ${bundle.schedule.steps}`);
      }
    }
    const { defaults, options } = bundle;
    if (!options.steps.includes(defaults.steps)) problem(`defaults.steps ${defaults.steps} is not among options.steps`);
    if (!options.schedulers.some((s) => s === defaults.scheduler)) {
      problem(`defaults.scheduler ${defaults.scheduler} is not among options.schedulers`);
    }
    if (!options.noisePriors.includes(defaults.noisePrior)) {
      problem(`defaults.noisePrior ${defaults.noisePrior} is not among options.noisePriors`);
    }
  });

/** The checked content of bundle.json, with the folder it lies in. */
export type Bundle = z.infer<typeof schema> & { readonly folder: string };

export async function readBundle(folder: string): Promise<Bundle> {
  const file = path.join(folder, 'bundle.json');
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new EngineError('BUNDLE_INVALID', `no bundle at ${folder}: can't read bundle.json (${error.code ?? error})`, {
      cause: error,
    });
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new EngineError('BUNDLE_INVALID', `${file} is not JSON: ${firstLine(String(error))}`, { cause: error });
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const where = issue?.path.join('.') || 'bundle.json';
    throw new EngineError('BUNDLE_INVALID', `${file}: ${where}: ${issue?.message ?? 'invalid'}`);
  }
  return { ...parsed.data, folder };
}

/** Checks that each graph's file is there and is the one that bundle.json speaks of; returns their paths. */
export async function verifyGraphs(bundle: Bundle): Promise<Record<GraphName, string>> {
  const entries = await Promise.all(
    GRAPHS.map(async (name) => {
      const { file, sha256, bytes } = bundle.graphs[name];
      const full = path.join(bundle.folder, file);
      const found = await stat(full).catch(() => undefined);
      if (found === undefined) throw new EngineError('BUNDLE_INVALID', `bundle ${bundle.name}: ${full} is missing`);
      if (found.size !== bytes) throw corrupt(bundle, full, `${bytes} bytes`, `${found.size}`);
      const hash = createHash('sha256');
      await pipeline(createReadStream(full), hash);
      const actual = hash.digest('hex');
      if (actual !== sha256) throw corrupt(bundle, full, `sha256 ${sha256.slice(0, 12)}…`, `${actual.slice(0, 12)}…`);
      return [name, full] as const;
    }),
  );
  return Object.fromEntries(entries) as Record<GraphName, string>;
}

function corrupt(bundle: Bundle, file: string, expected: string, actual: string): EngineError {
  return new EngineError(
    'BUNDLE_INVALID',
    `bundle ${bundle.name}: ${file} is damaged or incomplete: expected ${expected}, found ${actual}; restore the file (a checkout without its large files?)`,
  );
}

export function bundleInfo(bundle: Bundle): BundleInfo {
  const { options, defaults } = bundle;
  return {
    bundle: bundle.name,
    title: bundle.title,
    license: bundle.license,
    precision: bundle.precision,
    maxDrags: options.maxDrags,
    maxPixels: MAX_PIXELS,
    defaultSteps: defaults.steps,
    steps: [...options.steps],
    defaultGuidance: defaults.guidance,
    guidance: options.guidance !== null,
    schedulers: [...options.schedulers],
    noisePriors: [...options.noisePriors],
    pointAugmentation: options.pointAugmentation,
    sequential: options.sequential,
  };
}

/** What a bundle is and takes, without opening its networks. */
export async function readBundleInfo(folder: string): Promise<BundleInfo> {
  return bundleInfo(await readBundle(folder));
}
