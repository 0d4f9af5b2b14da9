/** Docker on a host of the lab, with PCLive asked for by name or put where the stock shim was. */
import assert from "node:assert/strict";
import { Host } from "./host.js";

/**
 * by-name: `--runtime io.containerd.pclive.v2`, for Docker 23 and later.
 * in-place: the stock shim's file leads to ours, and nobody names a runtime.
 */
export type Way = "by-name" | "in-place";

/** The ways that the lab's Docker knows: Debian 12's is 20.10. */
export const WAYS: readonly Way[] =
  (process.env.LAB_SUITE ?? "bookworm") === "bookworm" ? ["in-place"] : ["by-name", "in-place"];

export class Docker {
  private constructor(
    readonly host: Host,
    readonly way: Way,
  ) {}

  /** Starts dockerd with our own images in it. `close` puts everything back. */
  static async up(way: Way): Promise<Docker> {
    const host = await Host.up();
    const docker = new Docker(host, way);
    await docker.clean();
    if (way === "in-place") await host.replaceStock();
    await host.run(
      `mkdir -p /etc/docker; echo '{"live-restore": true, "experimental": true}' >/etc/docker/daemon.json`,
    );
    await host.lab.start(host.name, "dockerd");
    await host.run("for i in base redis; do docker load -q -i /repo/build/images/$i.tar; done");
    return docker;
  }

  /** The words that choose PCLive. */
  get runtime(): string {
    return this.way === "by-name" ? "--runtime io.containerd.pclive.v2" : "";
  }

  /** `docker run` with PCLive. */
  get start(): string {
    return `docker run ${this.runtime}`.trimEnd();
  }

  async inspect(container: string, field: string): Promise<string> {
    return this.host.run(`docker inspect -f '{{${field}}}' ${container}`);
  }

  async inspectUntil(container: string, field: string, wanted: RegExp): Promise<void> {
    await this.host.until(`docker inspect -f '{{${field}}}' ${container}`, wanted, 30_000);
  }

  /** Takes away all containers; then nothing of them may be left. */
  async empty(): Promise<void> {
    await this.host.outcome("docker ps -aq | xargs -r docker rm -f");
    assert.equal(await this.host.run("docker ps -aq"), "");
    await this.host.assertNoShims("moby");
  }

  async close(): Promise<void> {
    await this.host.outcome("docker ps -aq | xargs -r docker rm -f");
    await this.clean();
  }

  private async clean(): Promise<void> {
    const { dockerd } = (await this.host.lab.status()).hosts.a as { dockerd?: boolean };
    if (dockerd === true) await this.host.lab.kill(this.host.name, "dockerd", "TERM");
    await this.host.restoreStock();
  }
}
