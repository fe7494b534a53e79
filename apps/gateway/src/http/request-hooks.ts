import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type {
  HookPayloads,
  PipelineResult,
  PluginPipeline,
  RequestScope,
} from "@gatewright/plugin-framework";
import { refusalOf } from "../calls/call-failure.ts";
import { sendableHeaders } from "./sendable-headers.ts";

type PostPayload = HookPayloads["http_post_request"];

/** What the hooks of requests work with. */
export interface RequestHooksDeps {
  readonly pipeline: PluginPipeline;
  readonly clientAddress: (request: IncomingMessage) => string;
  readonly nextRequestId: () => string;
}

/** One request that plugins see. */
export interface HookedRequest {
  readonly requestId: string;
  readonly client: string;
  /** Begun with the request and ended with its connection's answer: what a plugin keeps before, it finds after. */
  readonly scope: RequestScope;
}

/**
 * The hooks around every HTTP request, whatever it asks for: `http_pre_request` before anything else is done,
 * `http_post_request` when the head of its answer is written. Requests that no plugin wants to see pass at the cost of
 * four look-ups.
 */
export class RequestHooks {
  readonly #deps: RequestHooksDeps;
  readonly #hooked = new WeakMap<IncomingMessage, HookedRequest>();

  constructor(deps: RequestHooksDeps) {
    this.#deps = deps;
  }

  /** Whether any plugin wants to see requests, or decide who makes them. */
  get wanted(): boolean {
    const { pipeline } = this.#deps;
    return (
      pipeline.has("http_pre_request") ||
      pipeline.has("http_post_request") ||
      pipeline.has("http_auth_resolve_user") ||
      pipeline.has("http_auth_check_permission")
    );
  }

  /** What is known of a request that {@link begin} has seen. */
  of(request: IncomingMessage): HookedRequest | undefined {
    return this.#hooked.get(request);
  }

  /**
   * Asks the plugins before a request, and arranges that they see its answer. Without a response (a WebSocket has none)
   * its end is that of the socket.
   *
   * @throws {GatewayError} when a plugin refuses
   */
  async begin(request: IncomingMessage, response?: ServerResponse): Promise<void> {
    const { pipeline, clientAddress, nextRequestId } = this.#deps;
    const requestId = nextRequestId();
    const client = clientAddress(request);
    const scope = pipeline.begin({ requestId, clientIp: client });
    this.#hooked.set(request, { requestId, client, scope });
    (response ?? request.socket).once("close", () => scope.end());
    const payload = {
      path: request.url ?? "",
      method: request.method ?? "",
      client,
      headers: headerMapOf(request),
    };
    if (response !== undefined && pipeline.has("http_post_request")) watchHead(scope, payload, response);
    if (!pipeline.has("http_pre_request")) return;
    const result = await scope.invoke("http_pre_request", payload);
    for (const [name, value] of Object.entries(sendableHeaders(result.headers)))
      response?.setHeader(name, value);
    if (!result.allowed && result.violation !== undefined) throw refusalOf(result.violation);
    if (result.payload !== payload) replaceHeaders(request, result.payload.headers);
  }
}

/** The headers of a request as plugins see them. */
export function headerMapOf({ headers }: IncomingMessage): Record<string, string> {
  const map: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined) map[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return map;
}

function replaceHeaders(request: IncomingMessage, wanted: Readonly<Record<string, string>>): void {
  for (const name of Object.keys(request.headers)) if (!(name in wanted)) delete request.headers[name];
  for (const [name, value] of Object.entries(wanted)) request.headers[name.toLowerCase()] = value;
}

/**
 * Shows the head of the answer to the plugins as it is written. One that answers at once may change it; the head does
 * not wait for one that takes its time, which sees it all the same.
 */
function watchHead(
  scope: RequestScope,
  request: HookPayloads["http_pre_request"],
  response: ServerResponse,
): void {
  const write = response.writeHead.bind(response) as (status: number, headers: object) => ServerResponse;
  const watched = (status: number, ...rest: readonly unknown[]) => {
    response.writeHead = write as never;
    const given = rest.find((part) => typeof part === "object" && part !== null);
    const responseHeaders = { ...textOf(response.getHeaders()), ...textOf(pairsOf(given)) };
    const payload: PostPayload = { ...request, responseHeaders, statusCode: status };
    const seen = seenAtOnce(scope, payload);
    if (seen === undefined) return write(status, responseHeaders);
    const { statusCode } = seen.payload;
    const headers = { ...seen.payload.responseHeaders, ...seen.headers };
    return write(isStatus(statusCode) ? statusCode : status, sendableHeaders(headers));
  };
  response.writeHead = watched as never;
}

/**
 * What the plugins made of an answer's head; undefined when they take their time or fail: what was asked for has been
 * done by now, and its answer goes out as it is.
 */
function seenAtOnce(scope: RequestScope, payload: PostPayload): PipelineResult<PostPayload> | undefined {
  try {
    const seen = scope.invoke("http_post_request", payload);
    if (!(seen instanceof Promise)) return seen;
    seen.catch(() => undefined);
  } catch {
    // The pipeline's observer has it.
  }
  return undefined;
}

function isStatus(value: number): boolean {
  return Number.isInteger(value) && value >= 200 && value <= 599;
}

function pairsOf(given: unknown): OutgoingHttpHeaders {
  if (!Array.isArray(given)) return (given ?? {}) as OutgoingHttpHeaders;
  const headers: OutgoingHttpHeaders = {};
  for (let index = 0; index + 1 < given.length; index += 2) headers[String(given[index])] = given[index + 1];
  return headers;
}

function textOf(headers: OutgoingHttpHeaders): Record<string, string> {
  const text: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined)
      text[name.toLowerCase()] = Array.isArray(value) ? value.join(", ") : String(value);
  }
  return text;
}
