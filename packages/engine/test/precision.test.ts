/** Which precision an edit runs in: asked for, chosen, refused, and the same every time. On a bundle made by hand, see fixtures/. */
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readBundle } from '../src/bundle.js';
import { countGraph } from '../src/flops.js';
import { openEngine, readBundleInfo } from '../src/index.js';
import { type Host, measureInt8, precisionFor } from '../src/precision.js';
import type { Tensor } from '../src/runtime.js';
import type { WantedPrecision } from '../src/types.js';
import { collect, drag, picture, scratch } from './helpers.js';

const TINY = fileURLToPath(new URL('fixtures/tiny-warp', import.meta.url));

let dir: Awaited<ReturnType<typeof scratch>>;
beforeEach(async () => {
  dir = await scratch();
});
afterEach(() => dir[Symbol.asyncDispose]());

/** A machine whose flags and speed are given. */
function machine(arch: string, cpuinfo: string | undefined, gain = 0): Host & { measured: number } {
  return {
    arch,
    measured: 0,
    cpuinfo: async () => cpuinfo,
    async measure() {
      this.measured++;
      return gain;
    },
    file: dir.file('cache/tug/int8.json'),
  };
}

const choose = async (host: Host, wanted: WantedPrecision = 'auto', weightBits?: number) =>
  precisionFor({ ...(await readBundle(TINY)), weightBits }, wanted, host)('cpu');

describe('auto', () => {
  it.each([
    [
      'x64',
      'processor\t: 0\nflags\t\t: fpu sse avx512_vnni avx2\nbugs\t\t:',
      'int8',
      /int8 dot products \(avx512_vnni\)/,
    ],
    ['x64', 'flags\t\t: fpu avx_vnni\n', 'int8', /\(avx_vnni\)/],
    ['x64', 'flags\t\t: fpu sse avx2 avx512f\n', 'fp32', /no int8 dot products/],
    ['arm64', 'Features\t: fp asimd asimddp sve\n', 'int8', /\(asimddp\)/],
    ['arm64', 'Features\t: fp asimd\n', 'fp32', /no int8 dot products/],
  ] as const)("takes the CPU's word: %s %j is %s", async (arch, cpuinfo, precision, reason) => {
    const host = machine(arch, cpuinfo);
    expect(await choose(host)).toEqual({ precision, reason: expect.stringMatching(reason) });
    expect(host.measured).toBe(0);
  });

  it.each([
    [2.4, 'int8'],
    [1.1, 'fp32'],
  ] as const)(
    'measures once where the CPU says nothing: %d times as fast is %s, then and later',
    async (gain, precision) => {
      const host = machine('arm64', undefined, gain);
      const expected = { precision, reason: expect.stringContaining(`${gain.toFixed(2)} times as fast`) };
      expect(await choose(host)).toEqual(expected);
      const later = machine('arm64', undefined, 4 - gain); // it would measure something else now
      expect(await choose(later)).toEqual(expected);
      expect([host.measured, later.measured]).toEqual([1, 0]);
    },
  );

  it.each([
    ['flags\t\t: fpu sse avx2\n', 7, 1.5, 'int8', /measured 1\.50 times as fast/],
    ['flags\t\t: fpu sse avx2\n', 7, 1.1, 'fp32', /measured 1\.10 times as fast/],
    ['flags\t\t: fpu sse avx2\n', 8, 1.5, 'fp32', /this CPU has no int8 dot products .* overflow/],
    ['flags\t\t: fpu sse avx2\n', undefined, 1.5, 'fp32', /overflow/],
    ['flags\t\t: fpu sse\n', 7, 1.5, 'fp32', /no int8 dot products/],
    [undefined, 7, 1.5, 'int8', /measured 1\.50 times as fast/],
    [undefined, 8, 1.5, 'fp32', /can't be told .* overflow/],
  ] as const)(
    'measures on x86 without dot products, if no sum of the weights overflows: %j with %s bits, %d times as fast, is %s',
    async (cpuinfo, bits, gain, precision, reason) => {
      const host = machine('x64', cpuinfo, gain);
      expect(await choose(host, 'auto', bits)).toEqual({ precision, reason: expect.stringMatching(reason) });
    },
  );

  it('two processes that measure at once agree', async () => {
    const hosts = [3, 1, 3, 1].map((gain) => machine('riscv64', undefined, gain));
    const found = await Promise.all(hosts.map((host) => choose(host)));
    expect(new Set([...found, await choose(machine('riscv64', undefined, 2))].map((c) => c?.reason)).size).toBe(1);
    expect(await readdir(dir.file('cache/tug'))).toEqual(['int8.json']);
  });

  it('stays with fp32 where the measurement cannot be kept, and measures anew where what was kept is not readable', async () => {
    await writeFile(dir.file('cache'), 'a file where a folder should be');
    const reason = expect.stringMatching(/can't be kept in .*int8\.json \((ENOTDIR|EEXIST)\)/);
    expect(await choose(machine('riscv64', undefined, 3))).toEqual({ precision: 'fp32', reason });
    await rm(dir.file('cache'));
    await choose(machine('riscv64', undefined, 1));
    await writeFile(dir.file('cache/tug/int8.json'), '{"gain":');
    expect(await choose(machine('riscv64', undefined, 3))).toMatchObject({ precision: 'int8' });
  });

  it('measures a positive ratio on this machine', async () => {
    expect(await measureInt8(2)).toBeGreaterThan(0);
  });

  it('keeps to the networks that there are, and to fp32 on a GPU', async () => {
    const bundle = await readBundle(TINY);
    const host = machine('x64', 'flags : avx512_vnni');
    expect(await precisionFor(bundle, 'auto', host)('cuda')).toEqual({
      precision: 'fp32',
      reason: expect.stringMatching(/on CPUs only, not on cuda/),
    });
    const plain = { ...bundle, precisions: undefined };
    expect(await precisionFor(plain, 'auto', host)('cpu')).toMatchObject({ precision: 'fp32' });
    expect(await precisionFor(bundle, 'int8', host)('cuda')).toBeUndefined();
  });
});

describe('an engine', () => {
  const input = async () => ({ image: await picture(128, 128), drags: [drag(50, 64, 70, 60)], seed: 3 });
  const edit = async (precision: WantedPrecision, folder = TINY) => {
    const engine = await openEngine(folder, { device: 'cpu', precision, threads: 1 });
    const { image } = await collect(engine, await input());
    await engine.close();
    return { info: engine.info, image: Buffer.from(image).toString('base64') };
  };

  it('runs in what was asked for, says so, and gives the same bytes each time', async () => {
    const [plain, again, int8, int8Again] = [
      await edit('fp32'),
      await edit('fp32'),
      await edit('int8'),
      await edit('int8'),
    ];
    expect(plain.info).toMatchObject({ precision: 'fp32', precisionReason: 'asked for', precisions: ['fp32', 'int8'] });
    expect(int8.info).toMatchObject({ precision: 'int8', precisionReason: 'asked for' });
    expect(again.image).toBe(plain.image);
    expect(int8Again.image).toBe(int8.image);
    expect(int8.image).not.toBe(plain.image);
  });

  it('auto is one of the two, with the bytes of that one', async () => {
    const auto = await edit('auto');
    expect(auto.info.precisionReason).toMatch(/^auto: /);
    expect(auto.image).toBe((await edit(auto.info.precision as 'fp32' | 'int8')).image);
  });

  it('reads only the files of its precision', async () => {
    await cp(TINY, dir.folder, { recursive: true });
    await rm(dir.file('denoiser.onnx'));
    await expect(edit('fp32', dir.folder)).rejects.toMatchObject({
      code: 'BUNDLE_INVALID',
      message: expect.stringMatching(/denoiser\.onnx is missing/),
    });
    expect((await edit('int8', dir.folder)).info.precision).toBe('int8');
    await writeFile(dir.file('denoiser.int8.onnx'), await readFile(dir.file('field.onnx')));
    await expect(edit('int8', dir.folder)).rejects.toMatchObject({ code: 'BUNDLE_INVALID' });
  });

  const bundleWith = async (change: (json: Json) => void): Promise<string> => {
    await cp(TINY, dir.folder, { recursive: true });
    const json = JSON.parse(await readFile(dir.file('bundle.json'), 'utf8')) as Json;
    change(json);
    await writeFile(dir.file('bundle.json'), JSON.stringify(json));
    return dir.folder;
  };

  it('refuses int8 where the bundle has none, and takes what it has by itself', async () => {
    const folder = await bundleWith((json) => {
      delete json.precisions;
      delete json.graphs.denoiser?.int8;
    });
    await expect(openEngine(folder, { device: 'cpu', precision: 'int8' })).rejects.toMatchObject({
      code: 'UNSUPPORTED_OPTION',
      message: expect.stringMatching(/bundle tiny-warp has no int8 networks, only fp32; ask for "auto"/),
    });
    expect(await readBundleInfo(folder)).toMatchObject({ precision: 'fp32', precisions: ['fp32'] });
    const { info } = await edit('auto', folder);
    expect(info).toMatchObject({ precision: 'fp32', precisionReason: expect.stringMatching(/the only one/) });
  });

  it.each<[string, (json: Json) => void, RegExp]>([
    ['promises int8 without files', (json) => delete json.graphs.denoiser?.int8, /precisions has int8, but no graph/],
    ['has int8 files and does not say so', (json) => delete json.precisions, /precisions lacks int8/],
    [
      'leaves out its own',
      (json) => Object.assign(json, { precisions: ['int8'] }),
      /lacks the bundle's own precision fp32/,
    ],
  ])('a bundle that %s contradicts itself', async (_, change, message) => {
    await expect(readBundle(await bundleWith(change))).rejects.toMatchObject({
      code: 'BUNDLE_INVALID',
      message: expect.stringMatching(message),
    });
  });

  interface Json {
    precisions?: string[];
    graphs: Record<string, { int8?: object }>;
  }
});

describe('counting', () => {
  it('sees the same convolution through weights in fp16 and through 8 bits', async () => {
    const tensor = (): Tensor => ({ data: new Float32Array(4 * 16 * 16), dims: [1, 4, 16, 16] });
    const inputs = new Map([
      ['sample', tensor()],
      ['warped', tensor()],
    ]);
    for (const file of ['denoiser.onnx', 'denoiser.int8.onnx']) {
      const { operators } = await countGraph(`${TINY}/${file}`, inputs);
      const flop = 2 * 16 * 16 * 4 * 8 * 9;
      expect(operators).toEqual([{ op: 'Conv', inputs: expect.anything(), output: [1, 4, 16, 16], flop }]);
      expect(operators[0]?.inputs.slice(0, 2)).toEqual([
        [1, 8, 16, 16],
        [4, 8, 3, 3],
      ]);
    }
  });
});
