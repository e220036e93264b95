'use client';
/** Knows: how an address becomes an open canvas, and every way in which that can fail. */

import { useEffect, useState } from 'react';
import { explain } from '@/api/client';
import { OpenCanvas } from '@/api/operations';
import { call, ensureGuest } from '@/session/guest';
import { Button } from '@/ui/button';
import { Mark } from '@/ui/logo';
import { Notice } from '@/ui/notice';
import { Editor } from './editor';
import { EditorSession, SessionProvider } from './session';

type State =
  | { phase: 'loading' }
  | { phase: 'open'; session: EditorSession }
  | { phase: 'missing' }
  | { phase: 'lost' }
  | { phase: 'failed'; message: string };

export function EditorPage() {
  const [state, setState] = useState<State>({ phase: 'loading' });
  const [attempt, setAttempt] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another attempt is another run
  useEffect(() => {
    let current = true;
    let session: EditorSession | null = null;
    const open = async () => {
      const id = decodeURIComponent(location.pathname.split('/')[2] ?? '');
      if (!id) return setState({ phase: 'missing' });
      const { user } = await ensureGuest();
      const { canvas, engine } = await call(OpenCanvas, { id });
      if (!current) return;
      if (!canvas) return setState({ phase: 'missing' });
      document.title = `${canvas.title} – Tug`;
      session = new EditorSession(canvas, engine, user, ({ gone, message }) =>
        setState(gone ? { phase: 'lost' } : { phase: 'failed', message }),
      );
      setState({ phase: 'open', session });
    };
    open().catch((error: unknown) => current && setState({ phase: 'failed', message: explain(error) }));
    return () => {
      current = false;
      session?.close();
    };
  }, [attempt]);

  switch (state.phase) {
    case 'loading':
      return <Skeleton />;
    case 'open':
      return (
        <SessionProvider value={state.session}>
          <Editor />
        </SessionProvider>
      );
    case 'missing':
      return (
        <Notice title="This picture is not here">
          It was deleted, or you were not let in yet. If somebody sent you a link, open that one: it lets you in.
        </Notice>
      );
    case 'lost':
      return (
        <Notice title="This picture is closed to you now">
          Its owner deleted it or revoked the link by which you came. What you added was kept until then.
        </Notice>
      );
    case 'failed':
      return (
        <Notice
          title="The picture could not be opened"
          action={
            <Button
              look="accent"
              testId="retry"
              onClick={() => {
                setState({ phase: 'loading' });
                setAttempt(attempt + 1);
              }}
            >
              Try again
            </Button>
          }
        >
          {state.message}
        </Notice>
      );
  }
}

function Skeleton() {
  return (
    <main className="fixed inset-0 bg-stage" aria-busy="true" aria-label="Opening the picture">
      <div className="absolute top-3 left-3 flex h-11 w-52 items-center gap-2.5 rounded-panel bg-surface px-2.5 shadow-panel">
        <Mark size={24} />
        <span className="skeleton h-4 flex-1 rounded" />
      </div>
      <div className="absolute inset-x-6 top-[76px] bottom-28 grid place-items-center md:right-[312px]">
        <div className="skeleton aspect-[4/3] max-h-full w-full max-w-[760px] rounded-sm" />
      </div>
      <div className="absolute top-[72px] right-3 hidden h-80 w-[272px] rounded-panel bg-surface p-4 shadow-panel md:block">
        <div className="skeleton mb-3 h-4 w-1/3 rounded" />
        <div className="skeleton mb-6 h-4 w-4/5 rounded" />
        <div className="skeleton mb-3 h-4 w-1/2 rounded" />
        <div className="skeleton h-8 rounded" />
      </div>
    </main>
  );
}
