/** The server's command line: reads the environment, starts, prints one line, and stops cleanly when told to. */

import { ConfigError, readConfig } from './config.js';
import { DataLockedError } from './data-lock.js';
import { startServer } from './server.js';

const STOP_WITHIN_MS = 4_500;

process.on('unhandledRejection', (error) => {
  process.stderr.write(`tug: a mistake that nobody caught: ${error instanceof Error ? error.stack : String(error)}\n`);
});

try {
  const config = readConfig(process.env);
  const server = await startServer(config);
  process.stdout.write(`Tug is ready: ${server.url}\n`);
  let stopping = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (stopping) return;
      stopping = true;
      setTimeout(() => process.exit(1), STOP_WITHIN_MS).unref();
      void server[Symbol.asyncDispose]().then(() => process.exit(0));
    });
  }
} catch (error) {
  process.stderr.write(`tug: ${explain(error)}\n`);
  process.exit(1);
}

/** One line for what a person can mend, the whole story for what is our mistake. */
function explain(error: unknown): string {
  if (error instanceof ConfigError || error instanceof DataLockedError) return error.message;
  const { code, message, port, address, stack } = Object(error) as {
    code?: unknown;
    message?: string;
    port?: number;
    address?: string;
    stack?: string;
  };
  if (code === 'EADDRINUSE')
    return `Port ${port} on ${address} is in use. Stop what uses it, or set PORT to another one.`;
  if (code === 'EACCES' && port !== undefined)
    return `Port ${port} may not be opened by this user; set PORT to one above 1023.`;
  if (code === 'EACCES' || code === 'EROFS' || code === 'ENOSPC') return `The data folder cannot be used: ${message}`;
  if (code === 'ECONNREFUSED' || code === 'ENOTFOUND') return `The database at DATABASE_URL does not answer (${code}).`;
  return stack ?? message ?? String(error);
}
