import type { IncomingMessage } from "node:http";
import { BlockList, isIP } from "node:net";

/**
 * Finds the address of a client: the rightmost one of `X-Forwarded-For` that is no trusted proxy, as long as
 * the connection itself comes from one; else the connection's own. IPv6 addresses are cut to their /64.
 *
 * @param trusted addresses and `address/prefix` ranges
 */
export function createClientAddress(trusted: readonly string[]): (request: IncomingMessage) => string {
  const proxies = new BlockList();
  for (const entry of trusted) {
    const [address = "", prefix] = entry.split("/");
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    if (prefix === undefined) proxies.addAddress(address, family);
    else proxies.addSubnet(address, Number(prefix), family);
  }
  const isProxy = (address: string) => proxies.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");

  return (request) => {
    const own = plain(request.socket.remoteAddress ?? "");
    if (trusted.length === 0 || !isProxy(own)) return shorten(own);
    const header = request.headers["x-forwarded-for"];
    const chain = (typeof header === "string" ? header : "").split(",").map((word) => plain(word.trim()));
    for (const address of chain.reverse()) {
      if (isIP(address) !== 0 && !isProxy(address)) return shorten(address);
    }
    return shorten(own);
  };
}

function plain(address: string): string {
  return address.startsWith("::ffff:") && isIP(address.slice(7)) === 4 ? address.slice(7) : address;
}

function shorten(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = "", tail = ""] = address.split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === "" ? [] : tail.split(":");
  const gap = address.includes("::") ? Array<string>(8 - front.length - back.length).fill("0") : [];
  return `${[...front, ...gap, ...back].slice(0, 4).join(":")}::/64`;
}
