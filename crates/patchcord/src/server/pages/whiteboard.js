// The board of `scripts/whiteboard.rhai`. Places are parts of the width and the height, from 0 to 1.
import { connect } from "./client.js";

const board = document.getElementById("board");
const canvas = document.querySelector("canvas");
const status = document.getElementById("status");
const pen = canvas.getContext("2d");
const colour = (id) => `hsl(${[...id].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7)} 70% 50%)`;
const socket = connect("/whiteboard");
const pointers = new Map();
let lines = [];
let last;

function draw({ from, to, colour }) {
  pen.strokeStyle = colour;
  pen.beginPath();
  pen.moveTo(from[0] * canvas.width, from[1] * canvas.height);
  pen.lineTo(to[0] * canvas.width, to[1] * canvas.height);
  pen.stroke();
}

function drawAll() {
  canvas.width = board.clientWidth * devicePixelRatio;
  canvas.height = board.clientHeight * devicePixelRatio;
  pen.lineWidth = 3 * devicePixelRatio;
  pen.lineCap = "round";
  lines.forEach(draw);
}

function add(line) {
  lines.push(line);
  draw(line);
}

function place(event) {
  const { left, top, width, height } = board.getBoundingClientRect();
  return [(event.clientX - left) / width, (event.clientY - top) / height];
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  last = place(event);
});
canvas.addEventListener("pointermove", (event) => {
  if (!socket.connected) return;
  const here = place(event);
  socket.emit("pointer", ...here);
  if (!last) return;
  const line = { from: last, to: here, colour: colour(socket.id) };
  last = here;
  add(line);
  socket.emit("line", line);
});
for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (last = undefined));
document.getElementById("clear").addEventListener("click", () => socket.connected && socket.emit("clear"));
new ResizeObserver(drawAll).observe(board);

socket.on("picture", (all) => {
  lines = all;
  drawAll();
});
socket.on("line", add);
socket.on("pointer", (id, x, y) => {
  if (!pointers.has(id)) {
    const pointer = document.createElement("i");
    pointer.className = "pointer";
    pointer.style.background = colour(id);
    pointers.set(id, board.appendChild(pointer));
  }
  Object.assign(pointers.get(id).style, { left: `${x * 100}%`, top: `${y * 100}%` });
});
socket.on("gone", (id) => {
  pointers.get(id)?.remove();
  pointers.delete(id);
});

function show(state, text) {
  status.dataset.state = state;
  status.textContent = text;
}
socket.on("connect", () => show("good", "connected to /whiteboard"));
socket.on("disconnect", () => {
  show("waiting", "connection lost, trying again");
  for (const id of [...pointers.keys()]) socket.hear("gone", id);
});
socket.on("connect_error", ({ message }) => {
  show("bad", `/whiteboard: ${message}`);
  setTimeout(() => socket.connect(), 2000);
});
