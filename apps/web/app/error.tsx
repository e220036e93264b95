'use client';

import { Button } from '@/ui/button';
import { Notice } from '@/ui/notice';

export default function ErrorPage({ reset }: { error: Error; reset: () => void }) {
  return (
    <Notice
      title="The page lost its footing"
      action={
        <Button look="accent" onClick={reset}>
          Go on
        </Button>
      }
    >
      That is a mistake of ours. Everything that you placed is on the server; going on usually helps, and reloading
      does.
    </Notice>
  );
}
