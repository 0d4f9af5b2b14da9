import assert from "node:assert/strict";
import { twinSpec } from "../../../runtime/agent/checkpoint/twin.js";

const spec = (cgroupsPath: string, path?: string) =>
  Buffer.from(
    JSON.stringify({
      hostname: "web",
      linux: { cgroupsPath, namespaces: [{ type: "pid" }, { type: "network", ...(path ? { path } : {}) }] },
    }),
  );
const twin = (bytes: Uint8Array, netns = "") =>
  JSON.parse(Buffer.from(twinSpec(bytes, "web", { name: "web2", netns })).toString("utf8"));

describe("the specification of a twin", () => {
  it("has a cgroup of its own, whatever names it", () => {
    assert.equal(twin(spec("/default/web")).linux.cgroupsPath, "/default/web2");
    assert.equal(twin(spec("system.slice:docker:web")).linux.cgroupsPath, "system.slice:docker:web2");
    assert.equal(
      twin(spec("/kube/pod/cri-containerd-web")).linux.cgroupsPath,
      "/kube/pod/cri-containerd-web2",
    );
    assert.equal(twin(spec("/web/other")).linux.cgroupsPath, "/web/other-web2");
  });

  it("keeps the network, or gets another one", () => {
    const path = "/run/netns/web";
    assert.equal(twin(spec("/x", path)).linux.namespaces[1].path, path);
    assert.equal(twin(spec("/x", path), "/run/netns/web2").linux.namespaces[1].path, "/run/netns/web2");
    assert.throws(() => twin(spec("/x"), "/run/netns/web2"), /no network namespace by path/);
  });

  it("keeps all else, and refuses what is no JSON", () => {
    assert.equal(twin(spec("/x")).hostname, "web");
    assert.throws(() => twin(Buffer.from("{")), /not JSON/);
  });
});
