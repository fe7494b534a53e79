export {
  createFaultProxy,
  type FaultProxy,
  type FaultProxyOptions,
  type FaultProxyStats,
  type HostAndPort,
} from "./fault-proxy.ts";
export type {
  CutAt,
  CutMode,
  Direction,
  DirectionChange,
  DirectionFaults,
  FaultChange,
  Faults,
} from "./faults.ts";
