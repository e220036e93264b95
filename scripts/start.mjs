/** `npm start`: installs, builds, migrates and starts everything; ends all of it on Ctrl-C or SIGTERM. */

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { prepare, ROOT } from './workspace.mjs';

await prepare();

const server = spawn(process.execPath, ['--enable-source-maps', join(ROOT, 'apps/api/dist/main.js')], {
  cwd: ROOT,
  stdio: 'inherit',
  env: process.env,
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => server.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal));
}
// npm hands a signal to the shell that it runs scripts in, and that shell dies without passing it on: then our parent changes.
if (process.env.npm_lifecycle_event !== undefined) {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) server.kill('SIGTERM');
  }, 200).unref();
}
server.on('error', (error) => {
  process.stderr.write(`tug: the server could not be started: ${error.message}\n`);
  process.exitCode = 1;
});
server.on('exit', (code, signal) => {
  process.exitCode = code ?? (signal === 'SIGINT' || signal === 'SIGTERM' ? 0 : 1);
});
