import { localResult } from "@gatewright/mcp-bridge/bridge";
import type { RequestContext, RequestScope } from "@gatewright/plugin-framework";
import { callerTimeoutMs, timeoutHeader } from "../calls/attempt-headers.ts";
import { type CallEdits, editsOf } from "../calls/call-edits.ts";
import { refusalOf } from "../calls/call-failure.ts";
import { runCallLoop } from "../calls/call-loop.ts";
import { annotationsOf, type HookPair, hooksOf, prePayload } from "../calls/hooks.ts";
import type { Route } from "../calls/target.ts";
import { idempotencyOf, upstreamParams } from "../calls/upstream-params.ts";
import { crossingOf } from "./crossings.ts";
import type { Exchange } from "./exchange.ts";
import { callerOf, relayTo, renewalOf, traced } from "./exchange-parts.ts";
import type { ForwardDeps } from "./forward-deps.ts";
import { forwardPlainly } from "./forward-plainly.ts";
import { relayAnswer, setHeaders } from "./relay-answer.ts";
import { resumptionOf } from "./resumption.ts";
import { upstreamHeaders, withParamHeaders } from "./upstream-headers.ts";

/** Sends a request to the upstream that a route names, and its answer back to the client. */
export function forward(deps: ForwardDeps, exchange: Exchange, route: Route): Promise<void> {
  const hooks = hooksOf(exchange.message.method);
  if (hooks === undefined) return forwardPlainly(deps, exchange, route, {});
  return forwardHooked(deps, exchange, route, hooks);
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
    relayAnswer(
      exchange,
      upstream,
      changed === undefined ? result.answer : localResult(JSON.stringify(changed)),
    );
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

const noEdits: CallEdits = {};
