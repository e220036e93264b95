'use client';
/** Knows: the stage's elements. What happens on them is the controller's business. */

import { useEffect, useMemo, useRef } from 'react';
import { useStore } from 'zustand';
import { Layers } from './layers';
import { useCanEdit, useFeed, useRoom, useSession, useUi } from './session';
import { useInsets } from './use-insets';
import { useLoaded } from './use-loaded';
import { useStageView } from './use-view';
import { type Picture, pictureOf } from './view';

export function Stage() {
  const session = useSession();
  const stage = useRef<HTMLDivElement>(null);
  const picture = useRef<HTMLDivElement>(null);
  const overlay = useRef<HTMLCanvasElement>(null);
  const warp = useRef<HTMLCanvasElement>(null);
  const canEdit = useCanEdit();
  const view = useStageView();
  const feed = useStore(session.feed.store);
  const comparing = useUi((state) => state.comparing);
  const tool = useUi((state) => state.tool);
  const drags = useRoom((state) => state.shared.drags.length);
  const title = useFeed((each) => each.canvas?.title ?? session.canvas.title);
  const insets = useInsets();

  const head = feed.head ?? session.canvas.head;
  const headPicture: Picture = { id: `revision ${head.id}`, src: head.url, kind: 'head' };
  const shown = useMemo(() => pictureOf(view, feed), [view, feed]) ?? headPicture;
  const run = view.kind === 'running' || view.kind === 'review' ? view.run : null;
  const mask = useLoaded(run && Object.keys(run.previews).length > 0 ? run.edit.maskUrl : null);

  useEffect(() => {
    if (!stage.current || !picture.current || !overlay.current || !warp.current) return;
    return session.stage.attach({
      stage: stage.current,
      picture: picture.current,
      overlay: overlay.current,
      warp: warp.current,
    });
  }, [session]);

  useEffect(() => session.stage.setInsets(insets), [session, insets]);

  useEffect(() => {
    const looks = view.kind === 'review' || view.kind === 'revision' || comparing;
    session.stage.setMode({
      canEdit,
      lookOnly: looks,
      hint: view.kind === 'head',
      dragStrength: looks ? 0 : view.kind === 'running' ? 0.4 : 1,
      maskStrength: looks ? 0 : view.kind === 'running' ? 0.12 : 0.3,
      head: head.id,
    });
  }, [session, canEdit, view.kind, comparing, head.id]);

  const { width, height } = session.canvas;
  return (
    <div
      ref={stage}
      data-testid="stage"
      data-tool={tool}
      data-view={view.kind}
      role="application"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: an application is interactive; its keys are described below
      tabIndex={0}
      aria-label={`${title}, ${drags === 1 ? '1 drag' : `${drags} drags`}`}
      aria-describedby="stage-help"
      className="absolute inset-0 touch-none overflow-hidden bg-stage outline-none select-none not-data-pointed:focus-visible:inset-ring-2 not-data-pointed:focus-visible:inset-ring-accent"
    >
      <div ref={picture} className="picture" style={{ width, height }} data-testid="picture">
        <Layers
          picture={shown}
          head={headPicture}
          thumbnail={head.thumbnailUrl}
          comparing={comparing}
          mask={mask}
          onError={() => session.feed.refresh()}
        />
        <canvas ref={warp} className="warp" data-testid="warp" />
      </div>
      <canvas ref={overlay} className="pointer-events-none absolute inset-0 size-full" />
      <p id="stage-help" className="sr-only">
        Press Enter with the drag or pin tool for a crosshair, move it with the arrow keys, Shift for ten pixels. Tab
        goes through the drags’ ends; arrow keys move the selected end; Delete removes the drag. Press question mark for
        all keys.
      </p>
    </div>
  );
}
