/** `npm run build`: installs what is missing and builds what changed. */

import { prepare } from './workspace.mjs';

await prepare();
