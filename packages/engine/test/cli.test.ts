/** The command line, as a process of its own where exit codes and streams matter. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, watch, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BUNDLE, ellipse, picture, scratch } from './helpers.js';

const BIN = fileURLToPath(new URL('../bin/tug.js', import.meta.url));

function tug(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [BIN, ...args], (error, out, err) => {
      resolve({ code: error === null ? 0 : ((error.code as unknown as number) ?? 1), out, err });
    });
  });
}

let dir: Awaited<ReturnType<typeof scratch>>;
beforeAll(async () => {
  dir = await scratch();
  await writeFile(dir.file('photo.png'), await picture(320, 256));
  await writeFile(dir.file('mask.png'), await ellipse(320, 256, 140, 128, 70, 60));
});
afterAll(() => dir[Symbol.asyncDispose]());

const edit = (...args: string[]) =>
  tug('edit', dir.file('photo.png'), '--bundle', BUNDLE, '--device', 'cpu', '--drag', '130,128:160,120', ...args);

describe('tug edit', () => {
  it('writes the result, the previews and one JSON object', async () => {
    const { code, out } = await edit(
      ...[
        '--mask',
        dir.file('mask.png'),
        '--out',
        dir.file('r.png'),
        '--seed',
        '7',
        '--steps',
        '2',
        '--precision',
        'fp32',
      ],
      ...['--candidates', '2', '--previews', dir.file('previews'), '--json'],
    );
    expect(code).toBe(0);
    const report = JSON.parse(out);
    expect(report).toMatchObject({ seed: 7, width: 320, height: 256, steps: 2, device: 'cpu', warnings: [] });
    expect(report.bundle).toBeTruthy();
    expect(report).toMatchObject({ precision: 'fp32', precisionReason: 'asked for' });
    expect(report.timings.totalMs).toBeGreaterThan(0);
    expect(report.timings.stages.denoiser).toBeGreaterThan(0);
    expect(report.candidates.map((c: { file: string }) => c.file)).toEqual([dir.file('r.png'), dir.file('r-2.png')]);
    expect(await sharp(dir.file('r-2.png')).metadata()).toMatchObject({ width: 320, height: 256 });
    expect((await readdir(dir.file('previews'))).length).toBeGreaterThanOrEqual(3);
  });

  it('is reproducible, and says what it did in one line', async () => {
    const again = async (name: string) => {
      const { code, out } = await edit('--out', dir.file(name), '--seed', '3', '--steps', '1');
      expect(code).toBe(0);
      expect(out.trim().split('\n')).toEqual([expect.stringMatching(/a\d\.png: 320×256, seed 3, .* on cpu, \d+ ms$/)]);
      return readFile(dir.file(name));
    };
    expect((await again('a1.png')).equals(await again('a2.png'))).toBe(true);
  });

  it.each([
    ['no drag', ['--out', 'x.png'], /no drags/],
    ['a malformed drag', ['--drag', '1,2', '--out', 'x.png'], /--drag 1,2: expected X,Y:X,Y/],
    ['a drag outside', ['--drag', '1,2:999,3', '--out', 'x.png'], /drag 1: its target \(999, 3\) lies outside/],
    ['no --out', ['--drag', '1,2:3,4'], /--out RESULT\.png is missing/],
    ['a lossy --out', ['--drag', '1,2:3,4', '--out', 'x.jpg'], /must end in \.png/],
    ['an unknown option', ['--drga', '1,2:3,4'], /--drga/],
    ['an unknown device', ['--device', 'tpu', '--out', 'x.png'], /--device tpu: must be one of auto, cpu/],
    [
      'an unknown precision',
      ['--precision', 'int4', '--out', 'x.png'],
      /--precision int4: must be one of auto, fp32, int8/,
    ],
    ['a number that is none', ['--steps', 'few', '--drag', '1,2:3,4', '--out', 'x.png'], /--steps few: not a number/],
    ['steps the bundle lacks', ['--steps', '37', '--drag', '9,9:19,19', '--out', 'x.png'], /does not take steps 37/],
  ])('%s: exit code 2 and one line', async (_, args, message) => {
    const { code, out, err } = await tug('edit', dir.file('photo.png'), '--bundle', BUNDLE, ...args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(message);
    expect(err.trim().split('\n')).toHaveLength(1);
  });

  it('a photo or a bundle that is not there', async () => {
    expect(await tug('edit', 'nothing.jpg', '--drag', '1,2:3,4', '--out', 'x.png')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/can't read nothing\.jpg: ENOENT/),
    });
    const args = ['--drag', '10,20:30,40', '--out', 'x.png', '--bundle', dir.folder];
    expect(await tug('edit', dir.file('photo.png'), ...args)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/no bundle at /),
    });
  });

  it('ends on Ctrl-C with exit code 130 and no result', async () => {
    await using out = await scratch();
    const args = [
      '--drag',
      '130,128:160,120',
      '--out',
      out.file('x.png'),
      '--previews',
      out.folder,
      '--candidates',
      '4',
    ];
    const child = spawn(process.execPath, [BIN, 'edit', dir.file('photo.png'), '--bundle', BUNDLE, ...args]);
    for await (const _ of watch(out.folder)) break; // the first preview is there
    child.kill('SIGINT');
    const [code] = await once(child, 'exit');
    expect(code).toBe(130);
    expect((await readdir(out.folder)).filter((name) => name.endsWith('.png'))).toEqual([]);
  });

  it('--help tells the options', async () => {
    const { code, out } = await tug('--help');
    expect(code).toBe(0);
    expect(out).toMatch(/--drag HX,HY:TX,TY/);
  });
});
