import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Qmp } from "../../bench/yardstick/qmp.js";
import { tableOf, type Way, type YardstickRow } from "../../bench/yardstick/table.js";

const GREETING = '{"QMP": {"version": {}, "capabilities": []}}\r\n';

/** What a qemu says to each command; "" is nothing. */
type Answers = (command: string, id: number) => string;

describe("yardstick", () => {
  let folder: string;
  let server: Server | undefined;
  const open: Qmp[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "yardstick-"));
  });
  afterEach(() => {
    for (const qmp of open.splice(0)) qmp.close();
    server?.close();
    server = undefined;
    rmSync(folder, { recursive: true });
  });

  /** A qemu that answers so, each time in pieces of `bytes` bytes. */
  async function qemu(bytes: number, answers: Answers): Promise<{ qmp: Qmp; peer: Socket }> {
    const path = join(folder, "qmp");
    let peer: Socket | undefined;
    server = createServer((socket) => {
      peer = socket;
      void inPieces(socket, GREETING, bytes);
      const lines = createInterface({ input: socket }).on("line", (line) => {
        const { execute, id } = JSON.parse(line) as { execute: string; id: number };
        const answer =
          execute === "qmp_capabilities" ? `{"return": {}, "id": ${id}}\r\n` : answers(execute, id);
        void inPieces(socket, answer, bytes);
      });
      // Who closes while there is something to read resets the connection.
      for (const stream of [lines, socket]) stream.on("error", () => undefined);
    }).listen(path);
    await once(server, "listening");
    const qmp = await Qmp.connect(path, 2000);
    open.push(qmp);
    assert.ok(peer);
    return { qmp, peer };
  }

  for (const bytes of [1, 7, 4096]) {
    it(`understands answers and events that come in pieces of ${bytes} bytes`, async () => {
      const event = '{"event": "STOP", "timestamp": {"seconds": 2, "microseconds": 500000}}\r\n';
      const { qmp } = await qemu(
        bytes,
        (_, id) => `${event}{"return": {"status": "completed"}, "id": ${id}}\r\n`,
      );
      const stopped = qmp.event("STOP", 2000);
      assert.deepEqual(await qmp.execute("query-migrate"), { status: "completed" });
      assert.equal(await stopped, 2500);
    });
  }

  it("fails with qemu's words, when nothing comes, and when the socket closes", async () => {
    const { qmp, peer } = await qemu(4096, (command, id) =>
      command === "migrate"
        ? `{"error": {"class": "GenericError", "desc": "no such place"}, "id": ${id}}\r\n`
        : "",
    );
    await assert.rejects(qmp.execute("migrate"), /qemu: migrate: no such place/);
    await assert.rejects(qmp.event("RESUME", 20), /no event RESUME in 20 ms/);
    const silent = assert.rejects(qmp.execute("query-migrate"), /its socket was closed/);
    peer.destroy();
    await silent;
    await assert.rejects(qmp.execute("query-migrate"), /no answer to query-migrate/);
  });

  it("fails when nobody listens", async () => {
    await assert.rejects(Qmp.connect(join(folder, "none"), 100), /qemu: .*ENOENT/);
  });

  it("shows medians and spreads of each way, and how many times as much QEMU takes", () => {
    const rows = (["qemu", "pclive", "bare"] as const).flatMap((way) =>
      [3, 1, 2].map((times) => row(way, times)),
    );
    const [head, qemu, pclive, ratio, bare, bareRatio] = tableOf(rows).split("\n");
    assert.match(head ?? "", /^moved by +n +client gap ms +downtime ms +total ms +sent MB$/);
    assert.match(qemu ?? "", /^qemu: .* 3 +1000 \(500–1500\) +400 \(200–600\) +20000 .* +600 \(300–900\)$/);
    assert.match(pclive ?? "", /^pclive: .*guests +3 +8000 \(4000–12000\) /);
    assert.match(ratio ?? "", /^ +qemu : pclive +0\.13x +0\.050x +0\.50x +3\.0x$/);
    assert.match(bare ?? "", /^pclive: .*lab +3 +200 \(100–300\) /);
    assert.match(bareRatio ?? "", /^ +qemu : pclive +5\.0x +2\.0x +4\.0x +3\.0x$/);
  });

  it("shows one way alone, without a ratio", () => {
    assert.equal(tableOf([row("pclive", 1)]).split("\n").length, 2);
  });
});

async function inPieces(socket: Socket, text: string, bytes: number): Promise<void> {
  for (let at = 0; at < text.length; at += bytes) {
    socket.write(text.slice(at, at + bytes));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const FIGURES = {
  qemu: [500, 200, 10_000, 300e6],
  pclive: [4000, 4000, 20_000, 100e6],
  bare: [100, 100, 2500, 100e6],
} as const;

function row(way: Way, times: number): YardstickRow {
  const [gap, downtime, total, sent] = FIGURES[way];
  return {
    client_gap_ms: gap * times,
    downtime_ms: downtime * times,
    total_ms: total * times,
    sent_bytes: sent * times,
    way,
  } as unknown as YardstickRow;
}
