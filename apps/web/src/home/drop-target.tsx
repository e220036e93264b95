'use client';
/** Knows: the big place for a picture, from empty to uploading to what went wrong. */

import { CircleAlert, ImageUp } from 'lucide-react';
import { useRef } from 'react';
import { useStore } from 'zustand';
import { Button, Kbd } from '@/ui/button';
import { useModKey } from '@/ui/use-mod-key';
import { beginning, beginWith } from './begin';

export function DropTarget({ dragging }: { dragging: boolean }) {
  const input = useRef<HTMLInputElement>(null);
  const state = useStore(beginning);
  const pick = () => input.current?.click();
  const mod = useModKey();

  return (
    <section
      aria-label="Begin with a picture"
      data-testid="drop-target"
      className={`relative grid min-h-[340px] place-items-center overflow-hidden rounded-2xl border-2 transition-colors duration-150 sm:min-h-[clamp(420px,58dvh,620px)] ${
        dragging ? 'border-accent bg-accent-soft' : 'border-line bg-surface'
      }`}
    >
      <input
        ref={input}
        type="file"
        accept="image/jpeg,image/png,image/webp,image/avif,image/heic,image/tiff,image/*"
        className="sr-only"
        tabIndex={-1}
        aria-label="Choose a picture"
        data-testid="upload-input"
        onChange={(event) => {
          const file = event.target.files?.[0];
          event.target.value = '';
          if (file) void beginWith(file, file.name);
        }}
      />
      {state.phase === 'uploading' || state.phase === 'opening' ? (
        <Uploading preview={state.preview} name={state.name} part={state.phase === 'uploading' ? state.part : 1} />
      ) : (
        <div className="flex max-w-md flex-col items-center px-6 py-10 text-center">
          <Glyph pulled={dragging} />
          <h2 className="mt-6 text-[26px] leading-tight font-semibold tracking-tight text-balance sm:text-[30px]">
            {dragging ? (
              'Let go to begin'
            ) : (
              <>
                <span className="pointer-coarse:hidden">Drop</span>
                <span className="hidden pointer-coarse:inline">Pick</span> a photo, then pull it into shape
              </>
            )}
          </h2>
          <p className="mt-2.5 text-[15px] text-pretty text-ink-2">
            Drag a part of it to where it belongs and see the result form. Share the link, and others pull along.
          </p>
          <div className="mt-6 flex flex-wrap items-center justify-center gap-x-4 gap-y-3">
            <Button look="accent" size="large" onClick={pick} testId="choose-file">
              <ImageUp size={18} /> Choose a photo
            </Button>
            <span className="flex items-center gap-1.5 text-ink-2 pointer-coarse:hidden">
              or paste one <Kbd>{mod}</Kbd>
              <Kbd>V</Kbd>
            </span>
          </div>
          {state.phase === 'failed' && (
            <p
              role="alert"
              data-testid="upload-error"
              className="pop mt-6 flex items-start gap-2 text-left text-danger"
            >
              <CircleAlert size={18} className="mt-px shrink-0" /> <span className="text-pretty">{state.message}</span>
            </p>
          )}
        </div>
      )}
    </section>
  );
}

/** The mark, large: a ring that is towed along its line. */
function Glyph({ pulled }: { pulled: boolean }) {
  return (
    <svg viewBox="0 0 120 84" className="w-32 overflow-visible" fill="none" aria-hidden="true">
      <rect
        x="1.5"
        y="1.5"
        width="117"
        height="81"
        rx="9"
        className="stroke-line-strong"
        strokeWidth="2"
        strokeDasharray="5 6"
      />
      <path
        d="M38 58 L80 28"
        pathLength="1"
        strokeDasharray="1"
        className="stroke-accent"
        strokeWidth="4"
        strokeLinecap="round"
        style={{ animation: 'tow 3.2s var(--ease-out-soft) infinite' }}
      />
      <circle cx="31" cy="63" r="8" className="fill-surface stroke-ink" strokeWidth="3.5" />
      <circle
        cx="86"
        cy="24"
        r="6.5"
        className="fill-accent transition-transform duration-200"
        style={{ transformOrigin: '86px 24px', transform: pulled ? 'scale(1.5)' : 'none' }}
      />
    </svg>
  );
}

function Uploading({ preview, name, part }: { preview: string; name: string; part: number }) {
  const percent = Math.round(part * 100);
  return (
    <>
      <img src={preview} alt="" className="absolute inset-0 size-full object-cover opacity-30 blur-xl" />
      <div className="relative flex flex-col items-center gap-5 p-8">
        <img src={preview} alt="" className="max-h-56 max-w-full rounded-lg shadow-panel" />
        <div className="w-56 rounded-panel bg-surface p-3 shadow-panel">
          <p className="mb-2 flex justify-between gap-3 font-medium">
            <span className="truncate">{name}</span>
            <span className="text-ink-2">{part < 1 ? `${percent} %` : 'Opening…'}</span>
          </p>
          <div
            role="progressbar"
            aria-label="Upload"
            aria-valuenow={percent}
            aria-valuemin={0}
            aria-valuemax={100}
            className="h-1.5 overflow-hidden rounded-full bg-raised"
          >
            <div
              className="h-full rounded-full bg-accent transition-[width] duration-150"
              style={{ width: `${Math.max(percent, 4)}%` }}
            />
          </div>
        </div>
      </div>
    </>
  );
}
