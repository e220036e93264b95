/** What an engine does when its surroundings fail it: memory, files, devices, time. Each ends in a typed error with advice; nothing leaks. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openEngine } from '../src/index.js';
import { BUNDLE, collect, drag, picture, scratch } from './helpers.js';

const BIN = fileURLToPath(new URL('../bin/tug.js', import.meta.url));
const DIST = new URL('../dist/index.js', import.meta.url).href;
const pull = drag(100, 128, 140, 128);

function run(command: string, args: readonly string[]): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = execFile(command, args, (_, out, err) => resolve({ code: child.exitCode, out, err }));
  });
}

describe('a bundle whose files are what bundle.json says, but no networks', () => {
  it.each([
    ['bytes that are no graph', Buffer.from('not a graph at all')],
    ['nothing but zeros', Buffer.alloc(4096)],
  ])('%s', async (_, content) => {
    await using dir = await scratch();
    await cp(BUNDLE, dir.folder, { recursive: true });
    const json = JSON.parse(await readFile(dir.file('bundle.json'), 'utf8'));
    const sha256 = createHash('sha256').update(content).digest('hex');
    json.graphs.denoiser = { file: 'denoiser.onnx', sha256, bytes: content.length };
    await writeFile(dir.file('bundle.json'), JSON.stringify(json));
    await writeFile(dir.file('denoiser.onnx'), content);
    await expect(openEngine(dir.folder, { device: 'cpu' })).rejects.toMatchObject({
      name: 'EngineError',
      code: 'BUNDLE_INVALID',
      message: expect.stringMatching(/^bundle \S+: .*can't be loaded/),
    });
  });
});

describe('a deadline', () => {
  it('beside a cancel signal: whichever comes first is told', async () => {
    const engine = await openEngine(BUNDLE, { device: 'cpu' });
    const input = { image: await picture(256, 256), drags: [pull], candidates: 4 };
    const user = new AbortController();
    const deadline = AbortSignal.timeout(40); // Node collects a timeout that only AbortSignal.any knows of, and it never fires
    const both = AbortSignal.any([user.signal, deadline]);
    await expect(collect(engine, input, both)).rejects.toMatchObject({
      name: 'EngineError',
      code: 'TIMED_OUT',
      message: expect.stringMatching(/deadline: allow it more time/),
    });
    expect(deadline.aborted).toBe(true);
    const events = engine.edit(input, { signal: AbortSignal.any([user.signal, AbortSignal.timeout(60_000)]) });
    await events.next();
    user.abort();
    await expect(events.next()).rejects.toMatchObject({ code: 'CANCELLED', message: 'the edit was cancelled' });
    await engine.close();
  });
});

describe('the networks in their own thread', () => {
  it('leave the event loop of the caller free', async () => {
    const engine = await openEngine(BUNDLE, { device: 'cpu' });
    const turns: number[] = [];
    const timer = setInterval(() => turns.push(performance.now()), 4);
    const { timings } = await collect(engine, { image: await picture(512, 512), drags: [drag(200, 256, 280, 256)] });
    clearInterval(timer);
    await engine.close();
    const { field, encoder, appearance, denoiser, decoder } = timings.stages;
    // a thread that runs networks turns between them only, some ten times
    expect(turns.length).toBeGreaterThan((field + encoder + appearance + denoiser + decoder) / 20);
  });

  it('take the inputs of the edit that they run for, whatever runs beside it', async () => {
    const engine = await openEngine(BUNDLE, { device: 'cpu', precision: 'fp32' });
    const inputs = await Promise.all(
      [256, 320, 256].map(async (side, i) => ({
        image: await picture(side, side),
        drags: [drag(100, 128, 120 + 20 * i, 128)],
        seed: i,
      })),
    );
    const alone: Uint8Array[] = [];
    for (const input of inputs) alone.push((await collect(engine, input)).image);
    const together = await Promise.all(inputs.map((input) => collect(engine, input)));
    await engine.close();
    expect(together.map(({ image }) => image)).toEqual(alone);
  });

  it('keep no process alive that has nothing else to do', async () => {
    await using dir = await scratch();
    await writeFile(dir.file('photo.png'), await picture(256, 256));
    const script = `
      import { readFile } from 'node:fs/promises';
      import { openEngine } from ${JSON.stringify(DIST)};
      const engine = await openEngine(process.argv[1], { device: 'cpu' });
      const image = await readFile(process.argv[2]);
      const drags = [{ handle: { x: 100, y: 128 }, target: { x: 140, y: 128 } }];
      for await (const event of engine.edit({ image, drags })) if (event.type === 'candidate') console.log('edited');`;
    const args = ['--input-type=module', '-e', script, BUNDLE, dir.file('photo.png')];
    expect(await run(process.execPath, args)).toEqual({ code: 0, out: 'edited\n', err: '' });
  });
});

describe('a device that is not there', () => {
  it('ends `tug edit --device cuda` with one line that says what to do, or is used', async () => {
    await using dir = await scratch();
    await writeFile(dir.file('photo.png'), await picture(256, 256));
    const out = dir.file('result.png');
    const args = ['edit', dir.file('photo.png'), '--bundle', BUNDLE, '--drag', '100,128:140,128', '--steps', '1'];
    const cuda = await run(process.execPath, [BIN, ...args, '--out', out, '--device', 'cuda', '--json']);
    if (cuda.code === 0) {
      expect(JSON.parse(cuda.out).device).toBe('cuda');
    } else {
      expect(cuda).toMatchObject({ code: 1, out: '' });
      expect(cuda.err.trim().split('\n')).toEqual([
        expect.stringMatching(/^tug: cuda is not available: .*use the device "cpu"/),
      ]);
      expect(await readdir(dir.folder)).toEqual(['photo.png']);
    }
    const auto = await run(process.execPath, [BIN, ...args, '--out', out, '--device', 'auto', '--json']);
    expect(auto.code).toBe(0);
    const { device, deviceReason } = JSON.parse(auto.out);
    expect(deviceReason).toMatch(device === 'cuda' ? /^auto took/ : /^auto took .*cuda: /);
  });
});

/** A process that opens the engine, then may allocate only so much more; it prints the code and the message of what it gets. */
const STARVED = `
  import { execFileSync } from 'node:child_process';
  import { readFile } from 'node:fs/promises';
  import { openEngine } from ${JSON.stringify(DIST)};
  const [bundle, photo, room] = process.argv.slice(1);
  const engine = await openEngine(bundle, { device: 'cpu' });
  const image = await readFile(photo);
  const [, kilobytes] = /VmSize:\\s+(\\d+)/.exec(await readFile('/proc/self/status', 'utf8'));
  execFileSync('prlimit', ['--pid', String(process.pid), '--as=' + (1024 * Number(kilobytes) + Number(room) * 2 ** 20)]);
  try {
    const drags = [{ handle: { x: 400, y: 400 }, target: { x: 500, y: 420 } }];
    for await (const _ of engine.edit({ image, drags, seed: 1 }));
    console.log(JSON.stringify({ code: 'DONE' }));
  } catch (error) {
    console.log(JSON.stringify({ code: error.code, message: error.message }));
  }
  process.kill(process.pid, 'SIGKILL'); // no room is left for an orderly end`;

const { code: noLimits } = await run('prlimit', ['--version']);

// without prlimit (util-linux) nothing can be taken from a running process
describe.skipIf(noLimits !== 0)('memory that runs out', () => {
  it('in the middle of an edit is OUT_OF_MEMORY with advice', async () => {
    await using dir = await scratch();
    await writeFile(dir.file('photo.png'), await picture(1024, 1024));
    const seen: string[] = [];
    for (const room of ['200', '150', '100', '250', '70']) {
      const args = ['--input-type=module', '-e', STARVED, BUNDLE, dir.file('photo.png'), room];
      const { out } = await run(process.execPath, args);
      // where V8 or libvips is the one that gets nothing, the process dies without a word: another size hits a network
      if (out === '') continue;
      const { code, message } = JSON.parse(out.split('\n', 1)[0] ?? '');
      seen.push(code);
      if (code !== 'OUT_OF_MEMORY') continue;
      expect(message).toMatch(/^not enough memory while .*: use a smaller picture or mask, or give the process more/);
      expect(message).not.toMatch(/\.cc:/);
      break;
    }
    expect(seen).toContain('OUT_OF_MEMORY');
    expect(seen.filter((code) => code !== 'OUT_OF_MEMORY' && code !== 'DONE')).toEqual([]);
  });
});

// open files are counted in /proc
describe.skipIf(process.platform !== 'linux')('after many edits', () => {
  it('no file and no handle is left open, cancelled or not, nor after closing', async () => {
    const files = async (): Promise<number> => (await readdir('/proc/self/fd')).length;
    const handles = (): string[] => process.getActiveResourcesInfo().filter((name) => name !== 'Immediate');
    const image = await picture(256, 256);
    const edits = async (count: number): Promise<void> => {
      for (let i = 1; i <= count; i++) {
        const abort = new AbortController();
        const input = { image, drags: [pull], seed: i, options: { steps: 1 } };
        const edit = engine.edit(input, { signal: abort.signal });
        try {
          for await (const event of edit) if (i % 3 === 0 && event.type === 'preview') abort.abort();
        } catch (error) {
          expect(error).toMatchObject({ code: 'CANCELLED' });
        }
      }
    };
    const none = await files();
    let engine = await openEngine(BUNDLE, { device: 'cpu' });
    await edits(3);
    const [openFiles, openHandles] = [await files(), handles()];
    await edits(9);
    expect(await files()).toBe(openFiles);
    expect(handles().length).toBeLessThanOrEqual(openHandles.length);
    await engine.close();
    engine = await openEngine(BUNDLE, { device: 'cpu' });
    await edits(1);
    expect(await files()).toBeLessThanOrEqual(openFiles);
    await engine.close();
    expect(openFiles - none).toBeLessThan(8);
  });
});
