/** For mocha's --require: every test may take as many times longer as PATIENCE says. */
import type { Context } from "mocha";
import { PATIENCE } from "./patience.js";

export const mochaHooks = {
  beforeEach(this: Context): void {
    const test = this.currentTest;
    test?.timeout(test.timeout() * PATIENCE);
  },
};
