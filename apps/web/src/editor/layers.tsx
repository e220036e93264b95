'use client';
/**
 * Knows: how one picture gives way to the next without a flash: the new one is decoded first, then fades in over the old.
 * The head lies under everything: previews cover it only where the run may change it, and compare needs no wait.
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
  head: Picture;
  /** the head, small, shown until the first picture is there */
  thumbnail: string;
  /** the head is shown alone, at once */
  comparing: boolean;
  /** where previews may cover the head; null = everywhere */
  mask: string | null;
  onError: () => void;
}

export function Layers({ picture, head, thumbnail, comparing, mask, onError }: LayersProps) {
  const [layers, setLayers] = useState<readonly Layer[]>([{ ...picture, ready: false }]);
  const top = layers[layers.length - 1];
  if (top && top.id !== picture.id) {
    const shown = layers.filter((layer) => layer.ready);
    const again = shown.find((layer) => layer.id === picture.id);
    const others = shown.filter((layer) => layer.id !== picture.id);
    setLayers([...others.slice(-1), again ?? { ...picture, ready: false }]);
  }
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
  const masked = mask
    ? { maskImage: `url("${mask}")`, maskSize: '100% 100%', maskMode: 'luminance', maskRepeat: 'no-repeat' }
    : {};

  return (
    <>
      {layers.length === 1 && !top?.ready && <img src={thumbnail} alt="" data-placeholder="" />}
      <Original key={head.id} src={head.src} />
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
          data-entering={layer.ready && layers.length > 1 && layer.id === top?.id ? '' : undefined}
          style={{
            visibility: layer.ready && !comparing ? 'visible' : 'hidden',
            ...(layer.kind === 'preview' ? masked : {}),
          }}
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
    </>
  );
}

/** The head under the layers. It keeps the address it came with: another signature is no other picture. */
function Original({ src }: { src: string }) {
  const [first, setFirst] = useState(src);
  return (
    <img
      src={first}
      alt=""
      draggable={false}
      data-kind="head"
      data-testid="original-image"
      onError={() => setTimeout(() => setFirst(src), 1000)}
    />
  );
}
