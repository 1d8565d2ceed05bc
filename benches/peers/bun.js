// Node's Socket.IO server on Bun, with the engine that its authors made for it.
import { Server as Engine } from "@socket.io/bun-engine";
import { Server } from "socket.io";
import { serve } from "./handlers.js";

const io = new Server();
const engine = new Engine({ path: "/socket.io/" });
io.bind(engine);
serve(io);

const server = Bun.serve({ port: 0, hostname: "127.0.0.1", ...engine.handler() });
console.log(`listening on http://127.0.0.1:${server.port}`);
