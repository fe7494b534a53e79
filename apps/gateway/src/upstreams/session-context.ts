import type { JsonObject } from "@gatewright/mcp-bridge";
import type {
  Implementation,
  ResumableSession,
  UpstreamMessage,
  UpstreamSession,
} from "@gatewright/mcp-bridge/upstream";
import { gatewayIdentity } from "./gateway-identity.ts";

/** For whom an upstream session is opened. */
export interface SessionContext {
  readonly clientInfo: Implementation;
  readonly capabilities: JsonObject;
  readonly protocolVersion?: string;
  /** `legacy`: speak a revision with sessions if the upstream speaks one, so that its state is the client's own. */
  readonly era?: "legacy";
  /** How long to wait for the upstream's own stream, for a session that is called at once and may ask at once. */
  readonly streamWaitMs?: number;
  /** Whether the session serves several callers, so that what the upstream asks is for none of them. */
  readonly shared?: boolean;
  /** Takes the messages that belong to no call. */
  readonly onMessage?: (message: UpstreamMessage, session: UpstreamSession) => void;
  /** Whose credentials the upstream is shown, where it has own ones for this user; else the gateway's. */
  readonly user?: string | undefined;
  /** Added to the environment of a program that is started for the session. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** The session of a former owner to go on with, until `onOpen` or `onUnresumable` was told of it. */
  readonly resume?: () => ResumableSession | undefined;
  /** Told that the upstream has no session any more that could be gone on with. */
  readonly onUnresumable?: () => void;
  /** Told of a session once it is open; it is used when that has settled. */
  readonly onOpen?: (session: UpstreamSession) => Promise<void>;
}

/** Sessions that belong to no client: the gateway speaks for itself and offers nothing. */
export const gatewayContext = { clientInfo: gatewayIdentity, capabilities: {} } satisfies SessionContext;
