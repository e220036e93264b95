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
server.on('error', (error) => {
  process.stderr.write(`tug: the server could not be started: ${error.message}\n`);
  process.exitCode = 1;
});
server.on('exit', (code, signal) => {
  process.exitCode = code ?? (signal === 'SIGINT' || signal === 'SIGTERM' ? 0 : 1);
});
