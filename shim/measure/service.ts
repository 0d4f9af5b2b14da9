/** The methods of pclive.shim.v1.Measurements. */
import { z } from "zod";
import { pclive } from "#protos/migration";
import { type CallContext, type Methods, unary } from "#ttrpc";
import { Measurement } from "../../runtime/measure/measurement.js";
import { MigrationError, TRACKERS } from "../../runtime/migration/index.js";
import type { Container } from "../container/container.js";
import type { ShimEnv } from "../container/env.js";
import { sourceContainer } from "../migration/containers.js";
import { told } from "../migration/told.js";
import { libDir } from "../paths.js";
import type { Registry } from "../service/registry.js";

const api = pclive.shim.v1;

const beginSchema = z.object({
  id: z.string().min(1).max(1024),
  tracker: z.union([z.enum(TRACKERS), z.literal("").transform(() => "auto" as const)]),
});

interface Running {
  readonly measurement: Measurement;
  readonly letGo: () => void;
}

export function measureService(env: ShimEnv, containers: Registry): Methods {
  const running = new Map<string, Running>();
  const end = async (id: string): Promise<void> => {
    const one = running.get(id);
    running.delete(id);
    await one?.measurement.end();
    one?.letGo();
  };
  return {
    Begin: unary(api.MeasureRequest, api.MeasureBegun, (message, context: CallContext) =>
      told(env.log, "measurement", async () => {
        const { id, tracker } = parsed(message);
        const { measurement, letGo } = await begin(containers.get(id), tracker);
        running.set(id, { measurement, letGo });
        // The connection is the lease.
        const { closed } = context.connection;
        if (closed.aborted) await end(id);
        closed.addEventListener("abort", () => void end(id), { once: true });
        return { tracker: measurement.tracker, residentBytes: measurement.residentBytes };
      }),
    ),
    Look: unary(api.MeasuredContainer, api.LookReport, (message) =>
      told(env.log, "measurement", async () => ({
        ...(await found(running, message.id).measurement.look()),
      })),
    ),
    End: unary(api.MeasuredContainer, api.Done, (message) =>
      told(env.log, "measurement", async () => {
        await end(message.id);
        return {};
      }),
    ),
  };
}

async function begin(
  container: Container,
  tracker: z.infer<typeof beginSchema>["tracker"],
): Promise<Running> {
  if (container.state() !== "running") {
    throw new MigrationError(
      "unsupported",
      `container ${container.id} is ${container.state()}, not running`,
      {
        remedy: "only what runs writes memory",
      },
    );
  }
  await container.moves.dismissBackground();
  await container.moves.memoryComplete();
  const letGo = container.moves.beginMeasurement();
  try {
    await container.endTracking();
    const options = { tracker, libDir: libDir() };
    return { measurement: await Measurement.begin(sourceContainer(container), options), letGo };
  } catch (error) {
    letGo();
    throw error;
  }
}

function found(running: ReadonlyMap<string, Running>, id: string): Running {
  const one = running.get(id);
  if (one) return one;
  throw new MigrationError("wrong-state", `no measurement of ${id} is under way here`);
}

function parsed(message: unknown): z.infer<typeof beginSchema> {
  const result = beginSchema.safeParse(message);
  if (result.success) return result.data;
  throw new MigrationError("invalid", `the request is not complete: ${z.prettifyError(result.error)}`, {
    remedy: "use an agent of the same version as the shim",
  });
}
