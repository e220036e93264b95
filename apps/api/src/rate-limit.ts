/** Knows: how often somebody may do something. Counted in memory: a restart forgives. */

import { TugError } from '@tug/schema';

/** A token bucket for each key: bursts up to a minute's worth, then a steady rate. */
export class RateLimit {
  private readonly buckets = new Map<string, { tokens: number; at: number }>();

  constructor(
    private readonly what: string,
    private readonly perMinute: number,
  ) {}

  /** Counts one; throws RATE_LIMITED when there were too many. */
  take(key: string): void {
    const now = Date.now();
    if (this.buckets.size > 10_000) this.forgetFull(now);
    const bucket = this.buckets.get(key) ?? { tokens: this.perMinute, at: now };
    const tokens = Math.min(this.perMinute, bucket.tokens + ((now - bucket.at) * this.perMinute) / 60_000);
    if (tokens < 1) {
      const seconds = Math.ceil(((1 - tokens) * 60) / this.perMinute);
      throw new TugError(
        'RATE_LIMITED',
        `Too many ${this.what}: at most ${this.perMinute} a minute. Try again in ${seconds} s.`,
      );
    }
    this.buckets.set(key, { tokens: tokens - 1, at: now });
  }

  private forgetFull(now: number): void {
    for (const [key, bucket] of this.buckets) if (now - bucket.at > 60_000) this.buckets.delete(key);
  }
}
