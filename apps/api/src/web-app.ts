/**
 * Knows: how the exported web app is served from a folder, and what its pages may do. The pages are static, so their inline
 * scripts are known: each page's policy names the hashes of its own and allows no other.
 */

import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import express, { type Request, type Response, Router } from 'express';

/** A page with the policy that fits it. */
interface Page {
  readonly html: string;
  readonly scripts: string;
  readonly modified: number;
}

/** Routes for everything that is not the API: pages, their assets, and a 404 page. */
export function webRouter(folder: string): Router {
  const pages = new Map<string, Page>();
  const router = Router();

  async function sendPage(request: Request, response: Response, name: string, status = 200): Promise<void> {
    const page = await readPage(pages, join(folder, name));
    if (page === null) {
      response
        .status(404)
        .type('text/plain')
        .send(status === 200 ? 'The web app is not built: npm run build.\n' : 'Not found.\n');
      return;
    }
    response
      .status(status)
      .type('html')
      .set('Cache-Control', 'no-cache')
      .set('Content-Security-Policy', policy(page, request))
      .send(page.html);
  }

  router.use(
    '/_next/static',
    express.static(join(folder, '_next', 'static'), { immutable: true, maxAge: '1y', index: false }),
  );
  router.use(express.static(folder, { index: false, extensions: [], redirect: false, setHeaders: keepPagesOut }));
  router.get('/', (request, response) => sendPage(request, response, 'index.html'));
  router.get('/c/:id', (request, response) => sendPage(request, response, 'c.html'));
  router.get('/s/:token', (request, response) => sendPage(request, response, 's.html'));
  router.get('/:page', async (request, response, next) => {
    const { page } = request.params;
    if (!/^[a-z0-9-]+$/.test(page) || (await readPage(pages, join(folder, `${page}.html`))) === null) return next();
    await sendPage(request, response, `${page}.html`);
  });
  router.use((request, response) => sendPage(request, response, '404.html', 404));
  return router;
}

/** Reads a page, again when it was built anew. */
async function readPage(pages: Map<string, Page>, path: string): Promise<Page | null> {
  try {
    const { mtimeMs } = await stat(path);
    const known = pages.get(path);
    if (known?.modified === mtimeMs) return known;
    const html = await readFile(path, 'utf8');
    const inline = [...html.matchAll(/<script(?![^>]*\ssrc=)[^>]*>([\s\S]*?)<\/script>/g)];
    const hashes = inline.map(([, code = '']) => `'sha256-${createHash('sha256').update(code).digest('base64')}'`);
    const page = { html, scripts: [...new Set(hashes)].join(' '), modified: mtimeMs };
    pages.set(path, page);
    return page;
  } catch {
    return null;
  }
}

/** Scripts: the app's own files and this page's inline ones. Styles may be inline, which React's style attributes are. */
function policy({ scripts }: Page, request: Request): string {
  const host = /^[\w.:[\]-]+$/.test(request.headers.host ?? '') ? request.headers.host : '';
  return [
    "default-src 'self'",
    `script-src 'self' ${scripts}`,
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    `connect-src 'self' data: blob: ${host ? `ws://${host} wss://${host}` : ''}`,
    "worker-src 'self' blob:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; ');
}

/** A page by its file name would come without its policy, so it runs no scripts. */
function keepPagesOut(response: Response, path: string): void {
  if (path.endsWith('.html')) response.setHeader('Content-Security-Policy', "default-src 'none'");
}
