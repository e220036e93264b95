/** Knows: which environment variables there are, what they may be, and what holds without them. */

import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { type MemoryBound, memoryBound } from './memory.js';

const ROOT = resolve(fileURLToPath(new URL('../../..', import.meta.url)));

const webUrl = z.url({ protocol: /^https?$/, error: 'must be an http(s) address' });

const environment = z.object({
  PORT: z.coerce.number('must be a port number').int().min(0).max(65535).default(4500),
  HOST: z.string().min(1).default('127.0.0.1'),
  TUG_DATA: z.string().min(1).default('.tug'),
  DATABASE_URL: z
    .string()
    .regex(/^postgres(ql)?:\/\//, 'must begin with postgresql://')
    .optional(),
  PUBLIC_URL: webUrl.optional(),
  TUG_ORIGINS: z
    .string()
    .default('')
    .transform((list) => list.split(/[\s,]+/).filter((origin) => origin !== '')),
  TUG_MODELS: z.string().min(1).default(join(ROOT, 'models')),
  TUG_BUNDLE: z.string().min(1).optional(),
  TUG_DEVICE: z.enum(['auto', 'cpu', 'cuda', 'webgpu']).default('auto'),
  TUG_THREADS: z.coerce.number().int().min(1).max(256).optional(),
  TUG_WEB: z
    .string()
    .min(1)
    .default(join(ROOT, 'apps', 'web', 'out')),
  TUG_SECRET: z.string().min(16, 'must have at least 16 characters').optional(),
  TUG_ENGINE_MEMORY: z.coerce.number('must be a number of megabytes').int().min(256).optional(),
  TUG_EDIT_DEADLINE: z.coerce.number('must be a number of seconds').min(1).max(86400).default(120),
  LOG_LEVEL: z.enum(['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace']).default('warn'),
});

/** Limits that protect the server; tests lower them. */
export interface Limits {
  /** bytes of an uploaded file */
  readonly uploadBytes: number;
  /** pixels of a decoded picture */
  readonly pixels: number;
  /** edits that wait or run, for one user and for all */
  readonly queuedPerUser: number;
  readonly queued: number;
  /** allowed per minute */
  readonly signInsPerMinute: number;
  readonly uploadsPerMinute: number;
  readonly editsPerMinute: number;
}

/** Everything that can be set from outside. */
export interface Config {
  readonly port: number;
  readonly host: string;
  readonly dataDir: string;
  readonly databaseUrl: string | undefined;
  /** without a trailing slash; undefined = whatever address the request came to */
  readonly publicUrl: string | undefined;
  /** further origins that may open WebSockets, beside the server's own */
  readonly origins: readonly string[];
  readonly modelsDir: string;
  /** the bundle that is used when an edit names none */
  readonly bundle: string | undefined;
  readonly device: 'auto' | 'cpu' | 'cuda' | 'webgpu';
  readonly threads: number | undefined;
  readonly webDir: string;
  readonly migrationsDir: string;
  readonly secret: string | undefined;
  readonly editDeadlineMs: number;
  readonly engineMemory: MemoryBound;
  readonly logLevel: z.infer<typeof environment>['LOG_LEVEL'];
  readonly limits: Limits;
}

export const DEFAULT_LIMITS: Limits = {
  uploadBytes: 50 * 1024 * 1024,
  pixels: 16_777_216,
  queuedPerUser: 8,
  queued: 64,
  signInsPerMinute: 60,
  uploadsPerMinute: 60,
  editsPerMinute: 60,
};

/** A mistake in the environment, told in one line. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Reads the configuration from environment variables; empty ones count as not set. */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const parsed = environment.safeParse(Object.fromEntries(Object.entries(env).filter(([, value]) => value !== '')));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const name = String(issue?.path[0] ?? 'the environment');
    throw new ConfigError(`${name}=${env[name] ?? ''} ${issue?.message ?? 'is not valid'}.`);
  }
  const set = parsed.data;
  return {
    port: set.PORT,
    host: set.HOST,
    dataDir: resolve(set.TUG_DATA),
    databaseUrl: set.DATABASE_URL,
    publicUrl: set.PUBLIC_URL?.replace(/\/+$/, ''),
    origins: set.TUG_ORIGINS,
    modelsDir: resolve(set.TUG_MODELS),
    bundle: set.TUG_BUNDLE,
    device: set.TUG_DEVICE,
    threads: set.TUG_THREADS,
    webDir: resolve(set.TUG_WEB),
    migrationsDir: join(ROOT, 'prisma', 'migrations'),
    secret: set.TUG_SECRET,
    editDeadlineMs: set.TUG_EDIT_DEADLINE * 1000,
    engineMemory: memoryBound(set.TUG_ENGINE_MEMORY),
    logLevel: set.LOG_LEVEL,
    limits: DEFAULT_LIMITS,
  };
}
