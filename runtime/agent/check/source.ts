/** Whether a container can leave this host. Looks only, touches nothing. */
import { existsSync, readFileSync } from "node:fs";
import type { Config } from "../config.js";
import type { Manifest, Strategy } from "../manifest.js";
import type { Subject } from "../source/describe.js";
import { namespaceOf } from "../spec.js";
import { engineFacts } from "../system.js";
import { type Finding, ok, refusal, warning } from "./finding.js";
import { checkProcesses } from "./processes.js";

export async function checkSource(
  config: Config,
  subject: Subject,
  manifest: Manifest,
  strategy: Strategy,
): Promise<Finding[]> {
  return [
    ...checkTerminal(subject),
    ...checkNamespaces(subject, manifest),
    ...checkProcesses(subject.pids),
    ...checkCriuHere(manifest),
    ...checkOverlay(),
    ...(strategy === "stop-and-copy" ? [] : await checkTracking(config)),
  ];
}

function checkTerminal(subject: Subject): Finding[] {
  if (!subject.task.stdio.terminal && subject.spec.process?.terminal !== true) return [];
  return [
    refusal(
      "terminal",
      "the container's standard streams are a terminal, which belongs to a client of this host",
      "run it without -t",
    ),
  ];
}

function checkNamespaces(subject: Subject, manifest: Manifest): Finding[] {
  const findings: Finding[] = [];
  if (namespaceOf(subject.spec, "pid").kind !== "own") {
    const message =
      "the container has no pid namespace of its own: its process ids may be taken at the destination";
    findings.push(refusal("pid-namespace", message, "run it without --pid=host"));
  }
  if (manifest.network.kind === "host") {
    findings.push(
      refusal(
        "network",
        "the container uses the host's network: its address cannot move",
        "give it a network namespace",
      ),
    );
  }
  if (manifest.network.kind === "private") {
    findings.push(warning("network", "the container has no network but a loopback: nothing to move"));
  }
  return findings;
}

function checkCriuHere(manifest: Manifest): Finding[] {
  if (manifest.system.criu !== "") return [ok("criu", `CRIU ${manifest.system.criu}`)];
  return [
    refusal(
      "criu",
      "pclive-criu is missing or does not run on this host",
      "install PCLive again (make install)",
    ),
  ];
}

/** With redirects a renamed folder's content is not in the upper directory. */
function checkOverlay(): Finding[] {
  const parameter = "/sys/module/overlay/parameters/redirect_dir";
  if (!existsSync(parameter) || readFileSync(parameter, "utf8").trim() !== "Y") return [];
  return [
    warning(
      "overlay-redirect",
      "overlayfs redirects renamed folders on this host: one that the container renamed would be missed",
      `echo N >${parameter}`,
    ),
  ];
}

async function checkTracking(config: Config): Promise<Finding[]> {
  const facts = await engineFacts(config);
  if (facts === undefined) {
    return [
      refusal(
        "engine",
        "the migration engine is missing or does not answer on this host",
        "install PCLive again (make install)",
      ),
    ];
  }
  const { uffdWpAsync, softDirty, pagemapScan } = facts.features;
  if (uffdWpAsync && pagemapScan) return [ok("tracking", "dirty memory is tracked by userfaultfd")];
  if (softDirty) return [ok("tracking", "dirty memory is tracked by soft-dirty bits")];
  const message =
    "this kernel can track no dirty memory: it has neither asynchronous userfaultfd write protection nor soft-dirty bits";
  return [refusal("tracking", message, "run Linux 6.7 or newer, or use --strategy stop-and-copy")];
}
