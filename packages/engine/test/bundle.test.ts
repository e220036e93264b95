/** Opening bundles and devices: what is wrong is said, with a code. */
import { execFile } from 'node:child_process';
import { cp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { asEngineError } from '../src/errors.js';
import { openEngine, readBundleInfo } from '../src/index.js';
import { checkReach, fieldNetwork, stretchOfPhoto } from '../src/warp.js';
import { BUNDLE, collect, drag, picture, scratch } from './helpers.js';

async function copyOfBundle() {
  const dir = await scratch();
  await cp(BUNDLE, dir.folder, { recursive: true });
  const edit = async (change: (json: { defaults: object; schedule: object }) => void): Promise<void> => {
    const json = JSON.parse(await readFile(dir.file('bundle.json'), 'utf8'));
    change(json);
    await writeFile(dir.file('bundle.json'), JSON.stringify(json));
  };
  return { ...dir, edit };
}

const invalid = (message: RegExp) => ({
  name: 'EngineError',
  code: 'BUNDLE_INVALID',
  message: expect.stringMatching(message),
});

describe('a bundle', () => {
  it('is described without being opened', async () => {
    const info = await readBundleInfo(BUNDLE);
    expect(info.steps).toContain(info.defaultSteps);
    expect(info.schedulers.length).toBeGreaterThan(0);
    expect(info.maxPixels).toBeGreaterThanOrEqual(16_000_000);
  });

  it('is described through a door of its own, without ONNX Runtime and libvips', async () => {
    const code = `const { readBundleInfo } = await import('@tug/engine/bundle');
      const { bundle } = await readBundleInfo(process.argv[1]);
      const native = process.report.getReport().sharedObjects.filter((file) => /onnxruntime|sharp|vips/.test(file));
      console.log(JSON.stringify({ bundle, native }));`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code, BUNDLE], {
      cwd: import.meta.dirname,
    });
    expect(JSON.parse(stdout)).toEqual({ bundle: (await readBundleInfo(BUNDLE)).bundle, native: [] });
  });

  it('whose decoder warps by itself may not say how little of the picture it looks at', () => {
    const bundle = { name: 'old', decoder: { reach: 40 } };
    expect(() => checkReach(bundle, ['latent_out', 'image', 'field'])).toThrow(/must not state decoder\.reach/);
    expect(() => checkReach(bundle, ['latent_out', 'image_warped'])).not.toThrow();
    expect(() => checkReach({ name: 'old' }, ['latent_out', 'image', 'field'])).not.toThrow();
  });

  it('has a network of its own for drags without a painted mask, or does without', () => {
    const entry = { file: 'a.onnx', sha256: '', bytes: 1 };
    const graphs = { field: entry, encoder: entry, appearance: entry, denoiser: entry, decoder: entry };
    const field = { downscale: 4, follow: [0, 2.5, -2] };
    const both = { field, graphs: { ...graphs, pull: entry } };
    expect([0, 1, 2].map((answer) => fieldNetwork(both, false, answer))).toEqual([
      { graph: 'pull', follow: 0 },
      { graph: 'field', follow: 0 },
      { graph: 'field', follow: 2.5 },
    ]);
    expect(fieldNetwork(both, true, 1)).toEqual({ graph: 'field', follow: 2.5 });
    expect(fieldNetwork({ field, graphs }, false, 1)).toEqual({ graph: 'field', follow: 2.5 });
    expect(fieldNetwork({ field: { downscale: 4 }, graphs }, false, 0)).toEqual({ graph: 'field', follow: undefined });
  });

  it('is told by how much less a photo with more pixels than it sees is drawn out', () => {
    const stretch = { data: Float32Array.of(0.25, 0.1, 1), dims: [1, 3, 1, 1] };
    const seen = (scale: number) => [...stretchOfPhoto(stretch, { scaleX: scale, scaleY: scale }).data];
    expect(seen(1)).toEqual([...stretch.data]);
    expect(seen(1.5)).toEqual([...stretch.data]); // an enlarged photo has no more detail than before
    expect(seen(0.5)).toEqual([...Float32Array.of(1, 0.4, 4)]);
  });

  it('that is not there', async () => {
    await expect(openEngine('/nowhere/at/all')).rejects.toMatchObject(
      invalid(/no bundle at \/nowhere\/at\/all.*ENOENT/),
    );
  });

  it('with a damaged file, a shortened file, a missing file', async () => {
    await using dir = await copyOfBundle();
    const file = dir.file('field.onnx');
    const bytes = await readFile(file);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 0xff;
    await writeFile(file, bytes);
    await expect(openEngine(dir.folder, { precision: 'fp32' })).rejects.toMatchObject(
      invalid(/field\.onnx is damaged.*expected sha256/),
    );
    await truncate(file, 1000);
    await expect(openEngine(dir.folder, { precision: 'fp32' })).rejects.toMatchObject(
      invalid(/field\.onnx is damaged.*expected \d+ bytes, found 1000/),
    );
    await rm(file);
    await expect(openEngine(dir.folder, { precision: 'fp32' })).rejects.toMatchObject(
      invalid(/field\.onnx is missing/),
    );
  });

  it('whose bundle.json is no JSON, of another format, or contradicts itself', async () => {
    await using dir = await copyOfBundle();
    await dir.edit((json) => Object.assign(json, { defaults: { ...json.defaults, steps: 77 } }));
    await expect(readBundleInfo(dir.folder)).rejects.toMatchObject(invalid(/defaults\.steps 77/));
    await dir.edit((json) => Object.assign(json, { format: 2 }));
    await expect(readBundleInfo(dir.folder)).rejects.toMatchObject(invalid(/format/));
    await writeFile(dir.file('bundle.json'), '{');
    await expect(readBundleInfo(dir.folder)).rejects.toMatchObject(invalid(/not JSON/));
  });
});

describe('what goes wrong inside', () => {
  it('values that are no numbers never become a picture', async () => {
    await using dir = await copyOfBundle();
    // without noise in the schedule the first step divides by zero
    await dir.edit((json) => Object.assign(json.schedule, { betaStart: 1e-300, betaEnd: 1e-300 }));
    const engine = await openEngine(dir.folder, { device: 'cpu' });
    const input = { image: await picture(256, 256), drags: [drag(100, 100, 130, 100)], options: { steps: 2 } };
    await expect(collect(engine, input)).rejects.toMatchObject({
      code: 'BAD_OUTPUT',
      message: expect.stringMatching(/not numbers/),
    });
    await engine.close();
  });

  it.each([
    ['std::bad_alloc', 'OUT_OF_MEMORY'],
    ['Failed to allocate memory for requested buffer of size 17179869184', 'OUT_OF_MEMORY'],
    ['webpsave: unable to encode', 'OUT_OF_MEMORY'],
    ['webpsave: picture memory error', 'OUT_OF_MEMORY'],
    ['Invalid typed array length: 99999999999', 'ENGINE_FAILED'],
    ['something else', 'ENGINE_FAILED'],
  ] as const)('"%s" is %s', (text, code) => {
    const error = asEngineError(new Error(`${text}\nwith a stack`), 'running the decoder network');
    expect(error).toMatchObject({ code, message: expect.stringContaining(text) });
    expect(error.message).not.toContain('\n');
  });
});

describe('a device', () => {
  it('auto says which was taken and why not the others', async () => {
    const engine = await openEngine(BUNDLE);
    await engine.close();
    expect(['cpu', 'cuda', 'webgpu']).toContain(engine.info.device);
    expect(engine.info.deviceReason).toMatch(/^auto took/);
    if (engine.info.device === 'cpu') expect(engine.info.deviceReason).toMatch(/cuda: .*webgpu: /);
  });

  it.each(['cuda', 'webgpu'] as const)('%s asked for by name is taken or refused, never replaced', async (device) => {
    const opened = await openEngine(BUNDLE, { device }).catch((error: unknown) => error);
    if (opened instanceof Error) {
      const message = expect.stringMatching(new RegExp(`^${device} is not available: .*use the device "cpu"`));
      expect(opened).toMatchObject({ code: 'DEVICE_UNAVAILABLE', message });
    } else {
      const engine = opened as Awaited<ReturnType<typeof openEngine>>;
      expect(engine.info.device).toBe(device);
      await engine.close();
    }
  });
});
