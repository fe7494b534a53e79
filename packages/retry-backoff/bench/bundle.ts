import { recordRow } from "@gatewright/bench";
import { bundleSize, PEER_PROGRAMS } from "./bundle-size.ts";

/** What a program carries that retries, beside the same of peers that do a part of it. */
export async function benchBundle(): Promise<void> {
  const from = '"@gatewright/retry-backoff"';
  const sizes = {
    ours: await bundleSize(`export * from ${from}`),
    "ours, retry alone": await bundleSize(`export { retry } from ${from}`),
    "ours, decide and parsePolicy": await bundleSize(`export { decide, parsePolicy } from ${from}`),
  };
  const peers: Record<string, number> = {};
  for (const [name, program] of Object.entries(PEER_PROGRAMS)) peers[name] = await bundleSize(program);
  const base = { subject: "retry-backoff", unit: "bytes", better: "less" } as const;
  recordRow({
    ...base,
    what: "root entry, one file, minified, gzip, without zod",
    ours: sizes.ours,
    peers,
    bar: "≤ 4 096, or 1.5 × the smallest of the peers",
    met: sizes.ours <= Math.max(4_096, 1.5 * Math.min(...Object.values(peers))),
  });
  recordRow({ ...base, what: "the same, retry alone", ours: sizes["ours, retry alone"], peers: {} });
  recordRow({
    ...base,
    what: "the same, decide and parsePolicy",
    ours: sizes["ours, decide and parsePolicy"],
    peers: {},
  });
}
