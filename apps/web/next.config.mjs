// The editor is a static export: the api process serves out/ on its own origin, and no Node server of Next's runs in production.
// In development `next dev` stands in front and passes the api's paths on; start the api with TUG_ORIGINS=http://localhost:3000.
import { fileURLToPath } from 'node:url';
import { PHASE_DEVELOPMENT_SERVER } from 'next/constants.js';

const api = process.env.TUG_API ?? 'http://127.0.0.1:4500';

/** @param {string} phase */
export default function config(phase) {
  const development = phase === PHASE_DEVELOPMENT_SERVER;
  return {
    reactStrictMode: true,
    agentRules: false,
    devIndicators: false,
    images: { unoptimized: true },
    turbopack: { root: fileURLToPath(new URL('../..', import.meta.url)) },
    // `npm run check` runs tsc on everything; a build on a user's machine need not do it again.
    typescript: { ignoreBuildErrors: true },
    ...(development
      ? {
          async rewrites() {
            return [
              ...['graphql', 'collab', 'files', 'files/:path*'].map((path) => ({
                source: `/${path}`,
                destination: `${api}/${path}`,
              })),
              { source: '/c/:id', destination: '/c' },
              { source: '/s/:token', destination: '/s' },
            ];
          },
        }
      : { output: 'export' }),
  };
}
