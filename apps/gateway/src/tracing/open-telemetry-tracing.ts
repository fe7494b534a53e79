import { WireError } from "@gatewright/mcp-bridge";
import type { UpstreamAnswer } from "@gatewright/mcp-bridge/upstream";
import {
  type Attributes,
  type Context,
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { GatewayError } from "../errors.ts";
import type { Exchange } from "../mcp/exchange.ts";
import type { CallTrace, Tracing } from "./call-trace.ts";

type Carrier = Readonly<Record<string, unknown>>;

/** `_meta` and headers are what a client wrote: only texts are read from them. */
const getter: TextMapGetter<Carrier> = {
  keys: (carrier) => Object.keys(carrier),
  get(carrier, key) {
    const value = Object.hasOwn(carrier, key) ? carrier[key] : undefined;
    return typeof value === "string" ? value : undefined;
  },
};

/**
 * Spans by OpenTelemetry's semantic conventions for MCP: kind SERVER, named `{method} {tool or prompt}`, continuing
 * the trace of `_meta.traceparent` (else of the request's headers) and linked to the span of the transport, if there
 * is one. Session ids are left out, as whoever knows one speaks for the session.
 */
export class OpenTelemetryTracing implements Tracing {
  readonly #tracer: Tracer = trace.getTracer("gatewright");

  begin(exchange: Exchange): CallTrace {
    const parent = parentOf(exchange);
    const { name, attributes } = describe(exchange);
    const span = this.#tracer.startSpan(
      name,
      { kind: SpanKind.SERVER, attributes, ...(parent.link && { links: [{ context: parent.link }] }) },
      parent.context,
    );
    return new SpanOfCall(span, trace.setSpan(parent.context, span));
  }
}

/** The context that a call continues. The client's own counts before that of the transport, which is linked then. */
function parentOf({ message, headers }: Exchange) {
  const ambient = context.active();
  const meta = metaOf(message.params?.["_meta"]);
  if (getter.get(meta, "traceparent") !== undefined) {
    return {
      context: propagation.extract(ROOT_CONTEXT, meta, getter),
      link: trace.getSpanContext(ambient),
    };
  }
  if (trace.getSpanContext(ambient) !== undefined) return { context: ambient };
  return { context: propagation.extract(ambient, headers, getter) };
}

function describe({ message, clientIp }: Exchange): {
  readonly name: string;
  readonly attributes: Attributes;
} {
  const { method, params, id } = message;
  const attributes: Attributes = {
    "mcp.method.name": method,
    "jsonrpc.request.id": String(id),
    "client.address": clientIp,
    "network.transport": "tcp",
  };
  const named = params?.["name"];
  const uri = params?.["uri"];
  if (typeof uri === "string") attributes["mcp.resource.uri"] = withoutSecrets(uri);
  if (typeof named !== "string") return { name: method, attributes };
  if (method === "tools/call") {
    attributes["gen_ai.tool.name"] = named;
    attributes["gen_ai.operation.name"] = "execute_tool";
  } else if (method === "prompts/get") attributes["gen_ai.prompt.name"] = named;
  else return { name: method, attributes };
  return { name: `${method} ${named}`, attributes };
}

/** User names, passwords and queries of URIs are not for whoever reads traces. */
function withoutSecrets(uri: string): string {
  return uri.replace(/[?#].*$/s, "").replace(/^([^:]+:\/\/)[^/]*@/, "$1");
}

class SpanOfCall implements CallTrace {
  readonly #span: Span;
  readonly #context: Context;

  constructor(span: Span, current: Context) {
    this.#span = span;
    this.#context = current;
  }

  meta(own: unknown): Carrier {
    const carrier = { ...metaOf(own) };
    propagation.inject(this.#context, carrier);
    return carrier;
  }

  retried(attempt: number, delayMs: number, reason: string): void {
    this.#span.addEvent("gatewright.retry", {
      "gatewright.retry.attempt": attempt,
      "gatewright.retry.delay_ms": delayMs,
      "gatewright.retry.reason": reason,
    });
  }

  renewed(): void {
    this.#span.addEvent("gatewright.new_session");
  }

  hedged(attempt: number): void {
    this.#span.addEvent("gatewright.hedge", { "gatewright.retry.attempt": attempt });
  }

  notHedged(reason: string): void {
    this.#span.addEvent("gatewright.no_hedge", { "gatewright.retry.reason": reason });
  }

  gaveUp(attempts: number, reason: string): void {
    this.#span.addEvent("gatewright.give_up", {
      "gatewright.retry.attempts": attempts,
      "gatewright.retry.reason": reason,
    });
  }

  answered(answer: UpstreamAnswer): void {
    if (answer.kind === "error") {
      const { code, message } = answer.value();
      this.#failed(String(code), String(message), String(code));
    } else if (answer.bytes.includes('"isError"') && answer.value()["isError"] === true) {
      this.#failed("tool_error");
    }
  }

  failed(error: unknown): void {
    if (GatewayError.is(error)) this.#failed(error.code, error.message, String(error.surface.rpcCode));
    else if (WireError.is(error)) this.#failed(error.code, error.message, String(error.rpcCode));
    else this.#failed("_OTHER");
  }

  cancelled(): void {
    this.#failed("cancelled");
  }

  end(): void {
    this.#span.end();
  }

  #failed(type: string, message?: string, rpcCode?: string): void {
    this.#span.setAttribute("error.type", type);
    if (rpcCode !== undefined) this.#span.setAttribute("rpc.response.status_code", rpcCode);
    this.#span.setStatus({ code: SpanStatusCode.ERROR, ...(message !== undefined && { message }) });
  }
}

function metaOf(value: unknown): Carrier {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Carrier) : {};
}
