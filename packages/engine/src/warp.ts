/**
 * The warp family: a field network tells where every pixel comes from, and a denoiser that predicts x̂_0 mends what the warp leaves.
 * Graphs field (or pull), encoder, appearance, denoiser, decoder; see edit.ts for their tensors.
 */
import type { WarpBundle } from './bundle.js';
import { ahead, EngineError } from './errors.js';
import { cropGrid, type Grid, refineField, spread, warpLatent, warpWindow } from './field.js';
import { type Rect, scaled, type View } from './geometry.js';
import type { Store, Tensor } from './runtime.js';
import {
  decodedPart,
  type Family,
  gridOf,
  halfTensor,
  latentSize,
  recall,
  type Scene,
  take,
  tensorOf,
} from './scene.js';

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

export function warpFamily(bundle: WarpBundle, decoderInputs: readonly string[]): Family {
  checkReach(bundle, decoderInputs);
  const beside = decoderInputs.filter((name) => name !== 'latent_out');
  return {
    decoder: 'decoder',
    answers: bundle.field.follow?.length ?? 1,
    learned: true,

    async openScene(machine, frame, laid, answer, clock) {
      const { work } = frame.view;
      const { store, drags } = laid;
      const points = drags.flatMap((d) => [d.handle.x, d.handle.y, d.target.x, d.target.y]);
      store.set('drags', { data: Float32Array.from(points), dims: [1, drags.length, 4] });
      const { graph, follow } = fieldNetwork(bundle, frame.painted, answer);
      if (follow !== undefined) store.set('follow', { data: Float32Array.of(follow), dims: [1] });
      clock.add('field', await machine.runtime.run(graph, store));
      const cells = { height: work.height / bundle.field.downscale, width: work.width / bundle.field.downscale };
      const coarse = take(bundle, store, 'field', { channels: 2, ...cells });
      const visibility = take(bundle, store, 'visibility', { channels: 1, ...cells });
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
