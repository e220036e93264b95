/** Knows: the page that says, calmly, why there is nothing else to see, and the way on. */

import type { ReactNode } from 'react';
import { Wordmark } from './logo';

interface NoticeProps {
  title: string;
  children: ReactNode;
  action?: ReactNode;
}

export function Notice({ title, children, action }: NoticeProps) {
  return (
    <main className="grid min-h-dvh place-items-center p-6" data-testid="notice">
      <div className="max-w-md">
        <a href="/" className="mb-8 inline-block rounded-control" aria-label="Tug, start page">
          <Wordmark />
        </a>
        <svg viewBox="0 0 220 70" className="mb-6 w-56 text-ink-3" fill="none" aria-hidden="true">
          <circle cx="14" cy="52" r="9" stroke="currentColor" strokeWidth="2.5" />
          <path
            d="M23 48C70 20 110 74 196 20"
            stroke="currentColor"
            strokeWidth="2.5"
            strokeDasharray="2 8"
            strokeLinecap="round"
          />
          <circle cx="203" cy="16" r="6" className="fill-accent" />
        </svg>
        <h1 className="mb-2 text-2xl font-semibold tracking-tight text-balance">{title}</h1>
        <p className="mb-6 text-pretty text-ink-2">{children}</p>
        <div className="flex flex-wrap gap-2">
          {action}
          <a
            href="/"
            className="inline-flex h-9 items-center rounded-control bg-surface px-3.5 font-medium shadow-small hover:bg-raised"
          >
            Start page
          </a>
        </div>
      </div>
    </main>
  );
}
