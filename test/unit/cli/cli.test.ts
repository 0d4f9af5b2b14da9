import assert from "node:assert/strict";
import { CliError, EXIT, exitCodeFor } from "../../../runtime/cli/exit.js";
import { buildRequest, type MigrateOptions } from "../../../runtime/cli/migrate.js";
import { LineDisplay } from "../../../runtime/cli/progress.js";
import { renderCheck, renderReport, renderStatus, table } from "../../../runtime/cli/report.js";
import { formatBytes, formatMs, formatRate, parseDuration, parseSize } from "../../../runtime/format.js";

const OPTIONS: MigrateOptions = {
  namespace: "default",
  downtime: "100ms",
  strategy: "pipelined",
  maxRounds: "30",
  timeout: "10m",
  tracker: "auto",
  notConverging: "move",
  streams: "auto",
  headroom: "25",
};

function usageError(change: Partial<MigrateOptions>): CliError {
  try {
    buildRequest("c1", "b", { ...OPTIONS, ...change });
  } catch (error) {
    assert.ok(error instanceof CliError);
    return error;
  }
  return assert.fail("the options were accepted");
}

describe("figures", () => {
  it("carry units and few digits", () => {
    assert.equal(formatBytes(0), "0 B");
    assert.equal(formatBytes(1536), "1.5 KiB");
    assert.equal(formatBytes(3 * 1024 ** 3), "3.0 GiB");
    assert.equal(formatRate(200 * 1024 * 1024), "200 MiB/s");
    assert.equal(formatMs(0.42), "0.4 ms");
    assert.equal(formatMs(87.4), "87 ms");
    assert.equal(formatMs(3210), "3.21 s");
    assert.equal(formatMs(125_000), "2 min 5 s");
  });

  it("are read back, or refused", () => {
    assert.equal(parseDuration("100ms"), 100);
    assert.equal(parseDuration("1.5s"), 1500);
    assert.equal(parseDuration("10m"), 600_000);
    assert.equal(parseDuration("10"), undefined);
    assert.equal(parseDuration("fast"), undefined);
    assert.equal(parseSize("500M"), 500e6);
    assert.equal(parseSize("1GiB"), 1024 ** 3);
    assert.equal(parseSize("-1"), undefined);
  });
});

describe("pclive migrate's options", () => {
  it("become a request", () => {
    const request = buildRequest("c1", "b", { ...OPTIONS, bandwidth: "125M", cpu: "50" });
    assert.equal(request.downtimeMs, 100);
    assert.equal(request.timeoutMs, 600_000);
    assert.equal(request.bandwidth, 125e6);
    assert.equal(request.cpuPercent, 50);
    assert.equal(request.headroomPercent, 25);
    assert.equal(buildRequest("c1", "b", { ...OPTIONS, headroom: "0" }).headroomPercent, 0);
    assert.equal(request.streams, 0);
    assert.equal(request.stageAfter, undefined);
    assert.equal(buildRequest("c1", "b", { ...OPTIONS, stageAfter: "0" }).stageAfter, 0);
    assert.equal(buildRequest("c1", "b", { ...OPTIONS, streams: "4" }).streams, 4);
    assert.equal(request.maxRounds, 30);
  });

  it("name what is wrong and what to write instead", () => {
    for (const change of [
      { downtime: "soon" },
      { maxRounds: "0" },
      { strategy: "magic" },
      { timeout: "0s" },
      { bandwidth: "much" },
      { cpu: "1" },
      { streams: "0" },
      { stageAfter: "30" },
      { stageAfter: "late" },
      { streams: "17" },
      { cpu: "half" },
      { headroom: "91" },
    ]) {
      const error = usageError(change);
      assert.equal(error.exitCode, EXIT.usage);
      assert.notEqual(error.remedy, "");
    }
  });
});

describe("errors", () => {
  it("have an exit code for each kind, and 1 for the rest", () => {
    assert.equal(exitCodeFor("CHECK_REFUSED"), EXIT.refused);
    assert.equal(exitCodeFor("CANCELLED"), EXIT.cancelled);
    assert.equal(exitCodeFor("SOMETHING_NEW"), EXIT.failed);
  });

  it("say the remedy, where the container is and where the logs are", () => {
    const text = new CliError("X", "it broke", "mend it", {
      logs: "/var/log/x",
      containerRunsHere: true,
    }).render();
    assert.deepEqual(text.split("\n"), [
      "pclive: it broke",
      "  try: mend it",
      "  the container runs on, here",
      "  logs: /var/log/x",
    ]);
  });
});

describe("what is shown", () => {
  it("aligns tables", () => {
    assert.equal(
      table([
        ["a", "1"],
        ["bb", "22"],
      ]),
      "a    1\nbb  22",
    );
  });

  it("reports each round and each part of the pause", () => {
    const text = renderReport({
      container: "redis",
      host: "b",
      rounds: [
        {
          round: 0,
          pages: 262144,
          bytes: 1024 ** 3,
          ms: 1500,
          throughput: 700e6,
          attachMs: 2.7,
          frozenMs: 0,
        },
      ],
      freezeMs: 3,
      downtimeMs: 87,
      restoreMs: 41,
    });
    assert.match(text, /round 0 +262144 +1\.0 GiB +1\.50 s/);
    assert.match(text, /downtime +87 ms/);
    assert.match(text, /redis runs on b/);
  });

  it("puts refusals last, with remedies", () => {
    const text = renderCheck({
      possible: false,
      findings: [
        { severity: "refusal", where: "source", message: "io_uring is open", remedy: "deny it by seccomp" },
        { severity: "ok", where: "destination", message: "memory" },
      ],
    });
    const lines = text.split("\n");
    assert.match(lines[0] ?? "", /^ok/);
    assert.match(lines[1] ?? "", /^refused/);
    assert.match(lines[2] ?? "", /try: deny it/);
    assert.match(lines[3] ?? "", /cannot be moved/);
  });

  it("lists migrations", () => {
    assert.match(renderStatus({ host: "a", version: "0.1.0", migrations: [] }), /no migrations/);
    assert.match(
      renderStatus({ migrations: [{ migration: "m", container: "c", namespace: "n", round: 2, bytes: 10 }] }),
      /n\/c/,
    );
  });

  it("degrades to lines without a terminal", () => {
    let text = "";
    const write = (chunk: string): boolean => {
      text += chunk;
      return true;
    };
    const out = { write } as unknown as NodeJS.WritableStream;
    const display = new LineDisplay(out);
    display.show({ phase: { name: "connect", detail: "b" } });
    display.show({ estimate: { round: 1 } });
    display.show({
      round: { round: 0, bytes: 1024, ms: 2, dirtyRate: 0, throughput: 1024, predictedDowntimeMs: 90 },
    });
    assert.equal(text.split("\n").length, 3);
    assert.match(text, /predicted downtime 90 ms/);
  });
});
