/** Whether a container described by a manifest could arrive on this host. Looks only, touches nothing. */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { snapshotInfo } from "../containerd/snapshots.js";
import { getContainer } from "../containerd/tasks.js";
import type { Context } from "../context.js";
import { missingBlobs } from "../image/destination.js";
import type { Manifest, Strategy } from "../manifest.js";
import { namespaceName } from "../network/namespace.js";
import { arch, availableMemory, cpuFeatures, criuVersion, engineFacts, freeDisk, kernel } from "../system.js";
import { type Finding, ok, refusal, warning } from "./finding.js";

/** Page tables, CRIU itself and what the container grows meanwhile. */
const MEMORY_FACTOR = 1.1;
const MEMORY_EXTRA = 64 * 1024 * 1024;
/** The collected images of the strategies that do not place memory as it arrives lie in memory, too. */
const COLLECTED_FACTOR = 2;
/** A layer is kept packed and unpacked. */
const UNPACKED_FACTOR = 4;

export async function checkDestination(
  context: Context,
  manifest: Manifest,
  strategy: Strategy,
): Promise<Finding[]> {
  const parts = await Promise.all([
    checkSystem(context, manifest),
    checkName(context, manifest),
    checkDisk(context, manifest),
    Promise.resolve(checkMemory(manifest, strategy)),
    Promise.resolve(checkBinds(manifest)),
    Promise.resolve(checkNetwork(context, manifest)),
  ]);
  return parts.flat();
}

async function checkSystem(context: Context, manifest: Manifest): Promise<Finding[]> {
  const [criu, engine] = await Promise.all([criuVersion(context.config), engineFacts(context.config)]);
  const findings: Finding[] = [];
  if (manifest.system.arch !== arch()) {
    findings.push(
      refusal(
        "architecture",
        `the source is ${manifest.system.arch}, this host ${arch()}`,
        "choose a host of the same architecture",
      ),
    );
  }
  const have = new Set(cpuFeatures());
  const lacking = manifest.system.cpu.filter((feature) => !have.has(feature));
  findings.push(
    lacking.length === 0
      ? ok("cpu-features", "this processor has all that the source's has")
      : refusal(
          "cpu-features",
          `this processor lacks ${lacking.slice(0, 12).join(", ")}, which programs may be using`,
          "choose a host with the same or a newer processor",
        ),
  );
  if (criu === undefined)
    findings.push(
      refusal("criu", "pclive-criu is missing or does not run on this host", "install PCLive (make install)"),
    );
  else if (criu !== manifest.system.criu) {
    findings.push(
      refusal(
        "criu",
        `CRIU is ${manifest.system.criu} at the source and ${criu} here`,
        "install the same build of PCLive on both",
      ),
    );
  } else findings.push(ok("criu", `CRIU ${criu}`));
  if (engine === undefined)
    findings.push(
      refusal(
        "engine",
        "the migration engine is missing or does not answer on this host",
        "install PCLive (make install)",
      ),
    );
  if (kernelNumber(kernel()) < kernelNumber(manifest.system.kernel)) {
    findings.push(
      warning("kernel", `the source runs Linux ${manifest.system.kernel}, this host the older ${kernel()}`),
    );
  }
  return findings;
}

function kernelNumber(release: string): number {
  const [, major = "0", minor = "0"] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  return Number(major) * 1000 + Number(minor);
}

async function checkName(context: Context, manifest: Manifest): Promise<Finding[]> {
  const ns = context.containerd.namespace(manifest.namespace);
  const { container } = manifest;
  if (await getContainer(ns, container)) {
    return [
      refusal(
        "name",
        `a container named ${container} exists here already in namespace ${manifest.namespace}`,
        "remove or rename one of the two",
      ),
    ];
  }
  if (await snapshotInfo(ns, manifest.snapshotter, container)) {
    return [
      refusal(
        "name",
        `a snapshot named ${container} is left here`,
        `ctr -n ${manifest.namespace} snapshots --snapshotter ${manifest.snapshotter} rm ${container}`,
      ),
    ];
  }
  return [ok("name", "the name is free here")];
}

async function checkDisk(context: Context, manifest: Manifest): Promise<Finding[]> {
  const missing = await missingBlobs(context.containerd.namespace(manifest.namespace), manifest.image);
  const image = missing.reduce((sum, blob) => sum + blob.size, 0) * UNPACKED_FACTOR;
  const needed = image + manifest.writable;
  const free = freeDisk("/var/lib/containerd");
  if (free < needed) {
    return [
      refusal(
        "disk",
        `${megabytes(needed)} are needed on this disk and ${megabytes(free)} are free`,
        "make room, or pull the image here beforehand",
      ),
    ];
  }
  const what =
    missing.length === 0 ? "the image is here" : `${missing.length} parts of the image will be copied`;
  return [ok("image", what)];
}

function checkMemory(manifest: Manifest, strategy: Strategy): Finding[] {
  const factor = strategy === "pipelined" ? MEMORY_FACTOR : COLLECTED_FACTOR * MEMORY_FACTOR;
  const needed = manifest.memory.resident * factor + MEMORY_EXTRA;
  const available = availableMemory();
  if (available >= needed)
    return [ok("memory", `${megabytes(needed)} needed, ${megabytes(available)} available`)];
  return [
    refusal(
      "memory",
      `${megabytes(needed)} of memory are needed and ${megabytes(available)} are available here`,
      "free memory, or choose another host",
    ),
  ];
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`;
}

function checkBinds(manifest: Manifest): Finding[] {
  const findings = manifest.binds.map((bind): Finding => {
    const kind = kindOf(bind.source);
    if (kind === bind.kind) {
      return warning(
        "mounts",
        `${bind.source} (at ${bind.target}) must hold the same here: nothing of it is copied`,
        "use storage that both hosts mount",
      );
    }
    const what =
      kind === undefined ? "does not exist here" : `is a ${kind} here, a ${bind.kind} at the source`;
    return refusal(
      "mounts",
      `the container mounts ${bind.source}, which ${what}`,
      "create it, from storage that both hosts share",
    );
  });
  return findings.length > 0 ? findings : [ok("mounts", "no folder of the host is mounted")];
}

function kindOf(path: string): "file" | "folder" | "other" | undefined {
  try {
    const stats = statSync(path);
    return stats.isDirectory() ? "folder" : stats.isFile() ? "file" : "other";
  } catch {
    return undefined;
  }
}

function checkNetwork(context: Context, manifest: Manifest): Finding[] {
  const { network } = manifest;
  if (network.kind !== "path") return [];
  const { network: driver } = context.config;
  if (driver.driver === "none") {
    if (existsSync(network.path)) return [ok("network", `the network namespace ${network.path} is prepared`)];
    return [
      refusal(
        "network",
        `the network namespace ${network.path} does not exist here, and the network driver is none`,
        "make it beforehand, or set network.driver to bridge",
      ),
    ];
  }
  if (namespaceName(network.path) === undefined) {
    return [
      refusal(
        "network",
        `the network namespace ${network.path} cannot be made here`,
        "use one below /run/netns",
      ),
    ];
  }
  if (existsSync(network.path)) {
    return [
      refusal(
        "network",
        `the network namespace ${network.path} exists here already`,
        "remove it if nothing uses it",
      ),
    ];
  }
  if (!existsSync(join("/sys/class/net", driver.bridge, "bridge"))) {
    return [
      refusal(
        "network",
        `this host has no bridge ${driver.bridge}`,
        "create it, or name another in network.bridge",
      ),
    ];
  }
  return [ok("network", `the address will move to bridge ${driver.bridge}`)];
}
