/** Knows: what everyone on a canvas shows of themselves through Yjs awareness. It is fleeting, and never stored. */

import { z } from 'zod';

const finite = z.number().finite();

/** The page sets all of it; the server drops a `user.id` that is not the connection's own. */
const presenceSchema = z.object({
  user: z.object({ id: z.string(), name: z.string(), color: z.string().regex(/^#[0-9a-f]{6}$/i) }),
  /** canvas pixels; null while the pointer is elsewhere */
  cursor: z.object({ x: finite, y: finite }).nullable().catch(null),
  /** a stroke being drawn, before it is in the document */
  stroke: z
    .object({ mode: z.enum(['paint', 'erase']), radius: finite.positive(), points: z.array(finite).max(16000) })
    .nullable()
    .catch(null),
  /** ids of the drags that this person has selected */
  selection: z.array(z.string()).max(200).catch([]),
});

export type Presence = z.infer<typeof presenceSchema>;

/** The presence in an awareness state, or null where it is malformed. */
export function readPresence(state: unknown): Presence | null {
  const parsed = presenceSchema.safeParse(state);
  return parsed.success ? parsed.data : null;
}
