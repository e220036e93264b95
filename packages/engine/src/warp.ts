/**
 * The warp family: a field network tells where every pixel comes from, and a denoiser that predicts x̂_0 mends what the warp leaves.
 * Graphs field, encoder, appearance, denoiser, decoder; see edit.ts for their tensors.
 */
import type { WarpBundle } from './bundle.js';
import { averaged, type Grid, warpLatent } from './field.js';
import { fill } from './fill.js';
import type { Tensor } from './runtime.js';
import { type Family, latentSize, layScene, recall, take } from './scene.js';

/** Where something was filled, field and visibility have the work size, and this is visibility at the field's own, for the denoiser. */
const CELLS = 'visibility_cells';

export function warpFamily(bundle: WarpBundle): Family {
  return {
    decoder: 'decoder',

    async openScene(machine, frame, photo, photoDrags, key, clock) {
      const { work } = frame.view;
      const { store, drags } = await layScene(machine, frame, photo, photoDrags, key, clock);
      const points = drags.flatMap((d) => [d.handle.x, d.handle.y, d.target.x, d.target.y]);
      store.set('drags', { data: Float32Array.from(points), dims: [1, drags.length, 4] });
      clock.add('field', await machine.runtime.run('field', store));
      const cells = { height: work.height / bundle.field.downscale, width: work.width / bundle.field.downscale };
      const field = take(bundle, store, 'field', { channels: 2, ...cells });
      const visibility = take(bundle, store, 'visibility', { channels: 1, ...cells });
      const { data } = store.get('image') as Tensor;
      const filled = await clock.time('fill', () => fill(data, frame.mask, field, visibility));
      if (filled === undefined) return { photo, drags, store, field, visibility };
      store.set('field', tensor(filled.field)).set('visibility', tensor(filled.visibility));
      store.set(CELLS, tensor(averaged(filled.visibility, bundle.field.downscale)));
      return { photo, drags, store, ...filled };
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
      const cells = store.get(CELLS);
      const seen = cells === undefined ? store : new Map(store).set('visibility', cells);
      clock.add('denoiser', await runtime.run('denoiser', seen));
      const [, channels, height, width] = (store.get('sample') as Tensor).dims as [number, number, number, number];
      return take(bundle, seen, 'x0', { channels, height, width }).data;
    },

    finish: (_machine, _x, x0) => x0,
  };
}

function tensor({ data, channels, height, width }: Grid): Tensor {
  return { data, dims: [1, channels, height, width] };
}
