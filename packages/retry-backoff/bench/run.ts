import { benchAbort } from "./abort.ts";
import { benchDecisionCost } from "./decision-cost.ts";
import { benchFailingPath } from "./failing-path.ts";
import { benchReferenceShapes } from "./reference-shapes.ts";
import { benchSuccessPath } from "./success-path.ts";

await benchSuccessPath();
await benchFailingPath();
await benchAbort();
await benchDecisionCost();
await benchReferenceShapes();
