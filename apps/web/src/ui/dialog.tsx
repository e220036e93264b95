'use client';
/**
 * Knows: how dialogs stand before the page: hung from above on a laptop's screen, so that nothing moves under the pointer when more comes
 * in below; at the bottom of a phone's.
 */

import { X } from 'lucide-react';
import { AlertDialog, Dialog as Radix } from 'radix-ui';
import type { ReactNode } from 'react';
import { Button } from './button';

interface DialogProps {
  open: boolean;
  onClose: () => void;
  title: string;
  description?: string;
  testId?: string;
  wide?: boolean;
  children: ReactNode;
}

const OVERLAY = 'fixed inset-0 z-40 bg-black/45 animate-[fade-in_140ms_ease-out]';
const BOX =
  'fixed z-50 bg-surface shadow-panel outline-none max-sm:inset-x-0 max-sm:bottom-0 max-sm:rounded-t-2xl max-sm:pb-[max(20px,env(safe-area-inset-bottom))] max-sm:sheet sm:pop sm:top-[14dvh] sm:left-1/2 sm:-translate-x-1/2 sm:rounded-2xl';

export function Dialog({ open, onClose, title, description, testId, wide, children }: DialogProps) {
  return (
    <Radix.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Radix.Portal>
        <Radix.Overlay className={OVERLAY} />
        <Radix.Content
          data-testid={testId}
          {...(description ? {} : { 'aria-describedby': undefined })}
          className={`${BOX} max-h-[80dvh] overflow-auto p-5 ${wide ? 'sm:w-[640px]' : 'sm:w-[440px]'}`}
        >
          <div className="mb-4 flex items-start gap-4">
            <div className="min-w-0 flex-1">
              <Radix.Title className="text-[17px] font-semibold tracking-tight">{title}</Radix.Title>
              {description && <Radix.Description className="mt-0.5 text-ink-2">{description}</Radix.Description>}
            </div>
            <Radix.Close
              aria-label="Close"
              className="-m-1 grid size-8 place-items-center rounded-control text-ink-3 hover:bg-raised hover:text-ink"
            >
              <X size={18} />
            </Radix.Close>
          </div>
          {children}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

interface ConfirmProps {
  open: boolean;
  onClose: () => void;
  onConfirm: () => void;
  title: string;
  text: string;
  confirm: string;
}

export function Confirm({ open, onClose, onConfirm, title, text, confirm }: ConfirmProps) {
  return (
    <AlertDialog.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <AlertDialog.Portal>
        <AlertDialog.Overlay className={OVERLAY} />
        <AlertDialog.Content className={`${BOX} p-5 sm:w-[400px]`}>
          <AlertDialog.Title className="text-[17px] font-semibold tracking-tight">{title}</AlertDialog.Title>
          <AlertDialog.Description className="mt-1.5 mb-5 text-pretty text-ink-2">{text}</AlertDialog.Description>
          <div className="flex justify-end gap-2">
            <AlertDialog.Cancel asChild>
              <Button>Keep it</Button>
            </AlertDialog.Cancel>
            <AlertDialog.Action asChild>
              <Button look="danger" onClick={onConfirm} testId="confirm">
                {confirm}
              </Button>
            </AlertDialog.Action>
          </div>
        </AlertDialog.Content>
      </AlertDialog.Portal>
    </AlertDialog.Root>
  );
}
