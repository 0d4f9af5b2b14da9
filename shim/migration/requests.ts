/** What an agent sends, checked before anything is done with it. */
import { z } from "zod";
import { MigrationError, STRATEGIES, TRACKERS } from "../../runtime/migration/index.js";

const migration = z.string().regex(/^[0-9a-f]{32}$/, "must be 32 lower-case hex digits");
const container = z.string().min(1).max(1024);
const path = z.string().max(4096).startsWith("/", "must be an absolute path");
const host = z.string().min(1).max(255);
const token = z.instanceof(Uint8Array).refine((bytes) => bytes.length === 32, "must have 32 bytes");
const tls = z.object({ ca: path, cert: path, key: path, peerName: z.string().min(1).max(255) });
const cpuPercent = z.number().int().min(0).max(100_000);
const netns = z.union([path, z.literal("")]);

const plainSchema = z.object({ migration, id: container });
const switchoverSchema = plainSchema.extend({ waitForFiles: z.boolean() });
const throttleSchema = plainSchema.extend({ share: z.number().min(0.01).max(1) });
const endSchema = z.object({ migration, id: container, reason: z.string().max(8192) });

const sourceSchema = z.object({
  migration,
  id: container,
  strategy: z.enum(STRATEGIES),
  host,
  port: z.number().int().min(1).max(65535),
  token,
  tls,
  tracker: z.union([z.enum(TRACKERS), z.literal("").transform(() => "auto" as const)]),
  bandwidth: z.number().int().nonnegative(),
  streams: z.number().int().min(0).max(16),
  cpuPercent,
  headroomPercent: z.number().int().min(0).max(90),
  netns,
  trace: z.boolean(),
});

const destinationSchema = z.object({
  migration,
  id: container,
  strategy: z.enum(STRATEGIES),
  listenHost: host,
  token,
  tls,
  descriptorsJson: z.string().max(16384),
  stageAfter: z.number().int().min(0).max(999),
  cpuPercent,
  netns,
  trace: z.boolean(),
});

/** Each of these: @throws MigrationError `invalid` naming the field */
export const plainRequest = (message: unknown) => checked(plainSchema, message);
export const switchoverRequest = (message: unknown) => checked(switchoverSchema, message);
export const throttleRequest = (message: unknown) => checked(throttleSchema, message);
export const endRequest = (message: unknown) => checked(endSchema, message);
export const sourceRequest = (message: unknown) => checked(sourceSchema, message);
export const destinationRequest = (message: unknown) => checked(destinationSchema, message);

export type SourceRequest = z.infer<typeof sourceSchema>;
export type DestinationRequest = z.infer<typeof destinationSchema>;

/** The engine takes the token as text. */
export function tokenText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function checked<S extends z.ZodType>(schema: S, message: unknown): z.infer<S> {
  const result = schema.safeParse(message);
  if (result.success) return result.data;
  throw new MigrationError("invalid", `the request is not complete: ${z.prettifyError(result.error)}`, {
    remedy: "use an agent of the same version as the shim",
  });
}
