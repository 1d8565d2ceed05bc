// The same handlers on Node's server, as people write them.
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const http = createServer((_, response) => response.end());
const io = new Server(http);

io.of('/good').on('connection', (socket) => {
  socket.on('echo', (n, ack) => ack?.(n));
  socket.on('join', () => socket.join('all'));
  socket.on('join room', (room, ack) => { socket.join(room); ack?.('joined'); });
});

io.of(/^\/room\/[^/]+$/).on('connection', (socket) => {
  socket.on('echo', (n, ack) => ack?.(n));
});

// As the preset `private`: everyone is told the ids of all.
io.on('connection', (socket) => {
  const users = () => io.emit('users', [...io.sockets.sockets.values()].map(({ id, data }) => ({ id, name: data.name })));
  socket.on('set name', (name, ack) => {
    socket.data.name = name;
    users();
    ack?.('set');
  });
  socket.on('disconnect', (reason) => {
    console.log(`${socket.data.name} left: ${reason}`);
    users();
  });
  users();
});

const deep = (n) => 1 + deep(n + 1);

io.of('/hostile').on('connection', (socket) => {
  let chain = () => 0;
  const kept = [];
  socket.on('spin', () => { for (;;); });
  socket.on('recurse', () => deep(0));
  socket.on('throw', () => { throw new Error('as it happens'); });
  socket.on('fill', () => { const all = []; for (;;) all.push('x'.repeat(1000) + all.length); });
  socket.on('keep', () => kept.push(Buffer.alloc(100_000)));
  socket.on('chain', () => { const inner = chain; chain = () => inner(); });
  socket.on('nest', () => { let list = []; for (;;) list = [list]; });
  socket.on('listen', () => { for (;;) socket.on('x', () => 1); });
  socket.on('timers', () => { for (;;) setTimeout(() => 1, 1); });
  socket.on('sort', () => [...Array(5000).keys()].sort(() => { for (;;); }));
  socket.on('flood', (text) => io.of('/good').to('all').emit('news', text));
  socket.on('flood room', (room, text) => io.of('/good').to(room).emit('news', text));
});

http.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${http.address().port}`));
