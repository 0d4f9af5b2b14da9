import assert from "node:assert/strict";
import { chooseStageAfter } from "../../../runtime/agent/destination/stage-after.js";

describe("when memory is put in place", () => {
  it("at once where there is twice the container's memory", () => {
    assert.equal(chooseStageAfter(1e9, 8e9), 0);
    assert.equal(chooseStageAfter(1e9, 2e9), 0);
    assert.equal(chooseStageAfter(0, 0), 0);
  });

  it("after the third round where memory is short", () => {
    assert.equal(chooseStageAfter(1e9, 1.9e9), 3);
    assert.equal(chooseStageAfter(1e9, 0), 3);
  });
});
