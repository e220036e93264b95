'use client';
/**
 * Knows: how one picture gives way to the next without a flash: the new one is decoded first, then fades in over the old.
 * Does not know: which picture is shown (`view.ts`), where it lies (`controller.ts`).
 */

import { useEffect, useState } from 'react';
import type { Picture } from './view';

interface Layer extends Picture {
  readonly ready: boolean;
}

const FADE_MS = 240;

interface LayersProps {
  picture: Picture;
  /** shown at once, above all, while someone compares */
  original: Picture | null;
  onError: () => void;
}

export function Layers({ picture, original, onError }: LayersProps) {
  const [layers, setLayers] = useState<readonly Layer[]>([{ ...picture, ready: false }]);
  const top = layers[layers.length - 1];
  if (top && top.id !== picture.id)
    setLayers([...layers.filter((layer) => layer.ready).slice(-1), { ...picture, ready: false }]);
  // The address may change while the picture stays: signed addresses expire. It is taken only after the old one failed.
  const [failed, setFailed] = useState<string | null>(null);
  if (top && failed === top.src && picture.id === top.id && picture.src !== top.src) {
    setFailed(null);
    setLayers([...layers.slice(0, -1), { ...picture, ready: false }]);
  }

  const settled = layers.length > 1 && top?.ready;
  useEffect(() => {
    if (!settled) return;
    const timer = setTimeout(() => setLayers((now) => now.slice(-1)), FADE_MS);
    return () => clearTimeout(timer);
  }, [settled]);

  const ready = (id: string) =>
    setLayers((now) => now.map((layer) => (layer.id === id ? { ...layer, ready: true } : layer)));

  return (
    <>
      {layers.map((layer) => (
        <img
          key={layer.id}
          src={layer.src}
          alt=""
          draggable={false}
          decoding="async"
          data-kind={layer.kind}
          data-picture={layer.id}
          data-testid={layer.id === top?.id ? `${layer.kind}-image` : undefined}
          data-step={layer.step}
          data-ready={layer.ready || undefined}
          data-entering={layer.ready && layers.length > 1 ? '' : undefined}
          style={{ visibility: layer.ready ? 'visible' : 'hidden' }}
          onLoad={(event) => {
            const image = event.currentTarget;
            image.decode().then(
              () => ready(layer.id),
              () => ready(layer.id),
            );
          }}
          onError={() => {
            setFailed(layer.src);
            onError();
          }}
        />
      ))}
      {original && <img src={original.src} alt="" draggable={false} data-kind="head" data-testid="original-image" />}
    </>
  );
}
