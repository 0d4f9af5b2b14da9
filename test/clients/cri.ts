/** containerd's CRI plugin on a host of the lab, driven by crictl; `pclive` is a runtime handler of ours. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Host } from "./host.js";

const TOOLS = fileURLToPath(new URL("../../../../test/clients/tools.sh", import.meta.url));
const POD_NET = "10.88.0.0/16";

// Version 2 of the configuration is what all of 1.6, 1.7 and 2.x read. A root without CAP_SYS_RESOURCE may not lower
// a score, hence restrict_oom_score_adj.
const CONFIG = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "pclive.test/base:latest"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.pclive]
    runtime_type = "io.containerd.pclive.v2"
`;

const NETWORK = JSON.stringify({
  cniVersion: "0.4.0",
  name: "pods",
  plugins: [
    {
      type: "bridge",
      bridge: "cni0",
      isGateway: true,
      ipam: { type: "host-local", ranges: [[{ subnet: POD_NET }]], routes: [{ dst: "0.0.0.0/0" }] },
    },
  ],
});

/** The path of a client built from its Go module, on a host of the lab. */
export function tool(name: "crictl" | "nerdctl"): string {
  const path = execFileSync(TOOLS, [name], { encoding: "utf8", timeout: 1_800_000 }).trim();
  return path.replace(/^.*\/build\/cache\//, "/repo/build/cache/");
}

/** containerd with CRI in place of the lab's own configuration, until `close`. */
export class Cri {
  private constructor(readonly host: Host) {}

  static async up(): Promise<Cri> {
    const host = await Host.up();
    const crictl = tool("crictl");
    await host.run(
      `ln -sf ${crictl} /usr/local/bin/crictl; mkdir -p /etc/cni/net.d /tmp/pods; touch /etc/resolv.conf`,
    );
    await host.run("cat >/etc/cni/net.d/10-pods.conflist", { input: NETWORK });
    await host.run(
      "printf 'runtime-endpoint: unix:///run/containerd/containerd.sock\\ntimeout: 30\\n' >/etc/crictl.yaml",
    );
    await host.run("cp -n /etc/containerd/config.toml /etc/containerd/config.toml.kept");
    await host.run("cat >/etc/containerd/config.toml", { input: CONFIG });
    const cri = new Cri(host);
    await cri.restart();
    await host.run("ctr -n k8s.io i import /repo/build/images/base.tar");
    await host.until(
      "crictl info",
      /"status": true,\s*"type": "NetworkReady"|NetworkReady",\s*"status": true/,
    );
    return cri;
  }

  /** A file from which crictl makes a pod or a container. @returns its path on the host */
  async file(name: string, content: object): Promise<string> {
    const path = `/tmp/pods/${name}.json`;
    await this.host.run(`cat >${path}`, { input: JSON.stringify(content) });
    return path;
  }

  async restart(): Promise<void> {
    await this.host.lab.kill(this.host.name, "containerd", "TERM");
    await this.host.lab.start(this.host.name, "containerd");
  }

  async close(): Promise<void> {
    await this.host.outcome("crictl rmp -af; rm -rf /tmp/pods /etc/cni/net.d/10-pods.conflist");
    await this.host.run("mv /etc/containerd/config.toml.kept /etc/containerd/config.toml");
    await this.restart();
  }
}
