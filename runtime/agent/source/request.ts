/** What `pclive migrate` asks for, checked and with its defaults. */
import { z } from "zod";
import type { pclive } from "#protos/agent";
import { identifier, strategyName } from "../manifest.js";
import { checkedRequest } from "../request.js";

const DEFAULTS = { downtimeMs: 100, maxRounds: 100, timeoutMs: 600_000, headroomPercent: 25 } as const;

const orDefault = (value: number, fallback: number) => (value > 0 ? value : fallback);

const schema = z.object({
  container: identifier,
  namespace: z.union([z.literal("").transform(() => "default"), identifier]),
  host: z.string().min(1).max(270),
  downtimeMs: z
    .number()
    .min(0)
    .max(3_600_000)
    .transform((ms) => orDefault(ms, DEFAULTS.downtimeMs)),
  strategy: z.union([z.literal("").transform(() => "pipelined" as const), strategyName]),
  maxRounds: z
    .int()
    .min(0)
    .max(1000)
    .transform((n) => orDefault(n, DEFAULTS.maxRounds)),
  timeoutMs: z
    .number()
    .min(0)
    .max(86_400_000)
    .transform((ms) => orDefault(ms, DEFAULTS.timeoutMs)),
  /** bytes/s; 0: no limit */
  bandwidth: z.int().min(0),
  /** Undefined: the destination decides */
  stageAfter: z
    .int()
    .min(0)
    .max(999)
    .nullish()
    .transform((round) => round ?? undefined),
  /** 0: as many as are worth it */
  streams: z.int().min(0).max(16),
  /** Of one processor, for each engine; 0: no limit */
  cpuPercent: z.int().min(0).max(100_000),
  /** Of all processors of this host; 0: no limit */
  headroomPercent: z
    .int()
    .min(0)
    .max(90)
    .nullish()
    .transform((percent) => percent ?? DEFAULTS.headroomPercent),
  autoConverge: z.boolean(),
  trace: z.boolean(),
  keepStopped: z.boolean(),
  notConverging: z.union([z.literal("").transform(() => "move" as const), z.enum(["move", "stay"])]),
  tracker: z.union([z.literal("").transform(() => "auto" as const), z.enum(["auto", "uffd", "soft-dirty"])]),
});
export type MigrationRequest = z.output<typeof schema>;

/** @throws AgentError USAGE */
export function parseRequest(message: pclive.agent.v1.MigrateRequest): MigrationRequest {
  return checkedRequest(schema, defaults(message), "migrate");
}

/** Fields at their default are not own properties of a decoded message. */
function defaults(m: pclive.agent.v1.MigrateRequest) {
  const { container, namespace, host, downtimeMs, strategy, maxRounds, timeoutMs, bandwidth, tracker } = m;
  const { autoConverge, notConverging, trace, keepStopped, streams, cpuPercent, stageAfter } = m;
  const { headroomPercent } = m;
  const asked = {
    downtimeMs,
    strategy,
    maxRounds,
    timeoutMs,
    bandwidth,
    tracker,
    streams,
    cpuPercent,
    stageAfter,
    headroomPercent,
  };
  return { container, namespace, host, ...asked, autoConverge, notConverging, trace, keepStopped };
}
