import assert from "node:assert/strict";
import { parseConfig, resolveHost, splitAddress } from "../../../runtime/agent/config.js";
import { AgentError } from "../../../runtime/agent/errors.js";

const parse = (value: unknown) => parseConfig(JSON.stringify(value), "test.json");

describe("agent configuration", () => {
  it("has a default for everything", () => {
    const config = parse({});
    assert.equal(config.listen.port, 7420);
    assert.equal(config.stateDir, "/var/lib/pclive");
    assert.deepEqual(config.network, { driver: "none" });
  });

  it("names what is wrong in one line", () => {
    for (const [value, pattern] of [
      [{ listen: { port: 0 } }, /listen\.port/],
      [{ plaintext: true }, /plaintext/],
      [{ network: { driver: "bridge" } }, /network\.bridge/],
      [{ tls: { ca: "relative" } }, /tls\.ca.*absolute/],
      [{ log: "loud" }, /log/],
    ] as const) {
      assert.throws(
        () => parse(value),
        (error: AgentError) =>
          error.code === "CONFIG" && pattern.test(error.message) && !error.message.includes("\n"),
      );
    }
    assert.throws(() => parseConfig("{", "x.json"), /x\.json is not JSON/);
  });

  it("finds hosts by name, by address, and takes others as they are", () => {
    const config = parse({ hosts: { b: "10.10.0.2", c: "10.10.0.3:7421" } });
    assert.deepEqual(resolveHost(config, "b"), { name: "b", host: "10.10.0.2", port: 7420 });
    assert.deepEqual(resolveHost(config, "10.10.0.2"), { name: "b", host: "10.10.0.2", port: 7420 });
    assert.deepEqual(resolveHost(config, "c"), { name: "c", host: "10.10.0.3", port: 7421 });
    assert.deepEqual(resolveHost(config, "other:99"), { name: "other", host: "other", port: 99 });
    for (const bad of ["", "a b", "x:99999", "user@host"])
      assert.throws(() => resolveHost(config, bad), AgentError);
  });

  it("splits addresses", () => {
    assert.deepEqual(splitAddress("[fe80::1]:5"), { host: "fe80::1", port: 5 });
    assert.deepEqual(splitAddress("fe80::1"), { host: "fe80::1", port: 7420 });
  });
});
