import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  previewsSeen,
  progressSeen,
  pull,
  shownBytes,
  shownPicture,
  waitForDrags,
  waitForPreview,
  watchPictures,
} from './editor.js';
import {
  findChromium,
  launchBrowser,
  type Person,
  ROOT,
  type RunningBrowser,
  type RunningTug,
  startTug,
} from './tug.js';

const chromium = findChromium();
const photo = join(ROOT, 'apps/web/public/samples/dogs.jpg');

describe.skipIf(chromium === null)(
  'two people, two browsers (skipped where there is no Chromium: set TUG_CHROMIUM)',
  () => {
    let tug: RunningTug;
    let browser: RunningBrowser;
    let ana: Person;
    let ben: Person;

    beforeAll(async () => {
      tug = await startTug();
      browser = await launchBrowser(chromium ?? '');
      [ana, ben] = await Promise.all([browser.person(), browser.person({ dark: true })]);
      await Promise.all([watchPictures(ana.page), watchPictures(ben.page)]);
    });

    afterAll(async () => {
      await browser?.[Symbol.asyncDispose]();
      await tug?.[Symbol.asyncDispose]();
    });

    /** Keeps a picture of the page where TUG_SCREENSHOTS says, to be looked at. */
    async function keep(person: Person, name: string): Promise<void> {
      const folder = process.env.TUG_SCREENSHOTS;
      if (folder === undefined) return;
      mkdirSync(folder, { recursive: true });
      await person.page.screenshot({ path: join(folder, `${name}.png`) });
    }

    test('one uploads a photo and shares it; the other opens the link and sees it', async () => {
      await ana.page.goto(tug.url);
      await keep(ana, '1-home');
      await ana.page.getByTestId('upload-input').setInputFiles(photo);
      await ana.page.waitForURL(/\/c\/.+/);
      const head = await shownPicture(ana.page, 'head');
      await ana.page.getByTestId('share-open').click();
      await ana.page.getByTestId('share-create').click();
      const link = await ana.page.getByTestId('share-link').first().inputValue();
      await keep(ana, '2-share');
      await ana.page.keyboard.press('Escape');

      await ben.page.goto(link);
      await ben.page.waitForURL(/\/c\/.+/);
      expect(await shownPicture(ben.page, 'head')).toBe(head);
      expect(await shownBytes(ben.page, 'head')).toBe(await shownBytes(ana.page, 'head'));
      await ana.page.locator('[data-testid="people"][data-count="2"]').waitFor();
    });

    test('both drag, and each sees the drags of both', async () => {
      await ana.page.keyboard.press('d');
      await pull(ana.page, [0.36, 0.42], [0.31, 0.36]);
      await waitForDrags(ben.page, 1);
      await ben.page.keyboard.press('d');
      await pull(ben.page, [0.7, 0.4], [0.76, 0.33]);
      await Promise.all([waitForDrags(ana.page, 2), waitForDrags(ben.page, 2)]);
      await keep(ana, '3-drags');
      await keep(ben, '4-drags-dark');
    });

    test('undo takes back one’s own drag and not the other’s', async () => {
      await ben.page.keyboard.press('Control+z');
      await Promise.all([waitForDrags(ana.page, 1), waitForDrags(ben.page, 1)]);
      await ben.page.keyboard.press('Control+Shift+z');
      await Promise.all([waitForDrags(ana.page, 2), waitForDrags(ben.page, 2)]);
    });

    test('one runs; both watch at least three distinct previews and get the same picture', async () => {
      await ana.page.getByTestId('run').click();
      await waitForPreview(ben.page);
      await keep(ben, '5-running');
      expect(await progressSeen(ben.page)).toBe(true);
      await Promise.all([ana.page.getByTestId('review').waitFor(), ben.page.getByTestId('review').waitFor()]);
      const [seenByAna, seenByBen] = await Promise.all([
        shownPicture(ana.page, 'candidate'),
        shownPicture(ben.page, 'candidate'),
      ]);
      expect(seenByBen).toBe(seenByAna);
      expect(await shownBytes(ben.page, 'candidate')).toBe(await shownBytes(ana.page, 'candidate'));
      expect(await previewsSeen(ana.page)).toBeGreaterThanOrEqual(3);
      expect(await previewsSeen(ben.page)).toBeGreaterThanOrEqual(3);
      await keep(ana, '6-review');
    });

    test('one accepts; both have the new head, and the drags that made it are gone', async () => {
      const accepted = await shownBytes(ben.page, 'candidate');
      await ben.page.getByTestId('accept').click();
      await Promise.all([
        ana.page.getByTestId('review').waitFor({ state: 'detached' }),
        ben.page.getByTestId('review').waitFor({ state: 'detached' }),
      ]);
      expect(await shownPicture(ben.page, 'head')).toBe(await shownPicture(ana.page, 'head'));
      expect(await shownBytes(ana.page, 'head')).toBe(accepted);
      expect(await shownBytes(ben.page, 'head')).toBe(accepted);
      await Promise.all([waitForDrags(ana.page, 0), waitForDrags(ben.page, 0)]);
      await keep(ana, '7-accepted');
    });

    test('the first version is still there and can be brought back for both', async () => {
      const edited = await shownBytes(ana.page, 'head');
      await ana.page.getByTestId('history-open').click();
      const versions = ana.page.getByTestId('revision-item');
      expect(await versions.count()).toBe(2);
      await keep(ana, '8-history');
      await versions.last().click();
      await ana.page.getByTestId('revision-bar').getByTestId('restore').click();
      await ana.page.getByTestId('revision-bar').waitFor({ state: 'detached' });
      await expect.poll(() => shownBytes(ben.page, 'head'), { timeout: 10_000 }).not.toBe(edited);
    });

    test('no page had an error', () => {
      expect(ana.errors).toEqual([]);
      expect(ben.errors).toEqual([]);
    });

    test('SIGTERM ends all of it cleanly within five seconds', async () => {
      expect(await tug.stop()).toBeLessThan(5000);
      await expect(fetch(tug.url)).rejects.toThrow();
    });
  },
);
