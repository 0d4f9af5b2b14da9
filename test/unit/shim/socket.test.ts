import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { groupOf, isAlive, pathOfAddress, socketPath } from "../../../shim/cli/socket.js";

describe("socket", () => {
  it("is named by a hash of address, namespace and group", () => {
    const hash = createHash("sha256").update("/run/containerd/containerd.sock/default/a").digest("hex");
    assert.equal(socketPath("/run/containerd/containerd.sock", "default", "a"), `/run/containerd/s/${hash}`);
  });

  it("fits a unix socket, or says so", () => {
    assert.ok(socketPath("/c", "n".repeat(76), "i".repeat(76)).length <= 106);
    assert.throws(() => socketPath("/c", "n", "i", `/run/${"x".repeat(60)}`), /longer than 106/);
  });

  it("groups by annotation", () => {
    assert.equal(groupOf("a", {}), "a");
    assert.equal(groupOf("a", { "io.kubernetes.cri.sandbox-id": "pod" }), "pod");
    const both = { "io.kubernetes.cri.sandbox-id": "pod", "io.containerd.runc.v2.group": "g" };
    assert.equal(groupOf("a", both), "g");
  });

  it("understands addresses with and without a scheme", () => {
    assert.equal(pathOfAddress("unix:///run/x"), "/run/x");
    assert.equal(pathOfAddress("/run/x"), "/run/x");
  });

  it("sees that nobody listens", async () => {
    assert.equal(await isAlive("/nonexistent/socket"), false);
  });
});
