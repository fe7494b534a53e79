import type { DatabaseHost } from "./database-host.ts";
import type { HostRouter } from "./host-router.ts";
import { lsnValue } from "./lsn.ts";

/** Whether the database can be used, and if not, why. */
export interface Readiness {
  /** `starting` until a host has been asked for the first time. */
  readonly state: "starting" | "ready" | "unavailable";
  /** When this state began, in milliseconds since 1970. */
  readonly since: number;
  /** `config`: wrong login, database or certificate, only an administrator can help. `role`: no server of the wanted kind. */
  readonly reason?: "connection" | "timeout" | "config" | "role" | "fenced";
  /** "host:port" of the server in use, for operators. */
  readonly host?: string;
  readonly timeline?: number;
  /** Largest distance of a standby that is up behind the server in use, in bytes of WAL; but for those not known to follow it. */
  readonly lagBytes?: number;
}

/** Derives the readiness from the hosts' states; the lag of standbys of another history is no distance. */
export function readinessOf(
  router: HostRouter,
  fenceRefusal: boolean,
  isStranger: (standby: DatabaseHost) => boolean,
): Omit<Readiness, "since"> {
  const [host] = router.candidates();
  if (host && fenceRefusal) return { state: "unavailable", reason: "fenced", host: host.name };
  if (host) {
    const standbys = router.standbys().filter((standby) => !isStranger(standby));
    return ready(host, standbys);
  }
  if (router.hosts.every(({ state }) => state.kind === "starting")) return { state: "starting" };
  const reasons = router.hosts.flatMap(({ state }) => (state.kind === "down" ? [state.reason] : []));
  const [first] = reasons;
  return { state: "unavailable", reason: reasons.length === router.hosts.length && first ? first : "role" };
}

function ready(host: DatabaseHost, standbys: readonly DatabaseHost[]): Omit<Readiness, "since"> {
  const lags = standbys
    .filter((standby) => standby !== host)
    .map((standby) => Number(lsnValue(host.info?.lsn ?? "") - lsnValue(standby.info?.lsn ?? "")));
  return {
    state: "ready",
    host: host.name,
    ...(host.info ? { timeline: host.info.timeline } : {}),
    ...(lags.length > 0 ? { lagBytes: Math.max(0, ...lags) } : {}),
  };
}
