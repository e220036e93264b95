'use client';
/** Knows: whether a picture at an address can be shown yet. */

import { useEffect, useState } from 'react';

/** The address once its picture is loaded, else null: a CSS mask that is missing would hide what it masks. */
export function useLoaded(src: string | null): string | null {
  const [loaded, setLoaded] = useState<string | null>(null);
  useEffect(() => {
    if (!src) return;
    let current = true;
    const image = new Image();
    image.onload = () => current && setLoaded(src);
    image.src = src;
    return () => {
      current = false;
    };
  }, [src]);
  return loaded === src ? loaded : null;
}
