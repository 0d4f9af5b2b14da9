/** The parts of a container's runtime specification that decide whether and how it can move. */
import { z } from "zod";
import { AgentError } from "./errors.js";

const schema = z.object({
  annotations: z.record(z.string(), z.string()).optional(),
  process: z.object({ terminal: z.boolean().optional() }).optional(),
  mounts: z
    .array(
      z.object({
        destination: z.string(),
        type: z.string().optional(),
        source: z.string().optional(),
        options: z.array(z.string()).optional(),
      }),
    )
    .optional(),
  linux: z
    .object({
      namespaces: z.array(z.object({ type: z.string(), path: z.string().optional() })).optional(),
      resources: z.object({ memory: z.object({ limit: z.number().optional() }).optional() }).optional(),
    })
    .optional(),
});
export type Spec = z.infer<typeof schema>;

/** @throws AgentError REFUSED */
export function parseSpec(bytes: Uint8Array): Spec {
  try {
    return schema.parse(JSON.parse(Buffer.from(bytes).toString("utf8")));
  } catch (error) {
    throw new AgentError(
      "REFUSED",
      "the container's specification is not an OCI runtime specification in JSON",
      { cause: error },
    );
  }
}

export type SpecNamespace =
  | { readonly kind: "host" }
  | { readonly kind: "own" }
  | { readonly kind: "path"; readonly path: string };

/** Where a container's namespace of a type comes from. */
export function namespaceOf(spec: Spec, type: string): SpecNamespace {
  const entry = spec.linux?.namespaces?.find((one) => one.type === type);
  if (entry === undefined) return { kind: "host" };
  return entry.path ? { kind: "path", path: entry.path } : { kind: "own" };
}

export interface BindSource {
  readonly source: string;
  readonly target: string;
  readonly readonly: boolean;
}

/** Mounts of the host's own files. */
export function bindMounts(spec: Spec): BindSource[] {
  const binds = (spec.mounts ?? []).filter(
    (one) =>
      one.source?.startsWith("/") &&
      (one.type === "bind" || one.options?.some((o) => o === "bind" || o === "rbind")),
  );
  return binds.map((one) => ({
    source: one.source ?? "",
    target: one.destination,
    readonly: one.options?.includes("ro") ?? false,
  }));
}

/** Bytes that the container's memory cgroup allows; undefined: no limit. */
export function memoryLimit(spec: Spec): number | undefined {
  const limit = spec.linux?.resources?.memory?.limit;
  return limit !== undefined && limit > 0 ? Math.floor(limit) : undefined;
}
