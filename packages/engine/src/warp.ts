/**
 * The warp family: a field network tells where every pixel comes from, and a denoiser that predicts x̂_0 mends what the warp leaves.
 * Graphs field, encoder, appearance, denoiser, decoder; see edit.ts for their tensors.
 */
import type { WarpBundle } from './bundle.js';
import { cropGrid, type Grid, warpLatent, warpWindow } from './field.js';
import { type Rect, scaled } from './geometry.js';
import type { Store, Tensor } from './runtime.js';
import { type Family, latentSize, layScene, recall, take } from './scene.js';

/** A tensor of the decoder that is another one, warped by the field. */
const WARPED = '_warped';

/**
 * The decoder's inputs for a window of the picture: the image and the encoder's features as they land there, all else cut to it.
 */
function decoderInputs(names: readonly string[], store: Store, window: Rect): Store {
  const part: Store = new Map();
  const { width: pixels } = gridOf(store, 'mask');
  for (const name of names) {
    const source = name.endsWith(WARPED) ? name.slice(0, -WARPED.length) : name;
    if (!store.has(source)) continue;
    const grid = gridOf(store, source);
    const scale = grid.width / pixels;
    const cells = scaled(window, scale);
    const { data, channels, height, width } =
      source === name ? cropGrid(grid, cells) : warpWindow(grid, gridOf(store, 'field'), cells, scale);
    part.set(name, { data, dims: [1, channels, height, width] });
  }
  return part;
}

function gridOf(store: Store, name: string): Grid {
  const { data, dims } = store.get(name) as Tensor;
  const [, channels, height, width] = dims as [number, number, number, number];
  return { data, channels, height, width };
}

export function warpFamily(bundle: WarpBundle): Family {
  return {
    decoder: 'decoder',
    decoderReach: bundle.decoder?.reach,
    decoderSources: ({ runtime }) => [
      ...new Set(['image', 'mask', 'field', ...runtime.inputs('decoder').map((name) => name.replace(WARPED, ''))]),
    ],
    decoderInputs: ({ runtime }, store, window) => decoderInputs(runtime.inputs('decoder'), store, window),

    answers: bundle.field.follow?.length ?? 1,

    async openScene(machine, frame, photo, photoDrags, answer, key, clock) {
      const { work } = frame.view;
      const { store, drags } = await layScene(machine, frame, photo, photoDrags, key, clock);
      const points = drags.flatMap((d) => [d.handle.x, d.handle.y, d.target.x, d.target.y]);
      store.set('drags', { data: Float32Array.from(points), dims: [1, drags.length, 4] });
      const follow = bundle.field.follow?.[answer];
      if (follow !== undefined) store.set('follow', { data: Float32Array.of(follow), dims: [1] });
      clock.add('field', await machine.runtime.run('field', store));
      const cells = { height: work.height / bundle.field.downscale, width: work.width / bundle.field.downscale };
      const field = take(bundle, store, 'field', { channels: 2, ...cells });
      const visibility = take(bundle, store, 'visibility', { channels: 1, ...cells });
      return { photo, drags, store, field, visibility };
    },

    async encode(machine, scene, key, clock) {
      const { runtime } = machine;
      const { store } = scene;
      const known = await recall(machine, store, key, async () => {
        clock.add('encoder', await runtime.run('encoder', store));
        clock.add('appearance', await runtime.run('appearance', store));
        return ['image', ...runtime.outputs('encoder'), ...runtime.outputs('appearance')];
      });
      const { height, width } = latentSize(bundle, scene);
      const latent = take(bundle, store, 'latent', { channels: bundle.latent.channels, height, width });
      const warped = await clock.time('sampling', () => warpLatent(latent, scene.field, bundle.latent.downscale));
      store.set('warped', { data: warped.data, dims: [1, warped.channels, height, width] });
      return known;
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
