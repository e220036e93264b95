/**
 * Knows: a rough idea of what a drag will do, drawn many times a second while it is pulled: a mesh over the picture whose
 * vertices follow the drags, exact at them and still a little way off. It is a hint; the network decides what really happens.
 * Does not know: gestures, the document. Where WebGL is missing there is no hint.
 */

import type { CanvasSize, SharedDrag } from '@tug/schema';

const CELLS = 56;
const TEXTURE = 2048;
const SLOW_FRAME_MS = 45;
const MOST_SLOW_FRAMES = 12;
/** x, y in clip space, u, v, opacity */
const STRIDE = 5;

const VERTEX = `
attribute vec2 place; attribute vec2 uv; attribute float opacity;
varying vec2 at; varying float shown;
void main() { at = uv; shown = opacity; gl_Position = vec4(place, 0.0, 1.0); }`;
const FRAGMENT = `
precision mediump float; uniform sampler2D picture; varying vec2 at; varying float shown;
void main() { gl_FragColor = vec4(texture2D(picture, at).rgb, 1.0) * clamp(shown, 0.0, 1.0); }`;

type Ends = Pick<SharedDrag, 'handle' | 'target'>;

/** Where a point of the picture goes: its shift, and how far it belongs to what moves, 0 to 1. */
export function shiftAt(
  x: number,
  y: number,
  drags: readonly Ends[],
  size: CanvasSize,
): readonly [number, number, number] {
  let sum = 0;
  let dx = 0;
  let dy = 0;
  let reach = 0;
  const least = Math.min(size.width, size.height) * 0.14;
  for (const { handle, target } of drags) {
    const mx = target.x - handle.x;
    const my = target.y - handle.y;
    const length = Math.hypot(mx, my);
    const away = Math.hypot(x - handle.x, y - handle.y);
    const radius = Math.max(length * 1.6, least);
    const weight = 1 / (away * away + 1);
    sum += weight;
    dx += weight * mx;
    dy += weight * my;
    if (length > 0) reach = Math.max(reach, smooth(1 - away / radius));
  }
  return sum === 0 ? [0, 0, 0] : [(dx / sum) * reach, (dy / sum) * reach, reach];
}

export class WarpHint {
  private readonly gl: WebGLRenderingContext;
  private readonly vertices: Float32Array<ArrayBuffer>;
  private readonly columns: number;
  private readonly rows: number;
  private readonly indexCount: number;
  private picture = '';
  private slowFrames = 0;

  private constructor(
    private readonly canvas: HTMLCanvasElement,
    gl: WebGLRenderingContext,
    private readonly size: CanvasSize,
  ) {
    this.gl = gl;
    const cell = Math.max(size.width, size.height) / CELLS;
    this.columns = Math.max(2, Math.round(size.width / cell));
    this.rows = Math.max(2, Math.round(size.height / cell));
    this.vertices = new Float32Array((this.columns + 1) * (this.rows + 1) * STRIDE);
    const indices = meshIndices(this.columns, this.rows);
    this.indexCount = indices.length;
    this.setUp(indices);
  }

  /** A hint that draws on this canvas, or null where no graphics card would do it: then pulling would stutter. */
  static on(canvas: HTMLCanvasElement, size: CanvasSize): WarpHint | null {
    if (!hasGraphicsCard()) return null;
    const scale = Math.min(1, TEXTURE / Math.max(size.width, size.height));
    canvas.width = Math.max(1, Math.round(size.width * scale));
    canvas.height = Math.max(1, Math.round(size.height * scale));
    const gl = canvas.getContext('webgl', { alpha: true, antialias: false, premultipliedAlpha: true });
    return gl && new WarpHint(canvas, gl, size);
  }

  /** Draws the picture as the drags would move it; false while the picture is not loaded, and once drawing proved slow. */
  draw(image: HTMLImageElement, drags: readonly Ends[]): boolean {
    if (this.slowFrames > MOST_SLOW_FRAMES || !image.complete || image.naturalWidth === 0 || this.gl.isContextLost())
      return false;
    if (this.picture !== image.src) this.upload(image);
    this.move(drags);
    const { gl } = this;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, this.vertices);
    gl.drawElements(gl.TRIANGLES, this.indexCount, gl.UNSIGNED_SHORT, 0);
    this.watch();
    return true;
  }

  /** A hint that makes pulling stutter is worse than none. */
  private watch(): void {
    const drawn = performance.now();
    requestAnimationFrame(() => {
      const slow = performance.now() - drawn > SLOW_FRAME_MS;
      this.slowFrames = Math.max(this.slowFrames + (slow ? 1 : -0.25), 0);
    });
  }

  private move(drags: readonly Ends[]): void {
    const { width, height } = this.size;
    let at = 0;
    for (let row = 0; row <= this.rows; row += 1) {
      for (let column = 0; column <= this.columns; column += 1) {
        const u = column / this.columns;
        const v = row / this.rows;
        const [dx, dy, reach] = shiftAt(u * width, v * height, drags, this.size);
        this.vertices[at] = (u + dx / width) * 2 - 1;
        this.vertices[at + 1] = 1 - (v + dy / height) * 2;
        this.vertices[at + 2] = u;
        this.vertices[at + 3] = v;
        this.vertices[at + 4] = reach * 12;
        at += STRIDE;
      }
    }
  }

  private upload(image: HTMLImageElement): void {
    const { gl } = this;
    const scaled = document.createElement('canvas');
    scaled.width = this.canvas.width;
    scaled.height = this.canvas.height;
    scaled.getContext('2d')?.drawImage(image, 0, 0, scaled.width, scaled.height);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, scaled);
    this.picture = image.src;
  }

  private setUp(indices: Uint16Array<ArrayBuffer>): void {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, source] of [
      [gl.VERTEX_SHADER, VERTEX],
      [gl.FRAGMENT_SHADER, FRAGMENT],
    ] as const) {
      const shader = gl.createShader(kind);
      if (!shader) return;
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    // biome-ignore lint/correctness/useHookAtTopLevel: WebGL has a "use" of its own
    gl.useProgram(program);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, this.vertices.byteLength, gl.DYNAMIC_DRAW);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, indices, gl.STATIC_DRAW);
    for (const [name, length, from] of [
      ['place', 2, 0],
      ['uv', 2, 2],
      ['opacity', 1, 4],
    ] as const) {
      const location = gl.getAttribLocation(program, name);
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, length, gl.FLOAT, false, STRIDE * 4, from * 4);
    }
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const [name, value] of [
      [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE],
      [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE],
      [gl.TEXTURE_MIN_FILTER, gl.LINEAR],
      [gl.TEXTURE_MAG_FILTER, gl.LINEAR],
    ] as const) {
      gl.texParameteri(gl.TEXTURE_2D, name, value);
    }
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }
}

/** Asked of a canvas of its own, so that the page's canvas stays without a context where the answer is no. */
function hasGraphicsCard(): boolean {
  const gl = document.createElement('canvas').getContext('webgl', { failIfMajorPerformanceCaveat: true });
  const info = gl?.getExtension('WEBGL_debug_renderer_info');
  const renderer = gl ? String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER)) : 'none';
  gl?.getExtension('WEBGL_lose_context')?.loseContext();
  return gl !== null && !/swiftshader|llvmpipe|software|basic render/i.test(renderer);
}

function meshIndices(columns: number, rows: number): Uint16Array<ArrayBuffer> {
  const indices: number[] = [];
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const a = row * (columns + 1) + column;
      const c = a + columns + 1;
      indices.push(a, a + 1, c, a + 1, c + 1, c);
    }
  }
  return new Uint16Array(indices);
}

function smooth(value: number): number {
  const t = Math.min(Math.max(value, 0), 1);
  return t * t * (3 - 2 * t);
}
