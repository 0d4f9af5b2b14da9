import assert from "node:assert/strict";
import { CliError } from "../../../runtime/cli/exit.js";
import { addHandler, removeHandler } from "../../../runtime/cli/install/containerd-config.js";
import { at, parseToml, type Table } from "../../../runtime/cli/install/toml.js";
import { ACCEPTED, REFUSED, V2, V3 } from "./samples.js";

function added(text: string): string {
  const edit = addHandler("/c.toml", text);
  assert.equal(edit.kind, "changed");
  return edit.kind === "changed" ? edit.text : "";
}

function removed(text: string): string {
  const edit = removeHandler("/c.toml", text);
  assert.equal(edit.kind, "changed");
  return edit.kind === "changed" ? edit.text : "";
}

function refusal(work: () => unknown): CliError {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof CliError, String(error));
    assert.equal(error.code, "REFUSED");
    assert.notEqual(error.remedy, "");
    return error;
  }
  return assert.fail("nothing was refused");
}

// By way of JSON, as the parser's tables have no prototype.
const runtime = (text: string, plugin: string, name: string): Table =>
  JSON.parse(JSON.stringify(at(parseToml(text), ["plugins", plugin, "containerd", "runtimes", name]) ?? {}));

describe("containerd's configuration", () => {
  for (const { name, text, expect } of ACCEPTED) {
    it(`${name}: ${typeof expect === "string" ? expect : "gets the handler, and loses it again"}`, () => {
      const edit = addHandler("/c.toml", text);
      if (typeof expect === "string") {
        assert.equal(edit.kind, expect);
        return;
      }
      assert.equal(edit.kind, "changed");
      const changed = added(text);
      assert.ok(changed.startsWith(text), "what was there stays, byte by byte");
      for (const line of expect) assert.ok(changed.includes(line), `${line} is not in\n${changed}`);
      assert.equal(addHandler("/c.toml", changed).kind, "unchanged", "a second time nothing is to do");
      assert.equal(removed(changed).trimEnd(), text.trimEnd());
      assert.equal(removeHandler("/c.toml", text).kind, "unchanged");
    });
  }

  for (const { name, text, says } of REFUSED) {
    it(`${name} is refused with a remedy`, () => {
      assert.match(refusal(() => addHandler("/c.toml", text)).message, says);
    });
  }

  it("keeps the ends of line of the file", () => {
    assert.doesNotMatch(added("version = 2\r\n"), /[^\r]\n/);
  });

  it("hands what runc's handler has on to ours", () => {
    const text = `version = 2
[plugins."${V2}".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  runtime_path = "/opt/runc-shim"
  cni_max_conf_num = 2
  container_annotations = ["a.b/*"]
  [plugins."${V2}".containerd.runtimes.runc.options]
    SystemdCgroup = true
    BinaryName = "/usr/bin/crun"
`;
    assert.deepEqual(runtime(added(text), V2, "pclive"), {
      runtime_type: "io.containerd.pclive.v2",
      cni_max_conf_num: 2,
      container_annotations: ["a.b/*"],
      options: { SystemdCgroup: true, BinaryName: "/usr/bin/crun" },
    });
  });

  it("names runc only where the built-in one would be replaced", () => {
    assert.deepEqual(runtime(added("version = 2\n"), V2, "runc"), { runtime_type: "io.containerd.runc.v2" });
    assert.deepEqual(runtime(added("version = 3\n"), V3, "runc"), {});
    const kata = `version = 2\n[plugins."${V2}".containerd.runtimes.kata]\nruntime_type = "io.containerd.kata.v2"\n`;
    assert.deepEqual(runtime(added(kata), V2, "runc"), {});
  });

  it("takes an imported file's version from the file that imports it", () => {
    const edit = addHandler("/conf.d/x.toml", `[plugins."${V3}".cni]\nbin_dir = "/opt"\n`, 3);
    assert.equal(edit.kind, "changed");
    assert.ok(edit.kind === "changed" && !edit.text.includes("version"));
    assert.match(
      refusal(() => addHandler("/conf.d/x.toml", "[debug]\nlevel = 'info'\n", 1)).message,
      /version 1/,
    );
  });

  describe("that was changed after us", () => {
    const installed = added("version = 2\n");

    it("loses our part only", () => {
      const text = `# mine\n${installed}\n[debug]\n  level = "debug"\n`;
      assert.equal(addHandler("/c.toml", text).kind, "unchanged");
      assert.equal(removed(text), '# mine\nversion = 2\n\n[debug]\n  level = "debug"\n');
    });

    it("keeps the version that we stated, when something counts on it", () => {
      const text = `${added("")}[plugins."${V2}".cni]\nbin_dir = "/opt"\n`;
      assert.equal(removed(text), `version = 2\n[plugins."${V2}".cni]\nbin_dir = "/opt"\n`);
    });

    it("keeps runc, when the file names other runtimes by now", () => {
      const text = `${installed}[plugins."${V2}".containerd.runtimes.kata]\nruntime_type = "k"\n`;
      const after = removed(text);
      assert.deepEqual(runtime(after, V2, "runc"), { runtime_type: "io.containerd.runc.v2" });
      assert.deepEqual(runtime(after, V2, "pclive"), {});
    });

    it("is left alone when keys behind the block belong to its tables", () => {
      const text = `${installed}snapshotter = "native"\n`;
      assert.match(refusal(() => removeHandler("/c.toml", text)).message, /behind our block/);
    });

    it("is left alone while our handler is the default", () => {
      const text = `${installed}[plugins."${V2}".containerd]\ndefault_runtime_name = "pclive"\n`;
      assert.match(refusal(() => removeHandler("/c.toml", text)).message, /default_runtime_name/);
    });

    it("has its block renewed, when runc's options changed", () => {
      const tail = `[plugins."${V2}".containerd.runtimes.runc.options]\nSystemdCgroup = true\n`;
      const text = `version = 2\n[plugins."${V2}".containerd.runtimes.runc]\nruntime_type = "io.containerd.runc.v2"\n`;
      const renewed = added(added(text) + tail);
      assert.deepEqual(runtime(renewed, V2, "pclive").options, { SystemdCgroup: true });
      assert.equal(renewed.match(/>>> pclive >>>/g)?.length, 1);
    });
  });
});
