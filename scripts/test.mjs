/**
 * `npm test`: sets itself up, then runs the unit and API tests, the browser tests and the training tests that this machine
 * allows. Its last line counts them, from the runners' own reports.
 */

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepare, ROOT, run, succeeds } from './workspace.mjs';

await prepare();

const reports = mkdtempSync(join(tmpdir(), 'tug-test-'));
const totals = { passed: 0, failed: 0, skipped: 0 };
const notes = [];
const vitest = join(ROOT, 'node_modules', '.bin', process.platform === 'win32' ? 'vitest.cmd' : 'vitest');

for (const [name, config] of [
  ['units and API', 'vitest.config.ts'],
  ['browser', 'e2e/vitest.config.ts'],
]) {
  process.stdout.write(`\n— ${name}\n`);
  const report = join(reports, `${config.replaceAll('/', '-')}.json`);
  const code = await run(vitest, [
    'run',
    '--config',
    config,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]);
  addVitest(name, report, code);
}
await runPytest();
rmSync(reports, { recursive: true, force: true });

for (const note of notes) process.stdout.write(`${note}\n`);
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : '';
process.stdout.write(`\n${totals.passed} passed, ${totals.failed} failed${skipped}\n`);
process.exitCode = totals.failed > 0 ? 1 : 0;

function addVitest(name, report, code) {
  if (!existsSync(report)) {
    notes.push(`${name}: the runner wrote no report (exit code ${code}).`);
    totals.failed += 1;
    return;
  }
  const result = JSON.parse(readFileSync(report, 'utf8'));
  totals.passed += result.numPassedTests;
  totals.failed += result.numFailedTests;
  totals.skipped += result.numPendingTests + result.numTodoTests;
  const brokenFiles = result.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'),
  );
  totals.failed += brokenFiles.length;
  if (code !== 0 && result.numFailedTests === 0 && brokenFiles.length === 0) {
    notes.push(`${name}: every test passed but the runner ended with exit code ${code}.`);
    totals.failed += 1;
  }
}

async function runPytest() {
  const training = join(ROOT, 'training');
  const python = process.env.TUG_PYTHON ?? 'python3';
  if (!(await succeeds(python, ['-c', 'import torch, onnxruntime, cv2, pytest']))) {
    notes.push(
      'training tests: skipped, no Python with training/ installed (see training/README.md; TUG_PYTHON names the interpreter).',
    );
    totals.skipped += 1;
    return;
  }
  process.stdout.write('\n— training\n');
  const report = join(reports, 'pytest.xml');
  const code = await run(python, ['-m', 'pytest', '-q', '--junitxml', report, 'tests'], { cwd: training });
  const attributes = existsSync(report) ? readFileSync(report, 'utf8').match(/<testsuite [^>]*>/)?.[0] : undefined;
  const count = (name) => Number(attributes?.match(new RegExp(`\\b${name}="(\\d+)"`))?.[1] ?? 0);
  const failed = count('failures') + count('errors');
  totals.passed += count('tests') - failed - count('skipped');
  totals.failed += failed;
  totals.skipped += count('skipped');
  if (code !== 0 && failed === 0) {
    notes.push(`training tests: pytest ended with exit code ${code}.`);
    totals.failed += 1;
  }
}
