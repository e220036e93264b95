/** `npm run check`: format, lint, import cycles and boundaries, strict types, and the same for the Python of training/. */

import { join } from 'node:path';
import { mustRun, prepare, ROOT, runTool, succeeds } from './workspace.mjs';

await prepare();
await runTool('Format and lint', 'biome', ['ci', '.']);
await runTool('The type check of e2e/', 'tsc', ['-p', 'e2e/tsconfig.json']);
await runTool('The type check', 'turbo', ['run', 'typecheck', '--output-logs=errors-only'], { quiet: true });

const python = process.env.TUG_PYTHON ?? 'python3';
const training = join(ROOT, 'training');
if (await succeeds(python, ['-m', 'ruff', '--version'])) {
  await mustRun('ruff format', python, ['-m', 'ruff', 'format', '--check', '.'], { cwd: training });
  await mustRun('ruff check', python, ['-m', 'ruff', 'check', '.'], { cwd: training });
} else {
  process.stdout.write(
    'training/ was not checked: no Python with ruff (set TUG_PYTHON to one that has training/ installed).\n',
  );
}
process.stdout.write('check: all good\n');
