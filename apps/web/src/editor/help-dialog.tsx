'use client';

/** Knows: all the keys, to look them up. */

import { Kbd } from '@/ui/button';
import { Dialog } from '@/ui/dialog';
import { useModKey } from '@/ui/use-mod-key';
import { TOOLS } from './store';

const GROUPS: readonly { readonly title: string; readonly keys: readonly (readonly [string, string])[] }[] = [
  { title: 'Tools', keys: TOOLS.map(({ key, name }) => [key, name] as const) },
  {
    title: 'Run',
    keys: [
      ['Mod ⏎', 'Run (also R)'],
      ['Esc', 'Cancel the run'],
      ['C', 'Hold to compare'],
      ['⏎', 'Accept the result'],
      ['1 – 4', 'Look at a result'],
      ['Esc', 'Put results aside'],
    ],
  },
  {
    title: 'Drags',
    keys: [
      ['⏎', 'Crosshair; again to place'],
      ['← ↑ ↓ →', 'Move the selected end'],
      ['⇧ + arrow', 'Ten pixels at once'],
      ['Tab', 'Next end'],
      ['Del', 'Remove'],
      ['Mod Z', 'Undo your change'],
      ['Mod ⇧ Z', 'Redo'],
    ],
  },
  {
    title: 'View',
    keys: [
      ['Space', 'Hold to pan'],
      ['+  −', 'Zoom'],
      ['0', 'Fit'],
      ['1', '100 %'],
      ['[  ]', 'Brush size'],
      ['Y', 'Versions'],
      ['?', 'These keys'],
    ],
  },
];

export function HelpDialog({ onClose }: { onClose: () => void }) {
  const mod = useModKey();
  return (
    <Dialog open onClose={onClose} title="Keys" wide testId="help">
      <div className="grid gap-x-10 gap-y-6 sm:grid-cols-2">
        {GROUPS.map((group) => (
          <section key={group.title}>
            <h3 className="mb-2 text-[13px] font-semibold text-ink-2">{group.title}</h3>
            <dl className="flex flex-col gap-1.5">
              {group.keys.map(([keys, meaning]) => (
                <div key={keys + meaning} className="flex items-center justify-between gap-4">
                  <dt>{meaning}</dt>
                  <dd className="flex shrink-0 gap-1">
                    {keys
                      .split(/\s+/)
                      .map((key) =>
                        /^[–+]$/.test(key) && keys.length > 4 ? (
                          <span key={key}>{key}</span>
                        ) : (
                          <Kbd key={key}>{key === 'Mod' ? mod : key}</Kbd>
                        ),
                      )}
                  </dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
