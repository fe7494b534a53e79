import type { FastifyInstance } from "fastify";

/** How often idle connections are looked for while calls in flight end. */
const lookEveryMs = 20;

/**
 * Closes the port and waits until the calls in flight have ended. At the deadline `abort` is called, and what is
 * left a moment later is cut.
 */
export async function drainConnections(
  app: FastifyInstance,
  deadlineMs: number,
  abort: () => void,
): Promise<void> {
  const { server } = app;
  const look = setInterval(() => server.closeIdleConnections(), lookEveryMs);
  const giveUp = setTimeout(abort, deadlineMs);
  const cut = setTimeout(() => server.closeAllConnections(), deadlineMs + 200);
  try {
    await app.close();
  } finally {
    clearInterval(look);
    clearTimeout(giveUp);
    clearTimeout(cut);
  }
}
