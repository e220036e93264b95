#!/usr/bin/env node
// The `tug` command. The code is in src/cli.ts; this file only finds its build.
import { existsSync } from 'node:fs';

const built = new URL('../dist/cli.js', import.meta.url);
if (existsSync(built)) {
  const { main } = await import(built.href);
  process.exitCode = await main(process.argv.slice(2));
} else {
  process.stderr.write('tug: not built yet: run "npm run build" in the repository first\n');
  process.exitCode = 1;
}
