'use client';
/** Knows: short messages that come and go by themselves. */

import { CircleAlert, CircleCheck, Info, X } from 'lucide-react';
import { useStore } from 'zustand';
import { createStore } from 'zustand/vanilla';

type Tone = 'info' | 'good' | 'bad';

interface Toast {
  readonly id: number;
  readonly tone: Tone;
  readonly text: string;
  readonly action?: { readonly label: string; readonly run: () => void };
}

const store = createStore<{ toasts: readonly Toast[] }>(() => ({ toasts: [] }));
let count = 0;

/** Shows a message; errors stay longer, so that they can be read. */
export function toast(text: string, tone: Tone = 'info', action?: Toast['action']): void {
  count += 1;
  const id = count;
  const others = store
    .getState()
    .toasts.filter((each) => each.text !== text)
    .slice(-2);
  store.setState({ toasts: [...others, { id, tone, text, ...(action ? { action } : {}) }] });
  setTimeout(() => dismiss(id), tone === 'bad' ? 9000 : 4500);
}

function dismiss(id: number): void {
  store.setState({ toasts: store.getState().toasts.filter((each) => each.id !== id) });
}

const ICONS = { info: Info, good: CircleCheck, bad: CircleAlert } as const;
const COLORS: Record<Tone, string> = { info: 'text-ink-2', good: 'text-good', bad: 'text-danger' };

export function Toaster() {
  const toasts = useStore(store, (state) => state.toasts);
  return (
    <section
      aria-live="polite"
      aria-label="Messages"
      className="pointer-events-none fixed inset-x-0 top-16 z-[60] flex flex-col items-center gap-2 px-4"
    >
      {toasts.map(({ id, tone, text, action }) => {
        const Icon = ICONS[tone];
        return (
          <div
            key={id}
            data-testid={`toast-${tone}`}
            role={tone === 'bad' ? 'alert' : 'status'}
            className="pop pointer-events-auto flex max-w-md items-start gap-2.5 rounded-panel bg-surface py-2.5 pr-2 pl-3 shadow-panel"
          >
            <Icon size={18} className={`mt-px shrink-0 ${COLORS[tone]}`} />
            <p className="min-w-0 text-pretty">{text}</p>
            {action && (
              <button
                type="button"
                className="shrink-0 rounded px-1 font-semibold text-accent-text"
                onClick={() => {
                  action.run();
                  dismiss(id);
                }}
              >
                {action.label}
              </button>
            )}
            <button
              type="button"
              aria-label="Dismiss"
              className="shrink-0 rounded p-0.5 text-ink-3 hover:text-ink"
              onClick={() => dismiss(id)}
            >
              <X size={16} />
            </button>
          </div>
        );
      })}
    </section>
  );
}
