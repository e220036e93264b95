/**
 * `tug edit`: one edit from the shell. Reads files, runs the engine, writes files; prints one line, or one JSON object with --json.
 * Exit codes: 0 done, 1 the edit failed, 2 the command line or the input is wrong, 130 interrupted.
 */
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openEngine } from './engine.js';
import { asEngineError, firstLine } from './errors.js';
import {
  type Device,
  type Drag,
  type EditInput,
  type EditOptions,
  type EditTimings,
  GUIDANCE_DECAYS,
  NOISE_PRIORS,
  SCHEDULERS,
  type WantedPrecision,
} from './types.js';

const USAGE = `usage: tug edit PHOTO --drag X,Y:X,Y [--drag …] --out RESULT.png
  --drag HX,HY:TX,TY   what lies at (HX, HY) moves to (TX, TY); photo pixels, origin top left; repeat it
  --mask FILE          white may change; left out = derived from the drags
  --out FILE           the result, PNG; further candidates get -2, -3, … before the extension
  --bundle DIR         the networks (models/tug-small)
  --device NAME        auto, cpu, cuda or webgpu (auto)
  --precision NAME     auto, fp32 or int8 (auto: int8 if the bundle has it and the CPU multiplies bytes quickly)
  --threads N          CPU threads (all)
  --seed N             same seed, same result (random)
  --candidates N       1 to 4 (1)
  --steps N, --guidance X, --guidance-decay NAME, --guidance-steps N, --scheduler NAME, --noise-prior NAME,
  --point-augmentation, --sequential
                       as far as the bundle takes them; the bundle's own defaults
  --previews DIR       write every preview there (WebP)
  --json               print one JSON object: seed, bundle, device, precision, size, milliseconds of every stage
  --help`;

const OPTIONS = {
  drag: { type: 'string', multiple: true },
  mask: { type: 'string' },
  out: { type: 'string' },
  bundle: { type: 'string' },
  device: { type: 'string' },
  precision: { type: 'string' },
  threads: { type: 'string' },
  seed: { type: 'string' },
  candidates: { type: 'string' },
  steps: { type: 'string' },
  guidance: { type: 'string' },
  'guidance-decay': { type: 'string' },
  'guidance-steps': { type: 'string' },
  scheduler: { type: 'string' },
  'noise-prior': { type: 'string' },
  'point-augmentation': { type: 'boolean' },
  sequential: { type: 'boolean' },
  previews: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

interface Command {
  photo: string;
  out: string;
  bundle: string;
  device: Device;
  precision: WantedPrecision;
  threads: number | undefined;
  previews: string | undefined;
  json: boolean;
  mask: string | undefined;
  edit: Omit<EditInput, 'image' | 'mask'>;
}

/** A mistake on the command line. */
class UsageError extends Error {}

/** Runs the command line; returns the exit code. Writes results to `stdout`, the one line of an error to `stderr`. */
export async function main(argv: readonly string[]): Promise<number> {
  const interrupt = new AbortController();
  const onSignal = (): void => interrupt.abort();
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    const command = parse(argv);
    if (command === undefined) {
      process.stdout.write(`${USAGE}\n`);
      return 0;
    }
    await run(command, interrupt.signal);
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`tug: ${error.message}\n`);
      return 2;
    }
    const typed = asEngineError(error, 'the edit');
    process.stderr.write(`tug: ${firstLine(typed.message)}\n`);
    if (typed.code === 'CANCELLED') return 130;
    return typed.code === 'BAD_INPUT' || typed.code === 'UNSUPPORTED_OPTION' ? 2 : 1;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

async function run(command: Command, signal: AbortSignal): Promise<void> {
  const image = await readInput(command.photo);
  const mask = command.mask === undefined ? undefined : await readInput(command.mask);
  if (command.previews !== undefined) await mkdir(command.previews, { recursive: true });
  const started = performance.now();
  const engine = await openEngine(command.bundle, {
    device: command.device,
    precision: command.precision,
    ...(command.threads === undefined ? {} : { threads: command.threads }),
  });
  const loadMs = Math.round(performance.now() - started);
  try {
    const report = { seed: 0, width: 0, height: 0, steps: 0, warnings: [] as string[] };
    const candidates: { index: number; seed: number; file: string }[] = [];
    let timings: EditTimings | undefined;
    for await (const event of engine.edit(
      { ...command.edit, image, ...(mask === undefined ? {} : { mask }) },
      { signal },
    )) {
      if (event.type === 'started') {
        const { seed, width, height, totalSteps, warnings } = event;
        Object.assign(report, { seed, width, height, steps: totalSteps, warnings });
        if (!command.json) for (const warning of warnings) process.stderr.write(`tug: note: ${warning}\n`);
      } else if (event.type === 'preview') {
        const name = `candidate-${event.candidate + 1}-step-${String(event.step).padStart(2, '0')}.webp`;
        if (command.previews !== undefined) await writeFile(path.join(command.previews, name), event.image);
      } else if (event.type === 'candidate') {
        const file = candidateFile(command.out, event.index);
        await writeFile(file, event.image);
        candidates.push({ index: event.index, seed: event.seed, file });
      } else timings = event.timings;
    }
    const { bundle, device, deviceReason, precision, precisionReason, threads } = engine.info;
    if (command.json) {
      const opened = { bundle, device, deviceReason, precision, precisionReason, threads };
      const all = { ...report, ...opened, candidates, loadMs, timings };
      process.stdout.write(`${JSON.stringify(all)}\n`);
    } else {
      const files = candidates.map((c) => c.file).join(', ');
      const ms = Math.round(timings?.totalMs ?? 0);
      process.stdout.write(
        `${files}: ${report.width}×${report.height}, seed ${report.seed}, ${bundle} (${precision}) on ${device}, ${ms} ms\n`,
      );
    }
  } finally {
    await engine.close();
  }
}

function parse(argv: readonly string[]): Command | undefined {
  const { values, positionals } = readArgs(argv);
  if (values.help === true || (positionals.length === 0 && argv.length === 0)) return undefined;
  const [verb, photo, ...rest] = positionals;
  if (verb !== 'edit')
    throw new UsageError(`unknown command ${verb ?? '(none)'}; the only one is "edit" (see tug --help)`);
  if (photo === undefined) throw new UsageError('no photo given (see tug --help)');
  if (rest.length > 0) throw new UsageError(`unexpected argument ${rest[0]}; one photo at a time`);
  if (values.out === undefined) throw new UsageError('--out RESULT.png is missing');
  if (path.extname(values.out).toLowerCase() !== '.png') {
    throw new UsageError(`--out ${values.out}: results are lossless, so the name must end in .png`);
  }
  const number = (name: 'threads' | 'seed' | 'candidates' | 'steps' | 'guidance' | 'guidance-steps') => {
    const text = values[name];
    if (text === undefined) return undefined;
    if (text.trim() === '' || !Number.isFinite(Number(text))) throw new UsageError(`--${name} ${text}: not a number`);
    return Number(text);
  };
  const threads = number('threads');
  if (threads !== undefined && !(Number.isInteger(threads) && threads > 0)) {
    throw new UsageError(`--threads ${threads}: must be a whole number above 0`);
  }
  const options = given<EditOptions>({
    steps: number('steps'),
    guidance: number('guidance'),
    guidanceSteps: number('guidance-steps'),
    guidanceDecay: choice('guidance-decay', values['guidance-decay'], GUIDANCE_DECAYS),
    scheduler: choice('scheduler', values.scheduler, SCHEDULERS),
    noisePrior: choice('noise-prior', values['noise-prior'], NOISE_PRIORS),
    pointAugmentation: values['point-augmentation'],
    sequential: values.sequential,
  });
  return {
    photo,
    out: values.out,
    bundle: values.bundle ?? fileURLToPath(new URL('../../../models/tug-small', import.meta.url)),
    device: choice('device', values.device, DEVICES, lower) ?? 'auto',
    precision: choice('precision', values.precision, WANTED_PRECISIONS, lower) ?? 'auto',
    threads,
    previews: values.previews,
    json: values.json ?? false,
    mask: values.mask,
    edit: {
      drags: (values.drag ?? []).map(parseDrag),
      options,
      ...given<Pick<EditInput, 'seed' | 'candidates'>>({ seed: number('seed'), candidates: number('candidates') }),
    },
  };
}

function readArgs(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new UsageError(firstLine(error instanceof Error ? error.message : String(error)));
  }
}

function parseDrag(text: string): Drag {
  const [handle, target, ...rest] = text
    .split(':')
    .map((end) => end.split(',').map((v) => (v.trim() === '' ? Number.NaN : Number(v))));
  const valid = rest.length === 0 && [handle, target].every((p) => p?.length === 2 && p.every((v) => !Number.isNaN(v)));
  if (!valid) throw new UsageError(`--drag ${text}: expected X,Y:X,Y, for example 72,415:58,349`);
  const [hx, hy] = handle as [number, number];
  const [tx, ty] = target as [number, number];
  return { handle: { x: hx, y: hy }, target: { x: tx, y: ty } };
}

const DEVICES: readonly Device[] = ['auto', 'cpu', 'cuda', 'webgpu'];
const WANTED_PRECISIONS: readonly WantedPrecision[] = ['auto', 'fp32', 'int8'];
const lower = (text: string): string => text.toLowerCase();

/** Names are taken in any case, and with - for _. */
function choice<T extends string>(
  name: string,
  text: string | undefined,
  allowed: readonly T[],
  normal = (t: string): string => t.toUpperCase().replaceAll('-', '_'),
): T | undefined {
  if (text === undefined) return undefined;
  const found = allowed.find((a) => a === normal(text));
  if (found === undefined) throw new UsageError(`--${name} ${text}: must be one of ${allowed.join(', ')}`);
  return found;
}

/** Without the keys that were not given. */
function given<T extends object>(values: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}

function candidateFile(out: string, index: number): string {
  if (index === 0) return out;
  const { dir, name, ext } = path.parse(out);
  return path.join(dir, `${name}-${index + 1}${ext}`);
}

async function readInput(file: string): Promise<Uint8Array> {
  try {
    if ((await stat(file)).isDirectory()) throw new UsageError(`${file} is a folder`);
    return await readFile(file);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`can't read ${file}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
  }
}
