/**
 * Which precision a bundle's networks run in, and why. int8 pays where the CPU has an instruction for dot products of bytes, and on many
 * others. x86 CPUs without one add two products in 16 bits, where weights of 8 bits overflow, so there a bundle must promise 7. Where the
 * CPU's flags say that the instruction is there they decide; else one short measurement does, made once a machine and kept, so that
 * the same input gives the same bytes from then on.
 */
import { createHash, randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { cpus, homedir } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { z } from 'zod';
import { type Bundle, precisionsOf } from './bundle.js';
import { EngineError } from './errors.js';
import { type OneOperator, oneOperator, quantised } from './onnx.js';
import type { Choice } from './runtime.js';
import type { ConcreteDevice, WantedPrecision } from './types.js';

/** What a choice depends on beside the bundle; tests bring machines of their own. */
export interface Host {
  readonly arch: string;
  /** text of /proc/cpuinfo; undefined where there is none */
  cpuinfo(): Promise<string | undefined>;
  /** how many times as fast as fp32 int8 is here */
  measure(): Promise<number>;
  /** where the measurement is kept */
  readonly file: string;
}

/** For `openRuntime`: the precision for a device. Refuses at once what the bundle has no networks for. */
export function precisionFor(
  bundle: Bundle,
  wanted: WantedPrecision,
  host: Host = thisMachine(),
): (device: ConcreteDevice) => Promise<Choice | undefined> {
  const has = precisionsOf(bundle);
  if (wanted !== 'auto' && !has.includes(wanted)) {
    throw new EngineError(
      'UNSUPPORTED_OPTION',
      `bundle ${bundle.name} has no ${wanted} networks, only ${has.join(', ')}; ask for "auto"`,
    );
  }
  return async (device) => {
    if (wanted === 'int8') return device === 'cpu' ? { precision: 'int8', reason: 'asked for' } : undefined;
    if (wanted !== 'auto') return { precision: wanted, reason: 'asked for' };
    const own = bundle.precision;
    if (!has.includes('int8') || own === 'int8') return { precision: own, reason: 'the only one of this bundle' };
    if (device !== 'cpu') return { precision: own, reason: `auto takes int8 on CPUs only, not on ${device}` };
    const { quick, reason } = await bytesAreQuick(host, (bundle.weightBits ?? 8) <= SAFE_BITS);
    return { precision: quick ? 'int8' : own, reason: `auto: ${reason}` };
  };
}

interface Verdict {
  quick: boolean;
  reason: string;
}

/** Flags of the instructions that ONNX Runtime's int8 kernels use, by architecture. */
const FLAGS: Readonly<Record<string, readonly string[]>> = {
  x64: ['avx512_vnni', 'avx_vnni'],
  arm64: ['asimddp'],
};

/** Of weights: 2 × 255 × 64, the largest sum of two products with bytes, fits into 16 bits. */
const SAFE_BITS = 7;

/** safe: whether the bundle's weights are small enough for sums in 16 bits */
async function bytesAreQuick(host: Host, safe: boolean): Promise<Verdict> {
  const wanted = FLAGS[host.arch] ?? [];
  const line = (await host.cpuinfo())?.match(/^(?:flags|Features)\s*:(.*)$/m)?.[1];
  const flags = line === undefined ? undefined : new Set(line.trim().split(/\s+/));
  const found = wanted.filter((flag) => flags?.has(flag));
  if (found.length > 0) return { quick: true, reason: `this CPU has int8 dot products (${found.join(', ')})` };
  if (host.arch === 'x64' && !safe) {
    const why = flags === undefined ? "it can't be told whether this CPU has" : 'this CPU has no';
    return {
      quick: false,
      reason: `${why} int8 dot products (${wanted.join(', ')}), and the bundle's weights would overflow without them`,
    };
  }
  if (flags !== undefined && wanted.length > 0 && !(host.arch === 'x64' && flags.has('avx2')))
    return { quick: false, reason: `this CPU has no int8 dot products (${wanted.join(', ')})` };
  return measured(host);
}

/** int8 rounds, so it must be worth it. */
const WORTH = 1.2;

async function measured(host: Host): Promise<Verdict> {
  const verdict = (gain: number): Verdict => ({
    quick: gain >= WORTH,
    reason: `int8 was measured ${gain.toFixed(2)} times as fast as fp32 on this machine, kept in ${host.file}`,
  });
  const kept = await readKept(host.file);
  if (typeof kept === 'number') return verdict(kept);
  const gain = await host.measure();
  try {
    if (kept === 'unreadable') await rm(host.file);
    return verdict((await keep(host.file, gain)) ? gain : ((await readKept(host.file)) as number));
  } catch (error) {
    // what is not kept could come out differently the next time
    const { code } = error as NodeJS.ErrnoException;
    return { quick: false, reason: `how fast int8 is here can't be kept in ${host.file} (${code ?? String(error)})` };
  }
}

/** Writes the file in one piece; false if another process was quicker, whose word then counts. */
async function keep(file: string, gain: number): Promise<boolean> {
  await mkdir(path.dirname(file), { recursive: true });
  const draft = `${file}.${randomUUID()}`;
  await writeFile(draft, `${JSON.stringify({ gain })}\n`);
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  } finally {
    await rm(draft);
  }
}

const keptFile = z.object({ gain: z.number().positive() });

async function readKept(file: string): Promise<number | 'unreadable' | undefined> {
  const text = await readFile(file, 'utf8').catch(() => undefined); // not there, or in a place where nothing can be kept
  if (text === undefined) return undefined;
  try {
    return keptFile.parse(JSON.parse(text)).gain;
  } catch {
    return 'unreadable';
  }
}

function thisMachine(): Host {
  const runtime = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
  const key = [process.arch, cpus()[0]?.model ?? '', runtime.version].join('\n');
  const name = `int8-${createHash('sha256').update(key).digest('hex').slice(0, 16)}.json`;
  return {
    arch: process.arch,
    cpuinfo: () => readFile('/proc/cpuinfo', 'utf8').catch(() => undefined),
    measure: measureInt8,
    file: path.join(cacheFolder(), 'tug', name),
  };
}

function cacheFolder(): string {
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (XDG_CACHE_HOME) return XDG_CACHE_HOME;
  if (process.platform === 'win32') return LOCALAPPDATA || path.join(homedir(), 'AppData', 'Local');
  return path.join(homedir(), process.platform === 'darwin' ? 'Library/Caches' : '.cache');
}

/** A 3×3 convolution as the networks have them, in both precisions in turns, on one thread; the quickest run of each counts. */
export async function measureInt8(rounds = 12): Promise<number> {
  const { createSession, runSession } = await import('./sessions.js'); // loaded only where nothing else tells
  const shape = [1, 64, 64, 64];
  const operator = { op: 'Conv', inputs: [shape, [64, 64, 3, 3]], output: shape, flop: 0 } as const;
  const time = async ({ model, inputs }: OneOperator) => {
    const session = await createSession(model, 'cpu', 1);
    const tensors = new Map(
      inputs.map(([name, dims]) => [name, { data: new Float32Array(dims.reduce((p, n) => p * n, 1)).fill(0.1), dims }]),
    );
    let best = Number.POSITIVE_INFINITY;
    return {
      async run() {
        const start = performance.now();
        await runSession(session, tensors);
        best = Math.min(best, performance.now() - start);
      },
      async end() {
        await session.release();
        return best;
      },
    };
  };
  const [plain, int8] = [await time(oneOperator(operator)), await time(quantised(operator))];
  for (let round = 0; round < rounds; round++) {
    await plain.run();
    await int8.run();
  }
  return (await plain.end()) / (await int8.end());
}
