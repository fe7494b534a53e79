/** Stable codes of this package's errors. */
export type PluginErrorCode =
  | "plugin_error"
  | "plugin_timeout"
  | "payload_too_large"
  | "validation_failed"
  | "not_found"
  | "conflict";

const brand = Symbol.for("@gatewright/plugin-framework/error");

/** Options of {@link PluginError}. */
export interface PluginErrorOptions {
  readonly cause?: unknown;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly retryable?: boolean;
}

/**
 * A failure of a plugin or of the pipeline's configuration. A refusal is not a failure: it is a violation in the
 * result. The brand survives two copies of this package: use {@link PluginError.is}, not `instanceof`.
 */
export class PluginError extends Error {
  readonly code: PluginErrorCode;
  readonly retryable: boolean;
  /** Without secrets: plugin, hook, path. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: PluginErrorCode, message: string, options: PluginErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.details = options.details ?? {};
    Object.defineProperty(this, brand, { value: true });
  }

  /** True for an error of this package, whichever copy of it made the error. */
  static is(error: unknown): error is PluginError {
    return typeof error === "object" && error !== null && brand in error;
  }
}

/** What `structuredClone` says of a proxy, such as a view is, and of hardly anything else. */
const UNCLONED = /^(?:#<Object>|\[object Array\]) could not be cloned/;

/** What an error says, and what to do where its words do not tell. */
export function messageOf(error: unknown): string {
  const said = error instanceof Error ? error.message : String(error);
  const uncloned = error instanceof DOMException && error.name === "DataCloneError" && UNCLONED.test(said);
  return uncloned ? `${said} A payload is a read-only view: copy it with copyPayload.` : said;
}

/** A handler threw, and its plugin's `onError` is `fail`. */
export function handlerFailed(plugin: string, hook: string, cause: unknown): PluginError {
  return new PluginError("plugin_error", `plugin ${plugin} failed at ${hook}: ${messageOf(cause)}`, {
    cause,
    details: { plugin, hook },
  });
}

/** A handler took longer than its `timeoutMs`, and its plugin's `onError` is `fail`. */
export function handlerTimedOut(plugin: string, hook: string, timeoutMs: number): PluginError {
  return new PluginError("plugin_timeout", `plugin ${plugin} took longer than ${timeoutMs} ms at ${hook}`, {
    retryable: true,
    details: { plugin, hook, timeoutMs },
  });
}

/** A payload that a handler is to read has more characters than allowed; fails closed whatever `onError` says. */
export class PayloadSizeError extends PluginError {
  constructor(plugin: string, hook: string, limit: number) {
    super("payload_too_large", `the payload of ${hook} has more than ${limit} characters`, {
      details: { plugin, hook, limit },
    });
  }
}

/** One thing that is wrong in a configuration. */
export interface ConfigIssue {
  /** `plugins[1].mode` */
  readonly path: string;
  readonly message: string;
  /** The nearest right key or value. */
  readonly suggestion?: string;
}

/** A configuration is not right; the message names every path. */
export class PluginConfigError extends PluginError {
  readonly issues: readonly ConfigIssue[];

  constructor(issues: readonly ConfigIssue[]) {
    const lines = issues.map(({ path, message, suggestion }) => {
      const where = path === "" ? "config" : path;
      return `${where}: ${message}${suggestion === undefined ? "" : `; did you mean "${suggestion}"?`}`;
    });
    super("validation_failed", lines.join("\n"), { details: { issues } });
    this.issues = issues;
  }
}
