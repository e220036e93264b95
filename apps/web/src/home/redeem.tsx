'use client';
/** Knows: what happens when somebody opens a shared link: in with them, or a word on why not. */

import { useEffect, useState } from 'react';
import { explain, hasCode } from '@/api/client';
import { RedeemShareLink } from '@/api/operations';
import { call } from '@/session/guest';
import { Button, Spinner } from '@/ui/button';
import { Mark } from '@/ui/logo';
import { Notice } from '@/ui/notice';

export function Redeem() {
  const [problem, setProblem] = useState<{ title: string; text: string; again: boolean } | null>(null);
  const [attempt, setAttempt] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another attempt is another run
  useEffect(() => {
    let current = true;
    const token = decodeURIComponent(location.pathname.split('/')[2] ?? '');
    call(RedeemShareLink, { token })
      .then(({ redeemShareLink }) => current && location.replace(`/c/${redeemShareLink.canvas.id}`))
      .catch((error: unknown) => {
        if (!current) return;
        const gone = hasCode(error, 'NOT_FOUND') || hasCode(error, 'BAD_USER_INPUT');
        setProblem(
          gone
            ? {
                title: 'This link no longer works',
                text: 'It was revoked, has expired, or lost a letter on its way. Ask whoever sent it for a new one.',
                again: false,
              }
            : { title: 'The link could not be opened', text: explain(error), again: true },
        );
      });
    return () => {
      current = false;
    };
  }, [attempt]);

  if (problem) {
    return (
      <Notice
        title={problem.title}
        action={
          problem.again && (
            <Button
              look="accent"
              onClick={() => {
                setProblem(null);
                setAttempt(attempt + 1);
              }}
            >
              Try again
            </Button>
          )
        }
      >
        {problem.text}
      </Notice>
    );
  }
  return (
    <main className="grid min-h-dvh place-items-center">
      <p role="status" className="flex items-center gap-3 text-ink-2">
        <Mark /> <Spinner /> Opening the shared picture…
      </p>
    </main>
  );
}
