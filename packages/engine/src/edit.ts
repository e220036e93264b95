/**
 * The pipeline of one edit, as numbered steps from encoded picture to candidates. It knows tensors' names (the bundle contract), the order
 * of the graphs, and what can be done while one of them runs; arithmetic lives in scheduler, noise, field, mask and picture, ONNX Runtime
 * behind runtime, sharp in raster.
 *
 *   tensor      shape                what
 *   image       [1, 3, H, W]         the region in [−1, 1]
 *   mask        [1, 1, H, W]         1 = may change
 *   drags       [1, N, 4]            handle x, y, target x, y in work pixels
 *   field       [1, 2, H/4, W/4]     backward field in work pixels; visibility [1, 1, H/4, W/4]; stretch [1, 3, H/4, W/4]: how much,
 *                                    and along which direction, it draws the picture out
 *   latent      [1, C, H/8, W/8]     of the source; warped: by the field; sample: x_t; latent_out: the final x̂_0
 *   key_K       [1, H/32·W/32, C]    of the source, and value_K: what the denoiser's attention takes of it, made once a picture
 *   NAME_warped like NAME            image, skip_2 and skip_4 of the encoder, warped by the field: what the decoder shows
 *   picture     [1, 3, h, w]         what the decoder makes of latent_out, where it is shown
 */
import { createHash } from 'node:crypto';
import { composite, encodeResult, moveAlong } from './composite.js';
import { reachOf, splitStages, within } from './drags.js';
import { ahead, EngineError, throwIfCancelled } from './errors.js';
import { closerView, diagonal, type PhotoDrag, planView, sizeOf } from './geometry.js';
import { patchHoles } from './holes.js';
import { interpolatedField } from './interpolate.js';
import { deriveMask, featherInside, maskBox, reachHandles } from './mask.js';
import { encodeMask } from './png.js';
import { decodeMask, decodePhoto, previewBase } from './raster.js';
import { answerOf, candidateSeed, checkDrags, checkSettings } from './request.js';
import { preview, previewView, type Run, sample } from './sample.js';
import { layScene, type Machine, makeFrame, shownWindow, warpedPicture } from './scene.js';
import { Stopwatch } from './stopwatch.js';
import type { EditEvent, EditInput } from './types.js';

/** Width of the mask's soft edge in work pixels. */
const FEATHER = 8;

/** Work pixels a cell of the drags' interpolation: it is smooth. */
const GUESS_DOWNSCALE = 8;

export async function* runEdit(
  machine: Machine,
  input: EditInput,
  signal: AbortSignal | undefined,
): AsyncGenerator<EditEvent, void, void> {
  const clock = new Stopwatch();
  const breathe = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    throwIfCancelled(signal);
  };
  throwIfCancelled(signal);

  // 1. the request and the photo
  if (!(input.image instanceof Uint8Array)) throw new EngineError('BAD_INPUT', 'image must be the bytes of a picture');
  const settings = checkSettings(input, machine.bundle);
  const hash = createHash('sha256').update(input.image).digest('hex');
  const [photo, painted] = await clock.time('decode', () => {
    const known = machine.photos.get(hash);
    const decoding = known === undefined ? decodePhoto(input.image) : Promise.resolve(known);
    return Promise.all([decoding, input.mask === undefined ? undefined : decodeMask(input.mask, decoding)]);
  });
  machine.photos.set(hash, photo);
  const drags = checkDrags(input, machine.bundle, photo);

  // 2. what may change, and the part of the photo that the networks see
  const base = ahead(previewBase(photo));
  const { mask, warnings } = await clock.time('mask', () =>
    painted === undefined
      ? { mask: deriveMask(photo, drags), warnings: [] as string[] }
      : { mask: painted, warnings: reachHandles(painted, photo, drags) },
  );
  const box = maskBox(mask, photo);
  if (box === undefined)
    throw new EngineError('BAD_INPUT', 'the mask lets nothing change: paint what may change white');
  const reach = reachOf(box, drags);
  const view = planView(photo, reach, machine.bundle.size);
  const closer = closerView(view, reach, machine.bundle.size, machine.family.closer, drags);
  const frame = await clock.time('mask', () => makeFrame(mask, view, box, painted !== undefined, closer));
  const seen = drags.filter((d) => within(d, view.region));
  const { trainedPairs } = machine.bundle.options;
  const stages = splitStages(seen.length > 0 ? seen : drags, settings, diagonal(sizeOf(view.region)), trainedPairs);
  if (trainedPairs !== undefined && seen.length > trainedPairs) {
    warnings.push(
      `${seen.length} drags; these networks were trained on at most ${trainedPairs}, so some may be ignored`,
    );
  }
  const totalSteps = settings.steps * stages.length;

  // 3. the dense field; while a network makes it, the mask's soft edge, and what the drags alone say as a first preview
  const key = `${hash}:${Object.values(view.region).join()}:${view.work.width}x${view.work.height}`;
  const { family } = machine;
  const first = answerOf(settings.seed, family.answers);
  const laid = await layScene(machine, frame, photo, stages[0] as PhotoDrag[], key, clock);
  const opening = ahead(family.openScene(machine, frame, laid, first, clock));
  await breathe();
  const feather = Math.max(2, FEATHER / Math.min(view.scaleX, view.scaleY));
  const alpha = await clock.time('mask', () => featherInside(mask, photo, box, feather));
  yield {
    type: 'started',
    seed: settings.seed,
    width: photo.width,
    height: photo.height,
    totalSteps,
    candidates: settings.candidates,
    mask: await clock.time('mask', () => encodeMask(mask, photo)),
    warnings,
  };
  const run: Run = { machine, settings, frame, alpha, clock, previewBase: base, totalSteps, breathe };
  const coarse = previewView(view);
  const window = shownWindow(frame, coarse.work);
  await breathe();
  if (family.learned) {
    const guess = await clock.time('preview', () => {
      const field = interpolatedField(laid.drags, frame.mask, view.work, GUESS_DOWNSCALE);
      return warpedPicture({ store: laid.store, field }, coarse.work, window);
    });
    yield await preview(run, 0, 0, guess, coarse);
  }
  const opened = await opening;
  await breathe();

  // 4. what the encoders make of the region; while they run, the warp by the field, and patches for its holes
  const encoding = ahead(family.encode(machine, opened, frame, key, clock));
  const warped = await clock.time('preview', () => warpedPicture(opened, coarse.work, window));
  yield await preview(run, 0, 0, warped, coarse);
  const patched = ahead(patchHoles(run, opened));
  const carried = once(() => ahead(moveAlong(run, opened)));

  // 5. each candidate: stages of sampling, then the result at the photo's size
  for (let index = 0; index < settings.candidates; index++) {
    const seed = candidateSeed(settings.seed, index, family.answers);
    const answer = answerOf(seed, family.answers);
    let result = photo;
    let png: Promise<Uint8Array> | undefined;
    for (const [stage, stageDrags] of stages.entries()) {
      let [scene, patch, moving] = [encoding, patched, carried];
      if (stage > 0 || answer !== first) {
        const known = stage === 0 ? key : undefined;
        const relaid = await layScene(machine, frame, result, stageDrags, known, clock);
        const again = await family.openScene(machine, frame, relaid, answer, clock);
        scene = ahead(family.encode(machine, again, frame, known, clock));
        patch = ahead(patchHoles(run, again));
        moving = once(() => ahead(moveAlong(run, again)));
      }
      const picture = yield* sample(run, scene, patch, index, seed, stage, moving);
      const before = result;
      // libvips packs it on a thread of its own
      const shown = ahead(preview(run, index, (stage + 1) * settings.steps, picture, view));
      const moved = await moving();
      const finished = await clock.time('composite', () => composite(run, before, picture, moved));
      result = finished;
      if (stage === stages.length - 1) png = ahead(clock.time('encode', () => encodeResult(finished)));
      yield await shown;
    }
    if (png !== undefined) yield { type: 'candidate', index, seed, image: await png };
    await breathe();
  }
  yield { type: 'done', timings: clock.timings((await encoding).reused) };
}

/** `make`, called at most once. */
function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
