import { encodeParamHeaders, mcpHttpStatus } from "@gatewright/mcp-bridge";
import { completeModern, localResult } from "@gatewright/mcp-bridge/bridge";
import { type UpstreamAnswer, UpstreamError } from "@gatewright/mcp-bridge/upstream";
import type { CallOutcome, PluginPipeline, RequestContext, RequestScope } from "@gatewright/plugin-framework";
import type { Decision } from "@gatewright/retry-backoff";
import { outcomeOfAnswer } from "../calls/answer-outcome.ts";
import { AnsweredError } from "../calls/answered-error.ts";
import { attemptHeaders, callerTimeoutMs, timeoutHeader } from "../calls/attempt-headers.ts";
import { type CallEdits, editsOf } from "../calls/call-edits.ts";
import { failureOf, outcomeOf, refusalOf } from "../calls/call-failure.ts";
import { type CallLoopDeps, runCallLoop } from "../calls/call-loop.ts";
import { doubtful, doubtfulAnswer, lasting, leavesDoubt } from "../calls/doubt.ts";
import { explained, type GiveUp, giveUpHeaders, giveUpOf } from "../calls/give-up.ts";
import { annotationsOf, type HookPair, hooksOf, prePayload } from "../calls/hooks.ts";
import { safetyOf } from "../calls/plain-request.ts";
import type { Route } from "../calls/target.ts";
import { attempt } from "../calls/upstream-call.ts";
import { idempotencyOf, type ParamsChange, upstreamParams } from "../calls/upstream-params.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { Snapshot } from "../registry/snapshot.ts";
import type { Tracing } from "../tracing/call-trace.ts";
import { hopHeader } from "../upstreams/hop.ts";
import { type CrossingDeps, crossingOf } from "./crossings.ts";
import type { Exchange } from "./exchange.ts";
import { paramHeadersOf } from "./param-headers.ts";
import { resumptionOf } from "./resumption.ts";
import { type Caller, relayMessage, type UpstreamAccesses } from "./upstream-access.ts";

/** What forwarding works with. */
export interface ForwardDeps extends CallLoopDeps, CrossingDeps {
  readonly pipeline: PluginPipeline;
  readonly accesses: UpstreamAccesses;
  readonly snapshot: () => Snapshot;
  /** Takes traces, where an OpenTelemetry SDK is registered. */
  readonly tracing?: Tracing | undefined;
}

/** Sends a request to the upstream that a route names, and its answer back to the client. */
export function forward(deps: ForwardDeps, exchange: Exchange, route: Route): Promise<void> {
  const hooks = hooksOf(exchange.message.method);
  if (hooks === undefined) return forwardPlainly(deps, exchange, route, {});
  return forwardHooked(deps, exchange, route, hooks);
}

/** Sends a request that no plugin sees; `change` names what differs from the client's params. */
export async function forwardPlainly(
  deps: ForwardDeps,
  exchange: Exchange,
  route: Route,
  change: ParamsChange,
): Promise<void> {
  const { message, signal } = exchange;
  const { upstream } = route;
  const { key, context } = deps.accesses.of(callerOf(exchange), upstream);
  const call = {
    upstream,
    key,
    context,
    signal,
    request: {
      method: message.method,
      params: upstreamParams(message, traced(exchange, change)),
      extras: message.extras,
      headers: upstreamHeaders(exchange, route),
    },
    onMessage: relayTo(deps, exchange, upstream.id),
    onRenewal: renewalOf(deps, exchange),
    crossing: crossingOf(deps, exchange, route),
  };
  const { tenant } = exchange.principal;
  const { callTimeoutMs } = deps;
  const ownMs = Math.min(callTimeoutMs, callerTimeoutMs(exchange.headers[timeoutHeader]) ?? callTimeoutMs);
  const deadline = performance.now() + ownMs;
  let attempts = 1;
  let giveUp: GiveUp | undefined;
  const request = {
    method: message.method,
    upstream,
    tenant,
    signal,
    deadline,
    trace: exchange.trace,
    onDecision: (decision: Decision) => {
      giveUp = decision.reason === "success" ? undefined : giveUpOf(decision);
    },
  };
  try {
    const found = await deps.retries.run(request, async ({ number, signal: own, remainingMs = ownMs }) => {
      attempts = number;
      const timeoutMs = Math.min(deps.attemptTimeoutMs, remainingMs);
      const headers = attemptHeaders(call.request.headers, number, timeoutMs);
      const answered = await attempt(deps.pool, call, timeoutMs, own, headers);
      if (answered.kind === "error") throw new AnsweredError(answered, outcomeOfAnswer(answered, false));
      return answered;
    });
    setHeaders(exchange, giveUpHeaders(noHeaders, attempts, giveUp));
    answer(exchange, upstream, found);
  } catch (error) {
    const { idempotent, ...hints } = safetyOf(message.method);
    // Of an attempt before the last one, too.
    const inDoubt = giveUp?.outcomeUnknown === true && !idempotent && leavesDoubt(hints, neverAnswered);
    if (error instanceof AnsweredError) {
      const hidden = inDoubt ? doubtfulAnswer(error.answer, upstream.name, attempts, giveUp) : undefined;
      if (hidden !== undefined) throw hidden;
      setHeaders(exchange, giveUpHeaders(noHeaders, attempts, giveUp));
      return answer(exchange, upstream, error.answer);
    }
    if (signal.aborted) throw error;
    const failure = failureOf(error, upstream.name);
    const lasts = !idempotent && leavesDoubt(hints, outcomeOf(error));
    if (inDoubt && !lasts) throw doubtful(failure, attempts, giveUp);
    throw explained(lasts ? lasting(failure) : failure, attempts, giveUp);
  }
}

async function forwardHooked(
  deps: ForwardDeps,
  exchange: Exchange,
  route: Route,
  hooks: HookPair,
): Promise<void> {
  const { message, signal } = exchange;
  const { upstream } = route;
  const resumption = resumptionOf(deps, exchange, upstream);
  if (resumption?.kind === "elsewhere") return resumption.answer();
  const scope = deps.pipeline.begin(requestContext(exchange, upstream.id));
  try {
    const sent = upstreamHeaders(exchange, route);
    // A call that goes on was let through, and charged, when it began.
    const before =
      resumption === undefined && deps.pipeline.has(hooks.pre)
        ? await askBefore(deps, exchange, scope, hooks, prePayload(hooks.kind, route.name, message, sent))
        : undefined;
    const edits = before?.edits;
    const { name = route.name, headers = sent } = edits ?? noEdits;
    const idempotency = idempotencyOf(message, upstream.definition.idempotency && hooks.kind === "tool");
    const exposed = message.params?.[hooks.kind === "resource" ? "uri" : "name"];
    const { key, context } = deps.accesses.of(callerOf(exchange), upstream);
    const result = await runCallLoop(deps, scope, {
      upstream,
      key,
      context,
      signal,
      hooks,
      name,
      annotations: annotationsOf(hooks.kind, deps.snapshot(), upstream.id, name),
      idempotencyKey: idempotency.key,
      tenant: exchange.principal.tenant,
      callerTimeoutMs: callerTimeoutMs(exchange.headers[timeoutHeader]),
      ...(before?.charge && { charge: before.charge }),
      ...(resumption && { resume: resumption.proceed }),
      trace: exchange.trace,
      request: {
        method: message.method,
        params: upstreamParams(
          message,
          traced(exchange, {
            ...(exposed !== name && (hooks.kind === "resource" ? { uri: name } : { name })),
            args: edits?.args,
            meta: edits?.meta ?? idempotency.meta,
          }),
        ),
        extras: message.extras,
        headers: hooks.kind === "tool" ? withParamHeaders(deps, exchange, route, headers, edits) : headers,
      },
      onMessage: relayTo(deps, exchange, upstream.id),
      onRenewal: renewalOf(deps, exchange),
      crossing: crossingOf(deps, exchange, route),
    });
    setHeaders(exchange, result.headers);
    const { changed } = result;
    answer(exchange, upstream, changed === undefined ? result.answer : localResult(JSON.stringify(changed)));
  } finally {
    scope.end();
  }
}

interface Before {
  readonly edits: CallEdits | undefined;
  /** Asks the plugins once more, for a repeat. */
  readonly charge: (() => Promise<void>) | undefined;
}

/** Runs the plugins before a call. @throws {GatewayError} when they refuse it */
async function askBefore(
  deps: ForwardDeps,
  exchange: Exchange,
  scope: RequestScope,
  hooks: HookPair,
  payload: ReturnType<typeof prePayload>,
): Promise<Before> {
  const invoked = scope.invoke(hooks.pre, payload as never);
  const result = invoked instanceof Promise ? await invoked : invoked;
  if (!result.allowed && result.violation !== undefined) throw refusalOf(result.violation);
  setHeaders(exchange, result.headers);
  const charge = async () => {
    const { allowed, violation } = await scope.invoke(hooks.pre, payload as never);
    if (!allowed && violation !== undefined) throw refusalOf(violation);
  };
  return {
    edits: editsOf(hooks.kind, payload, result.payload),
    charge: deps.retries.chargeEachAttempt ? charge : undefined,
  };
}

// Built by cases, not by spreads: this runs for every call.
function requestContext(exchange: Exchange, serverId: string): RequestContext {
  const { requestId, principal, clientIp, signal } = exchange;
  const user = principal.identity;
  const { tenant } = principal;
  if (tenant === undefined) return { requestId, user, serverId, clientIp, signal };
  return { requestId, user, tenantId: tenant, serverId, clientIp, signal };
}

function callerOf(exchange: Exchange): Caller {
  const { principal, session, message } = exchange;
  return exchange.era === "modern" ? { principal, session, modern: message } : { principal, session };
}

function relayTo(
  deps: ForwardDeps,
  exchange: Exchange,
  upstreamId: string,
): NonNullable<Parameters<typeof attempt>[1]["onMessage"]> {
  return (message, upstream) => {
    deps.hear(upstreamId, message);
    relayMessage(exchange, upstreamId, message, upstream);
  };
}

/** Tells of a request that was sent once more, as its session was lost or its credentials were refused. */
function renewalOf({ metrics }: ForwardDeps, { trace }: Exchange): () => void {
  return () => {
    metrics.retried("new_session");
    trace?.renewed();
  };
}

/** What a traced call changes of its params: the upstream is told of the call's span. */
function traced({ trace, message }: Exchange, change: ParamsChange): ParamsChange {
  return trace === undefined
    ? change
    : { ...change, meta: trace.meta(change.meta ?? message.params?.["_meta"]) };
}

/** Relays an answer: the upstream's bytes under the client's id, and in the words of the endpoint. */
function answer(exchange: Exchange, upstream: UpstreamRecord, from: UpstreamAnswer): void {
  const { era, idText } = exchange;
  exchange.trace?.answered(from);
  const shown = shownAnswer(exchange, upstream, from);
  // Not any status: after 408, 421 and 425 HTTP clients repeat requests by themselves.
  const status = era === "modern" && shown.kind === "error" ? mcpHttpStatus(shown.httpStatus) : 200;
  exchange.reply.relay(shown.bytes, shown.idSpan, idText, status);
}

/** @throws {GatewayError} for an answer that cannot be read; the call was made all the same, and is not to be repeated */
function shownAnswer(
  { aggregator, message, era }: Exchange,
  { id, name }: UpstreamRecord,
  from: UpstreamAnswer,
): UpstreamAnswer {
  try {
    const whole = era === "modern" ? completeModern(from, message.method) : from;
    return aggregator === undefined ? whole : aggregator.exposeAnswer(id, message.method, whole);
  } catch (error) {
    if (!UpstreamError.is(error)) throw error;
    throw lasting(failureOf(error, name));
  }
}

const noHeaders: Readonly<Record<string, string>> = {};

/** The outcome of an attempt that was sent and lost. */
const neverAnswered: CallOutcome = {
  kind: "error",
  code: "upstream_unreachable",
  phase: "sent_no_response",
};
const noEdits: CallEdits = {};

/** The caller's headers that go on: `Mcp-Param-*`, and those that the upstream's definition names. */
function upstreamHeaders(exchange: Exchange, { upstream }: Route): Readonly<Record<string, string>> {
  const { headers, era } = exchange;
  const wanted = upstream.definition.passthroughHeaders;
  const hops = headers[hopHeader];
  if (era !== "modern" && wanted.length === 0 && hops === undefined) return noHeaders;
  const picked: Record<string, string> = typeof hops === "string" ? { [hopHeader]: hops } : {};
  for (const name of wanted) {
    const value = headers[name];
    if (typeof value === "string") picked[name] = value;
  }
  if (era !== "modern") return picked;
  for (const name in headers) {
    const value = headers[name];
    if (name.startsWith("mcp-param-") && typeof value === "string") picked[name] = value;
  }
  return picked;
}

/**
 * The headers that mirror arguments, where the upstream wants some and the caller's do not fit: it speaks a revision
 * without them, or a plugin changed the arguments or the tool.
 */
function withParamHeaders(
  deps: ForwardDeps,
  { era, message }: Exchange,
  { upstream, name }: Route,
  headers: Readonly<Record<string, string>>,
  edits: CallEdits | undefined,
): Readonly<Record<string, string>> {
  const same = edits?.args === undefined && edits?.name === undefined;
  if (upstream.self?.era !== "modern" || (era === "modern" && same)) return headers;
  const rules = paramHeadersOf(deps.snapshot(), upstream.id, edits?.name ?? name);
  if (rules.length === 0 && edits?.name === undefined) return headers;
  const kept = Object.entries(headers).filter(([key]) => !key.startsWith("mcp-param-"));
  const args = edits?.args === undefined ? message.params?.["arguments"] : edits.args.value;
  return { ...Object.fromEntries(kept), ...encodeParamHeaders(rules, args) };
}

function setHeaders(exchange: Exchange, headers: Readonly<Record<string, string>>): void {
  for (const name in headers) exchange.reply.setHeader(name, headers[name] as string);
}
