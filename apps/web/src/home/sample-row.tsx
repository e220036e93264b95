'use client';
/** Knows: how the sample pictures are offered, with their authors named. */

import { beginWithSample } from './begin';
import { SAMPLES } from './samples';

export function SampleRow({ disabled }: { disabled: boolean }) {
  return (
    <section aria-labelledby="samples" className="flex min-w-0 flex-col">
      <h2 id="samples" className="mb-2.5 font-medium text-ink-2 lg:sr-only">
        Or try one of these
      </h2>
      <ul className="grid flex-1 grid-cols-2 gap-3 sm:grid-cols-4 lg:grid-cols-2">
        {SAMPLES.map((sample) => (
          <li key={sample.file} className="flex min-h-0 flex-col">
            <button
              type="button"
              disabled={disabled}
              onClick={() => void beginWithSample(sample)}
              data-testid={`sample-${sample.file.replace('.jpg', '')}`}
              className="group relative min-h-28 flex-1 overflow-hidden rounded-xl bg-raised text-left disabled:opacity-60"
            >
              <img
                src={`/samples/${sample.file}`}
                alt={`Sample picture: ${sample.title}`}
                style={{ objectPosition: sample.focus }}
                className="absolute inset-0 size-full object-cover transition-transform duration-300 ease-out group-hover:scale-[1.04]"
              />
              <span className="absolute inset-x-0 bottom-0 bg-gradient-to-t from-black/70 to-transparent px-3 pt-8 pb-2 text-[13px] font-semibold text-white">
                {sample.idea}
              </span>
            </button>
            <p className="mt-1 text-[11.5px] leading-snug text-ink-3">
              <span className="block truncate">Photo: {sample.author}</span>
              <a
                href={sample.licenseUrl}
                target="_blank"
                rel="noreferrer"
                className="underline decoration-line-strong underline-offset-2 hover:text-ink"
              >
                {sample.license}
              </a>
            </p>
          </li>
        ))}
      </ul>
    </section>
  );
}
