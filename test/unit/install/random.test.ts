/** Whatever configuration a host has: install and uninstall give back every byte, or refuse and change nothing. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { stringify } from "smol-toml";
import { CliError } from "../../../runtime/cli/exit.js";
import { addHandler, type Edit, removeHandler } from "../../../runtime/cli/install/containerd-config.js";
import { addRuntime, removeRuntime } from "../../../runtime/cli/install/docker-config.js";
import { parseToml } from "../../../runtime/cli/install/toml.js";
import { V2, V3 } from "./samples.js";
import { Tree } from "./tree.js";

const key = fc.constantFrom("root", "snapshotter", "x y", "sandbox_image", "pclive", "runc", "a.b", "é", '"');
const value = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.integer(),
  fc.boolean(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.array(fc.string({ maxLength: 4 }), { maxLength: 3 }),
);
const keys = fc.dictionary(key, value, { maxKeys: 3 });
const runtimes = fc.dictionary(fc.constantFrom("runc", "kata", "nvidia"), keys, { maxKeys: 3 });

/** Decoration that no parser reads. */
const noise = fc.array(fc.constantFrom("", "# a comment", "   # [plugins]", "\t", '# """'), { maxLength: 3 });

/** A file of containerd's, as text: real settings between noise, its ends of line either way, the last one or not. */
const containerdFile = fc
  .record({
    version: fc.constantFrom(2, 3),
    top: keys,
    plugin: fc.constantFrom(V2, V3, "io.containerd.gc.v1.scheduler"),
    settings: keys,
    runtimes: fc.option(runtimes),
    other: fc.option(keys),
    noise: fc.tuple(noise, noise, noise),
    crlf: fc.boolean(),
    ends: fc.boolean(),
  })
  .map(({ version, top, plugin, settings, runtimes: names, other, noise: [a, b, c], crlf, ends }) => {
    const section = { ...settings, ...(names === null ? {} : { containerd: { runtimes: names } }) };
    const tables = { plugins: { [plugin]: section }, ...(other === null ? {} : { debug: other }) };
    const parts = [...a, `version = ${version}`, stringify(top), ...b, stringify(tables), ...c];
    const text = parts.join("\n").replaceAll("\n", crlf ? "\r\n" : "\n");
    return ends ? `${text}${crlf ? "\r\n" : "\n"}` : text;
  });

const dockerFile = fc
  .record({
    config: fc.dictionary(
      fc.constantFrom("mtu", "debug", "hosts", "é", "a b"),
      fc.jsonValue({ maxDepth: 2 }),
    ),
    runtimes: fc.option(fc.dictionary(fc.constantFrom("kata", "nvidia"), fc.constant({ path: "/bin/x" }))),
    indent: fc.constantFrom(0, 2, 4, "\t"),
    crlf: fc.boolean(),
    end: fc.constantFrom("", "\n", " \n\n"),
  })
  .map(({ config, runtimes: names, indent, crlf, end }) => {
    const text =
      JSON.stringify({ ...config, ...(names === null ? {} : { runtimes: names }) }, null, indent) + end;
    return crlf ? text.replaceAll("\n", "\r\n") : text;
  });

/** The text after the edit; undefined where it was refused or not needed. */
function edited(work: () => Edit): string | undefined {
  try {
    const edit = work();
    return edit.kind === "changed" ? edit.text : undefined;
  } catch (error) {
    assert.ok(error instanceof CliError, String(error));
    return undefined;
  }
}

describe("any configuration", () => {
  it("of containerd's gets the handler once, and means the same without it", () => {
    let done = 0;
    fc.assert(
      fc.property(containerdFile, (text) => {
        const added = edited(() => addHandler("/c", text));
        if (added === undefined) return;
        done++;
        assert.ok(added.startsWith(text));
        assert.equal(addHandler("/c", added).kind, "unchanged");
        const removed = edited(() => removeHandler("/c", added));
        assert.deepEqual(parseToml(removed ?? ""), parseToml(text));
        assert.ok(removed === text || removed === `${text}\n` || removed === `${text}\r\n`);
      }),
      { numRuns: 200 },
    );
    assert.ok(done > 100, `only ${done} of 200 were edited`);
  });

  it("of Docker's gets the runtime once, and means the same without it", () => {
    fc.assert(
      fc.property(dockerFile, (text) => {
        const added = edited(() => addRuntime("/d", text));
        assert.ok(added !== undefined, text);
        assert.equal(addRuntime("/d", added).kind, "unchanged");
        const removed = edited(() => removeRuntime("/d", added, !text.includes('"runtimes"')));
        assert.deepEqual(JSON.parse(removed ?? ""), JSON.parse(text));
      }),
      { numRuns: 200 },
    );
  });

  it("is taken back to the last byte by uninstall", async () => {
    await fc.assert(
      fc.asyncProperty(fc.option(containerdFile), fc.option(dockerFile), async (containerd, docker) => {
        const tree = new Tree({
          ...(containerd === null ? {} : { "/etc/containerd/config.toml": containerd }),
          ...(docker === null ? {} : { "/etc/docker/daemon.json": docker }),
        });
        try {
          const before = tree.snapshot();
          const words = ["--containerd-config", "/etc/containerd/config.toml", "--docker-version", "28"];
          const installed = await tree.run("install", "--prefix", "/usr", ...words);
          if (installed.status !== 0) assert.deepEqual(tree.snapshot(), before, installed.err);
          const { status, err } = await tree.run("uninstall");
          assert.equal(status, 0, err);
          assert.deepEqual(tree.snapshot(), before);
        } finally {
          tree.remove();
        }
      }),
      { numRuns: 40 },
    );
  }).timeout(60_000);
});
