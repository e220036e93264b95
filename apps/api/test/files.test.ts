/** Pictures of every kind come in right or not at all; what is served ends with the right to see it. */

import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Client, photo, TestServer } from './fixture.js';

let tug: TestServer;
let ann: Client;

beforeAll(async () => {
  tug = await TestServer.start({ modelsDir: '/nowhere' });
  ann = await tug.client('Ann');
});
afterAll(() => tug[Symbol.asyncDispose]());

/** The picture as everybody will see it. */
async function shown(bytes: Uint8Array): Promise<{ canvas: { width: number; height: number }; png: Buffer }> {
  const canvas = await ann.canvas(bytes);
  return { canvas, png: Buffer.from(await (await fetch(canvas.head.url)).arrayBuffer()) };
}

/** The colour of one pixel. */
async function pixel(png: Buffer, left: number, top: number): Promise<number[]> {
  return [
    ...(await sharp(png)
      .extract({ left, top, width: 1, height: 1 })
      .toColourspace('srgb')
      .removeAlpha()
      .raw()
      .toBuffer()),
  ];
}

function near(found: number[], wanted: number[], tolerance: number): void {
  for (const [index, value] of wanted.entries())
    expect(Math.abs((found[index] ?? Number.NaN) - value)).toBeLessThanOrEqual(tolerance);
}

const plain = (color: string, width = 64, height = 48) =>
  sharp({ create: { width, height, channels: 3, background: color } });

describe('what is taken', () => {
  test.each(['jpeg', 'png', 'webp', 'avif', 'tiff', 'gif'] as const)('%s', async (format) => {
    const { canvas, png } = await shown(await plain('#c03020').toFormat(format, { quality: 95 }).toBuffer());
    expect(canvas).toMatchObject({ width: 64, height: 48 });
    near(await pixel(png, 30, 20), [0xc0, 0x30, 0x20], 8);
  });

  test('a picture that lies on its side is shown upright, without what its camera wrote', async () => {
    const left = await plain('#00f', 40, 30).png().toBuffer();
    const exif = { IFD0: { Copyright: 'somebody' }, IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '51/1 30/1 0/1' } };
    const bytes = await plain('#f00', 80, 30)
      .composite([{ input: left, left: 0, top: 0 }])
      .withExif(exif)
      .withMetadata({ orientation: 6 })
      .jpeg({ quality: 95 })
      .toBuffer();
    expect((await sharp(bytes).metadata()).exif).toBeDefined();
    const { canvas, png } = await shown(bytes);
    expect(canvas).toMatchObject({ width: 30, height: 80 });
    near(await pixel(png, 15, 10), [0, 0, 255], 30);
    near(await pixel(png, 15, 70), [255, 0, 0], 30);
    const metadata = await sharp(png).metadata();
    expect(metadata.exif).toBeUndefined();
    expect(metadata.orientation).toBeUndefined();
  });

  test('transparent parts show white', async () => {
    const bytes = await sharp({
      create: { width: 64, height: 48, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0.5 } },
    })
      .png()
      .toBuffer();
    const { png } = await shown(bytes);
    near(await pixel(png, 10, 10), [127, 127, 127], 2);
    expect((await sharp(png).metadata()).hasAlpha).toBe(false);
  });

  test('CMYK', async () => {
    const { png } = await shown(await plain('#20a040').toColourspace('cmyk').jpeg({ quality: 95 }).toBuffer());
    near(await pixel(png, 10, 10), [0x20, 0xa0, 0x40], 40);
    expect(await sharp(png).metadata()).toMatchObject({ space: 'srgb', channels: 3, depth: 'uchar' });
  });

  test('16 bits', async () => {
    const { png } = await shown(await plain('#4080c0').toColourspace('rgb16').png().toBuffer());
    near(await pixel(png, 10, 10), [0x40, 0x80, 0xc0], 2);
    expect(await sharp(png).metadata()).toMatchObject({ depth: 'uchar' });
  });

  test('shades of grey', async () => {
    const { png } = await shown(await plain('#777').toColourspace('b-w').png().toBuffer());
    near(await pixel(png, 10, 10), [0x77, 0x77, 0x77], 1);
  });

  test('a wide colour space becomes sRGB', async () => {
    const bytes = await plain('#c05030').withIccProfile('p3').png().toBuffer();
    const { png } = await shown(bytes);
    near(await pixel(png, 10, 10), [0xc0, 0x50, 0x30], 4);
    expect((await sharp(png).metadata()).icc).toBeUndefined();
  });
});

describe('what is refused', () => {
  async function refused(bytes: Uint8Array, status: number, code: string): Promise<string> {
    const answer = await ann.post(bytes);
    expect(answer).toMatchObject({ status, body: { error: { code } } });
    return answer.body.error?.message ?? '';
  }

  test('not a picture', async () => {
    await refused(Buffer.from('%PDF-1.7 nothing to see'), 415, 'UNSUPPORTED_IMAGE');
    await refused(new Uint8Array(0), 415, 'UNSUPPORTED_IMAGE');
    await refused(
      Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect width="9" height="9"/></svg>'),
      415,
      'UNSUPPORTED_IMAGE',
    );
  });

  test('a bomb of 30,000 × 30,000 pixels, before it is decoded', async () => {
    expect(await refused(bomb(30_000), 413, 'TOO_LARGE')).toMatch(/million pixels/);
  });

  test('a JPEG that ends in the middle', async () => {
    const whole = await photo(640, 480);
    await refused(whole.subarray(0, Math.floor(whole.length / 2)), 415, 'UNSUPPORTED_IMAGE');
  });

  test('a picture too small to drag anything in', async () => {
    await refused(await plain('#fff', 8, 8).png().toBuffer(), 415, 'UNSUPPORTED_IMAGE');
  });

  test('a file above the limit', async () => {
    await using small = await TestServer.start({ modelsDir: '/nowhere', limits: { uploadBytes: 20_000 } });
    const ben = await small.client('Ben');
    expect(await ben.post(new Uint8Array(30_000))).toMatchObject({
      status: 413,
      body: { error: { code: 'TOO_LARGE' } },
    });
    expect(await ben.post(new Uint8Array(3_000_000))).toMatchObject({ status: 413 });
    expect((await ben.post(await plain('#123').png().toBuffer())).status).toBe(201);
  });

  test('somebody without a token, another part, no form at all', async () => {
    const bytes = await plain('#123').png().toBuffer();
    expect(await new Client(tug.url, null, '').post(bytes)).toMatchObject({
      status: 401,
      body: { error: { code: 'UNAUTHENTICATED' } },
    });
    expect(await ann.post(bytes, 'photo')).toMatchObject({ status: 400, body: { error: { code: 'BAD_USER_INPUT' } } });
    const response = await fetch(`${tug.url}/files`, {
      method: 'POST',
      headers: { ...ann.headers, 'content-type': 'image/png' },
      body: Uint8Array.from(bytes),
    });
    expect(response.status).toBe(400);
  });

  test('too many in a minute', async () => {
    await using strict = await TestServer.start({ modelsDir: '/nowhere', limits: { uploadsPerMinute: 1 } });
    const ben = await strict.client('Ben');
    const bytes = await plain('#123').png().toBuffer();
    expect((await ben.post(bytes)).status).toBe(201);
    expect(await ben.post(bytes)).toMatchObject({ status: 429, body: { error: { code: 'RATE_LIMITED' } } });
  });
});

const CREATE = 'mutation ($fileId: ID!) { createCanvas(input: { fileId: $fileId }) { canvas { id } } }';

describe('who may use what', () => {
  test("a file id is its uploader's alone, and good for once", async () => {
    const ben = await tug.client('Ben');
    const { fileId } = await ann.upload(await photo());
    expect(await ben.code(CREATE, { fileId })).toBe('NOT_FOUND');
    await ann.gql(CREATE, { fileId });
    expect(await ann.code(CREATE, { fileId })).toBe('NOT_FOUND');
  });

  test('unused uploads expire, and bytes that nothing needs are removed', async () => {
    const { blobs, db } = tug.server.services;
    const bytes = await plain('#abcdef', 33, 44).png().toBuffer();
    const { fileId } = await ann.upload(bytes);
    const { sha256 } = await db.upload.findUniqueOrThrow({ where: { id: fileId } });
    await blobs.sweep(Date.now());
    expect(await db.blob.count({ where: { sha256 } })).toBe(1);
    await blobs.sweep(Date.now() + 25 * 3_600_000);
    expect(await db.blob.count({ where: { sha256 } })).toBe(0);
    expect(await ann.code(CREATE, { fileId })).toBe('NOT_FOUND');
    expect((await ann.post(bytes)).status).toBe(201);
  });

  test('an address ends with the right to see its canvas', async () => {
    const ben = await tug.client('Ben');
    const canvas = await ann.canvas();
    const link = await ann.share(canvas.id, 'VIEWER');
    await ben.redeem(link.token);
    type Answer = { canvas: { head: { url: string; thumbnailUrl: string } } };
    const { head } = (
      await ben.gql<Answer>('query ($id: ID!) { canvas(id: $id) { head { url thumbnailUrl } } }', { id: canvas.id })
    ).canvas;
    expect((await fetch(head.url)).status).toBe(200);
    const small = await fetch(head.thumbnailUrl);
    expect(await sharp(await small.arrayBuffer()).metadata()).toMatchObject({ format: 'webp', width: 320 });

    const tampered = head.url.replace(ben.userId, ann.userId);
    expect((await fetch(tampered)).status).toBe(404);
    expect((await fetch(head.url.replace(/expires=\d+/, 'expires=9999999999'))).status).toBe(404);
    expect((await fetch(`${tug.url}/files/revisions/../../secret`)).status).toBe(404);

    await ann.gql('mutation ($id: ID!) { revokeShareLink(input: { shareLinkId: $id }) { canvas { id } } }', {
      id: link.id,
    });
    expect((await fetch(head.url)).status).toBe(404);
    expect((await fetch(canvas.head.url)).status).toBe(200);
  });

  test('an address expires', () => {
    const { blobs } = tug.server.services;
    const url = new URL(blobs.url({ kind: 'mask', editId: 'abc' }, 'ann'), tug.url);
    const query = {
      user: 'ann',
      expires: url.searchParams.get('expires') ?? '',
      signature: url.searchParams.get('signature') ?? '',
    };
    expect(blobs.verify(url.pathname, query)).toBe(true);
    expect(blobs.verify(url.pathname, query, Date.now() + 13 * 3_600_000)).toBe(false);
  });
});

/** A valid PNG that is small as a file and enormous when decoded. */
function bomb(side: number): Buffer {
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const frame = Buffer.alloc(8 + body.length);
    frame.writeUInt32BE(data.length, 0);
    body.copy(frame, 4);
    frame.writeUInt32BE(crc32(body), 4 + body.length);
    return frame;
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header.set([1, 0, 0, 0, 0], 8);
  const rows = deflateSync(Buffer.alloc((Math.ceil(side / 8) + 1) * side));
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', header),
    chunk('IDAT', rows),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** The checksum of a PNG chunk; Node 20.19 has none built in. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}
