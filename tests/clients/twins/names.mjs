// The twin of `names.rhai`.
const NAMES = ["chat/join", "café", "🎉", "5", "100", "0.5", 'a "quoted" name', "two\nlines", ""];

export default (io) =>
  io.on("connection", (socket) => {
    for (const name of NAMES) {
      socket.on(name, (value, ack) => {
        socket.emit(name, value);
        ack?.([name, value]);
      });
    }
  });
