import { describe, expect, it } from "vitest";
import { parseOptions } from "../src/options.ts";

const login = { user: "u", database: "d" };

describe("options", () => {
  it("has the documented defaults", () => {
    const options = parseOptions({ ...login, hosts: ["db"] });
    expect(options.hosts).toEqual([{ host: "db", port: 5432 }]);
    expect(options.targetSessionAttrs).toBe("any");
    expect(options.pool).toMatchObject({
      size: 5,
      overflow: 10,
      acquireTimeoutMs: 3_000,
      connectTimeoutMs: 2_000,
      validationTimeoutMs: 1_000,
      validateIdleAfterMs: 500,
      maxLifetimeMs: 1_800_000,
    });
    expect(options.timeouts.statementMs).toBe(5_000);
    expect(options.fencing).toMatchObject({ discoveryMs: 5_000, leaseMs: 1_000 });
  });

  it("looks for the writable one among several hosts by default", () => {
    const options = parseOptions({ ...login, hosts: ["a:1", { host: "b", port: 2 }, "[::1]:3"] });
    expect(options.targetSessionAttrs).toBe("read-write");
    expect(options.hosts).toEqual([
      { host: "a", port: 1 },
      { host: "b", port: 2 },
      { host: "::1", port: 3 },
    ]);
  });

  it("names the path of an unknown key and the nearest right one", () => {
    const wrong = { ...login, hosts: ["a"], pool: { sise: 3 }, timeout: {} } as never;
    expect(() => parseOptions(wrong)).toThrow(/unknown option timeout; did you mean timeouts\?/);
    expect(() => parseOptions(wrong)).toThrow(/unknown option pool\.sise; did you mean pool\.size\?/);
    expect(() => parseOptions({ ...login, hosts: ["a"], zzz: 1 } as never)).toThrow(/unknown option zzz$/);
  });

  it("refuses values out of range", () => {
    expect(() => parseOptions({ ...login, hosts: [] })).toThrow(/hosts/);
    expect(() => parseOptions({ ...login, hosts: ["a:99999"] })).toThrow(/hosts/);
    expect(() => parseOptions({ ...login, hosts: ["a"], pool: { size: 2, min: 3 } })).toThrow(/pool\.min/);
    expect(() => parseOptions({ ...login, hosts: ["a"], fencing: { leaseMs: 2_000 } })).toThrow(
      /fencing\.leaseMs/,
    );
  });

  it("reads a connection string with several hosts; what is given beside it wins", () => {
    const options = parseOptions({
      connectionString:
        "postgresql://u%40x:p%3Aw@h1:5433,h2/db?target_session_attrs=primary&application_name=app&sslmode=require",
      applicationName: "mine",
    });
    expect(options).toMatchObject({
      hosts: [
        { host: "h1", port: 5433 },
        { host: "h2", port: 5432 },
      ],
      user: "u@x",
      password: "p:w",
      database: "db",
      targetSessionAttrs: "primary",
      applicationName: "mine",
      ssl: { rejectUnauthorized: false },
    });
    expect(parseOptions({ connectionString: "postgres://u@h/d?sslmode=disable" }).ssl).toBe(false);
    expect(parseOptions({ connectionString: "postgres://u@h/d?sslmode=verify-full" }).ssl).toBe(true);
    expect(parseOptions({ connectionString: "postgres:///" })).toMatchObject({
      user: "postgres",
      database: "postgres",
    });
  });

  it("refuses parameters of a connection string that it does not know, without their values", () => {
    const reading = (query: string) => () =>
      parseOptions({ connectionString: `postgres://u:pw@h/d?${query}` });
    expect(reading("sslmod=require")).toThrow("unknown parameter sslmod; did you mean sslmode?");
    expect(reading("sslpassword=hidden")).toThrow(/unknown parameter sslpassword/);
    expect(reading("sslpassword=hidden")).not.toThrow(/hidden/);
  });

  it("takes no part of a password for a host, a database or a parameter", () => {
    for (const text of [
      "postgres://u:se@cret@h/d",
      "postgres://u:se@cret/x@h/d",
      "postgres://u:se@cret?x=y@h/d",
      "postgres://u:se@cret?x@h/d?sslmode=disable",
    ]) {
      expect(() => parseOptions({ connectionString: text })).toThrow(/more than one @.*%40/);
      expect(() => parseOptions({ connectionString: text })).not.toThrow(/cret/);
    }
    for (const host of ["u:secret@h", "secret@h:1", { host: "secret@h" }]) {
      expect(() => parseOptions({ ...login, hosts: [host] })).toThrow(/hosts/);
      expect(() => parseOptions({ ...login, hosts: [host] })).not.toThrow(/secret/);
    }
    expect(parseOptions({ connectionString: "postgres://u:p%40w/x?y@h/d" })).toMatchObject({
      hosts: [{ host: "h" }],
      password: "p@w/x?y",
    });
  });

  it("does not repeat a wrong connection string", () => {
    for (const text of [
      "mysql://u:secret@h/d",
      "postgres://u:secret%zz@h/d",
      "postgres://u:secret@h/d?sslmode=prefer",
      "postgres://u:secret@h/d?target_session_attrs=best",
    ]) {
      expect(() => parseOptions({ connectionString: text })).toThrow(/^Wrong options: connectionString/);
      expect(() => parseOptions({ connectionString: text })).not.toThrow(/secret/);
    }
  });
});
