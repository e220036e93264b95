/**
 * The warp family: a field network tells where every pixel comes from, and a denoiser that predicts x̂_0 mends what the warp leaves.
 * Graphs field (or pull), encoder, appearance, denoiser, decoder; see edit.ts for their tensors.
 */
import type { WarpBundle } from './bundle.js';
import { ahead, EngineError } from './errors.js';
import { cropGrid, type Grid, overlay, refineField, spread, warpLatent, warpWindow } from './field.js';
import { type Rect, type Size, scaled, toPhoto, toWork, type View, type WorkPoint } from './geometry.js';
import type { Store, Tensor } from './runtime.js';
import {
  decodedPart,
  type Family,
  type Frame,
  gridOf,
  halfTensor,
  imageTensor,
  type Laid,
  latentSize,
  type Machine,
  recall,
  type Scene,
  take,
  tensorOf,
  type WorkDrag,
} from './scene.js';
import type { Stopwatch } from './stopwatch.js';

/** A tensor of the decoder that is another one, warped by the field. */
const WARPED = '_warped';

/**
 * One of the decoder's inputs for a window of the picture, which is `pixels` wide: the image and the encoder's features as they land
 * there, everything else cut to it. With a `step` of 2, at half the size; undefined if it has none.
 */
function land(
  name: string,
  source: Tensor,
  field: Grid,
  window: Rect,
  pixels: number,
  step: 1 | 2,
): Tensor | undefined {
  const grid = gridOf(source);
  const scale = grid.width / pixels;
  const cells = scaled(window, scale);
  if (Object.values(cells).some((side) => side % step !== 0)) return undefined;
  if (name.endsWith(WARPED)) return tensorOf(warpWindow(grid, field, cells, scale, step));
  const cut = tensorOf(cropGrid(grid, cells));
  return step === 1 ? cut : halfTensor(cut);
}

const sourceOf = (name: string): string => (name.endsWith(WARPED) ? name.slice(0, -WARPED.length) : name);

/**
 * A decoder that warps by itself reads the picture from wherever the field points, so no border around a part is wide enough.
 * Throws BUNDLE_INVALID if the bundle promises one all the same.
 */
export function checkReach(bundle: Pick<WarpBundle, 'name' | 'decoder'>, decoderInputs: readonly string[]): void {
  if (bundle.decoder?.reach === undefined || !decoderInputs.includes('field')) return;
  throw new EngineError(
    'BUNDLE_INVALID',
    `bundle ${bundle.name}: the decoder takes the field and warps by itself, so bundle.json must not state decoder.reach`,
  );
}

/**
 * Which network says what follows the drags, and how much of it. A painted mask tells what is meant; without one nothing shall be torn
 * off at first, and the candidates after the first are what the field's own network makes of it.
 */
export function fieldNetwork(
  { field: { follow }, graphs }: Pick<WarpBundle, 'field' | 'graphs'>,
  painted: boolean,
  answer: number,
): { graph: 'field' | 'pull'; follow: number | undefined } {
  if (painted || graphs.pull === undefined) return { graph: 'field', follow: follow?.[answer] };
  return { graph: answer === 0 ? 'pull' : 'field', follow: follow?.[Math.max(0, answer - 1)] };
}

/**
 * The metric of the field, [1, 3, h, w] in work pixels, in the photo's: one that has more pixels than the networks see loses less where
 * it is drawn out, and `composite` carries its own detail along.
 */
export function stretchOfPhoto({ data, dims }: Tensor, { scaleX, scaleY }: Pick<View, 'scaleX' | 'scaleY'>): Tensor {
  const finer = Math.max(1, 1 / (scaleX * scaleY));
  return { data: data.map((value) => value * finer), dims };
}

const dragsTensor = (drags: readonly WorkDrag[]): Tensor => ({
  data: Float32Array.from(drags.flatMap((d) => [d.handle.x, d.handle.y, d.target.x, d.target.y])),
  dims: [1, drags.length, 4],
});

/**
 * Runs the field's network `graph`. Afterwards `field`, `visibility` and `stretch` are in the store, as the other networks take them;
 * `coarse` and `visibility` are the field, in work pixels, and what is seen, as finely as the network knows them: where it has taken a
 * closer look, on cells of half the size.
 */
async function seeMotion(
  machine: Machine,
  bundle: WarpBundle,
  { view, closer }: Frame,
  { photo, drags, store }: Laid,
  graph: 'field' | 'pull',
  clock: Stopwatch,
): Promise<{ coarse: Grid; visibility: Grid }> {
  const cellsOf = ({ work }: View): Size => ({
    height: work.height / bundle.field.downscale,
    width: work.width / bundle.field.downscale,
  });
  if (closer === undefined) {
    clock.add('field', await machine.runtime.run(graph, store));
    const coarse = take(bundle, store, 'field', { channels: 2, ...cellsOf(view) });
    return { coarse, visibility: take(bundle, store, 'visibility', { channels: 1, ...cellsOf(view) }) };
  }
  const { region, work, scaleX, scaleY } = closer.view;
  const across = (p: WorkPoint): WorkPoint => toWork(closer.view, toPhoto(view, p));
  const own: Store = new Map(store);
  own.set('image', await clock.time('prepare', () => imageTensor(photo, closer.view)));
  own.set('mask', { data: closer.mask, dims: [1, 1, work.height, work.width] });
  own.set('drags', dragsTensor(drags.map((d) => ({ handle: across(d.handle), target: across(d.target) }))));
  clock.add('field', await machine.runtime.run(graph, own));
  const fine = { height: 2 * cellsOf(view).height, width: 2 * cellsOf(view).width };
  const laidOver = (name: string, beyond: readonly number[]): Grid => {
    const seen = take(bundle, own, name, { channels: beyond.length, ...cellsOf(closer.view) });
    return overlay(seen, region, view.region, fine, beyond);
  };
  return clock.time('prepare', () => {
    const coarse = inPixels(laidOver('field', [0, 0]), view.scaleX / scaleX, view.scaleY / scaleY);
    const visibility = laidOver('visibility', [1]);
    const halved = (grid: Grid): Tensor => halfTensor(tensorOf(grid)) as Tensor;
    store.set('field', halved(coarse));
    store.set('visibility', halved(visibility));
    // a metric of 1 0 1: nothing is drawn out
    if (own.has('stretch')) store.set('stretch', halved(laidOver('stretch', [1, 0, 1])));
    return { coarse, visibility };
  });
}

/** A field [2, h, w] in pixels of another size, in place. */
function inPixels(field: Grid, x: number, y: number): Grid {
  const plane = field.width * field.height;
  for (let i = 0; i < plane; i++) {
    field.data[i] = (field.data[i] as number) * x;
    field.data[plane + i] = (field.data[plane + i] as number) * y;
  }
  return field;
}

export function warpFamily(bundle: WarpBundle, decoderInputs: readonly string[]): Family {
  checkReach(bundle, decoderInputs);
  const beside = decoderInputs.filter((name) => name !== 'latent_out');
  return {
    decoder: 'decoder',
    answers: bundle.field.follow?.length ?? 1,
    closer: bundle.field.closer,
    learned: true,

    async openScene(machine, frame, laid, answer, clock) {
      const { work } = frame.view;
      const { store } = laid;
      const { graph, follow } = fieldNetwork(bundle, frame.painted, answer);
      if (follow !== undefined) store.set('follow', { data: Float32Array.of(follow), dims: [1] });
      store.set('drags', dragsTensor(laid.drags));
      const { coarse, visibility } = await seeMotion(machine, bundle, frame, laid, graph, clock);
      const stretch = store.get('stretch');
      if (stretch !== undefined) store.set('stretch', stretchOfPhoto(stretch, frame.view));
      const part = decodedPart(bundle.decoder?.reach, frame);
      let refined: Grid | undefined;
      const made = new Map<string, Tensor>();
      const landed = (name: string): Tensor | undefined => {
        const source = store.get(sourceOf(name));
        const tensor = made.get(name) ?? (source && land(name, source, scene.field, part, work.width, 1));
        if (tensor !== undefined) made.set(name, tensor);
        return tensor;
      };
      const scene: Scene = {
        ...laid,
        get field() {
          refined ??= spread(refineField(coarse, work, part), work, part); // while the encoders run
          return refined;
        },
        fieldWithin: (size, window) =>
          size.width === work.width && size.height === work.height
            ? cropGrid(scene.field, window)
            : refineField(coarse, size, window),
        visibility,
        holes: bundle.holes === 'patches' ? visibility : undefined,
        part,
        landed,
      };
      return scene;
    },

    async encode(machine, scene, frame, key, clock) {
      const { runtime } = machine;
      const { store } = scene;
      const { height, width } = latentSize(bundle, frame);
      const warpSource = async (): Promise<void> => {
        const latent = take(bundle, store, 'latent', { channels: bundle.latent.channels, height, width });
        const field = gridOf(store.get('field') as Tensor); // the denoiser has learned on what mixes
        const warped = await clock.time('sampling', () => warpLatent(latent, field, bundle.latent.downscale));
        store.set('warped', tensorOf(warped));
      };
      const reused = await recall(machine, store, key, async () => {
        clock.add('encoder', await runtime.run('encoder', store));
        const appearing = ahead(runtime.run('appearance', store));
        await warpSource();
        clock.add('appearance', await appearing);
        return ['image', ...runtime.outputs('encoder'), ...runtime.outputs('appearance')];
      });
      if (reused) await warpSource();
      const names = beside.filter((name) => store.has(sourceOf(name)));
      const decoderInputs = (): Store => new Map(names.map((name) => [name, scene.landed(name) as Tensor]));
      const halfInputs = (): Store | undefined => {
        const inputs: Store = new Map();
        for (const name of names) {
          const source = store.get(sourceOf(name)) as Tensor;
          const half = land(name, source, scene.field, scene.part, frame.view.work.width, 2);
          if (half === undefined) return undefined;
          inputs.set(name, half);
        }
        return inputs;
      };
      return { ...scene, reused, decoderInputs, halfInputs };
    },

    startAlpha: ({ alphas }, timesteps) => alphas[timesteps[0] as number] as number,

    async predict({ runtime }, store, _settings, _alpha, clock) {
      clock.add('denoiser', await runtime.run('denoiser', store));
      const [, channels, height, width] = (store.get('sample') as Tensor).dims as [number, number, number, number];
      return take(bundle, store, 'x0', { channels, height, width }).data;
    },

    finish: (_machine, _x, x0) => x0,
  };
}
