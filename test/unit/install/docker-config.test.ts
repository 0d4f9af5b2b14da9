import assert from "node:assert/strict";
import { addRuntime, removeRuntime, unsuitable } from "../../../runtime/cli/install/docker-config.js";

const ENTRY = { runtimeType: "io.containerd.pclive.v2" };

function added(text: string): string {
  const edit = addRuntime("/daemon.json", text);
  assert.equal(edit.kind, "changed");
  return edit.kind === "changed" ? edit.text : "";
}

function removed(text: string, made: boolean): string {
  const edit = removeRuntime("/daemon.json", text, made);
  assert.equal(edit.kind, "changed");
  return edit.kind === "changed" ? edit.text : "";
}

const parse = (text: string) => JSON.parse(text.replace(/^\uFEFF/, "")) as Record<string, unknown>;

const SAMPLES: readonly { name: string; text: string }[] = [
  { name: "empty braces", text: "{}" },
  { name: "empty braces over lines", text: "{\n}\n" },
  { name: "two spaces", text: '{\n  "log-driver": "journald",\n  "mtu": 1400\n}\n' },
  { name: "tabs", text: '{\n\t"log-driver": "journald"\n}' },
  { name: "one line", text: '{"debug":true,"hosts":["unix:///run/docker.sock"]}' },
  { name: "CRLF", text: '{\r\n    "debug": true\r\n}\r\n' },
  { name: "a byte order mark", text: '\uFEFF{\n  "debug": true\n}\n' },
  {
    name: "another runtime",
    text: '{\n    "runtimes": {\n        "nvidia": { "path": "nvidia-container-runtime", "runtimeArgs": [] }\n    }\n}\n',
  },
  { name: "empty runtimes", text: '{ "runtimes": {}, "default-runtime": "runc" }' },
];

describe("Docker's configuration", () => {
  for (const { name, text } of SAMPLES) {
    it(`${name}: gets the runtime, and loses it again`, () => {
      const before = parse(text);
      const changed = added(text);
      const runtimes = (before["runtimes"] ?? {}) as object;
      assert.deepEqual(parse(changed), { ...before, runtimes: { ...runtimes, pclive: ENTRY } });
      assert.equal(addRuntime("/daemon.json", changed).kind, "unchanged");
      assert.deepEqual(parse(removed(changed, !("runtimes" in before))), before);
    });
  }

  it("is made when there is none", () => {
    for (const text of ["", " \n"]) assert.deepEqual(parse(added(text)), { runtimes: { pclive: ENTRY } });
  });

  it("keeps its indentation and ends of line", () => {
    assert.match(added('{\n\t"debug": true\n}'), /\n\t"runtimes": \{\n\t\t"pclive": \{\n\t\t\t"runtimeType"/);
    assert.doesNotMatch(added('{\r\n  "debug": true\r\n}\r\n'), /[^\r]\n/);
  });

  for (const [name, text, says] of [
    ["malformed", '{\n  "debug": true,\n}\n', /line 3/],
    ["with comments", '{ // no\n "debug": true }', /not valid JSON/],
    ["a list", "[]", /not a JSON object/],
    ["with runtimes that are none", '{"runtimes": []}', /not an object/],
    ["with another runtime of that name", '{"runtimes": {"pclive": {"path": "/bin/x"}}}', /another runtime/],
  ] as const) {
    it(`${name} is refused`, () => assert.throws(() => addRuntime("/daemon.json", text), says));
  }

  it("is left alone while ours is the default runtime", () => {
    const text = added('{"default-runtime": "pclive"}');
    assert.throws(() => removeRuntime("/daemon.json", text, true), /default-runtime/);
  });

  it("keeps a runtime of that name that is not ours", () => {
    const text = '{"runtimes": {"pclive": {"path": "/bin/x"}}}';
    assert.equal(removeRuntime("/daemon.json", text, true).kind, "unchanged");
  });

  it("is for the versions that know shims", () => {
    for (const major of [24, 26, 29]) assert.equal(unsuitable(major), undefined);
    assert.match(unsuitable(23) ?? "", /--runtime io\.containerd\.pclive\.v2/);
    assert.match(unsuitable(20) ?? "", /24/);
  });
});
