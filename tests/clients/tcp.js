// HTTP written by hand on a TCP connection: requests that no client library sends, halves of requests, and every byte
// of the answers.
//
// In: an address, and the text of a request. Out: the answers in order, and how the connection ends.

import { connect } from "node:net";
import { deferred } from "./server.js";

/** Opens a TCP connection to the server at `url`. */
export function openTcp(t, url) {
  const tcp = new Tcp(new URL(url));
  t.after(() => tcp.end());
  return tcp;
}

/** Sends one request on a connection of its own and answers `{ status, headers, body }`. */
export async function exchange(t, url, text) {
  const tcp = openTcp(t, url);
  tcp.write(text);
  return tcp.answer({ toHead: text.startsWith("HEAD ") });
}

/** The text of a request without a body. `headers` are lines. */
export function request(url, method, address, headers = [], { hosts = [new URL(url).host], version = "1.1" } = {}) {
  const first = `${method} ${address.pathname}${address.search} HTTP/${version}`;
  return [first, ...hosts.map((host) => `Host: ${host}`), ...headers, "", ""].join("\r\n");
}

class Tcp {
  #socket;
  #text = "";
  #closed = false;
  #waiting = new Set();

  constructor({ hostname, port }) {
    this.#socket = connect(Number(port), hostname);
    this.#socket.setNoDelay(true).setEncoding("latin1");
    this.#socket.on("data", (text) => {
      this.#text += text;
      this.#look();
    });
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => {
      this.#closed = true;
      this.#look();
    });
  }

  /** Each character is a byte. Answers when the operating system has taken them. */
  write(text) {
    return new Promise((resolve) => this.#socket.write(text, "latin1", resolve));
  }

  /** Ends the connection as a client does that is gone. */
  end() {
    this.#socket.destroy();
  }

  /** The next answer; a `100 Continue` is one, too. Answers `undefined` when the connection ends before a head came. */
  answer({ toHead = false } = {}) {
    return this.#until(() => this.#take(toHead), "no answer came");
  }

  /** All that came behind the last answer, as soon as it matches `pattern`. */
  until(pattern) {
    return this.#until(() => (pattern.test(this.#text) ? { value: this.#text } : undefined), `no ${pattern} came`);
  }

  /** Answers when the connection has ended. */
  get ended() {
    return this.#until(() => (this.#closed ? { value: undefined } : undefined), "the connection was not ended");
  }

  #take(toHead) {
    const split = this.#text.indexOf("\r\n\r\n");
    if (split < 0) return this.#closed ? { value: undefined } : undefined;
    const [first, ...lines] = this.#text.slice(0, split).split("\r\n");
    const status = Number(first.split(" ")[1]);
    const headers = Object.fromEntries(
      lines.map((line) => [line.split(":")[0].toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
    );
    const rest = this.#text.slice(split + 4);
    const hasBody = status >= 200 && !toHead;
    if (hasBody && headers["transfer-encoding"] === "chunked") return this.#takeChunked(status, headers, rest);
    const length = hasBody ? Number(headers["content-length"] ?? (this.#closed ? rest.length : NaN)) : 0;
    if (!(rest.length >= length)) return undefined;
    this.#text = rest.slice(length);
    return { value: { status, headers, body: rest.slice(0, length) } };
  }

  /** Enough for the short bodies of these tests: Node's server writes an empty one in this way. */
  #takeChunked(status, headers, rest) {
    let body = "";
    for (;;) {
      const [, size, after] = rest.match(/^([0-9a-f]+)\r\n([^]*)$/i) ?? [];
      const length = parseInt(size, 16);
      if (!(after?.length >= length + 2)) return undefined;
      body += after.slice(0, length);
      rest = after.slice(length + 2);
      if (length > 0) continue;
      this.#text = rest;
      return { value: { status, headers, body } };
    }
  }

  #until(attempt, complaint) {
    const { promise, resolve } = deferred(() => `${complaint}; received: ${JSON.stringify(this.#text)}`);
    const look = () => {
      const found = attempt();
      if (!found) return;
      this.#waiting.delete(look);
      resolve(found.value);
    };
    this.#waiting.add(look);
    look();
    return promise;
  }

  #look() {
    for (const look of [...this.#waiting]) look();
  }
}
