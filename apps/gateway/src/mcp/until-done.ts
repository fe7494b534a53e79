import type { DownstreamSession } from "../downstream/downstream-session.ts";

/** Tries something for a session again after a pause, and again, until it throws no more or the session ends. */
export function untilDone(session: DownstreamSession, pauseMs: number, attempt: () => void): void {
  let timer: NodeJS.Timeout;
  const wait = () => {
    timer = setTimeout(() => {
      try {
        attempt();
      } catch {
        wait();
      }
    }, pauseMs).unref();
  };
  wait();
  session.onEnd.add(() => clearTimeout(timer));
}
