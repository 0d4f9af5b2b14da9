/**
 * `pclive checkpoint` as a user calls it, and the restore of an image by runC and CRIU alone.
 */
import protobuf from "protobufjs/minimal.js";
import type { pclive } from "#protos/agent";
import type { ExecResult, Lab } from "../lab/lab.js";

export type CheckpointReport = pclive.agent.v1.ICheckpointReport;

const CHECKPOINT_MS = 120_000;
/** CRIU with the overlay is the unmodified one as long as nobody names an engine to it. */
export const STOCK_PATH = "PATH=/usr/local/lib/pclive/criu:$PATH";
const TASKS = "/run/containerd/io.containerd.runtime.v2.task/default";

export function checkpointCommand(id: string, to: string, ...flags: string[]): string[] {
  return ["pclive", "checkpoint", id, "--to", to, "--tcp-established", "--json", ...flags];
}

/** @throws LabError with the command's words when it fails */
export async function checkpoint(
  lab: Lab,
  host: string,
  id: string,
  to: string,
  ...flags: string[]
): Promise<CheckpointReport> {
  const { stdout } = await lab.exec(host, checkpointCommand(id, to, ...flags), { timeoutMs: CHECKPOINT_MS });
  const last = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as { report?: CheckpointReport };
  if (last.report === undefined) throw new Error(`the checkpoint gave no report: ${stdout}`);
  return last.report;
}

export function checkpointFails(lab: Lab, host: string, id: string, to: string): Promise<ExecResult> {
  return lab.exec(host, checkpointCommand(id, to), { timeoutMs: CHECKPOINT_MS, allowFailure: true });
}

/**
 * `runc checkpoint --leave-running` with stock CRIU.
 * @returns for how long CRIU says that it kept the tasks from running, in ms
 */
export async function stockCheckpoint(lab: Lab, host: string, id: string, to: string): Promise<number> {
  const work = `${to}.work`;
  const runc = "runc --root /run/containerd/runc/default checkpoint --leave-running --tcp-established";
  const script = `mkdir -p ${work} && env -u PCLIVE_SOCKET ${STOCK_PATH} ${runc} --image-path ${to} --work-path ${work} ${id} && base64 -w0 ${work}/stats-dump`;
  const { stdout } = await lab.exec(host, ["bash", "-c", script], { timeoutMs: CHECKPOINT_MS });
  return frozenMs(Buffer.from(stdout.trim(), "base64"));
}

/** Of CRIU's stats-dump: two magic numbers, a length, and a message whose field 1 holds the dump's figures, frozen_time (µs) as 2. */
function frozenMs(file: Buffer): number {
  const reader = protobuf.Reader.create(file.subarray(12));
  reader.uint32();
  const end = reader.uint32() + reader.pos;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag >>> 3 === 2) return reader.uint32() / 1000;
    reader.skipType(tag & 7);
  }
  throw new Error("CRIU's stats-dump does not tell for how long the tasks were frozen");
}

/** Ends a container's task; the container and its files stay. */
export async function endTask(lab: Lab, host: string, id: string): Promise<void> {
  const script = `ctr task kill -s KILL ${id}; for i in $(seq 100); do ctr task rm ${id} 2>/dev/null && break; sleep .1; done`;
  await lab.exec(host, ["sh", "-c", `${script} 2>/dev/null; ! ctr task ls -q | grep -qx ${id}`]);
}

/** What runC needs to run a container of containerd by itself. */
export class StockBundle {
  private constructor(
    private readonly lab: Lab,
    private readonly host: string,
    private readonly id: string,
  ) {}

  private get folder(): string {
    return `/tmp/stock-${this.id}`;
  }

  /** Of a container whose task is there. */
  static async of(lab: Lab, host: string, id: string): Promise<StockBundle> {
    const bundle = new StockBundle(lab, host, id);
    await lab.exec(host, [
      "sh",
      "-c",
      `mkdir -p ${bundle.folder}/rootfs && cp ${TASKS}/${id}/config.json ${bundle.folder}`,
    ]);
    return bundle;
  }

  /** The same on another host, whose files are those of the image `ref`. */
  static async elsewhere(lab: Lab, from: string, to: string, id: string, ref: string): Promise<StockBundle> {
    const bundle = new StockBundle(lab, to, id);
    const { stdout } = await lab.exec(from, ["cat", `${TASKS}/${id}/config.json`]);
    const script = `mkdir -p ${bundle.folder}/rootfs && base64 -d >${bundle.folder}/config.json <<<"$1" && ctr image mount --rw ${ref} ${bundle.folder}/rootfs`;
    await lab.exec(to, ["bash", "-c", script, "bash", Buffer.from(stdout).toString("base64")]);
    return bundle;
  }

  /** Once its task has ended: from an image, by runC and CRIU alone. @returns milliseconds until runC was done */
  async restore(images: string, timeoutMs = 60_000): Promise<number> {
    const mount = `mountpoint -q ${this.folder}/rootfs || ctr snapshot mounts ${this.folder}/rootfs ${this.id} | sh`;
    const script = ["set -e", mount, this.restoring(images)].join("\n");
    return Number((await this.lab.exec(this.host, ["bash", "-c", script], { timeoutMs })).stdout.trim());
  }

  /** Bash that restores from an image and prints the milliseconds until runC was done; its files are there. */
  restoring(images: string): string {
    const { folder, id } = this;
    return [
      "begin=$(date +%s%N)",
      `env -u PCLIVE_SOCKET ${STOCK_PATH} runc --root /run/stock restore --tcp-established --ext-unix-sk --file-locks --detach --bundle ${folder} --image-path ${images} --work-path ${folder} ${id} </dev/null >/dev/null 2>${folder}/said || { cat ${folder}/said; grep Error ${folder}/restore.log; exit 1; }`,
      "echo $((($(date +%s%N) - begin) / 1000000))",
    ].join("\n");
  }

  /** Ends what was restored. */
  async stop(): Promise<void> {
    await this.lab.exec(this.host, [
      "sh",
      "-c",
      `runc --root /run/stock delete --force ${this.id} 2>/dev/null; true`,
    ]);
  }

  async remove(): Promise<void> {
    const { folder } = this;
    await this.stop();
    const script = `umount ${folder}/rootfs; rm -rf --one-file-system ${folder}`;
    await this.lab.exec(this.host, ["sh", "-c", `{ ${script}; } 2>/dev/null; true`]);
  }
}
