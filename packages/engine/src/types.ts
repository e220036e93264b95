/**
 * What goes into an edit and what comes out. All of it survives structured clone, so an edit can run in another process.
 * Coordinates are pixels of the photo, (x, y), origin at its top-left corner; they may be fractional.
 */

export type Device = 'auto' | 'cpu' | 'cuda' | 'webgpu';
export type ConcreteDevice = Exclude<Device, 'auto'>;

export const PRECISIONS = ['fp32', 'fp16', 'int8'] as const;
export type Precision = (typeof PRECISIONS)[number];
/** `auto` takes int8 where the bundle has it and the CPU multiplies bytes quickly; what is asked for by name is never replaced. */
export type WantedPrecision = 'auto' | 'fp32' | 'int8';

/** The largest photo: 16 megapixels. */
export const MAX_PIXELS = 4096 * 4096;

export const SCHEDULERS = ['DDIM', 'LCM', 'BRIDGE'] as const;
export const GUIDANCE_DECAYS = ['NONE', 'LINEAR', 'SQUARE', 'QUADRATIC', 'INV_SQUARE'] as const;
export const NOISE_PRIORS = ['PURE', 'MIXED', 'COPY_PASTE', 'SOURCE', 'WARP'] as const;

export type Scheduler = (typeof SCHEDULERS)[number];
export type GuidanceDecay = (typeof GUIDANCE_DECAYS)[number];
export type NoisePrior = (typeof NOISE_PRIORS)[number];

export interface Point {
  x: number;
  y: number;
}

/** What lies under `handle` is to move to `target`. The same point twice is a pin: it stays where it is. */
export interface Drag {
  handle: Point;
  target: Point;
}

/** Left out = the bundle's own default. What the bundle does not take is refused with UNSUPPORTED_OPTION. */
export interface EditOptions {
  steps?: number;
  scheduler?: Scheduler;
  guidance?: number;
  guidanceDecay?: GuidanceDecay;
  /** only the first so many steps are guided */
  guidanceSteps?: number;
  noisePrior?: NoisePrior;
  pointAugmentation?: boolean;
  sequential?: boolean;
}

export interface EditInput {
  /** encoded picture: PNG, JPEG, WebP, AVIF, TIFF, GIF */
  image: Uint8Array;
  drags: readonly Drag[];
  /** encoded picture of the photo's size; white may change. Without one, a mask is derived from the drags. */
  mask?: Uint8Array;
  /**
   * 32-bit integer; drawn at random if left out. Candidate i is what the same edit makes alone with that candidate's seed. Bundles whose
   * field network has several answers to what belongs to a drag are asked for answer ⌊seed / 2²⁹⌋, so candidate i has seed + i · 2²⁹
   * (modulo 2³¹); with others it has seed + i.
   */
  seed?: number;
  /** 1 to 4 */
  candidates?: number;
  options?: EditOptions;
}

/**
 * Milliseconds spent in each stage, summed over steps and candidates. The five graphs come first. Other stages run beside them where they
 * can, so that all together may be more than the whole.
 */
export const STAGES = [
  'field',
  'encoder',
  'appearance',
  'denoiser',
  'decoder',
  'decode',
  'mask',
  'prepare',
  'sampling',
  'preview',
  'fill',
  'composite',
  'encode',
] as const;

export type Stage = (typeof STAGES)[number];

export interface EditTimings {
  totalMs: number;
  /** from the start of the edit until the first preview, the warp by the drags' interpolation, was ready */
  firstPreviewMs: number;
  /** until the first denoised preview was ready */
  firstDenoisedMs: number;
  stages: Record<Stage, number>;
  /** true if the picture's latents and appearance features came from an earlier edit */
  reusedEncoder: boolean;
}

export type EditEvent =
  | {
      type: 'started';
      seed: number;
      width: number;
      height: number;
      totalSteps: number;
      candidates: number;
      /** PNG of the mask that is really used, in the photo's size: 255 may change */
      mask: Uint8Array;
      warnings: string[];
    }
  | {
      type: 'preview';
      candidate: number;
      /** 0 is the warp: by the drags' interpolation, then by a network's field where there is one; `totalSteps` is the finished picture */
      step: number;
      totalSteps: number;
      /** WebP, at most 320 px on its long side: the whole picture as it now stands */
      image: Uint8Array;
    }
  | {
      type: 'candidate';
      index: number;
      seed: number;
      /** PNG, lossless, in the photo's size */
      image: Uint8Array;
    }
  | { type: 'done'; timings: EditTimings };

/** What a bundle is and takes. */
export interface BundleInfo {
  bundle: string;
  title: string;
  license: string;
  /** of an open engine: the one that its edits run in */
  precision: Precision;
  /** what the bundle has networks in */
  precisions: Precision[];
  maxDrags: number;
  /** largest photo, width × height */
  maxPixels: number;
  defaultSteps: number;
  steps: number[];
  defaultGuidance: number;
  guidance: boolean;
  schedulers: Scheduler[];
  noisePriors: NoisePrior[];
  pointAugmentation: boolean;
  sequential: boolean;
}

export interface EngineInfo extends BundleInfo {
  device: ConcreteDevice;
  /** one sentence: why this device, and why not the others */
  deviceReason: string;
  /** one sentence: why this precision */
  precisionReason: string;
  /** threads the graphs run on; part of what makes a result reproducible */
  threads: number;
}
