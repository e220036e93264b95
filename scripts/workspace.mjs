/** Knows: how to bring a checkout into a state that runs — packages installed, everything built — doing only what changed. */

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Environment for every child: nothing phones home, nothing but npm packages is downloaded. */
const ENVIRONMENT = {
  ...process.env,
  ONNXRUNTIME_NODE_INSTALL: 'skip',
  CHECKPOINT_DISABLE: '1',
  NEXT_TELEMETRY_DISABLED: '1',
  TURBO_TELEMETRY_DISABLED: '1',
  TURBO_NO_UPDATE_NOTIFIER: '1',
  DO_NOT_TRACK: '1',
};

/**
 * Runs a command in the checkout and waits for it.
 * @returns its exit code; with `quiet`, its output is kept back and shown only if it fails.
 */
export function run(command, args, { quiet = false, env = {}, cwd = ROOT } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...ENVIRONMENT, ...env },
      stdio: quiet ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'inherit', 'inherit'],
      shell: process.platform === 'win32',
    });
    const kept = [];
    child.stdout?.on('data', (chunk) => kept.push(chunk));
    child.stderr?.on('data', (chunk) => kept.push(chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      const exit = code ?? (signal ? 1 : 0);
      if (exit !== 0 && quiet) process.stderr.write(Buffer.concat(kept));
      resolve(exit);
    });
  });
}

/** Whether a command runs and ends well; its output is thrown away. */
export function succeeds(command, args, cwd = ROOT) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env: ENVIRONMENT, stdio: 'ignore' });
    child.on('error', () => resolve(false));
    child.on('close', (code) => resolve(code === 0));
  });
}

/** Like {@link run}, but a failure ends this process with one line that says what failed. */
export async function mustRun(what, command, args, options) {
  const code = await run(command, args, options);
  if (code !== 0) fail(`${what} failed (exit code ${code}); the output above says why.`);
}

/** Ends this process with a message and exit code 1. */
export function fail(message) {
  process.stderr.write(`tug: ${message}\n`);
  process.exit(1);
}

/** Runs a package's command line program from the checkout's own node_modules. */
export function runTool(what, tool, args, options) {
  const suffix = process.platform === 'win32' ? '.cmd' : '';
  return mustRun(what, join(ROOT, 'node_modules', '.bin', `${tool}${suffix}`), args, options);
}

/** Installs the locked packages unless exactly these are installed already. */
export async function install() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19))
    fail(`Node ${process.versions.node} is too old: Tug needs 20.19 or later.`);
  const marker = join(ROOT, 'node_modules', '.tug-installed');
  const wanted = fingerprint();
  if (existsSync(marker) && readFileSync(marker, 'utf8') === wanted) return;
  process.stdout.write('Installing packages (the first time takes a minute or two)…\n');
  await mustRun('npm ci', 'npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    quiet: true,
  });
  writeFileSync(marker, wanted);
}

/** Installs, then builds what changed. */
export async function prepare() {
  await install();
  process.stdout.write('Building what changed…\n');
  await runTool('The build', 'turbo', ['run', 'build', '--output-logs=errors-only', '--log-order=grouped'], {
    quiet: true,
  });
}

function fingerprint() {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch} ${process.versions.modules}`);
  const manifests = ['packages', 'apps'].flatMap((folder) =>
    readdirSync(join(ROOT, folder)).map((name) => join(folder, name, 'package.json')),
  );
  for (const file of ['package.json', 'package-lock.json', ...manifests.sort()]) {
    const path = join(ROOT, file);
    if (existsSync(path)) hash.update(file).update(readFileSync(path));
  }
  return hash.digest('hex');
}
