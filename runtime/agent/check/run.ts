/** `pclive check`: what would a migration meet, on both hosts, without touching anything. */
import type { pclive } from "#protos/agent";
import { resolveHost } from "../config.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { peerRpc } from "../grpc/services.js";
import { formatManifest, type Manifest, strategyName } from "../manifest.js";
import { Peer } from "../peer.js";
import { describeContainer, findSubject } from "../source/describe.js";
import { arch, kernel, PROTOCOL, VERSION } from "../system.js";
import { type Finding, refusal } from "./finding.js";
import { checkSource } from "./source.js";

const CONNECT_MS = 10_000;
const PEER_CHECK_MS = 30_000;

type Report = pclive.agent.v1.ICheckReport;

export async function runCheck(context: Context, request: pclive.agent.v1.CheckRequest): Promise<Report> {
  const strategy = strategyName.catch("pipelined").parse(request.strategy || "pipelined");
  const findings: (Finding & { where: string })[] = [];
  const add = (where: string, more: readonly Finding[]) =>
    findings.push(...more.map((one) => ({ ...one, where })));

  let manifest: Manifest | undefined;
  try {
    const subject = await findSubject(context, request.namespace || "default", request.container);
    manifest = await describeContainer(context, subject);
    add("source", await checkSource(context.config, subject, manifest, strategy));
  } catch (error) {
    const known = AgentError.from(error);
    if (known.code !== "REFUSED") throw known;
    add("source", [refusal("container", known.message, known.remedy)]);
  }
  if (manifest !== undefined)
    add("destination", await askDestination(context, request.host, manifest, strategy));
  return { possible: !findings.some((one) => one.severity === "refusal"), findings };
}

async function askDestination(
  context: Context,
  host: string,
  manifest: Manifest,
  strategy: string,
): Promise<Finding[]> {
  const peer = new Peer(context, resolveHost(context.config, host));
  try {
    await peer.ready(CONNECT_MS);
    const version = {
      protocol: PROTOCOL,
      pclive: VERSION,
      arch: arch(),
      kernel: kernel(),
      host: context.config.host,
    };
    const reply = await peer.call(
      peerRpc.check,
      { version, manifestJson: formatManifest(manifest), strategy },
      { timeoutMs: PEER_CHECK_MS },
    );
    return reply.findings.map((one) => ({
      id: one.id ?? "",
      severity: one.severity === "ok" || one.severity === "warning" ? one.severity : "refusal",
      message: one.message ?? "",
      remedy: one.remedy ?? "",
    }));
  } catch (error) {
    const { code, message, remedy } = AgentError.from(error);
    return [refusal(code === "PEER_UNREACHABLE" ? "peer" : "peer-check", message, remedy)];
  } finally {
    peer.close();
  }
}
