import { PATIENCE } from "./patience.js";

/** Polls until `check` is true, at most `ms` milliseconds (of an ordinary machine). */
export async function until(check: () => boolean | Promise<boolean>, ms = 5000): Promise<void> {
  const deadline = Date.now() + ms * PATIENCE;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error("waited in vain");
    await new Promise((done) => setTimeout(done, 20));
  }
}
