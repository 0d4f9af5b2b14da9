import assert from "node:assert/strict";
import { checkIdentity, parseFlags } from "../../../shim/cli/flags.js";

describe("flags", () => {
  const usual = [
    "-namespace",
    "default",
    "-address",
    "/run/c.sock",
    "-publish-binary",
    "/usr/bin/containerd",
    "-id",
    "a",
  ];

  it("reads containerd's command line", () => {
    const flags = parseFlags([...usual, "-bundle", "/b", "-debug", "start"]);
    assert.equal(flags.action, "start");
    assert.equal(flags.namespace, "default");
    assert.equal(flags.id, "a");
    assert.equal(flags.bundle, "/b");
    assert.equal(flags.debug, true);
  });

  it("takes values after = and two dashes", () => {
    const flags = parseFlags(["--namespace=n", "-id=x", "--debug=false", "delete"]);
    assert.deepEqual([flags.namespace, flags.id, flags.debug, flags.action], ["n", "x", false, "delete"]);
  });

  it("passes over flags that it does not know", () => {
    assert.equal(parseFlags(["-new", "value", ...usual, "-fresh", "start"]).action, "start");
    assert.equal(parseFlags(["-new=value", ...usual, "delete"]).action, "delete");
  });

  it("knows info and version", () => {
    assert.equal(parseFlags(["-info"]).action, "info");
    assert.equal(parseFlags(["-v"]).action, "version");
    assert.equal(parseFlags(["--version"]).action, "version");
    assert.equal(parseFlags([...usual, "-v=F", "--", "delete"]).action, "delete");
    assert.throws(() => parseFlags(["-v=perhaps"]), /-v must be true or false/);
  });

  it("refuses other actions and names that would leave a folder", () => {
    assert.throws(() => parseFlags([...usual, "stop"]), /unknown action/);
    assert.throws(() => parseFlags(usual), /no action/);
    for (const id of ["", "..", "a/b", ".a", "a b"]) {
      assert.throws(() => checkIdentity(parseFlags(["-namespace", "n", "-id", id, "start"])), /-id must be/);
    }
    checkIdentity(parseFlags(["-namespace", "k8s.io", "-id", "a_b-c.d", "start"]));
  });
});
