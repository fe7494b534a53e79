export { commonProblems, connectionsOf } from "./common-conditions.ts";
export { type Load, type LoadAnswer, startLoad } from "./load.ts";
export { type Answer, type RequestOptions, send } from "./one-request.ts";
export type { Replica } from "./replica.ts";
export { openStage, type Stage, type StageOptions } from "./stage.ts";
export { type Watch, type WatchReport, watchReplicas } from "./watch.ts";
