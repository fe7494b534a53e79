export {
  type Aggregator,
  type AggregatorDeps,
  type AggregatorOptions,
  createAggregator,
  type ListRequest,
  UPSTREAMS_META,
} from "./aggregator.ts";
export type { AggregatedUpstream, NamedItem } from "./exposed-names.ts";
export type { ListCall } from "./list-copies.ts";
export type { ListMethod } from "./list-page.ts";
export type { RoutedRequest } from "./rewrite.ts";
export { createSealer, type Sealer, type SealerOptions } from "./sealer.ts";
