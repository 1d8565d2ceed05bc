// A browser for the tests.
//
// In: an address. Out: pages of playwright. What must stay true: an error on a page fails the test that opened it, and so
// does something that a page's security policy blocks.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before } from "node:test";
import { chromium } from "playwright-core";

const flags = [
  "--no-sandbox", "--headless=new", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

/** One browser for all tests of a file. Answers `open(t, url, settings)`, which opens a tab. */
export function browser() {
  let running;
  before(async () => {
    running = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags });
  });
  after(() => running?.close());
  return async (t, url, settings = {}) => {
    const context = await running.newContext({ viewport: { width: 1100, height: 720 }, ...settings });
    const page = await context.newPage();
    const errors = [];
    const blocked = [];
    page.on("pageerror", (error) => errors.push(error));
    page.on("console", (line) => {
      if (line.type() === "error" && /content security policy/i.test(line.text())) blocked.push(line.text());
    });
    t.after(async () => {
      await context.close();
      assert.deepEqual(errors, []);
      if (!page.mayBeBlocked) assert.deepEqual(blocked, []);
    });
    await page.goto(url);
    return page;
  };
}

/** Keeps a picture of the page if someone wants to look at it. */
export async function picture(page, name) {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}
