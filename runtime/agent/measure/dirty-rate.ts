/** `pclive dirty-rate`: looks at a running container's memory again and again, for as long as it was asked to. */
import { z } from "zod";
import type { pclive } from "#protos/agent";
import { foresee, ratesOf, type Sample } from "../../measure/dirty-rate.js";
import { getTask } from "../containerd/tasks.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { pause } from "../grpc/method.js";
import { identifier } from "../manifest.js";
import { findOurs } from "../ours.js";
import { checkedRequest } from "../request.js";
import { fromShim, ShimClient } from "../shim-client.js";

type Event = pclive.agent.v1.IDirtyRateEvent;
type LookReport = pclive.shim.v1.LookReport;

const BEGIN_MS = 45_000;
const LOOK_MS = 90_000;
/** Short looks first: a final round looks back over some ten milliseconds. */
const FIRST_WAITS_MS = [50, 100, 200, 400] as const;
const WAIT_MS = 1000;
const DEFAULTS = { forMs: 10_000, downtimeMs: 100, bandwidth: 1.1e9 } as const;
/** Within a data centre, and the agents' own time. */
const ROUND_TRIP_MS = 1;

const schema = z.object({
  container: identifier,
  namespace: z.union([z.literal("").transform(() => "default"), identifier]),
  tracker: z.enum(["", "auto", "uffd", "soft-dirty"]),
  forMs: z.number().min(0).max(3_600_000),
  downtimeMs: z.number().min(0).max(3_600_000),
  bandwidth: z.number().min(0),
});
type Request = z.infer<typeof schema>;

/**
 * Tells everything by events: the last one is a report or a failure.
 * @param signal aborted: it ends now, without either
 */
export async function measureDirtyRate(
  context: Context,
  message: pclive.agent.v1.DirtyRateRequest,
  signal: AbortSignal,
  emit: (event: Event) => void,
): Promise<void> {
  try {
    const report = await measure(context, parse(message), signal, emit);
    if (!signal.aborted) emit({ report });
  } catch (thrown) {
    const { code, message: text, remedy } = AgentError.from(thrown);
    emit({ failure: { code, message: text, remedy, containerRunsHere: true } });
  }
}

function parse(message: pclive.agent.v1.DirtyRateRequest): Request {
  const { container, namespace, tracker, forMs, downtimeMs, bandwidth } = message;
  const asked = { container, namespace, tracker, forMs, downtimeMs, bandwidth };
  return checkedRequest(schema, asked, "dirty-rate");
}

async function measure(
  context: Context,
  request: Request,
  signal: AbortSignal,
  emit: (event: Event) => void,
): Promise<pclive.agent.v1.IDirtyRateReport> {
  const { container: id, namespace, tracker } = request;
  const ns = context.containerd.namespace(namespace);
  await findOurs(ns, id, { foreign: ", whose memory cannot be watched" });
  const status = (await getTask(ns, id))?.status;
  if (status !== "running") {
    throw new AgentError("REFUSED", `${id} is not running (${status ?? "no task"})`, {
      remedy: "start or resume it: only what runs writes memory",
    });
  }
  const shim = await ShimClient.connect(context.config, namespace, id);
  // The connection is the lease: the shim ends the measurement when it closes.
  const leave = () => shim.close();
  signal.addEventListener("abort", leave, { once: true });
  try {
    const begun = await shim.measurements.Begin({ id, tracker }, { timeoutMs: BEGIN_MS });
    const looks = await lookOn(shim, request, signal, emit);
    await shim.measurements.End({ id }, { timeoutMs: LOOK_MS });
    return { ...(await reportOf(context, request, looks)), ...begun, container: id };
  } catch (error) {
    throw fromShim(error);
  } finally {
    signal.removeEventListener("abort", leave);
    shim.close();
  }
}

interface Looks {
  readonly samples: readonly Sample[];
  readonly last: LookReport;
  readonly attachMs: number;
}

async function lookOn(
  shim: ShimClient,
  request: Request,
  signal: AbortSignal,
  emit: (event: Event) => void,
): Promise<Looks> {
  const look = () => shim.measurements.Look({ id: request.container }, { timeoutMs: LOOK_MS });
  const forMs = request.forMs || DEFAULTS.forMs;
  const samples: Sample[] = [];
  let before = performance.now();
  let last = await look();
  const first = before;
  let attachMs = last.attachMs;
  for (let i = 0; performance.now() - first < forMs && !signal.aborted; i++) {
    const left = Math.max(1, first + forMs - performance.now());
    await pause(Math.min(left, FIRST_WAITS_MS[i] ?? WAIT_MS), signal);
    const now = performance.now();
    last = await look();
    const sample = {
      ms: now - before,
      bytes: last.dirtyBytes,
      writtenBytes: last.writtenBytes,
      sinceFirstMs: now - first,
    };
    before = now;
    attachMs = Math.max(attachMs, last.attachMs);
    samples.push(sample);
    emit({ look: eventOf(sample) });
  }
  return { samples, last, attachMs };
}

function eventOf({ sinceFirstMs, ms, bytes, writtenBytes }: Sample): pclive.agent.v1.IDirtyLook {
  const dirtyRate = (bytes / ms) * 1000;
  return { atMs: sinceFirstMs, ms, dirtyBytes: bytes, dirtyRate, writtenBytes };
}

async function reportOf(
  context: Context,
  request: Request,
  { samples, last, attachMs }: Looks,
): Promise<pclive.agent.v1.IDirtyRateReport> {
  const { processes, mappings, pageTableBytes, skeletonBytes, memoryBytes } = last;
  const rates = ratesOf(samples);
  const throughput = request.bandwidth || DEFAULTS.bandwidth;
  const { outcome, fixedMs } = foresee(samples, memoryBytes, {
    targetMs: request.downtimeMs || DEFAULTS.downtimeMs,
    throughput,
    weight: { processes, mappings, pageTableBytes, skeletonBytes, memoryBytes, roundTripMs: ROUND_TRIP_MS },
    history: await context.costs.read(),
  });
  return {
    ...{ processes, memoryBytes, attachMs, looks: samples.length, ms: samples.at(-1)?.sinceFirstMs ?? 0 },
    ...{ medianRate: rates.median, lowestRate: rates.lowest, highestRate: rates.highest },
    ...{ writtenBytes: rates.writtenBytes, exponent: rates.exponent },
    prediction: {
      bandwidth: Math.round(throughput),
      downtimeMs: outcome.downtimeMs,
      fixedMs,
      totalMs: outcome.totalMs,
      rounds: outcome.rounds,
      sentBytes: Math.round(outcome.sentBytes),
      reason: outcome.decision.reason,
      detail: outcome.decision.detail,
    },
  };
}
