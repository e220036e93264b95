'use client';
/** Knows: the title, who is here, whether the line stands, and the ways to share and look back. */

import { Eye, History, Keyboard, Share2, WifiOff } from 'lucide-react';
import { useState } from 'react';
import { explain } from '@/api/client';
import { IconButton, Spinner, Tip } from '@/ui/button';
import { Mark } from '@/ui/logo';
import { Face, NameChip } from '@/ui/name-chip';
import { ThemeButton } from '@/ui/theme';
import { toast } from '@/ui/toast';
import { useCanEdit, useFeed, useRoom, useSession, useUi } from './session';

export function TopBar() {
  const session = useSession();
  const canEdit = useCanEdit();
  const panel = useUi((state) => state.panel);
  const open = (next: typeof panel) => session.ui.setState({ panel: panel === next ? null : next });
  return (
    <>
      <div className="pointer-events-auto flex min-w-0 items-center gap-1 rounded-panel bg-surface py-1 pr-2 pl-1 shadow-panel">
        <a
          href="/"
          aria-label="Start page"
          data-testid="home-link"
          className="grid size-9 shrink-0 place-items-center rounded-control hover:bg-raised"
        >
          <Mark size={24} />
        </a>
        <Title />
        <ConnectionState />
        {!canEdit && (
          <Tip label="You came by a viewing link: you see everything live, but only editors can drag and run.">
            <span
              data-testid="view-only"
              className="flex items-center gap-1.5 rounded-md bg-raised px-2 py-1 text-[12.5px] font-medium text-ink-2"
            >
              <Eye size={14} /> View only
            </span>
          </Tip>
        )}
      </div>
      <span className="flex-1" />
      <div className="pointer-events-auto flex items-center gap-0.5 rounded-panel bg-surface p-1 shadow-panel">
        <People />
        <IconButton
          label="Versions"
          shortcut="Y"
          active={panel === 'history'}
          onClick={() => open('history')}
          testId="history-open"
        >
          <History size={18} />
        </IconButton>
        <span className="max-md:hidden">
          <IconButton label="Keys" shortcut="?" onClick={() => open('help')} testId="help-open">
            <Keyboard size={18} />
          </IconButton>
        </span>
        <span className="max-md:hidden">
          <ThemeButton />
        </span>
        <button
          type="button"
          data-testid="share-open"
          onClick={() => open('share')}
          aria-label="Share"
          className="ml-1 flex h-9 items-center gap-2 rounded-control bg-ink px-3 font-semibold text-page transition-opacity hover:opacity-85"
        >
          <Share2 size={16} /> <span className="max-sm:hidden">Share</span>
        </button>
      </div>
    </>
  );
}

function Title() {
  const session = useSession();
  const canEdit = useCanEdit();
  const shared = useFeed((feed) => feed.canvas?.title ?? session.canvas.title);
  const [renamed, setRenamed] = useState<string | null>(null);
  const [draft, setDraft] = useState<string | null>(null);
  const title = renamed ?? shared;
  const save = async () => {
    const next = draft?.trim();
    setDraft(null);
    if (!next || next === title) return;
    setRenamed(next);
    try {
      setRenamed(await session.rename(next));
    } catch (error) {
      setRenamed(null);
      toast(explain(error), 'bad');
    }
  };
  if (!canEdit) return <h1 className="truncate px-1.5 font-semibold">{title}</h1>;
  return (
    <h1 className="min-w-0">
      <input
        aria-label="Title"
        data-testid="title"
        value={draft ?? title}
        maxLength={120}
        size={Math.min(Math.max((draft ?? title).length, 4), 28)}
        onFocus={() => setDraft(title)}
        onChange={(event) => setDraft(event.target.value)}
        onBlur={() => void save()}
        onKeyDown={(event) => {
          if (event.key === 'Enter') event.currentTarget.blur();
          if (event.key === 'Escape') {
            setDraft(null);
            requestAnimationFrame(() => document.querySelector<HTMLElement>('[data-testid="stage"]')?.focus());
          }
        }}
        className="field-sizing-content h-8 max-w-72 min-w-8 truncate rounded-md bg-transparent px-1.5 font-semibold outline-offset-0 hover:bg-raised focus:bg-raised max-sm:max-w-28"
      />
    </h1>
  );
}

function ConnectionState() {
  const connection = useRoom((state) => state.connection);
  if (connection === 'live')
    return (
      <span data-testid="connection" data-state="live" className="sr-only">
        Connected
      </span>
    );
  const offline = connection === 'offline' || connection === 'refused';
  return (
    <Tip
      label={
        offline
          ? 'No connection. Keep working: your drags are sent as soon as the line is back.'
          : 'Connecting to the others on this picture.'
      }
    >
      <span
        data-testid="connection"
        data-state={connection}
        className={`flex shrink-0 items-center gap-1.5 rounded-md px-2 py-1 text-[12.5px] font-medium ${offline ? 'bg-warn-soft text-warn' : 'text-ink-2'}`}
      >
        {offline ? <WifiOff size={14} /> : <Spinner size={13} />}
        <span className="max-sm:sr-only">{offline ? 'Offline' : 'Connecting'}</span>
      </span>
    </Tip>
  );
}

function People() {
  const session = useSession();
  const people = useRoom((state) => state.people);
  const others = people.filter((person) => person.id !== session.me.id);
  return (
    <div className="flex items-center" data-testid="people" data-count={others.length + 1}>
      {others.length > 0 && (
        <ul className="mr-0.5 flex items-center pl-1" aria-label="Also here">
          {others.slice(0, 4).map((person) => (
            <li key={person.id} className="-mr-1.5 rounded-full ring-2 ring-surface">
              <Tip label={person.name}>
                <span className="block">
                  <Face name={person.name} color={person.color} />
                  <span className="sr-only">{person.name}</span>
                </span>
              </Tip>
            </li>
          ))}
          {others.length > 4 && <li className="ml-2.5 text-[12.5px] font-semibold text-ink-2">+{others.length - 4}</li>}
        </ul>
      )}
      <NameChip compact />
    </div>
  );
}
