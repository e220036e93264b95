'use client';
/** Knows: how a picture becomes a canvas: sign in if need be, upload, create, go there. */

import { createStore } from 'zustand/vanilla';
import { explain, upload } from '@/api/client';
import { CreateCanvas } from '@/api/operations';
import { call, ensureGuest } from '@/session/guest';
import type { Sample } from './samples';

export type Beginning =
  | { readonly phase: 'idle' }
  | { readonly phase: 'uploading'; readonly name: string; readonly preview: string; readonly part: number }
  | { readonly phase: 'opening'; readonly name: string; readonly preview: string }
  | { readonly phase: 'failed'; readonly name: string; readonly message: string };

export const beginning = createStore<Beginning>(() => ({ phase: 'idle' }));

const MOST_BYTES = 50 * 1024 * 1024;

/** Makes a canvas of the file and opens it; what goes wrong ends in the `failed` phase. */
export async function beginWith(file: Blob, fileName: string): Promise<void> {
  const { phase } = beginning.getState();
  if (phase === 'uploading' || phase === 'opening') return;
  const name = titleOf(fileName);
  const fail = (message: string) => beginning.setState({ phase: 'failed', name, message }, true);
  if (file.type && !file.type.startsWith('image/')) {
    return fail(`“${fileName}” is not a picture. JPEG, PNG, WebP and AVIF work.`);
  }
  if (file.size > MOST_BYTES)
    return fail(`“${fileName}” has ${Math.round(file.size / 1024 / 1024)} MB. Up to 50 MB work.`);
  const preview = URL.createObjectURL(file);
  beginning.setState({ phase: 'uploading', name, preview, part: 0 }, true);
  try {
    const { token } = await ensureGuest();
    const { fileId } = await upload(file, fileName, token, (part) =>
      beginning.setState(
        part < 1 ? { phase: 'uploading', name, preview, part } : { phase: 'opening', name, preview },
        true,
      ),
    );
    const { createCanvas } = await call(CreateCanvas, { fileId, title: name });
    location.assign(`/c/${createCanvas.canvas.id}`);
  } catch (error) {
    fail(explain(error));
    URL.revokeObjectURL(preview);
  }
}

export async function beginWithSample(sample: Sample): Promise<void> {
  try {
    const response = await fetch(`/samples/${sample.file}`);
    if (!response.ok) throw new Error(response.statusText);
    await beginWith(await response.blob(), `${sample.title}.jpg`);
  } catch {
    beginning.setState(
      { phase: 'failed', name: sample.title, message: 'The sample picture could not be loaded. Try again.' },
      true,
    );
  }
}

/** The first picture in what was dropped or pasted. */
export function pictureIn(data: DataTransfer | null): File | null {
  const files = [...(data?.files ?? [])];
  return files.find((file) => file.type.startsWith('image/')) ?? files[0] ?? null;
}

function titleOf(fileName: string): string {
  const name = fileName
    .replace(/\.[a-z0-9]{2,5}$/i, '')
    .replace(/[_-]+/g, ' ')
    .trim();
  return (name || 'Untitled').slice(0, 120);
}
