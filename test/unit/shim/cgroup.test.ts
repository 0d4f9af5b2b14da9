import assert from "node:assert/strict";
import { foldersOf, parseMounts } from "../../../shim/container/cgroup.js";
import {
  keyedIn,
  numberIn,
  perDevice,
  perOperation,
  UNLIMITED,
} from "../../../shim/container/cgroup-files.js";

const V1 = `30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
31 25 0:27 /host /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer
32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`;
const V2 = "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";

describe("cgroup", () => {
  it("finds the folders of version 1, also below a mount of a part", () => {
    const folders = foldersOf("4:cpu,cpuacct:/c/a\n3:freezer:/host/c/a\n0::/c/a\n", parseMounts(V1));
    assert.equal(folders.version, 1);
    assert.equal(folders.controllers.get("cpuacct"), "/sys/fs/cgroup/cpu,cpuacct/c/a");
    assert.equal(folders.controllers.get("freezer"), "/sys/fs/cgroup/freezer/c/a");
    assert.equal(folders.unified, "/sys/fs/cgroup/unified/c/a");
  });

  it("finds the folder of version 2", () => {
    const folders = foldersOf("0::/system.slice/a:b\n", parseMounts(V2));
    assert.deepEqual([folders.version, folders.unified], [2, "/sys/fs/cgroup/system.slice/a:b"]);
  });

  it("does not take the place where CRIU mounts a hierarchy for a moment, and the uppermost of two mounts", () => {
    const yard = "90 25 0:27 / /tmp/work/.criu.cgyard.x/freezer rw - cgroup none rw,freezer\n";
    const over = "91 25 0:27 /other /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n";
    const freezer = (mountinfo: string) =>
      foldersOf("3:freezer:/c/a\n", parseMounts(mountinfo)).controllers.get("freezer");
    assert.equal(freezer(yard + V1 + yard), "/sys/fs/cgroup/freezer/c/a");
    assert.equal(freezer(yard), "/tmp/work/.criu.cgyard.x/freezer/c/a");
    assert.equal(
      foldersOf("3:freezer:/other/c/a\n", parseMounts(V1 + over)).controllers.get("freezer"),
      "/sys/fs/cgroup/freezer/c/a",
    );
  });

  it("reads numbers, and nonsense as 0", () => {
    assert.deepEqual(["12\n", "max", "-1", "x", ""].map(numberIn), [12, UNLIMITED, 0, 0, 0]);
    assert.deepEqual(
      [...keyedIn("a 1\nb max\nnonsense\n")],
      [
        ["a", 1],
        ["b", UNLIMITED],
      ],
    );
  });

  it("reads figures by device", () => {
    assert.deepEqual(perOperation("8:0 Read 5\nTotal 5\n"), [{ major: 8, minor: 0, op: "Read", value: 5 }]);
    const [disk] = perDevice("8:16 rbytes=1 wbytes=2\n");
    assert.deepEqual([disk?.major, disk?.minor, disk?.values.get("wbytes")], [8, 16, 2]);
  });
});
