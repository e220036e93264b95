/**
 * LightningDrag-style drag editing on ONNX Runtime: a bundle of networks in, an edit as a stream of events out.
 * The engine knows pictures, drags and masks; it knows nothing of users, canvases, databases or the network.
 */
export { readBundleInfo } from './bundle.js';
export { type Engine, type OpenOptions, openEngine } from './engine.js';
export { ENGINE_ERROR_CODES, EngineError, type EngineErrorCode } from './errors.js';
export {
  type BundleInfo,
  type Device,
  type Drag,
  type EditEvent,
  type EditInput,
  type EditOptions,
  type EditTimings,
  type EngineInfo,
  GUIDANCE_DECAYS,
  type GuidanceDecay,
  NOISE_PRIORS,
  type NoisePrior,
  type Point,
  PRECISIONS,
  type Precision,
  SCHEDULERS,
  type Scheduler,
  STAGES,
  type Stage,
  type WantedPrecision,
} from './types.js';
