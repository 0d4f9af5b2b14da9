/** All rows. */
import type { Row } from "./row.js";
import { binaryRows } from "./rows/binary.js";
import { cgroupRows } from "./rows/cgroup.js";
import { checkpointRows } from "./rows/checkpoint.js";
import { controlRows } from "./rows/control.js";
import { createRows } from "./rows/create.js";
import { execRows } from "./rows/exec.js";
import { initRows } from "./rows/init.js";
import { invocationRows } from "./rows/invocation.js";
import { loggingRows } from "./rows/logging.js";
import { namespaceRows } from "./rows/namespaces.js";
import { orderRows } from "./rows/order.js";
import { streamRows } from "./rows/streams.js";
import { terminalRows } from "./rows/terminals.js";

export const table: readonly Row[] = [
  ...createRows,
  ...initRows,
  ...execRows,
  ...controlRows,
  ...checkpointRows,
  ...orderRows,
  ...streamRows,
  ...terminalRows,
  ...loggingRows,
  ...binaryRows,
  ...namespaceRows,
  ...cgroupRows,
  ...invocationRows,
];
