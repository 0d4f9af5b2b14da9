/** The launcher takes the quick way only where the shim's own code would have found the same. Run by run.sh. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Writable } from "node:stream";
import { containerd, google } from "#protos/shim";
import { specOf } from "../../../shim/bundle/spec.js";
import { parseBootstrap } from "../../../shim/cli/bootstrap.js";
import { parseFlags } from "../../../shim/cli/flags.js";
import { groupOf } from "../../../shim/cli/socket.js";
import { Random } from "../../fuzz/random.js";

const ID = "container";
const ROUNDS = 4000;
const PLAIN = "plain ";
const OTHER = "other ";

type Kind = "spec" | "input" | "hash";

/** One probe for all: it answers a line for each text. */
class Probe {
  readonly #folder = mkdtempSync(join(tmpdir(), "launcher-"));
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor() {
    this.#child = spawn(process.env.PROBE ?? "", {
      cwd: this.#folder,
      stdio: ["ignore", "pipe", "inherit", "pipe"],
    });
    const output = this.#child.stdout;
    assert.ok(output);
    this.#lines = createInterface(output)[Symbol.asyncIterator]();
  }

  async ask(kind: Kind, text: Uint8Array): Promise<string> {
    const head = Buffer.alloc(5);
    head.write(kind.charAt(0), "latin1");
    head.writeUInt32LE(text.length, 1);
    (this.#child.stdio[3] as Writable).write(Buffer.concat([head, text]));
    const { value, done } = await this.#lines.next();
    assert.ok(!done, "the probe has ended");
    return value;
  }

  close(): void {
    this.#child.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** What the shim itself makes of a config.json: its group, if it has one. */
function judgedSpec(text: Buffer): string {
  try {
    const { annotations } = specOf("config.json", JSON.parse(text.toString("utf8")));
    return `plain ${groupOf("", annotations ?? {})}`;
  } catch {
    return OTHER;
  }
}

function judgedInput(input: Buffer): string {
  const flags = parseFlags(["-namespace", "n", "-id", ID, "-address", "/a", "start"]);
  const { answer, shimCgroup } = parseBootstrap(input, flags);
  return answer === "address" && shimCgroup === "" ? PLAIN : OTHER;
}

const SPEC = {
  ociVersion: "1.0.2",
  process: { terminal: false, args: ["sh", "-c", 'echo "é" \\ <>&'], rlimits: [{ hard: 1.5e3, soft: -0 }] },
  root: { path: "rootfs", readonly: true },
  hostname: null,
  mounts: [],
  annotations: { "io.x.y": "z", empty: "" },
  linux: {
    cgroupsPath: "/default/c",
    resources: { devices: [{ allow: false, access: "rwm" }], memory: {} },
    namespaces: [{ type: "pid" }, { type: "network", path: "/var/run/netns/a" }],
  },
};

const POD = "io.kubernetes.cri.sandbox-id";
const GROUP = "io.containerd.runc.v2.group";
const GROUPED = { ...SPEC, annotations: { [GROUP]: "", [POD]: "pod" } };

const options = (value: containerd.runc.v1.Options.$Properties) =>
  Buffer.from(
    google.protobuf.Any.encode({
      type_url: "containerd.runc.v1.Options",
      value: containerd.runc.v1.Options.encode(value).finish(),
    }).finish(),
  );

describe("the launcher", () => {
  const probe = new Probe();
  after(() => probe.close());
  const spec = (value: unknown) => probe.ask("spec", Buffer.from(JSON.stringify(value)));

  it("hashes as everybody does", async () => {
    for (const size of [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000]) {
      const text = Buffer.alloc(size, "aé");
      assert.equal(await probe.ask("hash", text), createHash("sha256").update(text).digest("hex"));
    }
  });

  it("finds a container without a group plain", async () => {
    assert.equal(await spec(SPEC), PLAIN);
    assert.equal(await spec({}), PLAIN);
    assert.equal(await probe.ask("spec", Buffer.from(JSON.stringify(SPEC, undefined, "\t "))), PLAIN);
  });

  it("finds the group", async () => {
    const grouped = (annotations: object) =>
      spec({ ...SPEC, annotations: { ...SPEC.annotations, ...annotations } });
    assert.equal(await grouped({ [POD]: "pod" }), "plain pod");
    assert.equal(await grouped({ [POD]: "pod", [GROUP]: "group-1" }), "plain group-1");
    assert.equal(await grouped({ [GROUP]: "", [POD]: "pod" }), "plain pod");
    assert.equal(await grouped({ [GROUP]: "" }), PLAIN);
  });

  it("leaves what is wrong or unusual to the shim", async () => {
    const linux = (value: object) => ({ ...SPEC, linux: value });
    for (const other of [
      { ...SPEC, annotations: { [POD]: "../pod" } },
      { ...SPEC, annotations: { [GROUP]: "a\\b" } },
      { ...SPEC, annotations: { [GROUP]: "g".repeat(300) } },
      { ...SPEC, annotations: { number: 1 } },
      { ...SPEC, annotations: [] },
      { ...SPEC, root: "" },
      linux({ cgroupsPath: 1 }),
      linux({ namespaces: {} }),
      linux({ namespaces: [{ path: "/x" }] }),
      linux({ namespaces: [{ type: "pid", path: 1 }] }),
      [],
      null,
    ])
      assert.equal(await spec(other), OTHER, JSON.stringify(other));
    for (const text of [
      "",
      "{",
      "{} x",
      '{"a":01}',
      '{"a":"\\x"}',
      '{"a":"\t"}',
      "{'a':1}",
      '{"a":1,}',
      "[".repeat(1e5),
    ])
      assert.equal(await probe.ask("spec", Buffer.from(text)), OTHER, text.slice(0, 20));
    const hidden = JSON.stringify({ annotations: { [POD]: "pod" } }).replace("io.k", "io\\u002ek");
    assert.equal(await probe.ask("spec", Buffer.from(hidden)), OTHER);
  });

  it("takes no spoilt config.json for plain that the shim does not", async () => {
    for (const whole of [SPEC, GROUPED]) await spoilt(Buffer.from(JSON.stringify(whole)), "spec", judgedSpec);
  });

  it("finds options without a cgroup for the shim plain", async () => {
    assert.equal(await probe.ask("input", Buffer.alloc(0)), PLAIN);
    assert.equal(await probe.ask("input", options({})), PLAIN);
    assert.equal(
      await probe.ask("input", options({ binaryName: "runc", root: "/r", systemdCgroup: true })),
      PLAIN,
    );
    assert.equal(await probe.ask("input", options({ shimCgroup: "/shims" })), OTHER);
    assert.equal(await probe.ask("input", Buffer.alloc(1 << 16)), OTHER);
  });

  it("takes no spoilt options for plain that the shim does not", async () => {
    await spoilt(options({ binaryName: "runc", shimCgroup: "/s", ioUid: 5 }), "input", judgedInput);
    await spoilt(options({ binaryName: "runc", root: "/r" }), "input", judgedInput);
  });

  /** Texts with some bytes changed, left out or doubled. */
  async function spoilt(whole: Buffer, kind: Kind, judge: (text: Buffer) => string): Promise<void> {
    const random = new Random(1);
    let plain = 0;
    for (let round = 0; round < ROUNDS; round++) {
      let text = whole;
      for (let changes = 1 + random.below(3); changes > 0; changes--) {
        const at = random.below(text.length);
        const again = text.subarray(at, at + random.below(20));
        const piece = random.pick([Buffer.alloc(0), random.bytes(1), again]);
        text = Buffer.concat([text.subarray(0, at), piece, text.subarray(at + random.below(3))]);
      }
      const found = await probe.ask(kind, text);
      if (found === OTHER) continue;
      plain++;
      assert.equal(found, judge(text), text.toString("latin1"));
    }
    assert.ok(plain > 0, "nothing was plain: nothing was tried");
  }
});
