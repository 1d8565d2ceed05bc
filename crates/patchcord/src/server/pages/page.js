// The built-in page: a chat on `/chat` (or on `/`, where one script is served alone), and an echo on `/echo`.
//
// In: the server's events and what the person types. Out: elements of index.html.
// What must stay true: text of other people reaches the page as `textContent` only.

import { connect } from "./client.js";

const at = (id) => document.getElementById(id);
const RETRY_REFUSED_MS = 2000;
const LONGEST_SHOWN = 600;
const MOST_LINES = 500;
const NO_SUCH_NAMESPACE = "Invalid namespace";
/** A secret by which the chat knows this tab when it comes back. */
const USER = (sessionStorage.user ??= hex(crypto.getRandomValues(new Uint8Array(16))));

const views = { chat: { start: startChat }, echo: { start: startEcho } };

function show(name) {
  const view = views[name];
  for (const other of Object.keys(views)) at(other).hidden = other !== name;
  for (const link of document.querySelectorAll("nav a")) {
    link.dataset.view === name ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  document.title = name === "echo" ? "Echo · patchcord" : "patchcord";
  view.state ??= view.start(view);
  showStatus();
}

/** The state of the connection of the view that is seen. */
function showStatus() {
  const view = Object.entries(views).find(([name]) => !at(name).hidden)[1];
  const { state = "waiting", text = "connecting" } = view.status ?? {};
  at("status").dataset.state = state;
  at("status").textContent = text;
}

/** Connects a view to a namespace and keeps its status; a namespace whose script is broken is asked for again. */
function join(view, namespace, missing) {
  const status = (state, text) => {
    view.status = { state, text };
    showStatus();
  };
  const socket = connect(namespace, { auth: { user: USER } });
  status("waiting", "connecting");
  socket.on("connect", () => status("good", `connected to ${namespace}`));
  socket.on("disconnect", (reason) => {
    const ended = reason === "io server disconnect";
    if (ended) status("bad", "the server ended the connection; reload the page to come back");
    else status("waiting", "connection lost, trying again");
  });
  socket.on("connect_error", ({ message }) => {
    if (message === NO_SUCH_NAMESPACE && missing?.()) return;
    status("bad", `${namespace}: ${message}`);
    setTimeout(() => socket.connect(), RETRY_REFUSED_MS);
  });
  return socket;
}

// Chat

function startChat(view) {
  const chat = { socket: undefined, name: sessionStorage.getItem("name"), people: [] };
  at("name").value = chat.name ?? "";
  bind(join(view, "/chat", () => {
    at("hint").textContent = "edit the served script and save: this page stays connected";
    bind(join(view, "/"));
    return true;
  }));

  at("say").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!chat.socket.connected || !at("text").value.trim()) return;
    chat.socket.emit("chat message", at("text").value, (answer) => {
      if (answer?.error) notice(answer.error);
    });
    at("text").value = "";
  });
  at("rename").addEventListener("submit", (event) => {
    event.preventDefault();
    setName(at("name").value);
  });

  function bind(socket) {
    chat.socket = socket;
    socket.on("connect", () => {
      notice("connected");
      if (chat.name) setName(chat.name);
    });
    socket.on("disconnect", (reason) => {
      notice(`disconnected: ${reason}`);
      people([]);
    });
    socket.on("welcome", (text) => notice(text));
    socket.on("chat message", (text, about, ...more) => message(text, about?.from, about?.id === socket.id, more));
    socket.on("history", (all) => history(all));
    socket.on("users", (names) => people(names));
    socket.on("joined", (name) => notice(`${name} joined`));
    socket.on("left", (name) => notice(`${name} left`));
    socket.on("renamed", (old, now) => notice(`${old} is now ${now}`));
    socket.on("*", (event, ...args) => strange(event, args.filter((arg) => typeof arg !== "function")));
  }

  function setName(wanted) {
    chat.socket.emit("set name", wanted, (answer) => {
      at("name-error").textContent = answer?.ok ? "" : (answer?.error ?? "the server did not take this name");
      at("name").toggleAttribute("aria-invalid", !answer?.ok);
      if (answer?.ok) own(answer.name);
    });
  }

  function own(name) {
    chat.name = name;
    sessionStorage.setItem("name", name);
    at("name").value = name;
    people(chat.people);
  }

  function people(names) {
    chat.people = Array.isArray(names) ? names.map(String) : [];
    at("count").textContent = chat.people.length;
    at("people").replaceChildren(...chat.people.map((name) => {
      const item = element("li", "", name);
      item.style.setProperty("--hue", hue(name));
      if (name === chat.name) item.append(" ", element("small", "", "you"));
      return item;
    }));
  }

  /** Shows the messages that the server has kept, in place of those that this page has from before. */
  function history(all) {
    for (const old of document.querySelectorAll("#messages .message")) old.remove();
    for (const item of Array.isArray(all) ? all : []) {
      message(item?.text ?? item, item?.from, Boolean(chat.name) && item?.from === chat.name, [], new Date(item?.at ?? Date.now()));
    }
  }

  function message(text, from, mine, more, time = new Date()) {
    const item = element("li", mine ? "message own" : "message");
    item.style.setProperty("--hue", hue(String(from)));
    const head = element("p", "head");
    if (from !== undefined) head.append(element("b", "", String(from)));
    head.append(element("time", "", time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })));
    item.append(head, element("p", "body", typeof text === "string" ? text : shown(text)));
    if (more.length) item.append(element("code", "", shown(more)));
    add("messages", item);
  }

  function notice(text) {
    add("messages", element("li", "notice", String(text)));
  }

  // Whoever edits the script sees a new event here before the page knows anything of it.
  function strange(event, args) {
    const item = element("li", "strange", "event ");
    item.append(element("code", "", event), ` ${shown(args)}`);
    add("messages", item);
  }

  return chat;
}

// Echo

function startEcho(view) {
  const socket = join(view, "/echo");
  socket.on("echo", (...args) => line("back", "echo", args));
  socket.on("disconnect", (reason) => line("", "disconnected", [reason]));
  socket.on("*", (event, ...args) => line("", `event ${event}`, args));

  at("send").addEventListener("submit", (event) => {
    event.preventDefault();
    const args = read();
    if (!args) return;
    line("sent", "sent", args);
    const start = performance.now();
    const ack = (...answer) => line("ack", `ack after ${(performance.now() - start).toFixed(1)} ms`, answer);
    socket.emit("echo", ...args, ...(at("ask").checked ? [ack] : []));
  });
  at("arguments").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("send").requestSubmit();
  });

  function read() {
    at("send-error").textContent = "";
    try {
      const args = JSON.parse(`[${at("arguments").value}]`);
      return at("binary").checked ? [...args, crypto.getRandomValues(new Uint8Array(8))] : args;
    } catch (error) {
      at("send-error").textContent = `not JSON: ${error.message}`;
      return undefined;
    }
  }

  function line(kind, title, args) {
    const item = element("li", `line ${kind}`);
    item.append(element("b", "", title), element("code", "", shown(args)));
    add("answers", item);
  }

  return socket;
}

// Elements

function element(name, classes, text = "") {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  made.textContent = text;
  return made;
}

/** Adds a line at the end of a list and keeps the end in view, unless the person has scrolled up to read. */
function add(id, item) {
  const list = at(id);
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  list.append(item);
  while (list.children.length > MOST_LINES) list.firstChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

/** Bytes as hexadecimal digits. */
function hex(bytes, between = "") {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(between);
}

/** A value as short JSON; binary by its length and first bytes. */
function shown(value) {
  const text = JSON.stringify(value, (_, part) => {
    if (!(part instanceof ArrayBuffer || ArrayBuffer.isView(part))) return part;
    const bytes = new Uint8Array(part.buffer ?? part);
    const start = hex(bytes.subarray(0, 8), " ");
    return `<${bytes.length} bytes: ${start}${bytes.length > 8 ? " ..." : ""}>`;
  });
  if (text === undefined) return "";
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}...` : text;
}

/** A colour for a name: always the same one. */
function hue(name) {
  return [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
}

for (const link of document.querySelectorAll("nav a")) {
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (location.pathname !== link.pathname) history.pushState({}, "", link.pathname);
    show(link.dataset.view);
  });
}
const current = () => (location.pathname.endsWith("/echo") ? "echo" : "chat");
addEventListener("popstate", () => show(current()));
show(current());
