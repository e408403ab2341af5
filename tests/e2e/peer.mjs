// peer.mjs: peers that do not speak as they should, over plain WebSocket.
//   peer.mjs serve WHAT      prints `port N`, greets whoever comes with WHAT
//   peer.mjs call PORT WHAT  connects to a server, greets it so, and prints `closed` when that
//                            hangs up, or `open` if it has not within 15 seconds
// WHAT is old or new (a protocol version that is not known), stranger (another protocol),
// cut (half a greeting, then the end), garbage (a good greeting, then random frames), huge (a
// frame that claims 2^40 bytes), http (no WebSocket at all), noise (bytes instead of HTTP) or
// silent.
import net from 'node:net';
import { createHash, randomBytes } from 'node:crypto';

const [mode, ...rest] = process.argv.slice(2);
const what = rest.at(-1);
const client = mode === 'call';

// One WebSocket frame; a client's is masked, here by zeros.
function frame(body) {
    const mask = client ? 0x80 : 0;
    const head = body.length < 126
        ? [0x82, mask | body.length]
        : [0x82, mask | 126, body.length >> 8, body.length & 255];
    return Buffer.concat([Buffer.from(head), Buffer.alloc(client ? 4 : 0), body]);
}

// See engine/swarm/wire.h: size, type, body; HELLO is type 1.
function hello(version, magic = 'Acequia\n') {
    const body = Buffer.concat([
        Buffer.from(magic), Buffer.from([version, version, 0]), randomBytes(32), Buffer.from([0, 0]),
    ]);
    return Buffer.concat([Buffer.from([body.length, 1]), body]);
}

function greet(socket) {
    switch (what) {
    case 'old': return socket.write(frame(hello(0)));
    case 'new': return socket.write(frame(hello(99)));
    case 'stranger': return socket.write(frame(hello(1, 'Syncthin')));
    case 'cut': return socket.end(frame(hello(1).subarray(0, 20)));
    case 'huge': return socket.write(Buffer.from([0x82, (client ? 0x80 : 0) | 127, 0, 0, 1, 0, 0, 0, 0, 0]));
    case 'garbage':
        socket.write(frame(hello(1)));
        for (let i = 0; i < 1000; i++) {
            socket.write(frame(randomBytes(1000)));
        }
        return undefined;
    default: return undefined;
    }
}

if (client) {
    const socket = net.connect(Number(rest[0]), '127.0.0.1', () => {
        if (what === 'noise') {
            socket.write(randomBytes(5000));
            return;
        }
        socket.write('GET /acequia HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
            `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Version: 13\r\n\r\n`);
        socket.once('data', () => greet(socket));
    });
    const done = (word) => {
        console.log(word);
        process.exit(0);
    };
    socket.on('error', () => done('closed')).on('close', () => done('closed')).resume();
    setTimeout(() => done('open'), 15000);
} else {
    const server = net.createServer((socket) => {
        socket.on('error', () => {});
        if (what === 'noise') {
            socket.write(randomBytes(5000));
            return;
        }
        socket.once('data', (request) => {
            if (what === 'http') {
                socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello');
                return;
            }
            const key = /Sec-WebSocket-Key: *(\S+)/i.exec(request.toString())?.[1];
            const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
                .digest('base64');
            socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n' +
                `Connection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
            greet(socket);
        });
    }).listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
}
