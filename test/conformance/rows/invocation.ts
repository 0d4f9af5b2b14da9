/** What containerd asks the binary itself: what it is, and how it starts; by flags, and by what stands in its input. */
import { mkdirSync } from "node:fs";
import { containerd as start } from "#protos/bootstrap";
import { containerd, google, runtimeoptions } from "#protos/shim";
import { betterRow, type Difference, only, type Row, row } from "../row.js";
import { NAMESPACE, type Scene } from "../scene.js";
import { type Answer, startedBy } from "../shim.js";

const SLEEP = ["sleep", "1000"];
const { Any } = google.protobuf;
const { Options } = containerd.runc.v1;
const { BootstrapParams } = start.runtime.bootstrap.v1;

function any(type_url: string, value: Uint8Array): Uint8Array {
  return Any.encode({ type_url, value }).finish();
}
const runcOptions = (options: containerd.runc.v1.Options.$Properties) =>
  any("containerd.runc.v1.Options", Options.encode(options).finish());

/** -info came with containerd 2.0, parameters on the input with 2.3. */
const BEFORE_INFO = /^1\./;
const BEFORE_PARAMETERS = /^(1\.|2\.[0-2]$)/;
const WITH_PARAMETERS = /^2\.([3-9]|\d\d)/;

function info(name: string, ask: (scene: Scene) => Promise<Answer>, more: readonly Difference[] = []) {
  const steps = async (scene: Scene) => {
    const { status, stdout, stderr } = await ask(scene);
    scene.note("fails", status !== 0);
    scene.note("complains", stderr !== "");
    scene.note("answer", status === 0 ? described(scene, stdout) : "none");
  };
  const older: readonly Difference[] = [
    ["fails", /^true$/],
    ["complains", /^true$/],
    ["answer", /^none$/],
  ].map(([label, stock]) => ({
    label: label as string,
    stock: stock as RegExp,
    ours: /./,
    generations: BEFORE_INFO,
    reason: "the stock shim of containerd 1 has no -info",
  }));
  return row(`info: ${name}`, steps, [...more, ...older]);
}

function described(scene: Scene, answer: Buffer): string[] {
  const { name, version, options, features, annotations } = containerd.types.RuntimeInfo.decode(answer);
  return [
    `name ${/^io\.containerd\.[a-z]+\.v2$/.test(name)}`,
    `version ${(version?.version ?? "") !== ""}`,
    `options ${options?.type_url ? `${options.type_url} ${Buffer.from(options.value ?? []).toString("hex")}` : "none"}`,
    `features ${features?.type_url || "none"}`,
    ...featuresOf(features?.value),
    `annotations ${scene.record.describe(Object.keys(annotations ?? {}))}`,
  ];
}

/** One line for each field of what runC can do; the order of fields means nothing. */
function featuresOf(value: Uint8Array | null | undefined): string[] {
  if (!value?.length) return [];
  const fields = JSON.parse(Buffer.from(value).toString()) as Record<string, unknown>;
  return Object.keys(fields)
    .sort()
    .map((name) => `  ${name} ${JSON.stringify(sorted(fields[name]))}`);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([name, field]) => [name, sorted(field)] as const);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** How `start` answers; and whether the shim then serves. */
async function started(scene: Scene, flags: readonly string[], input?: (id: string) => Uint8Array) {
  const bundled = scene.bundle(SLEEP);
  const { status, stdout } = await scene.run(bundled, "start", flags, input?.(bundled.id));
  scene.note("status", status);
  if (status !== 0) return;
  const { form, version, protocol, address } = startedBy(stdout);
  scene.note("answer", `${form}, version ${version}, ${protocol}`);
  scene.note("socket", address.replace(/[0-9a-f]{64}/, "<digest>"));
  const c = await scene.connect(bundled, input?.(bundled.id));
  await c.create();
  await c.state();
}

function parameters(id: string, more: start.runtime.bootstrap.v1.BootstrapParams.$Properties): Uint8Array {
  const given = { instanceId: id, namespace: NAMESPACE, containerdVersion: "2.3.0", ...more };
  return BootstrapParams.encode(given).finish();
}

/** Of a start without parameters. */
const PLAIN: Difference = {
  label: "answer",
  stock: /^(plain|JSON|protobuf), version [23], ttrpc$/,
  ours: /^plain, version 2, ttrpc$/,
  reason: "every containerd reads a bare address, and both versions of the service are there",
};
type Parameters = start.runtime.bootstrap.v1.BootstrapParams.$Properties;

/** As containerd 2.3 starts a shim; to the stock shim before that they are no options. */
function parametersRows(name: string, make: (scene: Scene) => Parameters): Row[] {
  const steps = (scene: Scene) => started(scene, [], (id) => parameters(id, make(scene)));
  const better = {
    stock: { status: /^[01]$/, answer: /^(?!protobuf)/ },
    ours: { status: /^0$/, answer: /^protobuf, version 3, ttrpc$/, "c1 Create": /^pid=/ },
    reason: "the stock shim of an older containerd refuses such input (1.6), or does not read it",
  };
  return [
    only(WITH_PARAMETERS, row(`start: ${name}`, steps)),
    only(BEFORE_PARAMETERS, betterRow(`start: ${name}`, steps, better)),
  ];
}

function flagRow(name: string, flags: readonly string[], differences: readonly Difference[] = []) {
  return row(
    `flags: ${name}`,
    async (scene) => {
      const { status } = await scene.runPlain(flags);
      scene.note("fails", status !== 0);
    },
    differences,
  );
}

const PASSED_OVER = "a later containerd may pass new flags, which shall not stop containers from starting";

export const invocationRows = [
  info("without options", (scene) => scene.runPlain(["-info"])),
  info("two dashes", (scene) => scene.runPlain(["--info"])),
  info("with options", (scene) => scene.runPlain(["-info"], runcOptions({ binaryName: "runc", ioUid: 7 }))),
  info("options of a binary that is missing", (scene) =>
    scene.runPlain(["-info"], runcOptions({ binaryName: "no-such-runc" })),
  ),
  info("options of a binary that knows nothing of it", (scene) =>
    scene.runPlain(["-info"], runcOptions({ binaryName: "true" })),
  ),
  info("input that is no message", (scene) => scene.runPlain(["-info"], Buffer.from("ff7f01", "hex"))),
  info("options that cannot be decoded", (scene) =>
    scene.runPlain(["-info"], any("containerd.runc.v1.Options", Buffer.from("0a7f00", "hex"))),
  ),
  info(
    "options as containerd has them for a runtime that it does not know",
    (scene) => {
      const value = runtimeoptions.v1.Options.encode({ typeUrl: "x" }).finish();
      return scene.runPlain(["-info"], any("runtimeoptions.v1.Options", value));
    },
    ["fails", "complains", "answer"].map((label) => ({
      label,
      stock: /^(true|none)$/,
      ours: label === "answer" ? /features types\.containerd\.io/ : /^false$/,
      generations: /^2\./,
      reason: "to containerd ours is such a runtime",
    })),
  ),
  info("beside an action, which is not done", async (scene) =>
    scene.run(scene.bundle(SLEEP), "start", ["-info"]),
  ),
  row("version: what it tells", async (scene) => {
    const { status, stdout, stderr } = await scene.runPlain(["-v"]);
    const lines = stdout.toString().trim().split("\n");
    scene.note("status", status);
    scene.note("stderr", stderr);
    scene.note("first line", /(^|\/)containerd-shim-[a-z]+-v2:$/.test(lines[0] ?? ""));
    scene.note(
      "version",
      lines.some((line) => /^ +Version: +\S/.test(line)),
    );
    scene.note(
      "revision",
      lines.some((line) => /^ +Revision:/.test(line)),
    );
  }),
  row("version: two dashes", async (scene) => {
    const { status, stdout } = await scene.runPlain(["--v"]);
    scene.note("status", status);
    scene.note("version", /Version:/.test(stdout.toString()));
  }),
  row(
    "version: the long flag",
    async (scene) => {
      const { status, stdout } = await scene.runPlain(["-version"]);
      scene.note("status", status);
      scene.note("version", /Version:/.test(stdout.toString()));
    },
    [
      ...[
        { label: "status", stock: /^2$/, ours: /^0$/ },
        { label: "version", stock: /^false$/, ours: /^true$/ },
      ].map((each) => ({ ...each, generations: BEFORE_PARAMETERS, reason: "the flag of containerd 2.3" })),
    ],
  ),
  row("version: beside an action, which is not done", async (scene) => {
    const bundled = scene.bundle(SLEEP);
    const { status, stdout } = await scene.run(bundled, "start", ["-v"]);
    scene.note("status", status);
    scene.note("version", /Version:/.test(stdout.toString()));
    scene.note("files", scene.files(bundled));
  }),
  flagRow("none", []),
  flagRow("-v that is off", ["-v=false"]),
  flagRow("-v that is neither on nor off", ["-v=perhaps"]),
  flagRow("-debug that is neither on nor off", ["-debug=perhaps", "-namespace", "n", "-id", "x", "start"]),
  flagRow("one that lacks its value", ["-v", "-namespace"]),
  flagRow("a lone dash", ["-", "start"]),
  flagRow("three dashes", ["---v"]),
  flagRow("one without a name", ["-=x", "-v"]),
  flagRow(
    "one that it does not know, with -v",
    ["-unheard-of=1", "-v"],
    [{ label: "fails", stock: /^true$/, ours: /^false$/, reason: PASSED_OVER }],
  ),
  flagRow(
    "one that it does not know, with its value, and -v",
    ["-v", "-unheard-of", "value"],
    [{ label: "fails", stock: /^true$/, ours: /^false$/, reason: PASSED_OVER }],
  ),
  row("flags: the end of flags", (scene) => started(scene, ["--"]), [PLAIN]),
  row("flags: -debug", (scene) => started(scene, ["-debug"]), [PLAIN]),
  row("flags: -debug that is off", (scene) => started(scene, ["-debug=F"]), [PLAIN]),
  row(
    "flags: one that it does not know, with its value, at delete",
    async (scene) => {
      const c = await scene.running();
      await scene.killShim(c);
      const { status } = await scene.run(c, "delete", ["-unheard-of", "value"]);
      scene.note("status", status);
      const { status: again } = await scene.run(c, "delete");
      scene.note("without it", again);
    },
    [{ label: "status", stock: /^2$/, ours: /^0$/, reason: PASSED_OVER }],
  ),
  row("start: nothing on its input", (scene) => started(scene, []), [PLAIN]),
  row("start: runtime options on its input", (scene) => started(scene, [], () => runcOptions({})), [PLAIN]),
  ...parametersRows("parameters on its input", () => ({})),
  ...parametersRows("parameters with runtime options", () => {
    const value = Options.encode({ binaryName: "runc" }).finish();
    return { extensions: [{ value: { type_url: "containerd.runc.v1.Options", value } }] };
  }),
  ...parametersRows("parameters that ask for a detailed log", () => ({ logLevel: -4 })),
  ...parametersRows("parameters with a folder for sockets", (scene) => {
    mkdirSync(scene.path("s"), { recursive: true });
    return { socketDir: scene.path("s") };
  }),
  betterRow(
    "start: input that is neither",
    (scene) => started(scene, [], () => Buffer.from("not a message")),
    {
      stock: { status: /^[01]$/ },
      ours: { status: /^0$/, answer: /^plain, version 2, ttrpc$/, "c1 Create": /^pid=/ },
      reason: "some stock shims refuse it; a later containerd may write something else there",
    },
  ),
];
