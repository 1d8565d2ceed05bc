// The twin of `slow.rhai`.
export default (io) =>
  io.on("connection", (socket) => {
    socket.on("is ready", (id, ack) => ack(io.sockets.get(id)?.rooms.has("ready") ?? false));
    if (socket.handshake.auth.observer) return;
    const end = Date.now() + 20;
    while (Date.now() < end);
    socket.join("ready");
  });
