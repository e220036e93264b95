import { defineConfig } from 'vitest/config';

// Tests of real edits load a real bundle and use every core: one file at a time, with room for a busy machine.
export default defineConfig({
  test: {
    name: 'engine',
    include: ['test/**/*.test.ts'],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
