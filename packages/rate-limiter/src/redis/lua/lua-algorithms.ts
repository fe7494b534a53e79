import type { AlgorithmName } from "../../algorithms/algorithm.ts";
import { GCRA, TOKEN_BUCKET } from "./bucket-algorithms.ts";
import { SLIDING_LOG } from "./log-algorithm.ts";
import type { LuaAlgorithm } from "./lua-algorithm.ts";
import { FIXED_WINDOW, SLIDING_WINDOW } from "./window-algorithms.ts";

/** Every algorithm in Lua by the name a configuration uses. */
export const LUA_ALGORITHMS: Readonly<Record<AlgorithmName, LuaAlgorithm>> = {
  fixed_window: FIXED_WINDOW,
  sliding_window: SLIDING_WINDOW,
  sliding_log: SLIDING_LOG,
  token_bucket: TOKEN_BUCKET,
  gcra: GCRA,
};
