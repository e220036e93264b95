'use client';
/** Knows: how buttons look and tell what they do. */

import { Tooltip } from 'radix-ui';
import type { ComponentProps, ReactNode } from 'react';
import { useModKey } from './use-mod-key';

type Look = 'accent' | 'solid' | 'quiet' | 'danger';

const LOOKS: Record<Look, string> = {
  accent: 'bg-accent text-accent-ink hover:bg-accent-hover font-semibold',
  solid: 'bg-raised text-ink hover:bg-pressed font-medium',
  quiet: 'text-ink-2 hover:bg-raised hover:text-ink font-medium',
  danger: 'bg-raised text-danger hover:bg-pressed font-semibold',
};

interface ButtonProps extends Omit<ComponentProps<'button'>, 'className'> {
  look?: Look;
  size?: 'small' | 'medium' | 'large';
  wide?: boolean;
  testId?: string;
}

const SIZES = { small: 'h-8 px-2.5 text-[13px]', medium: 'h-9 px-3.5', large: 'h-11 px-4 text-[15px]' } as const;

export function Button({ look = 'solid', size = 'medium', wide = false, testId, ...props }: ButtonProps) {
  return (
    <button
      type="button"
      data-testid={testId}
      className={`inline-flex shrink-0 items-center justify-center gap-2 rounded-control whitespace-nowrap transition-colors duration-100 select-none active:translate-y-px disabled:pointer-events-none disabled:opacity-40 ${SIZES[size]} ${LOOKS[look]} ${wide ? 'w-full' : ''}`}
      {...props}
    />
  );
}

interface IconButtonProps extends Omit<ComponentProps<'button'>, 'className'> {
  label: string;
  /** shown beside the label */
  shortcut?: string;
  active?: boolean;
  side?: 'top' | 'bottom' | 'left' | 'right';
  testId?: string;
  children: ReactNode;
}

/** A square button with an icon; its name is its tooltip. In shortcuts, Mod stands for the machine's command key. */
export function IconButton({ label, shortcut, active, side = 'bottom', testId, children, ...props }: IconButtonProps) {
  return (
    <Tip label={label} side={side} {...(shortcut ? { shortcut } : {})}>
      <button
        type="button"
        aria-label={label}
        data-testid={testId}
        className={`grid size-9 shrink-0 place-items-center rounded-control transition-colors duration-100 active:translate-y-px disabled:pointer-events-none disabled:opacity-35 max-sm:size-10 ${active ? 'bg-pressed text-ink' : 'text-ink-2 hover:bg-raised hover:text-ink'}`}
        {...props}
      >
        {children}
      </button>
    </Tip>
  );
}

interface TipProps {
  label: string;
  shortcut?: string;
  side?: 'top' | 'bottom' | 'left' | 'right';
  children: ReactNode;
}

export function Tip({ label, shortcut, side = 'bottom', children }: TipProps) {
  const mod = useModKey();
  return (
    <Tooltip.Provider delayDuration={450} skipDelayDuration={250}>
      <Tooltip.Root>
        <Tooltip.Trigger asChild>{children}</Tooltip.Trigger>
        <Tooltip.Portal>
          <Tooltip.Content
            side={side}
            sideOffset={8}
            collisionPadding={8}
            className="pop z-50 flex max-w-64 items-center gap-2 rounded-control bg-ink px-2.5 py-1.5 text-[12.5px] text-page shadow-small"
          >
            {label}
            {shortcut && (
              <kbd className="rounded bg-page/20 px-1.5 font-sans text-[11px] font-semibold">
                {shortcut.replace('Mod', mod)}
              </kbd>
            )}
          </Tooltip.Content>
        </Tooltip.Portal>
      </Tooltip.Root>
    </Tooltip.Provider>
  );
}

export function Kbd({ children }: { children: ReactNode }) {
  return (
    <kbd className="inline-grid h-5 min-w-5 place-items-center rounded border border-line-strong px-1 font-sans text-[11px] font-semibold text-ink-2">
      {children}
    </kbd>
  );
}

/** An endless ring for waits of unknown length. */
export function Spinner({ size = 16 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 16 16" className="animate-spin" aria-hidden="true">
      <circle cx="8" cy="8" r="6.5" fill="none" stroke="currentColor" strokeOpacity="0.25" strokeWidth="2.2" />
      <path d="M8 1.5A6.5 6.5 0 0 1 14.5 8" fill="none" stroke="currentColor" strokeWidth="2.2" strokeLinecap="round" />
    </svg>
  );
}
