import { join } from "node:path";
import type { ConformanceOptions } from "./conformance.ts";
import type { Era } from "./fixture.ts";

/** One run of the public suite through a gateway. */
export interface ConformanceCase {
  /** The revision of the client in front. */
  readonly front: ConformanceOptions["requirements"];
  /** What the server behind speaks. */
  readonly era: Era;
  readonly way: "through" | "bridged";
  /** Scenarios that the revision requires. */
  readonly scenarios: number;
  /** Those of them that fail, as the suite's own file has them with the reason. */
  readonly failed: readonly string[];
  /** The checks of them that fail; every other check passes. */
  readonly failedChecks: readonly string[];
  readonly expectedFailures?: string;
}

/** The four combinations in which the suite is run through a gateway: passed on unchanged, and translated. */
export const conformanceCases: readonly ConformanceCase[] = [
  { front: "2025-11-25", era: "dual", way: "through", scenarios: 30, failed: [], failedChecks: [] },
  { front: "2026-07-28", era: "dual", way: "through", scenarios: 37, failed: [], failedChecks: [] },
  { front: "2025-11-25", era: "modern", way: "bridged", scenarios: 30, failed: [], failedChecks: [] },
  {
    front: "2026-07-28",
    era: "legacy",
    way: "bridged",
    scenarios: 37,
    failed: ["server-stateless"],
    failedChecks: [
      "server-stateless:sep-2575-server-rejects-undeclared-capability",
      "server-stateless:sep-2575-missing-capability-http-400",
    ],
    expectedFailures: join(import.meta.dirname, "../conformance/bridged-2026-07-28.yaml"),
  },
];
