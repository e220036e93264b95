/** Knows: the mark: a handle, a pull, a target. */

export function Mark({ size = 26 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8.5" className="fill-accent" />
      <g fill="none" className="stroke-accent-ink" strokeWidth="2.8" strokeLinecap="round">
        <circle cx="10.5" cy="21.5" r="4" />
        <path d="M13.6 18.4 19 13" />
      </g>
      <circle cx="22.2" cy="9.8" r="3.7" className="fill-accent-ink" />
    </svg>
  );
}

export function Wordmark() {
  return (
    <span className="flex items-center gap-2.5">
      <Mark />
      <span className="text-[19px] font-bold tracking-tight">Tug</span>
    </span>
  );
}
