/** The methods of pclive.shim.v1.Checkpoints: checkpoints for our own clients, who are told more than containerd is. */
import { z } from "zod";
import { pclive } from "#protos/migration";
import { type CallContext, type Methods, unary } from "#ttrpc";
import { MigrationError, TRACKERS } from "../../runtime/migration/index.js";
import { type CheckpointOutcome, type CheckpointRequest, runCheckpoint } from "../container/checkpoint.js";
import type { ShimEnv } from "../container/env.js";
import { told } from "../migration/told.js";
import type { Registry } from "../service/registry.js";

const api = pclive.shim.v1;

const takeSchema = z.object({
  id: z.string().min(1).max(1024),
  path: z.string().max(4096).startsWith("/", "must be an absolute path"),
  exit: z.boolean(),
  direct: z.boolean(),
  tracker: z.union([z.enum(TRACKERS), z.literal("").transform(() => "auto" as const)]),
  tcpEstablished: z.boolean(),
  externalUnixSockets: z.boolean(),
  shellJob: z.boolean(),
  fileLocks: z.boolean(),
  keep: z.boolean(),
  incremental: z.boolean(),
});

export function checkpointService(env: ShimEnv, containers: Registry): Methods {
  return {
    Take: unary(api.TakeRequest, api.TakeReport, (message, context: CallContext) =>
      told(env.log, "checkpoint", async () => {
        const { id, direct, tracker, keep, incremental, ...asked } = parsed(message);
        const lease = keep ? context.connection.closed : undefined;
        const options = { direct, tracker, incremental, keep: lease, signal: context.signal };
        return reportOf(await runCheckpoint(containers.get(id), requestOf(asked), options));
      }),
    ),
    TakeProgress: unary(api.TakeProgressRequest, api.TakeProgressReport, (message) =>
      told(env.log, "checkpoint", async () => ({ ...containers.get(message.id).moves.checkpoint?.progress })),
    ),
  };
}

function parsed(message: unknown): z.infer<typeof takeSchema> {
  const result = takeSchema.safeParse(message);
  if (result.success) return result.data;
  throw new MigrationError("invalid", `the request is not complete: ${z.prettifyError(result.error)}`, {
    remedy: "use an agent of the same version as the shim",
  });
}

type Asked = Omit<z.infer<typeof takeSchema>, "id" | "direct" | "tracker" | "keep" | "incremental">;

function requestOf(asked: Asked): CheckpointRequest {
  const { path, exit, tcpEstablished, externalUnixSockets, shellJob, fileLocks } = asked;
  return {
    path,
    imagePath: path,
    exit,
    externalUnixSockets,
    fileLocks,
    openTcp: tcpEstablished,
    terminal: shellJob,
    workPath: "",
    parentPath: "",
    emptyNamespaces: [],
  };
}

function reportOf(outcome: CheckpointOutcome): pclive.shim.v1.TakeReport.$Properties {
  if (outcome.kind === "plain") return { mode: "plain", reason: outcome.reason, totalMs: outcome.totalMs };
  return { mode: "live", ...outcome.report };
}
