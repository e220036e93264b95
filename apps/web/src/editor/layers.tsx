'use client';
/**
 * Knows: how one picture gives way to the next without a flash: the new one is decoded first, then fades in over the old.
 * The head lies under everything: previews cover it only where the run may change it, and compare needs no wait.
 * Does not know: which picture is shown (`view.ts`) and when (`turns.ts`), where it lies (`controller.ts`).
 */

import { useEffect, useState } from 'react';
import { decoded, firstTurn, readdress, settle, want } from './turns';
import type { Picture } from './view';

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
  const [turns, setTurns] = useState(() => firstTurn(picture));
  const { layers } = turns;
  const top = layers[layers.length - 1];
  const next = want(turns, picture);
  if (next !== turns) setTurns(next);
  // The address may change while the picture stays: signed addresses expire. It is taken only after the old one failed.
  const [failed, setFailed] = useState<string | null>(null);
  if (top && failed === top.src && picture.id === top.id && picture.src !== top.src) {
    setFailed(null);
    setTurns(readdress(turns, picture));
  }

  const settled = layers.length > 1 && top?.ready;
  useEffect(() => {
    if (!settled) return;
    const timer = setTimeout(() => setTurns(settle), FADE_MS);
    return () => clearTimeout(timer);
  }, [settled]);

  const ready = (id: string) => setTurns((now) => decoded(now, id));
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
            if (layer.kind === 'preview') ready(layer.id);
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
