import {
  type OpenOptions,
  type Upstream,
  UpstreamError,
  type UpstreamSession,
} from "@gatewright/mcp-bridge/upstream";

/**
 * One upstream out of several places where it may be: the first that opens a session is it, from then on. Who answers,
 * but does not speak MCP, is passed over; who cannot be reached may be later.
 */
export function firstThatAnswers(candidates: readonly [Upstream, ...Upstream[]]): Upstream {
  let chosen: Upstream | undefined;

  async function open(options: OpenOptions): Promise<UpstreamSession> {
    if (chosen !== undefined) return chosen.open(options);
    let failure: unknown;
    for (const candidate of candidates) {
      try {
        const session = await candidate.open(options);
        chosen = candidate;
        return session;
      } catch (error) {
        if (!isElsewhere(error)) throw error;
        failure ??= error;
      }
    }
    throw failure;
  }

  return {
    open,
    stats: () => (chosen ?? candidates[0]).stats(),
    async close() {
      await Promise.all(candidates.map((candidate) => candidate.close()));
    },
  };
}

function isElsewhere(error: unknown): boolean {
  if (!UpstreamError.is(error)) return false;
  return error.code === "upstream_status" || error.code === "upstream_protocol";
}
