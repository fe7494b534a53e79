import type { Algorithm, AlgorithmName } from "./algorithm.ts";
import { fixedWindow } from "./fixed-window.ts";
import { gcra } from "./gcra.ts";
import { slidingLog } from "./sliding-log.ts";
import { slidingWindow } from "./sliding-window.ts";
import { tokenBucket } from "./token-bucket.ts";

/** Every algorithm by the name a configuration uses. */
export const ALGORITHMS: Readonly<Record<AlgorithmName, Algorithm>> = {
  fixed_window: fixedWindow,
  sliding_window: slidingWindow,
  sliding_log: slidingLog,
  token_bucket: tokenBucket,
  gcra,
};
