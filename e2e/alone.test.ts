import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { crowdedPanels, overPicture, pull, shownBytes, shownPicture, waitForDrags, watchPictures } from './editor.js';
import { findChromium, launchBrowser, type Person, type RunningBrowser, type RunningTug, startTug } from './tug.js';

const chromium = findChromium();

describe.skipIf(chromium === null)('one person (skipped where there is no Chromium: set TUG_CHROMIUM)', () => {
  let tug: RunningTug;
  let browser: RunningBrowser;
  let ana: Person;
  const files = mkdtempSync(join(tmpdir(), 'tug-files-'));

  beforeAll(async () => {
    tug = await startTug();
    browser = await launchBrowser(chromium ?? '');
    ana = await browser.person();
    await watchPictures(ana.page);
  });

  afterAll(async () => {
    await browser?.[Symbol.asyncDispose]();
    await tug?.[Symbol.asyncDispose]();
    rmSync(files, { recursive: true, force: true });
  });

  test('a file that is no picture is refused in words, and the page stays usable', async () => {
    const path = join(files, 'notes.png');
    writeFileSync(path, 'these are notes, not a picture');
    await ana.page.goto(tug.url);
    await ana.page.getByTestId('upload-input').setInputFiles(path);
    const message = await ana.page.getByTestId('upload-error').textContent();
    expect(message).toMatch(/picture|photo|image/i);
    expect(ana.page.url()).not.toContain('/c/');
  });

  test('a sample opens as a canvas of one’s own', async () => {
    await ana.page.getByTestId('sample-fig').click();
    await ana.page.waitForURL(/\/c\/.+/);
    await shownPicture(ana.page, 'head');
  });

  test('a drag is placed and moved with the keyboard alone', async () => {
    await ana.page.keyboard.press('d');
    await ana.page.getByTestId('stage').focus();
    await ana.page.keyboard.press('Enter');
    for (let press = 0; press < 3; press += 1) await ana.page.keyboard.press('Shift+ArrowLeft');
    await ana.page.keyboard.press('Enter');
    for (let press = 0; press < 4; press += 1) await ana.page.keyboard.press('Shift+ArrowUp');
    await ana.page.keyboard.press('Enter');
    await waitForDrags(ana.page, 1);
    expect(await ana.page.getByTestId('drag-list').textContent()).toContain('40 px');
  });

  test('the mask is painted, and undone', async () => {
    const painted = ana.page.getByTestId('clear-mask');
    await ana.page.keyboard.press('b');
    await pull(ana.page, [0.4, 0.4], [0.6, 0.6]);
    await painted.waitFor();
    await ana.page.keyboard.press('Control+z');
    await painted.waitFor({ state: 'detached' });
    await waitForDrags(ana.page, 1);
  });

  test('what was drawn is still there after a reload', async () => {
    await ana.page.keyboard.press('d');
    await pull(ana.page, [0.3, 0.6], [0.3, 0.5]);
    await waitForDrags(ana.page, 2);
    await ana.page.reload();
    await shownPicture(ana.page, 'head');
    await waitForDrags(ana.page, 2);
  });

  test('a run is cancelled, and the picture is as it was', async () => {
    await ana.page.getByTestId('candidates-4').click();
    await ana.page.getByTestId('steps-8').click();
    await ana.page.getByTestId('run').click();
    await ana.page.getByTestId('progress').waitFor();
    await ana.page.getByTestId('cancel').click();
    await ana.page.getByTestId('progress').waitFor({ state: 'detached' });
    await ana.page.getByTestId('run').waitFor();
    expect(await ana.page.getByTestId('review').count()).toBe(0);
    await shownPicture(ana.page, 'head');
    await waitForDrags(ana.page, 2);
  });

  test('someone with a viewing link sees everything and can change nothing', async () => {
    await ana.page.getByTestId('share-open').click();
    await ana.page.getByTestId('share-role-Can view').click();
    await ana.page.getByTestId('share-create').click();
    const made = ana.page.getByTestId('share-link').first();
    expect(await made.getAttribute('data-role')).toBe('VIEWER');
    const link = await made.inputValue();
    await ana.page.keyboard.press('Escape');
    const viewer = await browser.person();
    await viewer.page.goto(link);
    await shownPicture(viewer.page, 'head');
    await viewer.page.getByTestId('view-only').waitFor();
    await waitForDrags(viewer.page, 2);
    await viewer.page.keyboard.press('d');
    await pull(viewer.page, [0.5, 0.3], [0.6, 0.3]);
    // The owner's next drag reaches the viewer after whatever the viewer had sent: three in all, not four.
    await pull(ana.page, [0.6, 0.7], [0.7, 0.7]);
    await Promise.all([waitForDrags(ana.page, 3), waitForDrags(viewer.page, 3)]);
    expect(await viewer.page.getByTestId('run').count()).toBe(0);
    await viewer.context.close();
  });

  test('a link that was revoked lets nobody in', async () => {
    await ana.page.getByTestId('share-open').click();
    const link = await ana.page.getByTestId('share-link').first().inputValue();
    await ana.page.getByTestId('share-revoke').first().click();
    await ana.page.getByTestId('share-link').waitFor({ state: 'detached' });
    await ana.page.keyboard.press('Escape');
    const late = await browser.person();
    await late.page.goto(link);
    await late.page.getByTestId('notice').waitFor();
    expect(late.page.url()).not.toContain('/c/');
    await late.context.close();
  });

  test('on a phone, a finger drags and nothing runs off the screen', async () => {
    const phone = await browser.person({ width: 390, height: 844, touch: true });
    await phone.page.goto(tug.url);
    await phone.page.getByTestId('sample-dogs').tap();
    await phone.page.waitForURL(/\/c\/.+/);
    await shownPicture(phone.page, 'head');
    await phone.page.getByTestId('tool-drag').tap();
    const touch = await phone.context.newCDPSession(phone.page);
    const from = await overPicture(phone.page, 0.4, 0.4);
    const to = await overPicture(phone.page, 0.55, 0.45);
    await touch.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: [from] });
    for (const part of [0.2, 0.4, 0.6, 0.8, 1]) {
      const at = { x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part };
      await touch.send('Input.dispatchTouchEvent', { type: 'touchMove', touchPoints: [at] });
    }
    await touch.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
    await phone.page.getByTestId('settings-open').click();
    await waitForDrags(phone.page, 1);
    const overflow = await phone.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(overflow).toBeLessThanOrEqual(0);
    expect(phone.errors).toEqual([]);
    await phone.context.close();
  });

  test('panels keep clear of one another at every width, a result in review among them', async () => {
    await ana.page.goto(tug.url);
    await ana.page.getByTestId('sample-dogs').click();
    await ana.page.waitForURL(/\/c\/.+/);
    await shownPicture(ana.page, 'head');
    await pull(ana.page, [0.4, 0.4], [0.5, 0.4]);
    await waitForDrags(ana.page, 1);
    await ana.page.getByTestId('candidates-2').click();
    await ana.page.getByTestId('steps-1').click();
    await ana.page.getByTestId('run').click();
    await ana.page.getByTestId('review').waitFor();
    await shownPicture(ana.page, 'candidate');
    for (const [width, height] of [
      [1680, 1000],
      [1366, 768],
      [1280, 800],
      [1024, 768],
      [820, 1100],
      [390, 844],
    ] as const) {
      await ana.page.setViewportSize({ width, height });
      expect([width, ...(await crowdedPanels(ana.page))]).toEqual([width]);
    }
  });

  test('trying again brings another result, not the same one with other noise', async () => {
    await ana.page.setViewportSize({ width: 1280, height: 800 });
    const first = await shownBytes(ana.page, 'candidate');
    const picture = await shownPicture(ana.page, 'candidate');
    await ana.page.getByTestId('run-again').click();
    await ana.page.locator(`[data-testid="candidate-image"][data-ready]:not([data-picture="${picture}"])`).waitFor();
    expect(await shownBytes(ana.page, 'candidate')).not.toBe(first);
  });

  test('no error was shown on the console but the refused upload', () => {
    expect(ana.errors.filter((error) => !/415/.test(error))).toEqual([]);
  });
});
