'use client';
/** Knows: the drags as a list, the area, and what the next run will use. Shared: whoever changes it changes it for all. */

import { distance, MAX_SEED } from '@tug/schema';
import { Dices, Lock, LockOpen, X } from 'lucide-react';
import { ToggleGroup } from 'radix-ui';
import { memo, type ReactNode, useState } from 'react';
import { useShallow } from 'zustand/react/shallow';
import { Tip } from '@/ui/button';
import { isPin } from './hit';
import { useCanEdit, useRoom, useSession, useUi } from './session';

export function DragList() {
  const session = useSession();
  const ids = useRoom(useShallow((state) => state.shared.drags.map((drag) => drag.id)));
  const strokes = useRoom((state) => state.shared.strokes.length);
  const canEdit = useCanEdit();
  return (
    <Section
      title={ids.length === 0 ? 'Drags' : `Drags · ${ids.length}`}
      aside={
        canEdit &&
        ids.length + strokes > 0 && (
          <TextButton onClick={() => session.room.clearAll()} testId="clear-all">
            Clear all
          </TextButton>
        )
      }
    >
      {ids.length === 0 ? (
        <p className="text-pretty text-ink-2" data-testid="drag-hint">
          {canEdit
            ? 'Press on a part of the picture and pull it to where it belongs. Pins hold what should stay. To move a whole thing, paint over it and its new place, and give it two drags.'
            : 'Nobody has placed a drag yet.'}
        </p>
      ) : (
        <ul className="-mx-1.5 max-h-44 overflow-y-auto" data-testid="drag-list">
          {ids.map((id, index) => (
            <DragRow key={id} id={id} number={index + 1} canEdit={canEdit} />
          ))}
        </ul>
      )}
    </Section>
  );
}

/** One drag; it alone is rendered again while that drag moves. */
const DragRow = memo(function DragRow({ id, number, canEdit }: { id: string; number: number; canEdit: boolean }) {
  const session = useSession();
  const drag = useRoom((state) => state.shared.drags.find((each) => each.id === id));
  const selected = useUi((state) => state.selection.includes(id));
  if (!drag) return null;
  const pin = isPin(drag);
  const name = `${pin ? 'Pin' : 'Drag'} ${number}`;
  const length = Math.round(distance(drag.handle, drag.target));
  return (
    <li className={`group flex items-center rounded-control ${selected ? 'bg-pressed' : 'hover:bg-raised'}`}>
      <button
        type="button"
        aria-pressed={selected}
        className="flex h-8 min-w-0 flex-1 items-center gap-2.5 rounded-control px-1.5 text-left"
        onClick={() => session.ui.setState({ selection: [id], activeEnd: 'target' })}
      >
        <DragIcon color={session.colorOf(drag.author)} pin={pin} />
        <span className="font-medium">{name}</span>
        {!pin && <span className="text-[13px] text-ink-2">{length} px</span>}
      </button>
      {canEdit && (
        <button
          type="button"
          aria-label={`Remove ${name}`}
          className={`grid size-8 place-items-center rounded-control text-ink-2 hover:text-ink focus-visible:opacity-100 ${selected ? '' : 'opacity-0 group-hover:opacity-100 pointer-coarse:opacity-100'}`}
          onClick={() => {
            session.room.begin();
            session.room.removeDrags([id]);
            session.ui.setState({ selection: [] });
          }}
        >
          <X size={15} />
        </button>
      )}
    </li>
  );
});

function DragIcon({ color, pin }: { color: string; pin: boolean }) {
  return (
    <svg width="18" height="18" viewBox="0 0 18 18" fill="none" aria-hidden="true">
      {pin ? (
        <>
          <circle cx="9" cy="9" r="5.5" stroke={color} strokeWidth="2.2" />
          <circle cx="9" cy="9" r="2" fill={color} />
        </>
      ) : (
        <>
          <circle cx="5" cy="13" r="3" stroke={color} strokeWidth="2" />
          <path d="M7.5 10.5 12 6" stroke={color} strokeWidth="2" strokeLinecap="round" />
          <circle cx="13.7" cy="4.3" r="2.8" fill={color} />
        </>
      )}
    </svg>
  );
}

export function AreaSetting() {
  const session = useSession();
  const strokes = useRoom((state) => state.shared.strokes.length);
  const canEdit = useCanEdit();
  return (
    <Section
      title="Area that may change"
      aside={
        canEdit &&
        strokes > 0 && (
          <TextButton onClick={() => session.room.clearMask()} testId="clear-mask">
            Clear
          </TextButton>
        )
      }
    >
      {strokes > 0 ? (
        <p className="text-ink-2">As painted; the rest keeps its pixels.</p>
      ) : (
        <p className="text-ink-2">
          Found from the drags.{' '}
          {canEdit && (
            <button
              type="button"
              className="rounded-sm font-medium text-ink underline decoration-line-strong underline-offset-3 hover:decoration-ink"
              onClick={() => session.ui.setState({ tool: 'brush', panel: null })}
            >
              Paint it
            </button>
          )}
        </p>
      )}
    </Section>
  );
}

export function RunSettings() {
  const session = useSession();
  const { candidates, seed, steps } = useRoom((state) => state.shared.settings);
  const canEdit = useCanEdit();
  const bundle = session.engine.bundles[0];
  const most = Math.min(session.engine.maxCandidates, 4);
  return (
    <Section title="Next run">
      <fieldset disabled={!canEdit} className="flex flex-col gap-2">
        {most > 1 && (
          <Row label="Results">
            <Choice
              label="Results"
              testId="candidates"
              value={String(candidates)}
              options={Array.from({ length: most }, (_, index) => String(index + 1))}
              onChange={(value) => session.room.changeSettings({ candidates: Number(value) })}
            />
          </Row>
        )}
        {bundle && bundle.steps.length > 1 && (
          <Row label="Steps">
            <Choice
              label="Steps"
              testId="steps"
              value={String(steps ?? bundle.defaultSteps)}
              options={bundle.steps.map(String)}
              onChange={(value) =>
                session.room.changeSettings({ steps: Number(value) === bundle.defaultSteps ? null : Number(value) })
              }
            />
          </Row>
        )}
        <Row label="Seed">
          <Seed seed={seed} onChange={(next) => session.room.changeSettings({ seed: next })} />
        </Row>
      </fieldset>
    </Section>
  );
}

function Seed({ seed, onChange }: { seed: number | null; onChange: (seed: number | null) => void }) {
  const [draft, setDraft] = useState<string | null>(null);
  const roll = () => Math.floor(Math.random() * 100_000);
  const save = () => {
    const value = Number(draft);
    setDraft(null);
    if (draft !== null && draft.trim() !== '' && Number.isInteger(value) && value >= 0 && value <= MAX_SEED)
      onChange(value);
  };
  return (
    <div className="flex items-center gap-0.5">
      {seed === null ? (
        <span className="px-1 text-ink-2">Another each time</span>
      ) : (
        <input
          aria-label="Seed"
          data-testid="seed"
          inputMode="numeric"
          value={draft ?? String(seed)}
          onChange={(event) => setDraft(event.target.value.replace(/\D/g, '').slice(0, 10))}
          onBlur={save}
          onKeyDown={(event) => event.key === 'Enter' && event.currentTarget.blur()}
          className="h-8 w-24 rounded-control border border-line-strong bg-transparent px-2 text-right"
        />
      )}
      {seed !== null && (
        <Tip label="Roll another seed">
          <button
            type="button"
            aria-label="Roll another seed"
            className="grid size-8 place-items-center rounded-control text-ink-2 hover:bg-raised"
            onClick={() => onChange(roll())}
          >
            <Dices size={16} />
          </button>
        </Tip>
      )}
      <Tip label={seed === null ? 'Keep one seed, so that a run can be repeated' : 'Take another seed for every run'}>
        <button
          type="button"
          aria-label="Keep the seed"
          aria-pressed={seed !== null}
          data-testid="seed-lock"
          className={`grid size-8 place-items-center rounded-control hover:bg-raised ${seed === null ? 'text-ink-2' : 'text-accent-text'}`}
          onClick={() => onChange(seed === null ? roll() : null)}
        >
          {seed === null ? <LockOpen size={16} /> : <Lock size={16} />}
        </button>
      </Tip>
    </div>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  options: readonly string[];
  onChange: (value: string) => void;
  testId?: string;
}

/** One of a few, all of them in sight. */
export function Choice({ label, value, options, onChange, testId }: ChoiceProps) {
  return (
    <ToggleGroup.Root
      type="single"
      aria-label={label}
      value={value}
      onValueChange={(next) => next && onChange(next)}
      className="flex rounded-control bg-raised p-0.5"
      data-testid={testId}
    >
      {options.map((option) => (
        <ToggleGroup.Item
          key={option}
          value={option}
          data-testid={testId && `${testId}-${option}`}
          className="h-7 min-w-8 rounded-md px-2 text-[13px] font-medium text-ink-2 hover:text-ink aria-checked:bg-surface aria-checked:text-ink aria-checked:shadow-small dark:aria-checked:bg-pressed"
        >
          {option}
        </ToggleGroup.Item>
      ))}
    </ToggleGroup.Root>
  );
}

function Row({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className="flex min-h-8 items-center justify-between gap-3">
      <span className="text-ink-2">{label}</span>
      {children}
    </div>
  );
}

export function Section({ title, aside, children }: { title: string; aside?: ReactNode; children: ReactNode }) {
  return (
    <section className="border-b border-line px-4 py-3 last:border-0">
      <div className="mb-1.5 flex min-h-6 items-center justify-between gap-2">
        <h2 className="font-semibold">{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  );
}

function TextButton({ onClick, testId, children }: { onClick: () => void; testId: string; children: ReactNode }) {
  return (
    <button
      type="button"
      data-testid={testId}
      onClick={onClick}
      className="rounded px-1 text-[13px] font-medium text-ink-2 hover:text-ink"
    >
      {children}
    </button>
  );
}
