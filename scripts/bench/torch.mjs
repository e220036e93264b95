// The other side of the comparison: PyTorch with the same weights, a process of its own that takes turns with the engine. See
// training/tug/bench_torch.py for what it runs.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fail, root } from './report.mjs';

const VENV = path.join(root, 'training/.venv/bin/python');

/** How the report says that there is nothing to compare with. */
export const LEFT_OUT =
  'The comparison with PyTorch was left out: no Python was given. Set up `training/.venv` as training/README.md says, or name another Python that has the same packages with `--python PATH`.';

/** The Python to run, or undefined if there is none. */
export function findPython(given) {
  if (given?.includes('/') && !existsSync(given)) fail(`--python: there is no ${given}`);
  return given ?? (existsSync(VENV) ? VENV : undefined);
}

/** Starts the worker with bench_torch's arguments. */
export function startTorch(python, args) {
  const child = spawn(python, ['-m', 'tug.bench_torch', ...args.map(String)], {
    cwd: path.join(root, 'training'),
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const gone = new Promise((resolve) => child.once('close', resolve));
  child.once('error', (error) => fail(`${python} can't be started: ${error.message}`));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (request) => {
    child.stdin.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await lines.next();
    if (done) fail(`the PyTorch process ended early; its own words are above (code ${await gone})`);
    return JSON.parse(value);
  };
  return {
    /** Hands over tensors by name; answers with PyTorch's version and how far its outputs are from the engine's. */
    async load(store) {
      const folder = await mkdtemp(path.join(tmpdir(), 'tug-tensors-'));
      try {
        const shapes = Object.fromEntries([...store].map(([name, { dims }]) => [name, dims]));
        for (const [name, { data }] of store) await writeFile(path.join(folder, `${name}.f32`), data);
        await writeFile(path.join(folder, 'tensors.json'), JSON.stringify(shapes));
        return await ask({ do: 'load', folder });
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    run: (what) => ask({ do: 'run', ...(what === undefined ? {} : { what }) }),
    async close() {
      child.stdin.end();
      await gone;
    },
  };
}
