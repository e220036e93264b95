'use client';
/** Knows: the versions of the picture, newest first, with who made them and what they grew from. */

import { Download, X } from 'lucide-react';
import { IconButton } from '@/ui/button';
import { ago } from '@/ui/time';
import { download, useFeed, useSession, useUi } from './session';

export function HistoryPanel() {
  const session = useSession();
  const revisions = useFeed((feed) => feed.revisions);
  const head = useFeed((feed) => feed.head?.id);
  const title = useFeed((feed) => feed.canvas?.title ?? 'picture');
  const viewing = useUi((state) => state.viewing) ?? head;
  const numberOf = (id: string | undefined) => revisions.findIndex((each) => each.id === id) + 1;
  return (
    <aside
      aria-label="Versions"
      data-testid="history"
      className="flex max-h-full flex-col overflow-hidden bg-surface shadow-panel max-md:w-full max-md:rounded-t-2xl md:w-[232px] md:rounded-panel"
    >
      <div className="flex items-center justify-between py-1.5 pr-1.5 pl-4">
        <h2 className="font-semibold">Versions</h2>
        <IconButton
          label="Close"
          onClick={() => session.ui.setState({ panel: null, viewing: null })}
          testId="history-close"
        >
          <X size={17} />
        </IconButton>
      </div>
      <ol className="min-h-0 flex-1 overflow-y-auto px-2 pb-2">
        {[...revisions].reverse().map((revision) => {
          const number = numberOf(revision.id);
          const parent = numberOf(revision.parent?.id);
          const branch = parent > 0 && parent !== number - 1;
          const current = revision.id === head;
          return (
            <li
              key={revision.id}
              className="group relative"
              data-testid="revision-item"
              data-revision={revision.id}
              data-head={current || undefined}
            >
              <button
                type="button"
                aria-current={current || undefined}
                onClick={() => session.ui.setState({ viewing: current ? null : revision.id })}
                className={`flex w-full items-center gap-3 rounded-control p-2 text-left ${viewing === revision.id ? 'bg-pressed' : 'hover:bg-raised'}`}
              >
                <img
                  src={revision.thumbnailUrl}
                  alt=""
                  loading="lazy"
                  className="size-14 shrink-0 rounded-md bg-raised object-cover"
                />
                <span className="min-w-0 flex-1">
                  <span className="flex items-center gap-1.5 font-medium">
                    {number === 1 ? 'Original' : `Version ${number}`}
                    {current && (
                      <span className="rounded bg-accent-soft px-1.5 text-[11px] font-semibold text-accent-text">
                        Now
                      </span>
                    )}
                  </span>
                  <span className="block truncate text-[12.5px] text-ink-2">{revision.createdBy.name}</span>
                  <span className="block truncate text-[12.5px] text-ink-2">
                    {ago(revision.createdAt)}
                    {branch && `, from ${parent === 1 ? 'the original' : parent}`}
                  </span>
                </span>
              </button>
              <span className="absolute top-1.5 right-1 opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100">
                <IconButton
                  label="Download PNG"
                  onClick={() => download(revision.url, number === 1 ? title : `${title} version ${number}`)}
                  testId="revision-download"
                >
                  <Download size={16} />
                </IconButton>
              </span>
            </li>
          );
        })}
      </ol>
    </aside>
  );
}
