import { ConfigError } from "../config/config-error.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
import { type Authenticator, createAuthenticator } from "./authenticator.ts";

/** An authenticator whose keys can be replaced while requests come. */
export interface LiveAuthenticator extends Authenticator {
  /**
   * Makes another one ready; what it returns puts it in place. Tokens that were verified before are verified again.
   *
   * @throws {ConfigError}
   */
  prepare(config: GatewayConfig["auth"]): Promise<() => void>;
}

/** Makes one. */
export async function createLiveAuthenticator(
  config: GatewayConfig["auth"],
  secret: GatewaySecret,
): Promise<LiveAuthenticator> {
  let current = await createAuthenticator(config, secret);
  let text = JSON.stringify(config);
  return {
    authenticate: (authorization) => current.authenticate(authorization),
    async prepare(next) {
      const nextText = JSON.stringify(next);
      if (nextText === text) return () => undefined;
      const made = await createAuthenticator(next, secret).catch((cause: unknown) => {
        if (cause instanceof ConfigError) throw cause;
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new ConfigError([{ path: "auth", message: `cannot be used: ${reason}` }]);
      });
      return () => {
        current = made;
        text = nextText;
      };
    },
  };
}
