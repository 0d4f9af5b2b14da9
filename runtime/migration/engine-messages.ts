/** The lines between shim and engine (docs/dev/interfaces.md, "Engine control"), checked as they come in. */
import { z } from "zod";

const count = z.number().int().nonnegative();
/** Milliseconds. */
const ms = z.number().nonnegative();
/** When it happened: CLOCK_REALTIME in nanoseconds, more than a double holds exactly. */
const t = z.string().regex(/^[0-9]{1,20}$/);

/** What each request answers; further fields are dropped. */
export const answers = {
  hello: z.object({
    version: z.string(),
    wire: count,
    features: z.object({ uffdWpAsync: z.boolean(), softDirty: z.boolean(), pagemapScan: z.boolean() }),
  }),
  exit: z.object({}),
  abort: z.object({}),
  // source
  connect: z.object({}),
  begin: z.object({ tracker: z.string().optional(), verified: z.boolean().optional() }),
  round: z.object({
    round: count,
    processes: count,
    areas: count,
    pages: count,
    zeroPages: count,
    droppedPages: count,
    bytes: count,
    wireBytes: count,
    ranges: count,
    attachMs: ms,
    attachedProcesses: count,
    scanMs: ms,
    readMs: ms,
    sendMs: ms,
    totalMs: ms,
    knownPages: count,
    /** Of the peer: received, not yet in place. */
    backlogBytes: count.default(0),
  }),
  look: z.object({
    processes: count,
    dirtyPages: count,
    writtenPages: count,
    knownPages: count,
    attachMs: ms,
    scanMs: ms,
  }),
  dirty: z.object({ pages: count, bytes: count, ms }),
  final: z.object({ pages: count, bytes: count, wireBytes: count, scanMs: ms, sendMs: ms, totalMs: ms }),
  "dump-go": z.object({}),
  files: z.object({ files: count, bytes: count }),
  put: z.object({}),
  detach: z.object({}),
  // checkpoint
  "dump-end": z.object({}),
  write: z.object({ files: count, bytes: count, pages: count, ms }),
  // destination
  listen: z.object({ port: z.number().int().min(1).max(65535) }),
  release: z.object({}),
  stats: z.object({ stagedBytes: count, backlogBytes: count, wireBytes: count }),
  // archive
  pack: z.object({ files: count, bytes: count, ms }),
  head: z.object({ header: z.string() }),
  unpack: z.object({ files: count, bytes: count, ms }),
} as const;

export type Command = keyof typeof answers;
export type Answer<C extends Command> = z.infer<(typeof answers)[C]>;

const eventSchema = z.discriminatedUnion("event", [
  // source
  z.object({
    event: z.literal("progress"),
    t,
    ...{
      round: count.default(0),
      pages: count.default(0),
      bytes: count.default(0),
      wireBytes: count.default(0),
    },
    // checkpoint: of the image
    writtenBytes: count.optional(),
  }),
  z.object({ event: z.literal("snapshotted"), t }),
  z.object({ event: z.literal("dump-held"), t, pid: count }),
  z.object({ event: z.literal("dumped"), t }),
  z.object({ event: z.literal("dump-left"), t }),
  // destination
  z.object({ event: z.literal("connected"), t }),
  z.object({ event: z.literal("overlay"), t, pid: count }),
  z.object({ event: z.literal("round"), t, round: count, stagedBytes: count, backlogBytes: count }),
  z.object({ event: z.literal("final"), t }),
  z.object({ event: z.literal("files"), t, files: count, bytes: count }),
  z.object({ event: z.literal("images-ready"), t, imageDir: z.string() }),
  // bytes: placed by the engine from an image, or, lazy, going to be when the tasks run
  z.object({ event: z.literal("go"), t, bytes: count.optional(), lazy: z.boolean().optional() }),
  // -1: the memory was not placed by the engine
  z.object({ event: z.literal("held"), t, memoryRestoreMs: z.number() }),
  z.object({ event: z.literal("released"), t }),
  // restore: CRIU may come now
  z.object({ event: z.literal("listening"), t }),
  // restore: the tasks have all their memory
  z.object({ event: z.literal("filled"), t, bytes: count }),
  // both
  z.object({ event: z.literal("mark"), t, name: z.string().max(64), ms: z.number().optional() }),
  z.object({ event: z.literal("peer-lost"), t, message: z.string().optional() }),
  z.object({
    event: z.literal("error"),
    t,
    code: z.string(),
    message: z.string(),
    remedy: z.string().optional(),
  }),
]);

export type EngineEvent = z.infer<typeof eventSchema>;
export type EventName = EngineEvent["event"];
export type EventOf<N extends EventName> = Extract<EngineEvent, { event: N }>;

const replySchema = z.discriminatedUnion("ok", [
  z.looseObject({ id: count, ok: z.literal(true) }),
  z.object({
    id: count,
    ok: z.literal(false),
    error: z.object({ code: z.string(), message: z.string(), remedy: z.string().optional() }),
  }),
]);

export type Line =
  | { readonly kind: "reply"; readonly reply: z.infer<typeof replySchema> }
  | { readonly kind: "event"; readonly event: EngineEvent }
  | { readonly kind: "unknown-event"; readonly name: string };

/**
 * One line of the engine. An event of a newer engine is told apart from garbage: it may be passed over.
 * @throws Error that says what is wrong with the line
 */
export function parseLine(text: string): Line {
  const json: unknown = JSON.parse(text);
  if (typeof json !== "object" || json === null) throw new Error("not an object");
  if (!("event" in json)) return { kind: "reply", reply: replySchema.parse(json) };
  const event = eventSchema.safeParse(json);
  if (event.success) return { kind: "event", event: event.data };
  const { event: name } = json as { event: unknown };
  const known = eventSchema.options.some((option) => option.shape.event.value === name);
  if (known || typeof name !== "string") throw new Error(z.prettifyError(event.error));
  return { kind: "unknown-event", name };
}
