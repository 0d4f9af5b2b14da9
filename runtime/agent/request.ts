/** What the command asks of the agent, checked. */
import type { z } from "zod";
import { AgentError } from "./errors.js";

/**
 * @param command the subcommand of `pclive` whose help tells more
 * @throws AgentError USAGE, for the first thing that is wrong
 */
export function checkedRequest<T extends z.ZodType>(
  schema: T,
  message: unknown,
  command: string,
): z.output<T> {
  const result = schema.safeParse(message);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new AgentError(
    "USAGE",
    `${issue?.path.join(".") ?? "request"}: ${issue?.message ?? "is not valid"}`,
    { remedy: `see pclive ${command} --help` },
  );
}
