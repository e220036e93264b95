/** Knows: the editor's page as a person uses it: where the picture lies, how a drag is pulled, what is shown and when. */

import { createHash } from 'node:crypto';
import type { Page } from 'playwright-core';

/** Remembers every picture that the stage showed, as a person watching it would. Call before the page is opened. */
export async function watchPictures(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const seen: { kind: string; src: string; step: string | null }[] = [];
    const watched = Object.assign(window, { picturesSeen: seen, progressSeen: false });
    const note = (image: HTMLImageElement) => {
      const kind = image.dataset.kind;
      if (kind !== undefined && image.dataset.ready !== undefined)
        seen.push({ kind, src: image.src, step: image.dataset.step ?? null });
    };
    new MutationObserver((changes) => {
      watched.progressSeen ||= document.querySelector('[data-testid="progress"]') !== null;
      for (const { target, addedNodes } of changes) {
        if (target instanceof HTMLImageElement) note(target);
        for (const node of addedNodes) if (node instanceof HTMLImageElement) note(node);
      }
    }).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-ready', 'src'] });
  });
}

/** The distinct previews that were on the stage so far. */
export async function previewsSeen(page: Page): Promise<number> {
  return page.evaluate(() => {
    const { picturesSeen } = window as unknown as { picturesSeen: { kind: string; src: string }[] };
    return new Set(picturesSeen.filter(({ kind }) => kind === 'preview').map(({ src }) => src)).size;
  });
}

/** Whether the page told how far a run was, so far. */
export function progressSeen(page: Page): Promise<boolean> {
  return page.evaluate(() => (window as unknown as { progressSeen: boolean }).progressSeen);
}

/** Waits until the stage has shown a preview. A fast run may be over by then: what was shown counts, not what stands now. */
export async function waitForPreview(page: Page): Promise<void> {
  await page.waitForFunction(() => {
    const { picturesSeen } = window as unknown as { picturesSeen: { kind: string }[] };
    return picturesSeen.some(({ kind }) => kind === 'preview');
  });
}

/** Waits until the picture that stands (not a preview) is there, and says which it is. */
export async function shownPicture(page: Page, kind: 'head' | 'candidate' | 'revision'): Promise<string> {
  const image = page.locator(`[data-testid="${kind}-image"][data-ready]`);
  await image.waitFor({ timeout: 60_000 });
  return (await image.getAttribute('data-picture')) ?? '';
}

/** The digest of the bytes of the picture on the stage. */
export async function shownBytes(page: Page, kind: 'head' | 'candidate'): Promise<string> {
  const src = await page.locator(`[data-testid="${kind}-image"][data-ready]`).getAttribute('src');
  const answer = await page.request.get(new URL(src ?? '', page.url()).href);
  if (!answer.ok()) throw new Error(`the ${kind} picture answered ${answer.status()}`);
  return createHash('sha256')
    .update(await answer.body())
    .digest('hex');
}

/** A point of the page over the picture, as shares of the picture's width and height. */
export async function overPicture(page: Page, x: number, y: number): Promise<{ x: number; y: number }> {
  const box = await page.getByTestId('picture').boundingBox();
  if (box === null) throw new Error('the picture is not on the page');
  return { x: box.x + box.width * x, y: box.y + box.height * y };
}

/** Pulls a drag with the mouse from one place of the picture to another (shares of its width and height). */
export async function pull(page: Page, from: [number, number], to: [number, number]): Promise<void> {
  const start = await overPicture(page, ...from);
  const end = await overPicture(page, ...to);
  await page.mouse.move(start.x, start.y);
  await page.mouse.down();
  await page.mouse.move((start.x + end.x) / 2, (start.y + end.y) / 2, { steps: 4 });
  await page.mouse.move(end.x, end.y, { steps: 4 });
  await page.mouse.up();
}

/** Waits until this page shows so many drags in its list, no more and no fewer. */
export async function waitForDrags(page: Page, count: number): Promise<void> {
  await page.waitForFunction(
    (wanted) => document.querySelectorAll('[data-testid="drag-list"] > li').length === wanted,
    count,
  );
}

/** Pairs of floating panels that lie over one another, and panels that run off the page, in words. */
export function crowdedPanels(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const panels = [...document.querySelectorAll<HTMLElement>('.shadow-panel')]
      .filter((panel) => panel.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
      .map((panel) => ({
        panel,
        name: panel.dataset.testid ?? panel.getAttribute('aria-label') ?? panel.textContent.slice(0, 24),
        box: panel.getBoundingClientRect(),
      }))
      .filter(({ box }) => box.width > 0 && box.height > 0);
    if (panels.length < 3) throw new Error(`only ${panels.length} floating panels were found`);
    const over = (a: DOMRect, b: DOMRect): boolean =>
      a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
    const off = panels.filter(
      ({ box }) => box.left < -1 || box.top < -1 || box.right > innerWidth + 1 || box.bottom > innerHeight + 1,
    );
    const pairs = panels.flatMap((one, i) =>
      panels
        .slice(i + 1)
        .filter((two) => over(one.box, two.box) && !one.panel.contains(two.panel) && !two.panel.contains(one.panel))
        .map((two) => `${one.name} over ${two.name}`),
    );
    return [...pairs, ...off.map(({ name }) => `${name} off the page`)];
  });
}
