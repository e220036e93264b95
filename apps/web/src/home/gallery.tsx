'use client';
/** Knows: the list of canvases that this guest owns or was let into. */

import { Trash2, Users } from 'lucide-react';
import { useCallback, useEffect, useState } from 'react';
import { explain } from '@/api/client';
import { DeleteCanvas, MyCanvases } from '@/api/operations';
import type { MyCanvasesQuery } from '@/generated/graphql';
import { call, recallGuest } from '@/session/guest';
import { Button } from '@/ui/button';
import { Confirm } from '@/ui/dialog';
import { ago } from '@/ui/time';
import { toast } from '@/ui/toast';

type Item = MyCanvasesQuery['canvases']['edges'][number]['node'];
type Listing =
  | { phase: 'loading' }
  | { phase: 'ready'; items: readonly Item[]; next: string | null }
  | { phase: 'failed'; message: string };

const PAGE = 24;

export function Gallery() {
  const [listing, setListing] = useState<Listing>({ phase: 'loading' });
  const [deleting, setDeleting] = useState<Item | null>(null);

  const load = useCallback(async (after: string | null, before: readonly Item[]) => {
    // Nobody who never made anything needs an account to be told so.
    if (!recallGuest().token) return setListing({ phase: 'ready', items: [], next: null });
    try {
      const { canvases } = await call(MyCanvases, { first: PAGE, after });
      const items = [...before, ...canvases.edges.map((edge) => edge.node)];
      setListing({ phase: 'ready', items, next: canvases.pageInfo.hasNextPage ? canvases.pageInfo.endCursor : null });
    } catch (error) {
      setListing({ phase: 'failed', message: explain(error) });
    }
  }, []);

  useEffect(() => {
    void load(null, []);
    // The browser's Back button brings the page as it was left: what was made since is missing in it.
    const again = (event: PageTransitionEvent) => void (event.persisted && load(null, []));
    window.addEventListener('pageshow', again);
    return () => window.removeEventListener('pageshow', again);
  }, [load]);

  const remove = async (item: Item) => {
    setDeleting(null);
    const before = listing;
    if (listing.phase === 'ready')
      setListing({ ...listing, items: listing.items.filter((each) => each.id !== item.id) });
    try {
      await call(DeleteCanvas, { canvasId: item.id });
      toast(`“${item.title}” was deleted.`);
    } catch (error) {
      setListing(before);
      toast(explain(error), 'bad');
    }
  };

  if (listing.phase === 'ready' && listing.items.length === 0) return null;
  return (
    <section aria-labelledby="canvases" className="mt-12">
      <h2 id="canvases" className="mb-4 text-[17px] font-semibold tracking-tight">
        Your canvases
      </h2>
      {listing.phase === 'failed' ? (
        <div
          role="alert"
          className="flex flex-wrap items-center gap-3 rounded-panel bg-surface p-4 shadow-small"
          data-testid="gallery-error"
        >
          <p className="min-w-0 flex-1 text-ink-2">{listing.message}</p>
          <Button
            onClick={() => {
              setListing({ phase: 'loading' });
              void load(null, []);
            }}
          >
            Try again
          </Button>
        </div>
      ) : (
        <ul
          className="grid grid-cols-2 gap-x-4 gap-y-5 sm:grid-cols-3 lg:grid-cols-4"
          aria-busy={listing.phase === 'loading'}
        >
          {listing.phase === 'loading'
            ? ['a', 'b', 'c', 'd'].map((key) => (
                <li key={key}>
                  <div className="skeleton aspect-[4/3] rounded-xl" />
                  <div className="skeleton mt-2.5 h-4 w-2/3 rounded" />
                </li>
              ))
            : listing.items.map((item) => <Card key={item.id} item={item} onDelete={() => setDeleting(item)} />)}
        </ul>
      )}
      {listing.phase === 'ready' && listing.next && (
        <div className="mt-6 flex justify-center">
          <Button onClick={() => void load(listing.next, listing.items)}>Show more</Button>
        </div>
      )}
      <Confirm
        open={deleting !== null}
        onClose={() => setDeleting(null)}
        onConfirm={() => deleting && void remove(deleting)}
        title={`Delete “${deleting?.title ?? ''}”?`}
        text="The picture, all its versions and its links go for everyone. This cannot be undone."
        confirm="Delete"
      />
    </section>
  );
}

function Card({ item, onDelete }: { item: Item; onDelete: () => void }) {
  return (
    <li className="group relative" data-testid="canvas-card">
      <a href={`/c/${item.id}`} className="block rounded-xl">
        <div className="aspect-[4/3] overflow-hidden rounded-xl bg-raised shadow-small">
          <img
            src={item.head.thumbnailUrl}
            alt=""
            loading="lazy"
            className="size-full object-cover transition-transform duration-300 ease-out group-hover:scale-[1.03]"
          />
        </div>
        <p className="mt-2 flex items-center gap-1.5 pr-9 font-medium">
          <span className="truncate">{item.title}</span>
          {item.role !== 'OWNER' && <Users size={14} className="shrink-0 text-ink-3" aria-label="Shared with you" />}
        </p>
        <p className="text-[12.5px] text-ink-3">{ago(item.head.createdAt)}</p>
      </a>
      {item.role === 'OWNER' && (
        <button
          type="button"
          aria-label={`Delete ${item.title}`}
          data-testid="canvas-delete"
          onClick={onDelete}
          className="absolute right-0 bottom-3 grid size-8 place-items-center rounded-control text-ink-3 hover:bg-raised hover:text-danger"
        >
          <Trash2 size={16} />
        </button>
      )}
    </li>
  );
}
