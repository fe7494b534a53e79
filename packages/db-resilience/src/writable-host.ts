import type { DatabaseHost } from "./database-host.ts";
import type { Fence } from "./fence-store.ts";
import type { HostInfo } from "./host-info.ts";

/** A host that took writes when it was last asked. */
export type WritableHost = DatabaseHost & { readonly info: HostInfo };

/** Did the host take writes when it was last asked? It may have been replaced all the same. */
export function takesWrites(host: DatabaseHost): host is WritableHost {
  return host.info !== undefined && !host.info.standby && !host.info.readOnly;
}

/** The cluster of a server, and how many promotions its history has. */
export function historyOf({
  systemIdentifier,
  timeline,
}: HostInfo): Pick<Fence, "systemIdentifier" | "timeline"> {
  return { systemIdentifier: systemIdentifier ?? "unknown", timeline };
}
