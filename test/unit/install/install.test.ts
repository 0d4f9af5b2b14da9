import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { Tree } from "./tree.js";

const CONFIG = "/etc/containerd/config.toml";
const DAEMON = "/etc/docker/daemon.json";
const MANIFEST = "/var/lib/pclive/install.json";
const INSTALL = ["install", "--prefix", "/usr", "--containerd-config", CONFIG, "--docker-version", "26.1"];

describe("pclive install", () => {
  let tree: Tree;
  beforeEach(() => {
    tree = new Tree({ [CONFIG]: "# mine\nversion = 2\n", [DAEMON]: '{\n    "mtu": 1400\n}' });
  });
  afterEach(() => tree.remove());

  /** Installs and uninstalls, each without complaint; answers with what was between. */
  async function roundTrip(): Promise<Record<string, string>> {
    assert.deepEqual((await tree.run(...INSTALL)).err, "");
    const between = tree.snapshot();
    assert.deepEqual((await tree.run("uninstall")).err, "");
    return between;
  }

  it("is taken back to the last byte, mode and owner", async () => {
    chmodSync(tree.path(CONFIG), 0o640);
    chownSync(tree.path(CONFIG), 12, 34);
    const before = tree.snapshot();
    const between = await roundTrip();
    assert.match(between["etc/containerd/config.toml"] ?? "", /^640 12:34 # mine/);
    assert.deepEqual(tree.snapshot(), before);
  });

  it("makes missing files and folders, and takes them away", async () => {
    const empty = new Tree();
    try {
      for (const folder of ["/etc/containerd/keep", "/etc/docker/keep"]) assert.equal(empty.read(folder), "");
      const before = empty.snapshot();
      assert.equal((await empty.run(...INSTALL)).err, "");
      assert.match(empty.read(CONFIG), /^# >>> pclive >>>.*\nversion = 2\n/);
      assert.ok("runtimes" in JSON.parse(empty.read(DAEMON)));
      assert.equal((await empty.run("uninstall")).err, "");
      assert.deepEqual(empty.snapshot(), before);
    } finally {
      empty.remove();
    }
  });

  it("changes nothing the second time", async () => {
    assert.equal((await tree.run(...INSTALL)).status, 0);
    const once = tree.snapshot();
    const { out, status } = await tree.run(...INSTALL);
    assert.equal(status, 0);
    assert.deepEqual(tree.snapshot(), once);
    assert.doesNotMatch(out, /^(create|edit|link)/m);
  });

  it("shows a diff and changes nothing with --dry-run", async () => {
    const before = tree.snapshot();
    const { out } = await tree.run(...INSTALL, "--dry-run");
    assert.match(out, /^\+\[plugins\."io\.containerd\.grpc\.v1\.cri"\.containerd\.runtimes\.pclive\]$/m);
    assert.match(out, /^\+ +"pclive": \{$/m);
    assert.match(out, /nothing was changed/);
    assert.deepEqual(tree.snapshot(), before);
    assert.equal((await tree.run(...INSTALL)).status, 0);
    const installed = tree.snapshot();
    assert.match((await tree.run("uninstall", "--dry-run")).out, /^-\[plugins\./m);
    assert.deepEqual(tree.snapshot(), installed);
  });

  it("keeps a copy named by the date, and takes only our part out of a changed file", async () => {
    assert.equal((await tree.run(...INSTALL)).status, 0);
    const copies = readdirSync(tree.path("/etc/containerd")).filter((name) =>
      /^config\.toml\.pclive-\d{8}-\d{6}$/.test(name),
    );
    assert.equal(copies.length, 1);
    writeFileSync(tree.path(CONFIG), `${tree.read(CONFIG)}[debug]\nlevel = "warn"\n`);
    writeFileSync(tree.path(DAEMON), tree.read(DAEMON).replace("1400", "1450"));
    const { out } = await tree.run("uninstall");
    assert.match(out, new RegExp(`our part only; a copy from before is /etc/containerd/${copies[0]}`));
    assert.equal(tree.read(CONFIG), '# mine\nversion = 2\n[debug]\nlevel = "warn"\n');
    assert.deepEqual(JSON.parse(tree.read(DAEMON)), { mtu: 1450 });
    assert.equal(tree.read(`/etc/containerd/${copies[0]}`), "# mine\nversion = 2\n");
  });

  it("finds its part by the marks when the record is lost", async () => {
    assert.equal((await tree.run(...INSTALL)).status, 0);
    tree.write(MANIFEST, "{}");
    const damaged = await tree.run("uninstall");
    assert.equal(damaged.status, 3);
    assert.match(damaged.err, /move it away/);
    tree.write(MANIFEST, "");
    assert.equal((await tree.run("uninstall")).status, 3, "an empty record is a damaged one");
    const other = new Tree({ [CONFIG]: tree.read(CONFIG), [DAEMON]: tree.read(DAEMON) });
    assert.equal((await other.run("uninstall")).status, 0);
    assert.equal(other.read(CONFIG), "# mine\nversion = 2\n");
    assert.deepEqual(JSON.parse(other.read(DAEMON)), { mtu: 1400, runtimes: {} });
    other.remove();
  });

  it("follows a link and keeps it", async () => {
    const linked = new Tree({ "/srv/containerd.toml": "version = 3\n" });
    symlinkSync("/srv/containerd.toml", linked.path(CONFIG));
    const before = linked.snapshot();
    assert.equal((await linked.run(...INSTALL, "--no-docker")).err, "");
    assert.match(linked.read("/srv/containerd.toml"), /io\.containerd\.cri\.v1\.runtime/);
    assert.equal((await linked.run("uninstall")).err, "");
    assert.deepEqual(linked.snapshot(), before);
    linked.remove();
  });

  it("edits the imported file that counts", async () => {
    const cni = '[plugins."io.containerd.grpc.v1.cri".cni]\nbin_dir = "/opt/cni/bin"\n';
    tree.write(CONFIG, 'version = 2\nimports = ["conf.d/*.toml"]\n');
    tree.write("/etc/containerd/conf.d/10-cni.toml", `version = 2\n${cni}`);
    tree.write("/etc/containerd/conf.d/20-debug.toml", '[debug]\nlevel = "info"\n');
    const before = tree.snapshot();
    const between = await roundTrip();
    assert.match(between["etc/containerd/conf.d/10-cni.toml"] ?? "", />>> pclive >>>/);
    assert.equal(between["etc/containerd/config.toml"], before["etc/containerd/config.toml"]);
    assert.deepEqual(tree.snapshot(), before);
  });

  it("links the shim when it lies where nobody looks", async () => {
    const opt = new Tree({ "/opt/pclive/bin/containerd-shim-pclive-v2": "x" });
    await opt.run("uninstall");
    const shadowed = await opt.run("install", "--prefix", "/opt/pclive");
    assert.equal(shadowed.status, 3);
    assert.match(shadowed.err, /remove the older installation/);
    opt.remove();
  });

  describe("refuses, and changes nothing:", () => {
    const cases: readonly (readonly [string, (tree: Tree) => void, RegExp])[] = [
      ["malformed TOML", (t) => t.write(CONFIG, "version = \n"), /config\.toml: not valid TOML/],
      ["malformed JSON behind a good TOML", (t) => t.write(DAEMON, "{"), /daemon\.json: not valid JSON/],
      ["version 1", (t) => t.write(CONFIG, 'root = "/x"\n'), /version 1/],
      ["a file that is a folder", (t) => void mkdirSync(t.path("/etc/containerd/d")), /not a regular file/],
      ["bytes that are no text", (t) => writeFileSync(t.path(CONFIG), Buffer.from([0xff, 0xfe, 0])), /UTF-8/],
      ["a missing import", (t) => t.write(CONFIG, 'version = 2\nimports = ["/no.toml"]\n'), /\/no\.toml/],
      ["a file of enormous size", (t) => t.write(CONFIG, "#".repeat(5e6)), /larger than/],
    ];
    for (const [name, prepare, says] of cases) {
      it(name, async () => {
        prepare(tree);
        const before = tree.snapshot();
        const words = name.includes("folder") ? ["--containerd-config", "/etc/containerd/d"] : [];
        const { status, err } = await tree.run(...INSTALL, ...words);
        assert.equal(status, 3, err);
        assert.match(err, says);
        assert.match(err, /\n {2}try: ./);
        assert.deepEqual(tree.snapshot(), before);
      });
    }

    it("a link to nothing", async () => {
      const dangling = new Tree();
      symlinkSync("gone.toml", dangling.path(CONFIG));
      assert.match((await dangling.run(...INSTALL)).err, /a symbolic link to nothing/);
      dangling.remove();
    });

    it("a prefix without PCLive", async () => {
      const { err, status } = await tree.run("install", "--prefix", "/opt/none");
      assert.equal(status, 1);
      assert.match(err, /make install/);
    });

    it("words that are no paths or versions", async () => {
      for (const words of [
        ["--prefix", "usr"],
        ["--docker-version", "new"],
        ["--containerd-config", "c.toml"],
      ]) {
        assert.equal((await tree.run(...INSTALL, ...words)).status, 2, words.join(" "));
      }
    });
  });

  it("tells a program all of it with --json", async () => {
    const report = JSON.parse((await tree.run(...INSTALL, "--json")).out);
    assert.equal(report.dryRun, false);
    const actions = Object.fromEntries(
      report.steps.map((s: { about: string; action: string }) => [s.about, s.action]),
    );
    assert.equal(actions[CONFIG], "edit");
    assert.equal(actions[DAEMON], "edit");
    assert.equal(actions["/usr/share/pclive/runtimeclass.yaml"], "create");
    assert.ok(report.next.some((line: string) => line.startsWith("systemctl try-restart containerd")));
  });

  it("is in the command that is shipped", () => {
    const help = execFileSync("build/dist/bin/pclive", ["install", "--help"], {
      encoding: "utf8",
      timeout: 15_000,
    });
    for (const word of [
      "--dry-run",
      "--restart",
      "--root",
      "--prefix",
      "--no-docker",
      "--json",
      "install.json",
    ])
      assert.ok(help.includes(word), word);
  });

  it("does not touch what it is told to leave", async () => {
    const before = tree.snapshot();
    assert.equal((await tree.run(...INSTALL, "--no-docker", "--no-containerd")).status, 0);
    for (const path of ["etc/docker/daemon.json", "etc/containerd/config.toml"])
      assert.equal(tree.snapshot()[path], before[path]);
  });
});
