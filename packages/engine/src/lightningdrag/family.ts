/**
 * LightningDrag's published layout: a Stable Diffusion inpainting U-Net that predicts the noise, with points and an image prompt.
 *
 *   graph            takes                                   makes
 *   vae_encoder      image                                   latent (the posterior's mean, scaled)
 *   image_prompt     clip_pixels [1, 3, 224, 224]            image_tokens
 *   appearance       latent                                  ref_0 … ref_15
 *   point_embedding  handle_map, target_map [1, 1, H, W]     point_handle_0 … 3, point_target_0 … 3
 *   unet, unet_lcm   sample, timestep, mask, masked_latent,  epsilon
 *                    image_tokens, points, refs, point_scale
 *   vae_decoder      latent_out                              picture
 *
 * The method has no dense field; the scene's is interpolated from the drags, for the first preview and the warped prior.
 */
import { createHash } from 'node:crypto';
import type { GraphName, LightningDragBundle } from '../bundle.js';
import { type Grid, refineField, warpLatent } from '../field.js';
import { type Rect, type Size, wholeOf } from '../geometry.js';
import { interpolatedField } from '../interpolate.js';
import { toRgb } from '../picture.js';
import type { Settings } from '../request.js';
import type { Store, Tensor } from '../runtime.js';
import { type Family, finite, latentSize, recall, take, tensorOf } from '../scene.js';
import { ddimStep } from '../scheduler.js';
import { clipPixels } from './clip.js';
import { labelMaps } from './points.js';
import { cleanFromNoise } from './schedule.js';

const FIELD_DOWNSCALE = 4;

export function lightningDragFamily(bundle: LightningDragBundle): Family {
  return {
    decoder: 'vae_decoder',

    answers: 1,
    closer: undefined,
    learned: false,

    async openScene(_machine, frame, laid, _answer, clock) {
      const { work } = frame.view;
      const { store, drags } = laid;
      const field = await clock.time('field', () => interpolatedField(drags, frame.mask, work, FIELD_DOWNSCALE));
      const { handles, targets } = labelMaps(drags, work);
      store.set('handle_map', { data: handles, dims: [1, 1, work.height, work.width] });
      store.set('target_map', { data: targets, dims: [1, 1, work.height, work.width] });
      // the decoder takes the latent alone, and its attention and norms look at all of it
      const part = wholeOf(work);
      const fieldWithin = (size: Size, window: Rect): Grid => refineField(field, size, window, false);
      const nothing = { visibility: undefined, holes: undefined, landed: () => undefined };
      return { ...laid, field, fieldWithin, part, ...nothing };
    },

    async encode(machine, scene, frame, key, clock) {
      const { runtime } = machine;
      const { store } = scene;
      const mask = store.get('mask') as Tensor;
      const known = await recall(machine, store, key, async () => {
        store.set('clip_pixels', await clock.time('prepare', () => clipInput(bundle, store)));
        for (const graph of ['vae_encoder', 'image_prompt'] as const)
          clock.add('encoder', await runtime.run(graph, store));
        clock.add('appearance', await runtime.run('appearance', store));
        return ['image', 'latent', 'image_tokens', ...runtime.outputs('appearance')];
      });
      const maskKey = key === undefined ? undefined : `${key}:${digest(mask.data)}`;
      const maskKnown = await recall(machine, store, maskKey, async () => {
        const masked: Store = new Map([['image', await clock.time('prepare', () => maskedImage(store))]]);
        clock.add('encoder', await runtime.run('vae_encoder', masked));
        store.set('masked_latent', masked.get('latent') as Tensor);
        return ['masked_latent'];
      });
      clock.add('field', await runtime.run('point_embedding', store));
      const size = { channels: bundle.latent.channels, ...latentSize(bundle, frame) };
      const latent = take(bundle, store, 'latent', size);
      const warped = await clock.time('sampling', () => warpLatent(latent, scene.field, bundle.latent.downscale));
      store.set('warped', tensorOf(warped));
      return { ...scene, reused: known && maskKnown, decoderInputs: () => new Map(), halfInputs: () => new Map() };
    },

    startAlpha: ({ alphas }) => alphas[bundle.schedule.start] as number,

    async predict({ runtime }, store, settings, alpha, clock) {
      const sample = store.get('sample') as Tensor;
      const [, channels, height, width] = sample.dims as [number, number, number, number];
      clock.add('denoiser', await runtime.run(unetFor(bundle, settings), store));
      const eps = take(bundle, store, 'epsilon', { channels, height, width }).data;
      return cleanFromNoise(sample.data, eps, alpha);
    },

    finish({ alphas }, x, x0, { scheduler }, alpha) {
      if (scheduler === 'LCM' || bundle.schedule.finalAlpha === 'one') return x0;
      return ddimStep(x, x0, alpha, alphas[0] as number);
    },
  };
}

function unetFor(bundle: LightningDragBundle, settings: Settings): GraphName {
  return settings.scheduler === 'LCM' && bundle.graphs.unet_lcm !== undefined ? 'unet_lcm' : 'unet';
}

function clipInput(bundle: LightningDragBundle, store: Store): Tensor {
  const { data, dims } = store.get('image') as Tensor;
  const [, , height, width] = dims as [number, number, number, number];
  const { size } = bundle.prompt;
  const rgb = finite(toRgb(data, { width, height }), 'the picture');
  return { data: clipPixels(rgb, { width, height }, bundle.prompt), dims: [1, 3, size, size] };
}

/** The image, 0 (grey) where it may change. */
function maskedImage(store: Store): Tensor {
  const image = store.get('image') as Tensor;
  const mask = (store.get('mask') as Tensor).data;
  const data = image.data.map((v, i) => ((mask[i % mask.length] as number) < 0.5 ? v : 0));
  return { data, dims: image.dims };
}

const digest = (data: Float32Array): string =>
  createHash('sha256')
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex');
