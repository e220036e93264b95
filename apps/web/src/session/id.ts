/** Knows: how to make an id that nobody else makes. `crypto.randomUUID` is missing on plain http addresses of a local network. */

export function newId(): string {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
