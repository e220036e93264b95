/** Knows: random ids and tokens, and what the server signs with its own secret. */

import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const ALPHABET = 'abcdefghijkmnopqrstuvwxyz0123456789';
const ID_LENGTH = 22;

/** A random id that cannot be guessed (over 110 bits), in lower case and safe in addresses. */
export function newId(): string {
  let id = '';
  while (id.length < ID_LENGTH) {
    for (const byte of randomBytes(ID_LENGTH)) {
      if (byte < ALPHABET.length * 7 && id.length < ID_LENGTH) id += ALPHABET[byte % ALPHABET.length];
    }
  }
  return id;
}

/** A bearer token: 256 random bits. */
export function newToken(): string {
  return randomBytes(32).toString('base64url');
}

/** SHA-256 in hexadecimal. */
export function sha256(value: string | Uint8Array): string {
  return createHash('sha256').update(value).digest('hex');
}

/** Signs short texts, so that what comes back can be trusted without being stored. */
export class Signer {
  constructor(private readonly secret: string) {}

  /** The signature of a text; `purpose` keeps one kind of signature from passing as another. */
  sign(purpose: 'share' | 'file', text: string): string {
    return createHmac('sha256', this.secret).update(`${purpose}\0${text}`).digest('base64url').slice(0, 32);
  }

  verify(purpose: 'share' | 'file', text: string, signature: string): boolean {
    const expected = Buffer.from(this.sign(purpose, text));
    const given = Buffer.from(signature);
    return given.length === expected.length && timingSafeEqual(given, expected);
  }

  /** A share link's token: the link's id and its signature. It can be shown again at any time and is stored nowhere. */
  shareToken(linkId: string): string {
    return linkId + this.sign('share', linkId);
  }

  /** The link's id if the token is one that this server made, else null. */
  shareLinkId(token: string): string | null {
    const id = token.slice(0, ID_LENGTH);
    return this.verify('share', id, token.slice(ID_LENGTH)) ? id : null;
  }
}

/** The signer for a data folder; its secret is made once and kept there unless the environment names one. */
export async function openSigner(dataDir: string, secret: string | undefined): Promise<Signer> {
  if (secret !== undefined) return new Signer(secret);
  const path = join(dataDir, 'secret');
  await mkdir(dataDir, { recursive: true });
  try {
    await writeFile(path, newToken(), { flag: 'wx', mode: 0o600, flush: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return new Signer((await readFile(path, 'utf8')).trim());
}
