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
import {
  type BundleInfo,
  GUIDANCE_DECAYS,
  MAX_PIXELS,
  NOISE_PRIORS,
  PRECISIONS,
  type Precision,
  SCHEDULERS,
} from './types.js';

const content = {
  file: z.string().regex(/^[\w.-]+$/, 'must be a plain file name'),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.int().positive(),
};
const graph = z.object({
  ...content,
  /** weights too large for the graph's own file */
  data: z.object(content).optional(),
  /** the same network for CPUs that multiply bytes quickly; a graph without it runs in the bundle's own precision */
  int8: z.object(content).optional(),
  /** at the bundle's own work size, for information */
  gflop: z.number().nonnegative().optional(),
});

const timesteps = z.array(z.int().nonnegative()).min(1);

/** Every graph that the warp family needs, in the order in which an edit runs them. */
export const GRAPHS = ['field', 'encoder', 'appearance', 'denoiser', 'decoder'] as const;
/** The same for LightningDrag's published layout; one of the two U-Nets serves each scheduler. */
export const LIGHTNINGDRAG_GRAPHS = [
  'vae_encoder',
  'image_prompt',
  'appearance',
  'point_embedding',
  'unet',
  'unet_lcm',
  'vae_decoder',
] as const;
export type GraphName = (typeof GRAPHS)[number] | 'pull' | (typeof LIGHTNINGDRAG_GRAPHS)[number];
export type GraphFiles = Readonly<Partial<Record<GraphName, string>>>;

const common = {
  format: z.literal(1),
  name: z.string().min(1),
  title: z.string(),
  license: z.string(),
  /** of each graph's own file */
  precision: z.enum(PRECISIONS),
  /** all that the bundle can run in; left out = only its own */
  precisions: z.array(z.enum(PRECISIONS)).min(1).optional(),
  /** that the int8 files' weights take at most; with 7, two products of bytes always fit into the 16 bits that x86 CPUs have for them */
  weightBits: z.int().min(2).max(8).optional(),
  size: z.object({
    area: z.int().positive(),
    multiple: z.int().positive(),
    minSide: z.int().positive(),
    /** small pictures are brought up to the area */
    enlarge: z.boolean().optional(),
  }),
  latent: z.object({ channels: z.int().positive(), downscale: z.int().positive() }),
  options: z.object({
    steps: z.array(z.int().positive()).min(1),
    schedulers: z.array(z.enum(SCHEDULERS).exclude(['BRIDGE'])).min(1),
    noisePriors: z.array(z.enum(NOISE_PRIORS)).min(1),
    guidance: z.object({ min: z.number(), max: z.number() }).nullable(),
    pointAugmentation: z.boolean(),
    sequential: z.boolean(),
    maxDrags: z.int().positive(),
    /** the networks never saw more pairs: augmentation stays within, and more drags give a warning */
    trainedPairs: z.int().positive().optional(),
  }),
  defaults: z.object({
    steps: z.int().positive(),
    scheduler: z.enum(SCHEDULERS),
    noisePrior: z.enum(NOISE_PRIORS),
    guidance: z.number(),
    guidanceDecay: z.enum(GUIDANCE_DECAYS).optional(),
    /** what another scheduler than the default one starts from */
    byScheduler: z
      .partialRecord(z.enum(SCHEDULERS), z.object({ steps: z.int().positive(), guidance: z.number() }))
      .optional(),
  }),
  trainedOn: z.string().optional(),
};

const noise = {
  kind: z.enum(['scaled_linear', 'linear']),
  betaStart: z.number().positive(),
  betaEnd: z.number().positive().max(1),
  steps: z.int().positive(),
};

const warp = z.object({
  ...common,
  family: z.literal('warp'),
  field: z.object({
    downscale: z.int().positive(),
    /**
     * what lies around the mask is enlarged for it where it has fewer pixels than the area: so many times at most, and only until the
     * longest drag has about so many work pixels; left out = it sees what the others see
     */
    closer: z.object({ times: z.number().min(1).max(4), longest: z.number().positive() }).optional(),
    /** the field network's input `follow` for each of its answers, the best one first; left out = it has one answer */
    follow: z.array(z.number()).min(1).max(4).optional(),
  }),
  /** work pixels around a part of the picture on which what the decoder makes of it depends; left out = all of them. A decoder with it warps nothing itself */
  decoder: z.object({ reach: z.int().nonnegative() }).optional(),
  /** what fills places that the source does not show; left out = the denoiser and the decoder do */
  holes: z.literal('patches').optional(),
  schedule: z.object({
    ...noise,
    prediction: z.literal('x0'),
    timesteps: z.record(z.string().regex(/^\d+$/), timesteps),
  }),
  graphs: z.object({
    field: graph,
    /** takes the field's place where no mask was painted, so that nothing says what comes off; left out = the field does */
    pull: graph.optional(),
    encoder: graph,
    appearance: graph,
    denoiser: graph,
    decoder: graph,
  }),
});

const lightningDrag = z.object({
  ...common,
  family: z.literal('lightningdrag'),
  schedule: z.object({
    ...noise,
    prediction: z.literal('epsilon'),
    spacing: z.literal('leading'),
    offset: z.int().nonnegative(),
    /** ᾱ after the last step: that of t = 0, or 1 */
    finalAlpha: z.enum(['first', 'one']),
    /** the timestep that the prior is noised to */
    start: z.int().nonnegative(),
  }),
  prompt: z.object({
    size: z.int().positive(),
    mean: z.array(z.number()).length(3),
    std: z.array(z.number().positive()).length(3),
  }),
  graphs: z.object({
    vae_encoder: graph,
    image_prompt: graph,
    appearance: graph,
    point_embedding: graph,
    unet: graph,
    unet_lcm: graph.optional(),
    vae_decoder: graph,
  }),
});

const schema = z.discriminatedUnion('family', [warp, lightningDrag]).superRefine((bundle, context) => {
  const problem = (message: string): void => context.addIssue({ code: 'custom', message });
  const { defaults, options, schedule } = bundle;
  const precisions = precisionsOf(bundle);
  const hasInt8 = bundle.precision === 'int8' || graphsOf(bundle).some(([, entry]) => entry.int8 !== undefined);
  if (!precisions.includes(bundle.precision))
    problem(`precisions lacks the bundle's own precision ${bundle.precision}`);
  if (precisions.includes('int8') !== hasInt8) {
    problem(
      hasInt8 ? 'some graphs have int8 files, but precisions lacks int8' : 'precisions has int8, but no graph has',
    );
  }
  for (const n of bundle.family === 'warp' ? options.steps : []) {
    const list = bundle.family === 'warp' ? bundle.schedule.timesteps[String(n)] : undefined;
    if (list?.length !== n) problem(`schedule.timesteps lists ${list?.length ?? 0} timesteps for ${n} steps`);
    if (list?.some((t, i) => t >= schedule.steps || t >= (list[i - 1] ?? Number.POSITIVE_INFINITY))) {
      problem(`schedule.timesteps for ${n} steps must descend and stay below ${schedule.steps}`);
    }
  }
  if (!options.steps.includes(defaults.steps)) problem(`defaults.steps ${defaults.steps} is not among options.steps`);
  if (!options.schedulers.some((s) => s === defaults.scheduler)) {
    problem(`defaults.scheduler ${defaults.scheduler} is not among options.schedulers`);
  }
  if (!options.noisePriors.includes(defaults.noisePrior)) {
    problem(`defaults.noisePrior ${defaults.noisePrior} is not among options.noisePriors`);
  }
});

type GraphEntry = z.infer<typeof graph>;

function graphsOf({ graphs }: { graphs: object }): [string, GraphEntry][] {
  return Object.entries(graphs as Record<string, GraphEntry | undefined>).filter(
    (entry): entry is [string, GraphEntry] => entry[1] !== undefined,
  );
}

/** Whether a graph's weights lie in a file beside it, as only large ones' do. */
export function weightsBeside(bundle: Bundle, name: string): boolean {
  return graphsOf(bundle).some(([each, entry]) => each === name && entry.data !== undefined);
}

/** What a bundle can run in; its own precision is among them. */
export function precisionsOf(bundle: {
  precision: Precision;
  precisions?: readonly Precision[] | undefined;
}): readonly Precision[] {
  return bundle.precisions ?? [bundle.precision];
}

/** The checked content of bundle.json, with the folder it lies in. */
export type Bundle = z.infer<typeof schema> & { readonly folder: string };
export type WarpBundle = Extract<Bundle, { family: 'warp' }>;
export type LightningDragBundle = Extract<Bundle, { family: 'lightningdrag' }>;

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

/**
 * Checks that the files of each graph in this precision are there and are the ones that bundle.json speaks of; returns the graphs'
 * paths. Files of another precision are not read.
 */
export async function verifyGraphs(bundle: Bundle, precision: Precision): Promise<GraphFiles> {
  const entries = await Promise.all(
    graphsOf(bundle).map(async ([name, entry]) => {
      const chosen = precision === 'int8' ? (entry.int8 ?? entry) : entry;
      await verifyFile(bundle, chosen);
      if (chosen === entry && entry.data !== undefined) await verifyFile(bundle, entry.data);
      return [name, path.join(bundle.folder, chosen.file)] as const;
    }),
  );
  return Object.fromEntries(entries);
}

async function verifyFile(bundle: Bundle, { file, sha256, bytes }: Omit<GraphEntry, 'data' | 'int8'>): Promise<void> {
  const full = path.join(bundle.folder, file);
  const found = await stat(full).catch(() => undefined);
  if (found === undefined) throw new EngineError('BUNDLE_INVALID', `bundle ${bundle.name}: ${full} is missing`);
  if (found.size !== bytes) throw corrupt(bundle, full, `${bytes} bytes`, `${found.size}`);
  const hash = createHash('sha256');
  await pipeline(createReadStream(full), hash);
  const actual = hash.digest('hex');
  if (actual !== sha256) throw corrupt(bundle, full, `sha256 ${sha256.slice(0, 12)}…`, `${actual.slice(0, 12)}…`);
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
    precisions: [...precisionsOf(bundle)],
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
