// `pnpm run bench [PART …]`: all parts, or the named ones.
import { benchAbort } from "./abort.ts";
import { benchBundle } from "./bundle.ts";
import { benchDecisionCost } from "./decision-cost.ts";
import { benchFailingPath } from "./failing-path.ts";
import { benchReferenceShapes } from "./reference-shapes.ts";
import { benchSuccessPath } from "./success-path.ts";

const parts: Readonly<Record<string, () => Promise<void>>> = {
  success: benchSuccessPath,
  failing: benchFailingPath,
  abort: benchAbort,
  decision: benchDecisionCost,
  shapes: benchReferenceShapes,
  bundle: benchBundle,
};
const wanted = process.argv.slice(2);
for (const [name, bench] of Object.entries(parts))
  if (wanted.length === 0 || wanted.includes(name)) await bench();
