// The built-in pages where browsers and proxies are strict: their security policy blocks nothing that they need, and they
// work below any prefix. Another site gets nothing.

import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { serve, shippedScripts, temporaryFolder } from "../clients/server.js";
import { browser } from "./page.js";
import { proxy } from "./proxy.js";

const open = browser();
const dist = fileURLToPath(new URL("./node_modules/socket.io-client/dist", import.meta.url));
const presets = ["chat", "echo", "private", "rooms", "auth", "whiteboard", "game"];

/** Waits until a page says that it is connected, or why it is not. */
const settled = (page, text) => page.locator("#status", { hasText: text }).waitFor();

/** A server of one shipped script, as `serve --preset` serves it. */
async function preset(t, name, args) {
  const script = await readFile(join(shippedScripts, `${name}.rhai`), "utf8");
  return serve(t, { "main.rhai": script, [`${name}.rhai`]: script }, args);
}

/** Draws a line on the board, and waits until somebody else's page has it. */
async function draws(page, other) {
  const { x, y, width, height } = await page.locator("canvas").boundingBox();
  await page.mouse.move(x + width / 4, y + height / 4);
  await page.mouse.down();
  await page.mouse.move(x + width / 2, y + height / 2, { steps: 5 });
  await page.mouse.up();
  await other.locator(".pointer").waitFor();
}

for (const name of presets) {
  test(`every page of the preset ${name} works under its security policy`, async (t) => {
    const server = await preset(t, name);
    const refused = name === "auth";
    const chat = await open(t, server.url);
    await settled(chat, refused ? /^\/: / : name === "chat" ? "connected to /chat" : "connected to /");
    const echo = await open(t, `${server.url}/echo`);
    await settled(echo, name === "echo" ? "connected to /echo" : "/echo: Invalid namespace");
    const board = await open(t, `${server.url}/whiteboard`);
    if (name !== "whiteboard") return settled(board, "/whiteboard: Invalid namespace");
    await settled(board, "connected to /whiteboard");
    const other = await open(t, `${server.url}/whiteboard`);
    await settled(other, "connected to /whiteboard");
    await draws(board, other);
  });
}

test("the security policy is in force", async (t) => {
  const server = await serve(t, shippedScripts);
  const answer = await fetch(`${server.url}/whiteboard`);
  assert.match(answer.headers.get("content-security-policy"), /frame-ancestors 'none'/);
  const page = await open(t, server.url);
  await settled(page, "connected to /chat");
  page.mayBeBlocked = true;
  const blocked = await page.evaluate(() => new Promise((resolve) => {
    document.addEventListener("securitypolicyviolation", ({ effectiveDirective }) => resolve(effectiveDirective), { once: true });
    document.head.append(Object.assign(document.createElement("img"), { src: "/favicon.ico" }));
  }));
  assert.equal(blocked, "img-src");
});

for (const prefix of ["/app/", "/a/b/"]) {
  test(`the pages work behind a proxy that removes ${prefix}`, async (t) => {
    const server = await serve(t, shippedScripts);
    const url = await proxy(t, server.url, prefix);
    const page = await open(t, url);
    await settled(page, "connected to /chat");
    await page.getByRole("link", { name: "Echo" }).click();
    await settled(page, "connected to /echo");
    assert.equal(new URL(page.url()).pathname, `${prefix}echo`);
    await page.reload();
    await settled(page, "connected to /echo");
    await page.getByRole("link", { name: "Chat" }).click();
    await settled(page, "connected to /chat");
    assert.equal(new URL(page.url()).pathname, prefix);
    const board = await open(t, `${url}whiteboard`);
    await settled(board, "connected to /whiteboard");
    const other = await open(t, `${url}whiteboard`);
    await settled(other, "connected to /whiteboard");
    await draws(board, other);
    await board.getByRole("link", { name: "Chat" }).click();
    await settled(board, "connected to /chat");
  });
}

test("the pages find an endpoint at another path", async (t) => {
  const server = await serve(t, shippedScripts, ["--path", "/live/ws"]);
  const page = await open(t, `${server.url}/echo`);
  await settled(page, "connected to /echo");
});

/** A site of somebody else, with one page. */
async function site(t, html) {
  const server = createServer((_, answer) => answer.setHeader("content-type", "text/html").end(html()));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return `http://127.0.0.1:${server.address().port}`;
}

/** A page that loads the official client as a module from the server, and says what came of it. */
const moduleOf = (url) => `<title>waiting</title><script type="module">
  try {
    const { io } = await import("${url}/socket.io/socket.io.esm.min.js");
    const socket = io("${url}/echo");
    socket.on("connect", () => (document.title = "connected"));
  } catch {
    document.title = "refused";
  }
</script>`;

test("a page of another origin loads the client as a module if it may connect, and only then", async (t) => {
  let server;
  const url = await site(t, () => moduleOf(server.url));
  for (const [args, title] of [[["--origin", url], "connected"], [["--origin", "*"], "connected"], [[], "refused"]]) {
    server = await serve(t, shippedScripts, ["--client-dist", dist, ...args]);
    const page = await open(t, url);
    await page.waitForFunction((title) => document.title === title, title);
  }
});

test("a page that connects as every page does is without its visitor's cookies", async (t) => {
  const scripts = { "main.rhai": `fn on_connection(socket) {
    socket.emit("cookies", socket.handshake.headers.cookie ?? "none");
  }` };
  for (const [args, expected] of [[["--origin", "*"], "none"], [null, "session=secret"]]) {
    const url = await site(t, () => "<title>other</title>");
    const server = await serve(t, scripts, ["--client-dist", dist, ...(args ?? ["--origin", url])]);
    const page = await open(t, url);
    await page.context().addCookies([{ name: "session", value: "secret", url: server.url }]);
    const cookies = await page.evaluate(async (url) => {
      const { io } = await import(`${url}/socket.io/socket.io.esm.min.js`);
      const socket = io(url, { transports: ["websocket"] });
      return new Promise((resolve) => socket.on("cookies", resolve));
    }, server.url);
    assert.equal(cookies, expected);
  }
});

test("a folder of one's own works behind a proxy, too", async (t) => {
  const folder = await temporaryFolder({ "more/index.html": "<title>more</title>", "index.html": "<a href='more'>more</a>" });
  t.after(() => rm(folder, { recursive: true }));
  const server = await serve(t, shippedScripts, ["--public", folder]);
  const url = await proxy(t, server.url, "/app/");
  const page = await open(t, url);
  await page.getByRole("link", { name: "more" }).click();
  await page.waitForURL("**/app/more/");
  assert.equal(await page.title(), "more");
});
