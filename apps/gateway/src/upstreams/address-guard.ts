import { lookup as lookupWithCallback } from "node:dns";
import { lookup } from "node:dns/promises";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { GatewayError } from "../errors.ts";

const never = new BlockList();
never.addSubnet("169.254.0.0", 16, "ipv4");
never.addSubnet("0.0.0.0", 8, "ipv4");
never.addSubnet("224.0.0.0", 4, "ipv4");
never.addAddress("100.100.100.200", "ipv4");
never.addSubnet("fe80::", 10, "ipv6");
never.addSubnet("ff00::", 8, "ipv6");
never.addAddress("::", "ipv6");
never.addAddress("fd00:ec2::254", "ipv6");

const privateRanges = new BlockList();
privateRanges.addSubnet("10.0.0.0", 8, "ipv4");
privateRanges.addSubnet("172.16.0.0", 12, "ipv4");
privateRanges.addSubnet("192.168.0.0", 16, "ipv4");
privateRanges.addSubnet("127.0.0.0", 8, "ipv4");
privateRanges.addSubnet("100.64.0.0", 10, "ipv4");
privateRanges.addAddress("::1", "ipv6");
privateRanges.addSubnet("fc00::", 7, "ipv6");

/**
 * Says whether the gateway may connect to an address: link-local, metadata, multicast and unspecified
 * addresses never; private and loopback ones only with `allowPrivate`. IPv4 addresses written as IPv6 count as
 * what they are.
 */
export function isAllowedAddress(address: string, allowPrivate: boolean): boolean {
  const plain = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
  const family = isIP(plain) === 6 ? "ipv6" : "ipv4";
  if (isIP(plain) === 0 || never.check(plain, family)) return false;
  return allowPrivate || !privateRanges.check(plain, family);
}

/**
 * Refuses a URL whose host is, or resolves to, an address that the gateway may not connect to.
 *
 * @throws {GatewayError} `validation_failed`; `upstream_unreachable` when the name does not resolve
 */
export async function checkUpstreamUrl(url: string, allowPrivate: boolean): Promise<void> {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, "");
  const addresses = isIP(host) === 0 ? await resolve(host) : [host];
  for (const address of addresses) {
    if (isAllowedAddress(address, allowPrivate)) continue;
    throw new GatewayError("validation_failed", `the gateway may not connect to ${host} (${address})`, {
      details: { path: "url" },
    });
  }
}

async function resolve(host: string): Promise<string[]> {
  try {
    return (await lookup(host, { all: true })).map((entry) => entry.address);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "unknown";
    throw new GatewayError("upstream_unreachable", `the host ${host} cannot be resolved (${code})`, {
      cause,
    });
  }
}

/**
 * A `lookup` for sockets that refuses the addresses which {@link isAllowedAddress} refuses, at the moment of
 * connecting, so that a name cannot be checked with one answer and used with another.
 */
export function guardedLookup(allowPrivate: boolean): LookupFunction {
  return (hostname, options, callback) => {
    lookupWithCallback(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, [], 0);
      const allowed = addresses.filter((entry) => isAllowedAddress(entry.address, allowPrivate));
      const [first] = allowed;
      if (first === undefined) {
        const refusal: NodeJS.ErrnoException = new Error(`the gateway may not connect to ${hostname}`);
        refusal.code = "EACCES";
        return callback(refusal, [], 0);
      }
      return options.all === true ? callback(null, allowed) : callback(null, first.address, first.family);
    });
  };
}
