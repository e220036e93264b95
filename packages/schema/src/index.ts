/** The public names of the contract package: the shared document, presence, geometry, seeds and error codes. */

export {
  addStroke,
  changeSettings,
  clearMask,
  DOCUMENT_LIMITS,
  mirrorHead,
  moveDragEnd,
  putDrag,
  readDocument,
  removeDrags,
  type SharedDrag,
  type SharedSettings,
  type SharedState,
  type SharedStroke,
} from './document.js';
export { ERROR_CODES, type ErrorCode, isErrorCode, TugError } from './errors.js';
export {
  type CanvasPoint,
  type CanvasSize,
  canvasPoint,
  clampToCanvas,
  distance,
  isInsideCanvas,
  maskSvg,
  type StrokeGeometry,
  strokePath,
} from './geometry.js';
export { type Presence, readPresence } from './presence.js';
export { followingSeed, MAX_SEED, SEEDS_AN_ANSWER } from './seeds.js';
