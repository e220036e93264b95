'use client';
/** Knows: how a guest sees and changes the name that others see. Never in the way. */

import { Popover } from 'radix-ui';
import { useEffect, useState } from 'react';
import { useStore } from 'zustand';
import { guest, recallGuest, renameGuest } from '@/session/guest';
import { initials } from '@/session/names';
import { Button } from './button';
import { readableOn } from './color';

export function NameChip({ compact = false }: { compact?: boolean }) {
  const { name, user } = useStore(guest);
  const [open, setOpen] = useState(false);
  const [draft, setDraft] = useState('');
  useEffect(() => {
    recallGuest();
  }, []);
  if (!name) return null;
  const save = () => {
    renameGuest(draft);
    setOpen(false);
  };
  return (
    <Popover.Root
      open={open}
      onOpenChange={(next) => {
        setDraft(name);
        setOpen(next);
      }}
    >
      <Popover.Trigger
        data-testid="name-chip"
        className={`flex h-9 items-center gap-2 rounded-control font-medium text-ink-2 hover:bg-raised hover:text-ink ${compact ? 'px-1' : 'px-2'}`}
      >
        <Face name={name} color={user?.color ?? '#8a8a86'} />
        <span className={compact ? 'sr-only' : 'max-w-40 truncate max-sm:sr-only'}>{name}</span>
        <span className="sr-only">(you), change your name</span>
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content
          align="end"
          sideOffset={8}
          collisionPadding={12}
          className="pop z-50 w-72 rounded-panel bg-surface p-4 shadow-panel"
        >
          <form
            onSubmit={(event) => {
              event.preventDefault();
              save();
            }}
          >
            <label htmlFor="guest-name" className="mb-1 block font-semibold">
              Your name
            </label>
            <p className="mb-3 text-[13px] text-ink-2">Others see it beside your cursor.</p>
            <div className="flex gap-2">
              <input
                id="guest-name"
                data-testid="guest-name"
                value={draft}
                maxLength={40}
                autoComplete="nickname"
                onChange={(event) => setDraft(event.target.value)}
                onFocus={(event) => event.target.select()}
                className="h-9 min-w-0 flex-1 rounded-control border border-line-strong bg-transparent px-2.5"
              />
              <Button type="submit" look="accent" disabled={!draft.trim()}>
                Save
              </Button>
            </div>
          </form>
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

/** A person as a disk in their colour. */
export function Face({ name, color, size = 26 }: { name: string; color: string; size?: number }) {
  return (
    <span
      aria-hidden="true"
      className="grid shrink-0 place-items-center rounded-full text-[11px] font-bold"
      style={{ width: size, height: size, background: color, color: readableOn(color) }}
    >
      {initials(name)}
    </span>
  );
}
