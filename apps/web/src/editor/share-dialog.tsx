'use client';
/** Knows: the links that let others in: made, copied, revoked. */

import { Check, Copy, Link2 } from 'lucide-react';
import { useEffect, useState } from 'react';
import { explain } from '@/api/client';
import { CreateShareLink, RevokeShareLink, ShareLinks } from '@/api/operations';
import type { Role, ShareLinksQuery } from '@/generated/graphql';
import { call } from '@/session/guest';
import { Button, Spinner } from '@/ui/button';
import { Dialog } from '@/ui/dialog';
import { toast } from '@/ui/toast';
import { Choice } from './run-settings';
import { useFeed, useSession } from './session';

type ShareLink = NonNullable<ShareLinksQuery['canvas']>['shareLinks'][number];

const ROLES: Record<string, Role> = { 'Can edit': 'EDITOR', 'Can view': 'VIEWER' };

/** Links made here while the list was still on its way come first, each once. */
function joined(made: readonly ShareLink[] | null, listed: readonly ShareLink[]): readonly ShareLink[] {
  const ids = new Set(made?.map(({ id }) => id));
  return [...(made ?? []), ...listed.filter(({ id }) => !ids.has(id))];
}

export function ShareDialog({ onClose }: { onClose: () => void }) {
  const session = useSession();
  const role = useFeed((feed) => feed.canvas?.role ?? session.canvas.role);
  return (
    <Dialog
      open
      onClose={onClose}
      title="Share this picture"
      description={
        role === 'OWNER'
          ? 'Whoever opens a link is in: no account, no install.'
          : 'Only its owner can make links to this picture.'
      }
      testId="share-dialog"
    >
      {role === 'OWNER' && <Links />}
    </Dialog>
  );
}

function Links() {
  const { canvas } = useSession();
  const [links, setLinks] = useState<readonly ShareLink[] | null>(null);
  const [role, setRole] = useState('Can edit');
  const [busy, setBusy] = useState(false);
  const [copied, setCopied] = useState<string | null>(null);

  useEffect(() => {
    let current = true;
    call(ShareLinks, { id: canvas.id })
      .then((answer) => current && setLinks((made) => joined(made, answer.canvas?.shareLinks ?? [])))
      .catch((error: unknown) => {
        if (!current) return;
        setLinks((made) => made ?? []);
        toast(explain(error), 'bad');
      });
    return () => {
      current = false;
    };
  }, [canvas.id]);

  const copy = async (link: ShareLink) => {
    if (await copyText(link.url)) {
      setCopied(link.id);
      setTimeout(() => setCopied((now) => (now === link.id ? null : now)), 2000);
    } else toast('The browser did not allow copying. Select the link and copy it by hand.');
  };
  const create = async () => {
    setBusy(true);
    try {
      const { createShareLink } = await call(CreateShareLink, { canvasId: canvas.id, role: ROLES[role] ?? 'EDITOR' });
      setLinks((before) => joined([createShareLink.shareLink], before ?? []));
      await copy(createShareLink.shareLink);
    } catch (error) {
      toast(explain(error), 'bad');
    }
    setBusy(false);
  };
  const revoke = async (link: ShareLink) => {
    const before = links;
    setLinks(links?.filter((each) => each.id !== link.id) ?? null);
    try {
      await call(RevokeShareLink, { shareLinkId: link.id });
      toast('The link no longer works.');
    } catch (error) {
      setLinks(before);
      toast(explain(error), 'bad');
    }
  };

  return (
    <>
      <div className="flex flex-wrap items-center justify-between gap-2">
        <Choice
          label="What the link allows"
          testId="share-role"
          value={role}
          options={Object.keys(ROLES)}
          onChange={setRole}
        />
        <Button look="accent" disabled={busy} onClick={() => void create()} testId="share-create">
          {busy ? <Spinner /> : <Link2 size={17} />} Create link
        </Button>
      </div>
      {/* as high as one link, so that a phone's sheet does not move when the links come in */}
      <div className="mt-4 min-h-19">
        {links === null && <div className="skeleton h-19 rounded-control" />}
        {links?.length === 0 && <p className="text-[13px] text-ink-2">No links yet.</p>}
        {links && links.length > 0 && (
          <ul className="flex flex-col gap-2" data-testid="share-links">
            {links.map((link) => (
              <li key={link.id} className="rounded-control bg-raised p-2.5">
                <div className="flex items-center gap-2">
                  <input
                    readOnly
                    value={link.url}
                    aria-label={link.role === 'EDITOR' ? 'Editing link' : 'Viewing link'}
                    data-testid="share-link"
                    data-role={link.role}
                    onFocus={(event) => event.target.select()}
                    className="h-8 min-w-0 flex-1 truncate rounded-md border border-line bg-surface px-2 text-[13px]"
                  />
                  <Button size="small" onClick={() => void copy(link)} testId="share-copy">
                    {copied === link.id ? <Check size={15} /> : <Copy size={15} />}{' '}
                    {copied === link.id ? 'Copied' : 'Copy'}
                  </Button>
                </div>
                <div className="mt-1.5 flex items-center justify-between px-0.5 text-[13px] text-ink-2">
                  <span>{link.role === 'EDITOR' ? 'Can edit' : 'Can view'}</span>
                  <button
                    type="button"
                    data-testid="share-revoke"
                    className="rounded font-medium hover:text-danger"
                    onClick={() => void revoke(link)}
                  >
                    Revoke
                  </button>
                </div>
              </li>
            ))}
          </ul>
        )}
      </div>
    </>
  );
}

/** Copies; on plain http addresses, where the clipboard is closed to pages, in the old way. */
async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement('textarea');
    field.value = text;
    field.className = 'fixed opacity-0';
    const host = document.querySelector('[role="dialog"]') ?? document.body;
    host.append(field);
    field.select();
    const copied = document.execCommand('copy');
    field.remove();
    return copied;
  }
}
