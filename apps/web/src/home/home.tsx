'use client';
/** Knows: the start page: begin with a picture, or go on with one of your canvases. */

import { useEffect, useState } from 'react';
import { useStore } from 'zustand';
import { Wordmark } from '@/ui/logo';
import { NameChip } from '@/ui/name-chip';
import { ThemeButton } from '@/ui/theme';
import { beginning, beginWith, pictureIn } from './begin';
import { DropTarget } from './drop-target';
import { Gallery } from './gallery';
import { SampleRow } from './sample-row';

export function Home() {
  const [dragging, setDragging] = useState(false);
  const state = useStore(beginning);
  const busy = state.phase === 'uploading' || state.phase === 'opening';

  useEffect(() => {
    // Coming back with the browser's Back button finds the page as it was left.
    const reset = (event: PageTransitionEvent) => event.persisted && beginning.setState({ phase: 'idle' }, true);
    window.addEventListener('pageshow', reset);
    return () => window.removeEventListener('pageshow', reset);
  }, []);

  useEffect(() => {
    let depth = 0;
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
    const enter = (event: DragEvent) => {
      if (!carriesFiles(event)) return;
      depth += 1;
      setDragging(true);
    };
    const leave = () => {
      depth = Math.max(0, depth - 1);
      if (depth === 0) setDragging(false);
    };
    const over = (event: DragEvent) => carriesFiles(event) && event.preventDefault();
    const drop = (event: DragEvent) => {
      depth = 0;
      setDragging(false);
      if (!carriesFiles(event)) return;
      event.preventDefault();
      take(event.dataTransfer);
    };
    const paste = (event: ClipboardEvent) => {
      if (event.target instanceof HTMLInputElement) return;
      take(event.clipboardData);
    };
    const take = (data: DataTransfer | null) => {
      const file = pictureIn(data);
      if (file) void beginWith(file, file.name || 'Pasted picture.png');
    };
    const listeners = { dragenter: enter, dragleave: leave, dragover: over, drop, paste } as const;
    for (const [name, listener] of Object.entries(listeners)) window.addEventListener(name, listener as EventListener);
    return () => {
      for (const [name, listener] of Object.entries(listeners))
        window.removeEventListener(name, listener as EventListener);
    };
  }, []);

  return (
    <div className="mx-auto flex min-h-dvh max-w-[1120px] flex-col px-5 sm:px-8">
      <header className="flex h-16 items-center gap-2 sm:h-20">
        <h1>
          <Wordmark />
        </h1>
        <span className="flex-1" />
        <NameChip />
        <ThemeButton />
      </header>
      <main className="flex-1 pb-16">
        <div className="grid gap-5 lg:grid-cols-[1fr_296px]">
          <DropTarget dragging={dragging} />
          <SampleRow disabled={busy} />
        </div>
        <Gallery />
      </main>
    </div>
  );
}
