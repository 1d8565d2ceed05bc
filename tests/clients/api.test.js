// The HTTP API as its OpenAPI document describes it: every request and every answer has the form that it says.

import assert from "node:assert/strict";
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import Ajv2020 from "ajv/dist/2020.js";
import { onEachTransport } from "./client.js";
import { serve, temporaryFolder } from "./server.js";

const KEY = "a-key-that-nobody-guesses";
const SCRIPT = `
fn on_connection(socket) { socket.data.name = "ada"; socket.join("lobby"); }
fn on_api(request) {
    switch request.name {
        "echo" => request,
        "fail" => request.args[5],
        "throw" => throw "no",
        "throw map" => throw #{ message: "no", order: 7 },
    }
}`;

/** The API of a new server, with what its document says. */
async function api(t) {
  const folder = await temporaryFolder({
    "keys.toml": `[[key]]\nname = "all"\nkey = "${KEY}"\n
[[key]]\nname = "few"\nkey = "few-${KEY}"\nnamespaces = ["/room/*"]\noperations = ["emit"]\n
[[key]]\nname = "slow"\nkey = "slow-${KEY}"\nmax-requests-per-second = 1\n`,
  });
  const keys = join(folder, "keys.toml");
  await chmod(keys, 0o600);
  const scripts = { "main.rhai": SCRIPT, "room/{id}.rhai": SCRIPT, "plain.rhai": "fn on_connection(socket) { }" };
  const server = await serve(t, scripts, ["--admin-listen", "127.0.0.1:0", "--api-keys", keys]);
  const [, url] = await server.printed(/listening on (http:\S+) for the operator/);
  const described = await fetch(`${url}/api/openapi.json`);
  assert.equal(described.status, 200);
  return { server, url, document: await described.json() };
}

/** Validators of the document's schemas. Strict, so that the document itself has no words that mean nothing. */
function validators(document) {
  const ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true, strictTypes: false });
  ajv.addVocabulary(["components"]);
  ajv.addSchema({ $id: "openapi", components: document.components }, "openapi");
  const resolve = (schema) =>
    JSON.parse(JSON.stringify(schema).replaceAll('"#/components/', '"openapi#/components/'));
  const compiled = new Map();
  return (schema) => {
    const text = JSON.stringify(schema);
    if (!compiled.has(text)) compiled.set(text, ajv.compile(resolve(schema)));
    const validate = compiled.get(text);
    return (value) => (validate(value) ? [] : validate.errors);
  };
}

onEachTransport("http api", ({ connect }) => {
  test("every request and every answer fits the document", async (t) => {
    const { server, url, document } = await api(t);
    const client = await connect(t, server.url, "/");
    await connect(t, server.url, "/room/7");
    const errorsOf = validators(document);
    const seen = new Set();

    /** Posts, and checks both bodies. `fits` tells whether the request is one that the document allows. */
    async function post(operation, body, { status = 200, fits = true, key = KEY, headers = {} } = {}) {
      const { post } = document.paths[`/api/${operation}`];
      const text = typeof body === "string" ? body : JSON.stringify(body);
      if (typeof body !== "string") {
        const errors = errorsOf(post.requestBody.content["application/json"].schema)(body);
        assert.equal(errors.length === 0, fits, `${operation} ${text}: ${JSON.stringify(errors)}`);
      }
      const answer = await fetch(`${url}/api/${operation}`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, ...headers },
        body: text,
      });
      const json = await answer.json();
      const about = `${operation} ${text.slice(0, 200)}: ${answer.status} ${JSON.stringify(json)}`;
      assert.equal(answer.status, status, about);
      let response = post.responses[answer.status];
      assert.ok(response, `the document does not know ${about}`);
      if (response.$ref) response = document.components.responses[response.$ref.split("/").at(-1)];
      assert.deepEqual(errorsOf(response.content["application/json"].schema)(json), [], about);
      assert.equal(answer.headers.get("content-type"), "application/json");
      for (const name of Object.keys(response.headers ?? {})) {
        const needed = ![409].includes(answer.status) || json.error.code === "running";
        if (needed) assert.ok(answer.headers.get(name), `${name} of ${about}`);
      }
      const codes = Array.isArray(json) ? json.map((one) => one.body.error?.code) : [json.error?.code];
      for (const code of codes) if (code) seen.add(code);
      return json;
    }

    const namespace = "/";
    const all = { namespace, to: ["lobby"], except: ["muted"] };
    assert.deepEqual(await post("emit", { ...all, event: "news", args: ["hi", { n: [1.5, null] }], volatile: false }), { count: 1 });
    assert.deepEqual(await client.next("news"), ["hi", { n: [1.5, null] }]);
    await post("emit", { namespace, event: "bare" });
    await post("join", { ...all, rooms: ["a"] });
    await post("leave", { ...all, rooms: ["a"] });
    await post("count", all);
    const sockets = await post("sockets", { ...all, after: "", limit: 1 });
    assert.equal(sockets.sockets[0].data.name, "ada");
    await post("rooms", { namespace, limit: 1 });
    const echo = await post("call", { namespace, name: "echo", args: [1] });
    assert.deepEqual(echo, { answer: { name: "echo", args: [1], key: "all" } });
    await post("call", [{ namespace, name: "echo" }, { namespace, name: "fail" }, { namespace: "/nowhere", name: "x" }]);
    await post("emit", [{ namespace, event: "one" }, { namespace, event: "two" }]);

    for (const name of ["throw", "throw map"]) await post("call", { namespace, name }, { status: 422 });
    await post("call", { namespace, name: "fail" }, { status: 500 });
    await post("call", { namespace: "/plain", name: "x" }, { status: 404 });
    await post("call", { namespace: "/room/8", name: "x" }, { status: 404 });
    await post("emit", { namespace: "/nowhere", event: "x" }, { status: 404 });
    await post("emit", { namespace, event: "x", more: 1 }, { status: 400, fits: false });
    await post("emit", { event: "x" }, { status: 400, fits: false });
    await post("emit", [], { status: 400, fits: false });
    await post("emit", { namespace, event: "x", to: Array(101).fill("r") }, { status: 400, fits: false });
    await post("sockets", { namespace, limit: 1001 }, { status: 400, fits: false });
    await post("join", { namespace, rooms: ["x".repeat(1025)] }, { status: 400, fits: false });
    await post("call", { namespace, name: "x".repeat(256) }, { status: 400, fits: false });
    await post("emit", "{", { status: 400 });
    await post("emit", " ".repeat(256 * 1024 + 1), { status: 413 });
    const event = { namespace, event: "x" };
    await post("emit", event, { status: 401, key: "wrong" });
    await post("emit", event, { status: 403, key: `few-${KEY}` });
    await post("count", { namespace: "/room/7" }, { status: 403, key: `few-${KEY}` });
    await post("emit", Array(3).fill(event), { key: `slow-${KEY}` });
    await post("emit", event, { status: 429, key: `slow-${KEY}` });
    await post("emit", event, { headers: { "idempotency-key": "1" } });
    await post("emit", { ...event, args: [2] }, { status: 422, headers: { "idempotency-key": "1" } });
    const many = Array.from({ length: 100 }, (_, n) => `r${n}`);
    for (let n = 0; n < 10; n++) {
      await post("join", { namespace, rooms: many.map((room) => `${room}-${n}`) }, { status: n < 9 ? 200 : 409 });
    }
    await post("disconnect", { namespace, close: false });
    await client.next("disconnect");

    const known = document.components.schemas.Error.properties.error.properties.code.enum;
    assert.deepEqual([...seen].filter((code) => !known.includes(code)), []);
    const rare = ["no_operation", "method", "timeout", "running", "busy", "ended"];
    assert.deepEqual(known.filter((code) => !seen.has(code) && !rare.includes(code)), []);
  });
});
