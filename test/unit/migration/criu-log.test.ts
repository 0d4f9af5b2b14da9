import assert from "node:assert/strict";
import { firstError, parseLog } from "../../../runtime/criu/log.js";
import { memoryRestoreMs } from "../../../runtime/criu/restore-time.js";

/** Lines as CRIU 4.2.1 writes them at level 4. */
const RESTORE = `(00.047691) Running post-setup-namespaces scripts
(00.048077)      1: No parent images directory provided
(00.048100)      1: Opened local page read 1 (parent 0)
(00.049100)      1: nr_restored_pages: 51216
(00.048637) pie: 1: Switched to the restorer 1
(00.050000) pie: 1: Preadv 0x401000:4096... (7 iovs)
(00.140000) pie: 1: \`- returned 209780736
(00.140293) pie: 1:    \`- skip pagemap
(00.207750) Restore finished successfully. Tasks resumed.
`;

describe("CRIU's logs", () => {
  it("are parsed with time and task", () => {
    const lines = parseLog(RESTORE);
    assert.equal(lines.length, 9);
    assert.deepEqual(lines[0], {
      at: 47.691,
      task: undefined,
      text: "Running post-setup-namespaces scripts",
    });
    assert.equal(lines[1]?.task, 1);
    assert.equal(lines[5]?.task, 1);
    assert.match(lines[5]?.text ?? "", /^Preadv/);
  });

  it("tell how long memory took: premapped pages and the restorer's preadv", () => {
    assert.equal(memoryRestoreMs(parseLog(RESTORE)).toFixed(3), "91.000");
  });

  it("count the time of tasks that restore at once only once", () => {
    const log = `(00.010000) pie: 1: Preadv 0x1:4096... (1 iovs)
(00.015000) pie: 2: Preadv 0x1:4096... (1 iovs)
(00.020000) pie: 1: \`- returned 4096
(00.030000) pie: 2: \`- returned 4096
`;
    assert.equal(memoryRestoreMs(parseLog(log)), 20);
  });

  it("measure nothing in a log without memory", () => {
    assert.equal(memoryRestoreMs(parseLog("no log at all\n(00.1) short\n")), 0);
  });

  it("name the first error, which is the cause, not complaints about limits", () => {
    const log = `(00.034462) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
(00.050000) Error (criu/sk-inet.c:200): inet: Unsupported socket
(00.060000) Error (criu/cr-dump.c:2098): Dumping FAILED.
`;
    assert.equal(firstError(log), "inet: Unsupported socket (CRIU, criu/sk-inet.c:200)");
    assert.equal(firstError("(00.1) fine"), undefined);
  });
});
