/**
 * Knows: how to start the whole product as a user does (`npm start`, an empty data folder, a free port) and a real browser
 * beside it. Everything it starts is disposed of with it.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Where a Chromium is on this machine, or null: `TUG_CHROMIUM`, else the usual places. */
export function findChromium(): string | null {
  const places = [
    process.env.TUG_CHROMIUM,
    '/usr/bin/chromium',
    '/usr/bin/chromium-browser',
    '/usr/bin/google-chrome',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
    'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  ];
  return places.find((place) => place !== undefined && place !== '' && existsSync(place)) ?? null;
}

/** A running Tug. `stop` sends SIGTERM to npm and resolves with the milliseconds until every process of it has ended. */
export interface RunningTug extends AsyncDisposable {
  readonly url: string;
  readonly output: () => string;
  stop(): Promise<number>;
}

/** Starts `npm start` with an empty data folder on a free port and waits for the line with its address. */
export async function startTug(): Promise<RunningTug> {
  const data = mkdtempSync(join(tmpdir(), 'tug-e2e-'));
  const port = await freePort();
  const child = spawn('npm', ['start', '--silent'], {
    cwd: ROOT,
    env: { ...process.env, PORT: String(port), HOST: '127.0.0.1', TUG_DATA: data },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const url = await new Promise<string>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      output += chunk.toString();
      const address = output.match(/Tug is ready: (http:\/\/\S+)/)?.[1];
      if (address !== undefined) resolve(address);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`npm start ended with ${code} before it was ready:\n${output}`)));
  });
  const stop = async () => {
    const started = performance.now();
    await end(child);
    return performance.now() - started;
  };
  return {
    url,
    output: () => output,
    stop,
    async [Symbol.asyncDispose]() {
      await end(child);
      rmSync(data, { recursive: true, force: true });
    },
  };
}

/** Every descendant holds the output pipe, so `close` comes when the last of them has ended. */
async function end(child: ChildProcess): Promise<void> {
  if (child.stdout?.closed ?? true) return;
  const closed = once(child, 'close');
  child.kill('SIGTERM');
  await closed;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        address !== null && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}

/** A real Chromium; `person` opens a page in a context of its own, as another browser would. */
export interface RunningBrowser extends AsyncDisposable {
  person(options?: { width?: number; height?: number; dark?: boolean; touch?: boolean }): Promise<Person>;
}

/** One person's page, with every error that its console showed. */
export interface Person {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly errors: string[];
}

/** Launches Chromium without a window. */
export async function launchBrowser(executablePath: string): Promise<RunningBrowser> {
  const browser: Browser = await chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
    ],
  });
  return {
    async person({ width = 1440, height = 900, dark = false, touch = false } = {}) {
      const context = await browser.newContext({
        viewport: { width, height },
        colorScheme: dark ? 'dark' : 'light',
        hasTouch: touch,
        permissions: ['clipboard-read', 'clipboard-write'],
      });
      const page = await context.newPage();
      const errors: string[] = [];
      page.on('pageerror', (error) => errors.push(error.message));
      page.on('console', (message) => {
        if (message.type() === 'error') errors.push(message.text());
      });
      return { page, context, errors };
    },
    async [Symbol.asyncDispose]() {
      await browser.close();
    },
  };
}
