import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { loadConfig } from "../src/config/load-config.ts";

const folder = join(import.meta.dirname, "../../../deploy");
const text = (name: string) => readFileSync(join(folder, name), "utf8");

interface Service {
  readonly image: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly deploy?: { readonly replicas: number };
  readonly depends_on?: Readonly<Record<string, unknown>>;
}
const { services, volumes } = parse(text("compose.yaml"), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};
const proxies = JSON.parse(text("toxiproxy.json")) as {
  readonly listen: string;
  readonly upstream: string;
}[];

/** The environment that compose makes of one, with what an operator has to set. */
function environmentOf({ environment = {} }: Service): Record<string, string> {
  const given: Record<string, string> = { GATEWRIGHT_SECRET: "s".repeat(32), POSTGRES_PASSWORD: "pw" };
  const filled = Object.entries(environment).map(([name, value]) => [
    name,
    value.replace(/\$\{(\w+)[^}]*\}/g, (_, variable: string) => given[variable] ?? `no ${variable}`),
  ]);
  return Object.fromEntries(filled);
}

describe("the deployment in deploy/", () => {
  it("has three gateways behind nginx, a primary and a standby, Redis, Prometheus and toxiproxy", () => {
    expect(Object.keys(services).sort()).toEqual(
      "gateway nginx primary prometheus redis standby toxiproxy upstream".split(" "),
    );
    expect(services["gateway"]?.deploy?.replicas).toBe(3);
    for (const { depends_on = {} } of Object.values(services)) {
      for (const name of Object.keys(depends_on)) expect(services).toHaveProperty(name);
    }
  });

  it("mounts files that are there", () => {
    const mounts = Object.values(services).flatMap((service) => service.volumes ?? []);
    for (const [from = ""] of mounts.map((mount) => mount.split(":"))) {
      if (from.startsWith("./")) expect(existsSync(join(folder, from)), from).toBe(true);
      else expect(volumes).toHaveProperty(from);
    }
  });

  it("configures the gateways as they want to be, by toxiproxy's addresses", async () => {
    const env = environmentOf(services["gateway"] as Service);
    const { GATEWRIGHT_CONFIG: mounted, ...rest } = env;
    expect(services["gateway"]?.volumes).toContain(`./gateway.yaml:${mounted}:ro`);
    const config = await loadConfig({
      env: { ...rest, HOST: "0.0.0.0" },
      file: join(folder, "gateway.yaml"),
    });
    const ports = proxies.map(({ listen }) => listen.split(":")[1]);
    const addresses = `${config.database.url} ${config.redis.url}`.match(/toxiproxy:\d+/g);
    expect(addresses?.map((address) => address.split(":")[1])).toEqual(ports);
    expect(config.mcpServers["load"]?.url).toBe("http://upstream:9000/mcp");
  });

  it("leads toxiproxy's lines, nginx and Prometheus to services", () => {
    const targets = proxies.map(({ upstream }) => upstream.split(":")[0] ?? "");
    expect(targets).toEqual(["primary", "standby", "redis"]);
    for (const target of targets) expect(services).toHaveProperty(target);
    expect(text("nginx.conf")).toContain("server gateway:8000 resolve");
    expect(parse(text("prometheus.yml"))).toMatchObject({
      scrape_configs: [{ dns_sd_configs: [{ names: ["gateway"], port: 8000 }] }],
    });
  });
});
